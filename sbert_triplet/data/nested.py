"""Values inside of values: how deep a cell may go, and how many keys it may have."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

MOST_DEPTH = 32
MOST_KEYS = 1_000
TOO_DEEP = f"nested more than {MOST_DEPTH} deep"
TOO_MANY = f"more than {MOST_KEYS:,} different keys inside of one column; keep such values as text"

Keys = set[tuple[str, ...]]


def nested_problem(value: object, keys: Keys) -> str | None:
    """What keeps lists and dictionaries out of a table; None where nothing does.

    ``keys``: those seen in the column so far, each with the keys on the way to it; they are added to. Every
    key becomes a column of Arrow, so that keys which differ from row to row would grow without end.
    """
    if not isinstance(value, dict | list | tuple):
        return None
    pending: list[tuple[object, tuple[str, ...]]] = [(value, ())]
    while pending:
        held, path = pending.pop()
        if not isinstance(held, dict | list | tuple):
            continue
        if len(path) >= MOST_DEPTH:
            return TOO_DEEP
        for key, inside in held.items() if isinstance(held, dict) else (("[]", item) for item in held):
            here = (*path, str(key))
            keys.add(here)
            if isinstance(inside, dict | list | tuple):
                pending.append((inside, here))
        if len(keys) > MOST_KEYS:
            return TOO_MANY
    return None


def depth_of(kind: pa.DataType) -> int:
    """How many types lie inside of each other: 1 for a plain one; counted to ``MOST_DEPTH`` + 1."""
    level, deep = [kind], 0
    while level and deep <= MOST_DEPTH:
        deep += 1
        level = [inner for outer in level for inner in _inside(outer)]
    return deep


def _inside(kind: pa.DataType) -> Iterator[pa.DataType]:
    if pa.types.is_dictionary(kind):
        yield kind.value_type
    elif pa.types.is_nested(kind):
        yield from (kind.field(at).type for at in range(kind.num_fields))
