"""How deep values may lie inside of each other, and how many keys they may have."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from sbert_triplet.data.nested import MOST_DEPTH, MOST_KEYS, TOO_DEEP, TOO_MANY, depth_of, nested_problem


def lists_inside(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


def test_depth_of_values_and_types() -> None:
    assert nested_problem("text", set()) is None
    assert nested_problem(lists_inside(MOST_DEPTH), set()) is None
    assert nested_problem(lists_inside(MOST_DEPTH + 1), set()) == TOO_DEEP
    assert nested_problem(lists_inside(100_000), set()) == TOO_DEEP
    assert depth_of(pa.string()) == 1
    assert depth_of(pa.list_(pa.struct([("a", pa.string()), ("b", pa.list_(pa.int8()))]))) == 4
    assert depth_of(pa.dictionary(pa.int8(), pa.list_(pa.int8()))) == 3


def test_keys_that_differ_from_row_to_row_are_counted() -> None:
    seen: set[tuple[str, ...]] = set()
    for number in range(MOST_KEYS):
        assert nested_problem({f"k{number}": 1}, seen) is None
    assert nested_problem({"k0": 1}, seen) is None
    assert nested_problem({"another": 1}, seen) == TOO_MANY
    assert nested_problem([{"a": 1}, {"b": {"a": 1}}], (inside := set())) is None
    assert inside == {("[]",), ("[]", "a"), ("[]", "b"), ("[]", "b", "a")}
