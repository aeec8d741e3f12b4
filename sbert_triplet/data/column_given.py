"""Roles as the person gave them: checked against the columns before anything is inferred."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from sbert_triplet.data.column_profile import Character, Column
from sbert_triplet.data.column_search import Found
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.templates import columns_of, shown
from sbert_triplet.errors import DataError

TEXT_ROLES = ("anchor", "positive", "negative")
COLUMN_ROLES = ("label", "score", "weight", "query_id", "document_id")
_SEVERAL = ("positive", "negative")
_KINDS = tuple(kind.value for kind in Kind if kind is not Kind.RETRIEVAL)


@dataclass(frozen=True)
class Given:
    """``texts``: anchor, positive, negative; ``columns``: label, score, weight and ids."""

    texts: Mapping[str, Found] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    kind: Kind | None = None

    def used(self, columns: Collection[str]) -> set[str]:
        """The columns that the given roles read."""
        roles = [role for found in self.texts.values() for role in found.roles]
        return {name for role in roles for name in columns_of(role, columns)} | set(self.columns.values())


def check_given(given: Mapping[str, str | Sequence[str]] | None, columns: Mapping[str, Column]) -> Given:
    """The given roles, each a column or a template that exists and can play it; None is not given.

    Raises DataError for an unknown role, column or kind (with the nearest spelling), for a column that
    cannot play its role, and for one text in two roles.
    """
    texts: dict[str, Found] = {}
    single: dict[str, str] = {}
    kind: Kind | None = None
    for role, value in (given or {}).items():
        if value is None:
            continue
        if role == "kind":
            kind = _kind(value)
        elif role in TEXT_ROLES:
            texts[role] = Found(_text_role(role, value, columns), "as given")
        elif role in COLUMN_ROLES:
            single[role] = _column_role(role, value, columns)
        else:
            known = [*TEXT_ROLES, *COLUMN_ROLES, "kind"]
            raise DataError(f"columns: no role {role!r}{_did_you_mean(role, known)}")
    _refuse_repeats(texts)
    return Given(texts, single, kind)


def _kind(value: str | Sequence[str]) -> Kind:
    if isinstance(value, str) and value in _KINDS:
        return Kind(value)
    raise DataError(f"data.kind: no kind {value!r}{_did_you_mean(str(value), _KINDS)}")


def _text_role(role: str, value: str | Sequence[str], columns: Mapping[str, Column]) -> tuple[str, ...]:
    roles = (value,) if isinstance(value, str) or not isinstance(value, Sequence) else tuple(value)
    if not roles or not all(isinstance(item, str) for item in roles):
        raise DataError(f"columns.{role}: {value!r} is no column, template or list of them")
    if len(roles) > 1 and role not in _SEVERAL:
        raise DataError(f"columns.{role}: one column or template, not {len(roles)}; join them in a template")
    for item in roles:
        try:
            used = columns_of(item, columns)
        except DataError as error:
            raise DataError(f"columns.{role}: {error}") from error
        lists = role in _SEVERAL and used == (item,)
        for name in used:
            _refuse_nested(role, columns[name], lists_allowed=lists)
    return roles


def _refuse_nested(role: str, column: Column, *, lists_allowed: bool) -> None:
    if column.character is Character.OTHER:
        raise DataError(
            f"columns.{role}: {column.name!r} holds {column.describe()} ({column.type}), not text"
        )
    if column.character is Character.TEXTS and not lists_allowed:
        raise DataError(f"columns.{role}: {column.name!r} holds lists of text, where each row needs one text")
    if column.character is Character.EMPTY:
        raise DataError(f"columns.{role}: {column.name!r} holds no values at all")


def _column_role(role: str, value: str | Sequence[str], columns: Mapping[str, Column]) -> str:
    if not isinstance(value, str):
        raise DataError(f"columns.{role}: {value!r} is not the name of a column")
    if value not in columns:
        raise DataError(f"columns.{role}: no column {value!r}{_did_you_mean(value, list(columns))}")
    column = columns[value]
    if not column.is_scalar or column.character is Character.EMPTY:
        raise DataError(f"columns.{role}: {value!r} holds {column.describe()} and cannot be a {role}")
    if role in ("score", "weight") and not column.is_numeric:
        raise DataError(f"columns.{role}: {value!r} holds {column.describe()}, where numbers are needed")
    return value


def _refuse_repeats(texts: Mapping[str, Found]) -> None:
    seen: dict[str, str] = {}
    for role, found in texts.items():
        for item in found.roles:
            if item in seen:
                raise DataError(f"columns: {shown(item)!r} is given as {seen[item]} and as {role}")
            seen[item] = role


def _did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"
