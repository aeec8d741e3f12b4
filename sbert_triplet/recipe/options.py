"""The recipe's type for one parameter of a loss or a distance, from its annotation."""

from __future__ import annotations

import math
import types
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field

from sbert_triplet.distances.options import Range
from sbert_triplet.recipe.values import (
    NUMBER,
    WHOLE,
    Expected,
    FilledText,
    Flag,
    OneOrMany,
    number,
    unexpected,
)

INFINITE = ("inf", "infinity", ".inf")


def option_type(annotation: Any) -> Any:
    """The annotation in the recipe's own strict types, ranges kept.

    What a recipe cannot write (objects) is left out of a union; None where nothing is left of it.
    """
    choices = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    writable = [kind for kind in (_writable(choice) for choice in choices) if kind is not None]
    if all(kind is type(None) for kind in writable):
        return None
    return Union[tuple(writable)]  # noqa: UP007


def _writable(annotation: Any) -> Any:
    marks: list[Any] = []
    infinite = False
    if get_origin(annotation) is Annotated:
        annotation, *found = get_args(annotation)
        infinite = any(mark.infinite for mark in found if isinstance(mark, Range))
        marks = [bound for mark in found if isinstance(mark, Range) for bound in _bounds(mark)]
    if annotation is type(None) or get_origin(annotation) is Literal:
        return annotation
    if get_origin(annotation) in (tuple, list, Sequence):
        item = _writable(get_args(annotation)[0])
        return None if item is None else Annotated[tuple[item, ...], OneOrMany()]  # type: ignore[valid-type]
    simple = {
        bool: Flag,
        int: Annotated[int, *marks, WHOLE],
        float: Annotated[float, *marks, *((REAL,) if infinite else (Field(allow_inf_nan=False), NUMBER))],
        str: FilledText,
    }
    return simple.get(annotation)


def _bounds(limits: Range) -> list[Any]:
    marks: list[Any] = []
    if limits.low is not None:
        marks.append(Gt(limits.low) if limits.low_open else Ge(limits.low))
    if limits.high is not None:
        marks.append(Lt(limits.high) if limits.high_open else Le(limits.high))
    return marks


def _real(value: Any) -> float:
    """A number that may be infinite (the p of Chebyshev), also where it is spelled as text."""
    real = math.inf if isinstance(value, str) and value.lower() in INFINITE else number(value)
    if math.isnan(real):
        raise unexpected()
    return real


REAL = Expected("a number", _real)
