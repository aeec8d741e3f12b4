"""What a scan of the cells found: which cells are bad, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.templates import shown

Codes = NDArray[np.int8]
"""Reasons as numbers, 0 for a good cell."""


class Reason(IntEnum):
    """Why a cell is bad; 0 is a good cell."""

    GOOD = 0
    NULL = 1
    NOT_TEXT = 2
    BROKEN = 3
    SURROGATE = 4
    BLANK = 5
    TOO_LONG = 6
    EMPTY_LIST = 7
    NAN = 8
    INFINITE = 9
    NOT_A_NUMBER = 10
    NEGATIVE = 11
    UNLABELLED = 12

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Reason.GOOD: "good",
    Reason.NULL: "null",
    Reason.NOT_TEXT: "not text",
    Reason.BROKEN: "not valid UTF-8",
    Reason.SURROGATE: "a lone surrogate",
    Reason.BLANK: "blank",
    Reason.TOO_LONG: "too long",
    Reason.EMPTY_LIST: "an empty list",
    Reason.NAN: "NaN",
    Reason.INFINITE: "infinite",
    Reason.NOT_A_NUMBER: "not a number",
    Reason.NEGATIVE: "negative",
    Reason.UNLABELLED: "no label that is known",
}


@dataclass(frozen=True)
class BadCell:
    """``row``: from 0, in the order of the source. ``column``: the column, or the template of a role."""

    row: int
    column: str
    reason: Reason


@dataclass(frozen=True)
class BadCells:
    """n bad cells, at most one for each row and role: ``cell_rows``, ``cell_columns`` (positions in
    ``columns``) and ``cell_reasons``, each (n,), in the order of the rows.
    """

    columns: tuple[str, ...]
    cell_rows: IntArray
    cell_columns: IntArray
    cell_reasons: Codes

    def __len__(self) -> int:
        return len(self.cell_rows)

    def __iter__(self) -> Iterator[BadCell]:
        for row, column, reason in zip(self.cell_rows, self.cell_columns, self.cell_reasons, strict=True):
            yield BadCell(int(row), self.columns[column], Reason(reason))

    @property
    def rows(self) -> IntArray:
        """The distinct rows with a bad cell, ascending."""
        return np.unique(self.cell_rows)

    def counts(self) -> Mapping[tuple[str, Reason], int]:
        """How many cells of each column are bad for each reason."""
        codes, counts = np.unique(
            np.stack([self.cell_columns, self.cell_reasons]), axis=1, return_counts=True
        )
        return {
            (self.columns[column], Reason(reason)): int(count)
            for (column, reason), count in zip(codes.T, counts, strict=True)
        }

    def lines(self, rows: int = 10) -> list[str]:
        """One line for each column and reason: "reply: 2 cells blank (rows 4, 17)".

        For people: rows are counted from 1 here, as in every message.
        """
        lines = []
        for (column, reason), count in self.counts().items():
            here = (self.cell_columns == self.columns.index(column)) & (self.cell_reasons == reason)
            first = ", ".join(str(row + 1) for row in self.cell_rows[here][:rows])
            listing = f"row{'' if count == 1 else 's'} {first}{', ...' if count > rows else ''}"
            lines.append(
                f"{shown(column)}: {count:,} cell{'' if count == 1 else 's'} {reason.words} ({listing})"
            )
        return lines
