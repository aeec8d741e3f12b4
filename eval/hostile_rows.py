"""What a hostile case is, and the sound rows that each is made of."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

Row = dict[str, Any]
Expected = Literal["works", "refused", "either"]
LONGEST = 1_000_000
"""Characters that a cell may have."""

COLUMNS = {
    "pairs": ("question", "answer"),
    "triplets": ("anchor", "positive", "negative"),
    "labelled": ("text", "label"),
    "scored": ("sentence1", "sentence2", "score"),
}
NUMBERS = ("score",)
UNUSUAL = (
    "colour \x1b[31mred",
    "from right \u202e to left",
    "\U0001f600 " * 5,
    "e" + "\u0301" * 300,
    '=HYPERLINK("http://x")',
    'she said "no", twice; a|b\tc',
    "two\nlines and\r\nthree",
    "a\u2028b\x85c",
    "NaN",
    "null",
    "None",
    "NA",
    "true",
    "0",
    "1" * 5000,
    "../../etc/passwd",
    "{0.__class__} %s ${HOME} {question}",
    "\ufeffmarked",
    "\ufffd\uffff",
)
"""Texts that a reader could take for something else."""
INVISIBLE = ("", "   ", "\u200b\u2060", "\u3000\t")


@dataclass(frozen=True)
class Case:
    """Files, what is done with them, and how that may end.

    ``rows``: how many a whole reading has, None where that is not known. ``names``: words of which a
    refusal must have one in each group, beside the name of a file or one of ``called``.
    """

    kind: str
    files: dict[str, bytes]
    source: str
    expected: Expected = "either"
    rows: int | None = None
    words: tuple[str, ...] = ()
    names: tuple[tuple[str, ...], ...] = ()
    called: tuple[str, ...] = ()


SKIP = ("--set", "data.on_bad_row=skip")


def sound_rows(draw: random.Random, shape: str | None = None, count: int | None = None) -> list[Row]:
    """Rows of one shape of ``COLUMNS``, all different, enough to be cut into splits."""
    shape = shape or draw.choice(list(COLUMNS))
    count = count or draw.randint(24, 40)
    first = draw.randrange(1000)
    return [_row(shape, first + number) for number in range(count)]


def _row(shape: str, number: int) -> Row:
    question = f"how do I reset item {number} of {number % 7}?"
    answer = f"press button {number} for {number % 5} seconds"
    cells: dict[str, tuple[Any, ...]] = {
        "pairs": (question, answer),
        "triplets": (question, answer, f"call the shop {number} about it"),
        "labelled": (question, ("reset", "other", "more")[number % 3]),
        "scored": (question, answer, number % 11 / 10),
    }
    return dict(zip(COLUMNS[shape], cells[shape], strict=True))


def text_column(draw: random.Random, row: Row) -> str:
    """A column of texts; of labelled ones that of the texts."""
    return draw.choice([name for name in row if name not in (*NUMBERS, "label")])


def at_place(row: int, column: str) -> tuple[tuple[str, ...], ...]:
    """The words of a refusal that names row (from 0) and column."""
    return (f"row {row + 1}", f"rows {row + 1}", f"first row {row + 1}"), (column,)
