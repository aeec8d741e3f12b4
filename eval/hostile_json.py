"""Tables in JSON with one thing wrong that no other format has: types, halves of letters, nesting, keys."""

from __future__ import annotations

import json
import random

from hostile_rows import NUMBERS, Case, at_place, sound_rows, text_column
from hostile_written import csv_bytes, json_bytes

JSON_CELLS = (None, 7, 1.5, True, [], {}, ["a", "b"], {"a": {"b": []}}, 10**30, -(2**63) - 1)


def json_cell(draw: random.Random) -> Case:
    """A cell of another type than the others of its column."""
    rows = sound_rows(draw)
    at = draw.randrange(1, len(rows))
    column = draw.choice(list(rows[at]))
    value = draw.choice(JSON_CELLS)
    if column in NUMBERS and isinstance(value, int | float) and not isinstance(value, bool) and value < 2**63:
        value = "text"
    rows[at][column] = value
    name = draw.choice(["t.jsonl", "t.json"])
    content = json_bytes(rows, lines=name == "t.jsonl")
    return Case("mixed types", {name: content}, name, "refused", len(rows), (), at_place(at, column))


def surrogate(draw: random.Random) -> Case:
    rows = sound_rows(draw)
    at = draw.randrange(len(rows))
    column = text_column(draw, rows[at])
    rows[at][column] += draw.choice(["\ud83d", "\ude00 x", "\ude00\ud83d"])
    if draw.random() < 0.7:
        name = draw.choice(["t.jsonl", "t.json"])
        content, names = json_bytes(rows, lines=name == "t.jsonl"), at_place(at, column)
    else:
        name, content = "t.csv", csv_bytes(rows)
        names = ((f"line {at + 2}",),)
    return Case("lone surrogate", {name: content}, name, "refused", len(rows), (), names)


def nested(draw: random.Random) -> Case:
    """Arrays and objects inside each other, as a cell or as the document."""
    deep = draw.choice([40, 200, 900, 1100, 5_000, 100_000])
    opened, closed = draw.choice([("[", "]"), ('{"a":', "}")])
    inside = opened * deep + "1" + closed * (deep if draw.random() < 0.8 else 0)
    rows = sound_rows(draw)
    at = draw.randrange(len(rows))
    lines = [json.dumps(row) for row in rows]
    lines[at] = lines[at][:-1] + f', "more": {inside}' + "}"
    array = draw.random() < 0.5
    content = "[" + ",\n".join(lines) + "]" if array else "\n".join(lines)
    names: tuple[tuple[str, ...], ...] = (("line ", "row "),)
    if draw.random() < 0.2:
        content, names = inside, ()
    name = "t.json" if array else "t.jsonl"
    return Case("nested deeply", {name: content.encode()}, name, "refused", None, (), names)


def repeated_key(draw: random.Random) -> Case:
    rows = sound_rows(draw)
    at = draw.randrange(len(rows))
    lines = [json.dumps(row) for row in rows]
    column = next(iter(rows[at]))
    lines[at] = lines[at][:-1] + f', "{column}": "again"' + "}"
    content = "\n".join(lines).encode()
    names = ((f"line {at + 1}",), (column,))
    return Case("repeated key", {"t.jsonl": content}, "t.jsonl", "refused", len(rows), (), names)
