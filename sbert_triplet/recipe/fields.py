"""What a field of a recipe class accepts, read from its annotation: for messages, overrides and writing."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sbert_triplet.recipe.values import AutoMark, Expected

BOUNDS: dict[type, tuple[str, str]] = {
    annotated_types.Gt: ("greater than", "gt"),
    annotated_types.Ge: ("of at least", "ge"),
    annotated_types.Lt: ("below", "lt"),
    annotated_types.Le: ("of at most", "le"),
}
KEYS_SHOWN = 4
PLAIN = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Accepts:
    """``core`` is the type without None and annotations; ``marks`` are the annotations."""

    core: Any
    marks: tuple[Any, ...]
    nullable: bool

    @property
    def auto(self) -> bool:
        return any(isinstance(mark, AutoMark) for mark in self.marks)

    @property
    def section(self) -> type[BaseModel] | None:
        """The class of a nested mapping."""
        return self.core if isinstance(self.core, type) and issubclass(self.core, BaseModel) else None

    @property
    def choices(self) -> tuple[str, ...]:
        """The values of a Literal or an enumeration."""
        if get_origin(self.core) is Literal:
            return tuple(str(value) for value in get_args(self.core))
        if isinstance(self.core, type) and hasattr(self.core, "__members__"):
            return tuple(str(member.value) for member in self.core.__members__.values())
        return ()

    @property
    def item(self) -> Accepts | None:
        """What one item of a list accepts."""
        if get_origin(self.core) is tuple:
            return accepts(get_args(self.core)[0])
        return None

    def described(self) -> str:
        """The phrase after "expected"."""
        return f"{self._value()}, or auto" if self.auto else self._value()

    def _value(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.section is not None:
            keys = ", ".join(list(self.section.model_fields)[:KEYS_SHOWN])
            return str(getattr(self.section, "wanted", f"keys and values, such as {keys}"))
        if self.item is not None:
            return f"{self.item.described()}, or a list of these"
        if get_origin(self.core) in (Union, types.UnionType) and not self._said():
            return " or ".join(accepts(choice).described() for choice in get_args(self.core))
        said = self._said()
        what = said[0] if said else PLAIN.get(self.core, "another kind of value")
        if any(isinstance(mark, annotated_types.MinLen) for mark in self.marks):
            what += " that is not empty"
        limits = {
            words: _readable(getattr(mark, name))
            for kind, (words, name) in BOUNDS.items()
            for mark in self.marks
            if isinstance(mark, kind)
        }
        if limits.keys() == {"of at least", "of at most"}:
            return f"{what} from {limits['of at least']} to {limits['of at most']}"
        return " ".join([what, " and ".join(f"{words} {limit}" for words, limit in limits.items())]).strip()

    def _said(self) -> list[str]:
        return [mark.what for mark in self.marks if isinstance(mark, Expected)]


def _readable(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def accepts(annotation: Any, metadata: tuple[Any, ...] = ()) -> Accepts:
    """Take an annotation apart: ``Annotated`` marks, and None out of a union of one other type."""
    marks, nullable = list(metadata), False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *found = get_args(annotation)
            for mark in found:
                marks.extend(mark.metadata if isinstance(mark, FieldInfo) else [mark])
            continue
        if get_origin(annotation) in (Union, types.UnionType):
            others = [choice for choice in get_args(annotation) if choice is not type(None)]
            nullable = nullable or len(others) < len(get_args(annotation))
            if len(others) == 1:
                annotation = others[0]
                continue
        return Accepts(annotation, tuple(marks), nullable)


def accepts_field(field: FieldInfo) -> Accepts:
    return accepts(field.annotation, tuple(field.metadata))


def known_keys(section: type[BaseModel], value: Any) -> Mapping[str, FieldInfo]:
    """The fields of a section; one whose keys depend on its values (a loss and its options) is asked."""
    chosen = getattr(section, "keys_for", None)
    return chosen(value) if chosen is not None else section.model_fields


def find_field(section: type[BaseModel], location: tuple[str | int, ...], data: Any) -> Accepts | None:
    """What the value at ``location`` inside ``data`` should be; None where there is no such key."""
    found: Accepts | None = accepts(section)
    for part in location:
        if found is None:
            return None
        if isinstance(part, int):
            found = found.item
            data = data[part] if isinstance(data, list | tuple) and part < len(data) else data
            continue
        nested = found.section or (found.item.section if found.item else None)
        if nested is None:
            return None
        field = known_keys(nested, data).get(part)
        found = accepts_field(field) if field is not None else None
        data = data.get(part) if isinstance(data, Mapping) else None
    return found


def every_key(section: type[BaseModel], prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The path of every key below ``section``, nested ones included."""
    paths = []
    for name, field in section.model_fields.items():
        paths.append((*prefix, name))
        nested = accepts_field(field).section
        if nested is not None:
            paths.extend(every_key(nested, (*prefix, name)))
    return paths
