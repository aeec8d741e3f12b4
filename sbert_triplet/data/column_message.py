"""The message for columns whose roles are not clear: what there is, what was tried, what settles it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sbert_triplet.data import column_names as names
from sbert_triplet.data.column_profile import Column
from sbert_triplet.data.column_search import UnclearError
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

_Roles = Mapping[str, str | Sequence[str]]
_MOST_SHOWN, _WIDEST = 40, 60
_OPTIONS = frozenset({"anchor", "positive", "negative", "label", "score", "weight"})


def unclear_roles(
    name: str, columns: Mapping[str, Column], reason: UnclearError, given: _Roles, *, in_suite: bool = False
) -> DataError:
    """An error that quotes no cell: columns with type and character, what was tried, two lines of recipe.

    For a task of a suite: the line of the task, which has a kind of its own.
    """
    described = list(columns.values())[:_MOST_SHOWN]
    width = min(max(len(column.name) for column in described), _WIDEST)
    types = max(len(column.type) for column in described)
    given = {role: value for role, value in given.items() if value is not None}
    tried = reason.tried if in_suite else (*reason.tried, *reason.of_recipes)
    advice = _for_a_suite if in_suite else _for_a_recipe
    return DataError(
        "\n".join(
            [
                f"{name}: it is not clear which column plays which role.",
                "The columns:",
                *(f"  {listed([c.name]):<{width}}  {c.type:<{types}}  {c.describe()}" for c in described),
                *([f"  and {len(columns) - len(described):,} more"] if len(columns) > len(described) else []),
                "Tried, by names and by what the cells hold:",
                *(f"  {line}" for line in tried),
                *advice(columns, reason, given),
            ]
        )
    )


def _for_a_recipe(columns: Mapping[str, Column], reason: UnclearError, given: _Roles) -> list[str]:
    settled = _with_texts(columns, {**given, **reason.settle})
    other = _with_texts(columns, {**given, **reason.instead}) if reason.instead else None
    instead = f"  # or {_in_recipe(other)}{_of_kind(other, ' and ')}" if other else ""
    return [
        "Two lines in the recipe settle it, for example:",
        f"data:{_of_kind(settled, chr(10) + '  ')}",
        f"  columns: {_in_recipe(settled)}{instead}",
        f"The same on the command line: {_as_options(settled)}",
    ]


def _for_a_suite(columns: Mapping[str, Column], reason: UnclearError, given: _Roles) -> list[str]:
    settled = _with_texts(columns, {**given, **reason.settle})
    return [
        "A line of the task in the suite's file settles it, for example:",
        f"  columns: {_in_recipe(settled)}",
    ]


def _in_recipe(roles: _Roles) -> str:
    """A mapping as YAML on one line (JSON's strings are YAML's), the texts first."""
    columns = [role for role in sorted(roles, key=_place) if role != "kind"]
    return "{" + ", ".join(f"{role}: {json.dumps(roles[role], ensure_ascii=False)}" for role in columns) + "}"


def _of_kind(roles: _Roles, before: str) -> str:
    return f"{before}kind: {roles['kind']}" if "kind" in roles else ""


def _place(role: str) -> int:
    return {"anchor": 0, "positive": 1}.get(role, 2)


def _as_options(roles: _Roles) -> str:
    """The same on the command line."""
    options = []
    for role in sorted(roles, key=_place):
        values = [roles[role]] if isinstance(roles[role], str) else roles[role]
        for value in values:
            quoted = json.dumps(value, ensure_ascii=False)
            setting = f"data.kind={value}" if role == "kind" else f"data.columns.{role}={value}"
            options.append(
                f"--{role} {quoted}"
                if role in _OPTIONS
                else f"--set {json.dumps(setting, ensure_ascii=False)}"
            )
    return " ".join(options)


def _with_texts(columns: Mapping[str, Column], roles: _Roles) -> _Roles:
    """The roles, with plausible texts for those that are missing: by name, else the shorter as anchor."""
    texts = [column for column in _texts(columns) if not _is_used(column.name, roles)]
    filled = dict(roles)
    if "anchor" not in roles:
        anchor = _named("anchor", texts) or min(
            [text for text in texts[:2] if text is not _named("positive", texts)],
            key=lambda text: text.characters,
            default=None,
        )
        filled = {"anchor": anchor.name if anchor else "the column of the texts", **filled}
        texts = [text for text in texts if text is not anchor]
    if not roles.keys() & {"positive", "label"} or (roles.get("kind") == "nli" and "positive" not in roles):
        positive = _named("positive", texts) or next(iter(texts), None)
        filled["positive"] = positive.name if positive else "the column of the matching texts"
    return filled


def _texts(columns: Mapping[str, Column]) -> list[Column]:
    """Columns that could be the text of a row, free text first."""
    possible = [c for c in columns.values() if c.is_text and not names.is_remark(c.name)]
    possible = [c for c in possible if names.key(c.name) not in names.PLAIN_LABELS]
    possible = [c for c in possible if names.label_rank(c.name) is None or not c.is_class_like]
    return sorted(possible, key=lambda column: not column.is_prose)


def _named(role: str, texts: Sequence[Column]) -> Column | None:
    return next((text for text in texts if names.text_rank(role, text.name) is not None), None)


def _is_used(name: str, roles: _Roles) -> bool:
    values = [value for role in roles.values() for value in ([role] if isinstance(role, str) else role)]
    return any(name == value or f"{{{name}}}" in value for value in values)
