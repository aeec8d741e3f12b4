"""Conditions on metadata as Chroma takes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sbert_triplet.search.filters import Between, Condition, Value
from sbert_triplet.search.stores.kept import without_nul


def clause(condition: Condition) -> dict[str, Any] | None:
    """In Chroma's form, in which 1 and 1.0 are different; None for what nothing meets."""
    key = without_nul(condition.key)
    if isinstance(condition, Between):
        return joined("$or", [joined("$and", _whole(key, condition)), joined("$and", _real(key, condition))])
    either = [{key: {"$eq": one}} for value in condition.values for one in _spellings(value)]
    return joined("$or", either) if either else None


def _spellings(value: Value) -> list[Value]:
    if isinstance(value, bool | str):
        return [escaped(value)]
    real = float(value)
    if isinstance(value, int):
        return [value, real] if int(real) == value else [value]
    return [int(real), real] if real.is_integer() and abs(real) < 2**63 else [real]


def _whole(key: str, condition: Between) -> list[dict[str, Any]]:
    """The range over whole numbers."""
    made = {
        "gte": lambda bound: {"$gte": math.ceil(bound)},
        "gt": lambda bound: {"$gte": math.floor(bound) + 1},
        "lte": lambda bound: {"$lte": math.floor(bound)},
        "lt": lambda bound: {"$lte": math.ceil(bound) - 1},
    }
    return [{key: made[name](bound)} for name, bound in condition.bounds().items()]


def _real(key: str, condition: Between) -> list[dict[str, Any]]:
    return [{key: {f"${name}": float(bound)}} for name, bound in condition.bounds().items()]


def joined(word: str, clauses: Sequence[dict[str, Any] | None]) -> dict[str, Any]:
    """Chroma takes ``$and`` and ``$or`` of two or more only."""
    kept = [clause for clause in clauses if clause is not None]
    return kept[0] if len(kept) == 1 else {word: kept}


def escaped(value: Value) -> Value:
    return without_nul(value) if isinstance(value, str) else value
