"""The types of single values in a recipe: strict where YAML is loose, and each able to say what it wants.

``true`` is no number, ``2024`` is no text, and ``1e5`` is a whole number.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, TypeVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

T = TypeVar("T")
LARGEST_EXACT_FLOAT = 2.0**53


@dataclass(frozen=True)
class Expected:
    """What a value should be: error messages say "expected {what}, found …".

    ``check`` is called first, then the annotated type and its ranges are validated.
    """

    what: str
    check: Callable[[Any], Any]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.check, handler(source))


class AutoMark:
    """``auto`` in a recipe, None in Python: left to the data, the encoder or the machine."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            lambda value: None if isinstance(value, str) and value == "auto" else value, handler(source)
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        inner = handler(schema)
        return {"anyOf": [{"const": "auto"}, *inner.get("anyOf", [inner])]}


class OneOrMany:
    """A list that may be written as its only item."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_as_many, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        many = handler(schema)
        return {"anyOf": [many.get("items", {}), many]}


def unexpected() -> PydanticCustomError:
    """For a validator whose field says with ``Expected`` what it wants."""
    return PydanticCustomError("unexpected", "not what was expected")


def said(message: str) -> PydanticCustomError:
    """For a validator that explains itself: the message is shown as it is."""
    return PydanticCustomError("said", "{message}", {"message": message})


def _as_many(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(value)
    if isinstance(value, str | int | float):
        return (value,)
    raise unexpected()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise unexpected()
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise said(
            f"character {error.start + 1} of the text is half a character (a lone surrogate)"
        ) from None
    return value


def _text_or_path(value: Any) -> str:
    return _text(os.fspath(value) if isinstance(value, os.PathLike) else value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise unexpected()


def number(value: Any) -> float:
    """A real number, and not a truth value or a text that looks like one."""
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise unexpected() from None
    raise unexpected()


def _whole(value: Any) -> int:
    if isinstance(value, Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_EXACT_FLOAT:
        return int(value)
    raise unexpected()


def _share_or_count(value: Any) -> float | int:
    if isinstance(value, Integral):
        count = _whole(value)
        if count >= 0:
            return count
        raise unexpected()
    real = number(value)
    if 0 <= real < 1:
        return real
    # 1.0 could mean all of it or one of it: neither is guessed.
    if real > 1:
        return _whole(real)
    raise unexpected()


def _layers_or_pattern(value: Any) -> str | int:
    if isinstance(value, str) and value:
        return value
    count = _whole(value)
    if count >= 1:
        return count
    raise unexpected()


TEXT = Expected("text", _text)
NUMBER = Expected("a number", number)
WHOLE = Expected("a whole number", _whole)

Text = Annotated[str, TEXT]
FilledText = Annotated[str, Field(min_length=1), TEXT]
PathText = Annotated[str, Field(min_length=1), Expected("text", _text_or_path)]
Flag = Annotated[bool, Expected("true or false", _flag)]
Whole = Annotated[int, WHOLE]
Count = Annotated[int, Field(ge=1), WHOLE]
Number = Annotated[float, Field(allow_inf_nan=False), NUMBER]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False), NUMBER]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER]
_Share = Annotated[float, Field(ge=0, lt=1)]
_Counted = Annotated[int, Field(ge=0)]
ShareOrSteps = Annotated[
    _Share | _Counted, Expected("a share from 0 to below 1, or a number of steps", _share_or_count)
]
ShareOrRows = Annotated[
    _Share | _Counted, Expected("a share from 0 to below 1, or a number of rows", _share_or_count)
]
Names = Annotated[tuple[FilledText, ...], OneOrMany()]
FreezeItem = Annotated[
    str | int,
    Expected("`embeddings`, a number of layers or a pattern of parameter names", _layers_or_pattern),
]
Freeze = Annotated[tuple[FreezeItem, ...], OneOrMany()]
Auto = Annotated[T | None, AutoMark()]
