"""A person's word on pairs of query and document: it goes before every rule that guesses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.files import load_files
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

MARKS = ("positive", "negative", "ignore")
TEXT_COLUMNS = ("query", "document")
ID_COLUMNS = ("query_id", "document_id")
MARK_COLUMN = "mark"

Lookup = Callable[[str], int | None]
"""The id of a text, None where there is none: ``TextTable.lookup``."""


@dataclass(frozen=True)
class Marks:
    """Each (n, 2) distinct text ids (query, document).

    ``positives`` belong together; ``ignored`` are neither used as positives nor as negatives; ``negatives``
    are negatives whatever their scores say. ``unknown``: how many rows of the file name a text that
    is not in the data, so that they say nothing here.
    """

    positives: IntArray
    negatives: IntArray
    ignored: IntArray
    unknown: int = 0

    @classmethod
    def none(cls) -> Marks:
        """No marks."""
        nothing = np.zeros((0, 2), dtype=np.int64)
        return cls(nothing, nothing, nothing)

    def __len__(self) -> int:
        return len(self.positives) + len(self.negatives) + len(self.ignored)

    @property
    def blocked(self) -> IntArray:
        """(n, 2) pairs that must never be negatives of each other: what mining excludes and losses mask."""
        return np.concatenate([self.positives, self.ignored])


def read_marks(path: Path, lookup: Lookup, texts: int, *, cache_dir: Path | None = None) -> Marks:
    """Marks from a csv, json, jsonl or parquet file: the table of suspects with its column ``mark`` filled.

    Columns: ``query`` and ``document`` (texts), or ``query_id`` and ``document_id`` (text ids of this data)
    where the texts are missing; ``mark``: positive, negative or ignore, empty for a row that was not
    judged. ``texts``: how many text ids there are. ``cache_dir``: as of ``data.files.load_files``.

    Raises DataError, naming file and row, for missing columns, another mark, an id that is out of range,
    and two different marks of one pair.
    """
    table, _ = load_files([path], cache_dir=cache_dir, numbers=False)
    columns = _columns(path, table.column_names)
    read = _by_text(path, lookup) if columns == TEXT_COLUMNS else _by_id(path, texts)
    found: dict[tuple[int, int], tuple[str, int]] = {}
    unknown = 0
    for number, row in _rows(table, (*columns, MARK_COLUMN)):
        mark = _mark(path, number, row[MARK_COLUMN])
        if mark is None:
            continue
        first, second = (read(number, column, row[column]) for column in columns)
        if first is None or second is None:
            unknown += 1
            continue
        before = found.setdefault((first, second), (mark, number))
        if before[0] != mark:
            raise DataError(
                f"{path}: row {number} marks a pair as {mark}, and row {before[1]} the same pair as "
                f"{before[0]}: keep one of them"
            )
    positives, negatives, ignored = (_pairs(found, mark) for mark in MARKS)
    return Marks(positives, negatives, ignored, unknown)


def _columns(path: Path, names: list[str]) -> tuple[str, str]:
    if MARK_COLUMN not in names:
        raise DataError(f"{path}: no column {MARK_COLUMN!r}; there are {listed(names)}")
    for columns in (TEXT_COLUMNS, ID_COLUMNS):
        if set(columns) <= set(names):
            return columns
    raise DataError(
        f"{path}: which pairs are marked is said by columns query and document, or query_id and document_id; "
        f"there are {listed(names)}"
    )


def _rows(table: Any, columns: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows and their numbers from 1."""
    number = 0
    for batch in table.select_columns(list(columns)).iter(batch_size=10_000):
        for cells in zip(*(batch[column] for column in columns), strict=True):
            number += 1
            yield number, dict(zip(columns, cells, strict=True))


def _mark(path: Path, number: int, cell: object) -> str | None:
    mark = "" if cell is None else str(cell).strip().lower()
    if not mark:
        return None
    if mark not in MARKS:
        raise DataError(f"{path}: row {number}: the mark is {str(cell)!r}; it is one of {', '.join(MARKS)}")
    return mark


def _by_text(path: Path, lookup: Lookup) -> Callable[[int, str, Any], int | None]:
    def read(number: int, column: str, cell: Any) -> int | None:
        if cell is None or not str(cell).strip():
            raise DataError(f"{path}: row {number}: {column} is empty, and the row is marked")
        return lookup(str(cell))

    return read


def _by_id(path: Path, texts: int) -> Callable[[int, str, Any], int | None]:
    def read(number: int, column: str, cell: Any) -> int | None:
        try:
            id_ = int(str(cell))
        except ValueError:
            raise DataError(f"{path}: row {number}: {column} is {cell!r}, not the number of a text") from None
        if not 0 <= id_ < texts:
            raise DataError(f"{path}: row {number}: {column} is {id_}; this data has texts 0 to {texts - 1}")
        return id_

    return read


def _pairs(found: Mapping[tuple[int, int], tuple[str, int]], mark: str) -> IntArray:
    pairs = sorted(pair for pair, (said, _) in found.items() if said == mark)
    return np.array(pairs, dtype=np.int64).reshape(-1, 2)
