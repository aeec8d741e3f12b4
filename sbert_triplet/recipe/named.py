"""One of several constructors by name, as a section: what a loss and a distance have in common.

The constructors are the only place where options, types, ranges and defaults are written;
what a recipe accepts, its messages and its JSON schema are read from their signatures.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails

from sbert_triplet.recipe.problems import nearest
from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.values import said, unexpected

Constructor = Callable[..., object]
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Named(Section):
    """One of several constructors by name, with its options beside the name."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names that there are, which are not looked into."""
        raise TypeError(f"{cls.__name__} does not define names()")

    @classmethod
    def constructor(cls, name: str) -> Constructor:
        """What builds ``name``, one of ``names()``."""
        raise TypeError(f"{cls.__name__} does not define constructor(name)")

    @classmethod
    def loadable(cls) -> tuple[str, ...]:
        """Those of ``names()`` whose constructor can be had."""
        return cls.names()

    @classmethod
    def having_options(cls) -> tuple[str, ...]:
        """Those whose options are looked up where a key has no name beside it."""
        return cls.names()

    @classmethod
    def about(cls, name: str) -> str:
        """What ``name`` is, in a line."""
        return (inspect.getdoc(cls.constructor(name)) or "").split("\n\n")[0].replace("``", "`")

    @classmethod
    def unknown(cls, name: str) -> str:
        """What is said of a name that there is not."""
        close = nearest(name, cls.names())
        guess = f"did you mean {close}? " if close else ""
        return f"there is no {name!r}; {guess}known: {', '.join(cls.names())}"

    @property
    def options(self) -> dict[str, Any]:
        """Every option of the named constructor, defaults included, as its keyword arguments."""
        return {
            key: value.as_argument() if isinstance(value, Named) else value
            for key, value in (self.model_extra or {}).items()
        }

    def as_argument(self) -> str | dict[str, Any]:
        """The name alone, or a mapping of it and the options."""
        return {"name": str(self.name), **self.options} if self.options else str(self.name)

    @classmethod
    def from_short(cls, value: Any) -> Any:
        if isinstance(value, str) and value:
            return {"name": value}
        raise unexpected()

    @classmethod
    def keys_for(cls, value: Any) -> Mapping[str, FieldInfo]:
        """The keys beside the name that ``value``, a mapping or a name, gives."""
        name = value.get("name") if isinstance(value, Mapping) else value
        if isinstance(name, str) and name in cls.names():
            return cls.variant(name).model_fields
        return cls.model_fields

    @classmethod
    def prepared(cls, value: dict[str, Any]) -> dict[str, Any]:
        name = value.get("name")
        if name is None or name == "auto":
            cls._refuse_options_without_name(value)
            return value
        if not isinstance(name, str):
            return value
        if name not in cls.names():
            raise wrong_at("name", name, cls.unknown(name))
        chosen = cls.variant(name).model_validate(value)
        options = {key: getattr(chosen, key) for key in type(chosen).model_fields}
        cls.tried(options)
        return options

    @classmethod
    def tried(cls, options: Mapping[str, Any]) -> None:
        """Refuse options that are well formed one by one and do not go together."""

    @classmethod
    def variant(cls, name: str) -> type[BaseModel]:
        """The class of ``name``: that name, and the options of its constructor as fields."""
        return variant_of(cls.__name__.removesuffix("Recipe"), name, cls.constructor(name))

    @classmethod
    def _refuse_options_without_name(cls, value: Mapping[str, Any]) -> None:
        for key in value:
            if key not in cls.model_fields:
                having = [name for name in cls.having_options() if key in cls.variant(name).model_fields]
                hint = f" ({key} is an option of {', '.join(having)})" if having else ""
                raise wrong_at(key, value[key], f"options go with a name: give `name` as well{hint}")

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        names = cls.loadable()
        variants = [
            {**handler(cls.variant(name).__pydantic_core_schema__), "description": cls.about(name)}
            for name in names
        ]
        if cls.model_fields["name"].is_required():
            return {"anyOf": [{"enum": list(names)}, *variants]}
        undecided = handler(undecided_of(cls).__pydantic_core_schema__)
        undecided["properties"]["name"] = {"enum": ["auto", None]}
        return {"anyOf": [{"enum": ["auto", *names]}, undecided, *variants]}


def parameters_of(constructor: Constructor) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(constructor).parameters


def needs_dimensions(constructor: Constructor) -> bool:
    """Whether it holds a matrix of the encoder's size."""
    size = parameters_of(constructor).get("dimensions")
    return size is not None and size.default is size.empty


def is_supplied(parameter: inspect.Parameter) -> bool:
    """Whether the encoder, ``train.seed`` or the data decide it, and not the recipe.

    A count of classes that a constructor can do without is an option like others.
    """
    needed = parameter.default is parameter.empty
    return parameter.name in ("dimensions", "seed") or (parameter.name == "classes" and needed)


def undecided_of(family: type[Named]) -> type[BaseModel]:
    """The class of a section that names nothing: what it may say besides."""
    fields: dict[str, Any] = {
        name: (field.rebuild_annotation(), field) for name, field in family.model_fields.items()
    }
    return create_model("Undecided", __base__=Section, **fields)


@cache
def variant_of(
    family: str, name: str, constructor: Constructor, *sections: tuple[str, type[Named]]
) -> type[BaseModel]:
    """The class of ``name``; ``sections`` are parameters that have a section of their own, and it."""
    # Reads torch's distances, which a recipe that names no loss does not need.
    from sbert_triplet.recipe.options import option_type

    hints = get_type_hints(
        constructor.__init__ if inspect.isclass(constructor) else constructor, include_extras=True
    )
    fields: dict[str, Any] = {"name": (Literal[name], ...)}
    for parameter in parameters_of(constructor).values():
        if is_supplied(parameter) or parameter.kind in VARIADIC:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        kind = dict(sections).get(parameter.name) or option_type(hints[parameter.name])
        if kind is not None:
            fields[parameter.name] = (kind, Field(default=default, validate_default=True))
    return create_model(f"{family}_{name}", __base__=Section, **fields)


def wrong_at(key: str, value: Any, message: str) -> ValidationError:
    """An error at a key, for validators of the mapping that holds it."""
    details = InitErrorDetails(type=said(message), loc=(key,), input=value)
    return ValidationError.from_exception_data("recipe", [details])
