"""Conditions on metadata as LanceDB takes them: in SQL, over a column for each key and kind of value."""

from __future__ import annotations

from collections.abc import Sequence

from sbert_triplet.search.filters import BOUNDS, Condition, OneOf, Value
from sbert_triplet.search.store import Metadata
from sbert_triplet.search.stores.kept import without_nul

TYPES = {"t": "string", "n": "double", "b": "boolean"}
"""Of columns, by the first letter of their names."""
_SIGNS = dict(zip(BOUNDS, (">", ">=", "<", "<="), strict=True))


def facts_of(metadata: Metadata) -> dict[str, Value]:
    """Values by the names of their columns."""
    return {_column(key, value): _filtered_by(value) for key, value in metadata.items()}


def _column(key: str, value: Value) -> str:
    kind = "b" if isinstance(value, bool) else "t" if isinstance(value, str) else "n"
    return f"{kind}_{key.encode().hex()}"


def _filtered_by(value: Value) -> Value:
    if isinstance(value, bool):
        return value
    return without_nul(value) if isinstance(value, str) else float(value)


def clause(condition: Condition, columns: Sequence[str]) -> str | None:
    """In SQL; None for what nothing meets."""
    if isinstance(condition, OneOf):
        either = [
            f"{column} = {_literal(value)}"
            for value in condition.values
            if (column := _column(condition.key, value)) in columns
        ]
        return f"({' or '.join(either)})" if either else None
    column = _column(condition.key, 0)
    if column not in columns:
        return None
    return " and ".join(
        f"{column} {_SIGNS[name]} {_literal(bound)}" for name, bound in condition.bounds().items()
    )


def _literal(value: Value) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return "'" + without_nul(value).replace("'", "''") + "'"
    return f"cast({float(value)!r} as double)"
