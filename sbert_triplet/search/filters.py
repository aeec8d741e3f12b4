"""Conditions on metadata: one small form for all stores.

``{"language": "en", "year": {"gte": 2000, "lt": 2010}, "kind": ["faq", "manual"]}``: a value is equality, a
list is one of them, a mapping with ``gte``, ``gt``, ``lte``, ``lt`` is a range of numbers; all must hold.
A document without the key never meets a condition on it. Numbers are equal by value (1 and 1.0), and are
never equal to texts or to true and false.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sbert_triplet.errors import InputError

Value: TypeAlias = str | int | float | bool
Where: TypeAlias = Mapping[str, Any]

BOUNDS = ("gt", "gte", "lt", "lte")
_SIGNS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}
_COMPARISON = re.compile(r"(?P<key>[^<>=]+?)\s*(?P<sign>>=|<=|=|>|<)\s*(?P<value>.*)", re.DOTALL)


@dataclass(frozen=True)
class OneOf:
    """The value of ``key`` is one of ``values``."""

    key: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Between:
    """The value of ``key`` is a number within the bounds; None is no bound."""

    key: str
    gt: float | int | None = None
    gte: float | int | None = None
    lt: float | int | None = None
    lte: float | int | None = None

    def bounds(self) -> dict[str, float | int]:
        """Those that there are, by name."""
        named = {name: getattr(self, name) for name in BOUNDS}
        return {name: value for name, value in named.items() if value is not None}


Condition: TypeAlias = OneOf | Between


def conditions_of(where: Where | None) -> tuple[Condition, ...]:
    """The conditions, all of which must hold. Raises InputError, naming the key, for what is none."""
    return tuple(_condition(key, wanted) for key, wanted in (where or {}).items())


def parse_where(words: Sequence[str]) -> dict[str, Any]:
    """Conditions of the command line: ``key=value``, ``key>=1``, ``key=["a","b"]``; all must hold.

    A value that is JSON is what it says (``2``, ``true``, ``"2"``); any other is a text. Raises InputError.
    """
    where: dict[str, Any] = {}
    for word in words:
        found = _COMPARISON.fullmatch(word)
        if found is None:
            raise InputError(f'--where {word}: write KEY=VALUE, KEY>=NUMBER or KEY=["A","B"]')
        key, sign, value = found["key"].strip(), found["sign"], _plain(found["value"])
        if sign == "=":
            if key in where:
                raise InputError(
                    f'--where {word}: {key} has a condition already; for one of several write {key}=["A","B"]'
                )
            where[key] = value
            continue
        bounds = where.setdefault(key, {})
        if not isinstance(bounds, dict) or _SIGNS[sign] in bounds:
            raise InputError(f"--where {word}: {key} has such a condition already")
        bounds[_SIGNS[sign]] = value
    conditions_of(where)
    return where


def meets(metadata: Mapping[str, Value], conditions: Sequence[Condition]) -> bool:
    """Whether all conditions hold: what every store must agree with."""
    return all(_holds(metadata, condition) for condition in conditions)


def same(first: Value, second: Value) -> bool:
    """Equality without true being 1."""
    if isinstance(first, bool) or isinstance(second, bool):
        return isinstance(first, bool) and isinstance(second, bool) and first == second
    if isinstance(first, str) or isinstance(second, str):
        return isinstance(first, str) and isinstance(second, str) and first == second
    return first == second


def _holds(metadata: Mapping[str, Value], condition: Condition) -> bool:
    if condition.key not in metadata:
        return False
    value = metadata[condition.key]
    if isinstance(condition, OneOf):
        return any(same(value, wanted) for wanted in condition.values)
    if isinstance(value, bool | str):
        return False
    within = {
        "gt": lambda bound: value > bound,
        "gte": lambda bound: value >= bound,
        "lt": lambda bound: value < bound,
        "lte": lambda bound: value <= bound,
    }
    return all(within[name](bound) for name, bound in condition.bounds().items())


def _condition(key: object, wanted: object) -> Condition:
    if not isinstance(key, str) or not key:
        raise InputError(f"where: {key!r} is no key of metadata; keys are texts")
    if isinstance(wanted, Mapping):
        return _between(key, wanted)
    values: list[Any] = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    for value in values:
        if not _is_value(value):
            raise InputError(
                f"where, {key}: {value!r} is neither text, number, true nor false; a value is equality, "
                f"a list one of them, and a mapping with {', '.join(BOUNDS)} a range"
            )
    return OneOf(key, tuple(values))


def _between(key: str, wanted: Mapping[Any, Any]) -> Between:
    if not wanted or (unknown := [name for name in wanted if name not in BOUNDS]):
        named = f"{unknown[0]!r}" if wanted else "nothing"
        raise InputError(f"where, {key}: {named} is no bound of a range; they are {', '.join(BOUNDS)}")
    for name, bound in wanted.items():
        if isinstance(bound, bool | str) or not _is_value(bound):
            raise InputError(f"where, {key}: {name} is {bound!r}; a bound is a number")
    return Between(key, **wanted)


def _is_value(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return -(2**63) <= value < 2**63
    return isinstance(value, str | bool)


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
