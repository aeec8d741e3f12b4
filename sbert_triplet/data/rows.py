"""Rows as dictionaries made into tables, with errors that name row and column."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from sbert_triplet.data.headers import refuse_names
from sbert_triplet.data.nested import Keys, nested_problem
from sbert_triplet.data.wording import first_line
from sbert_triplet.errors import DataError

Row = tuple[int | None, dict[str, Any]]
"""The line where the row starts, where it comes from a file, and its cells."""

_BATCH_ROWS = 10_000
_BATCH_CHARACTERS = 16_000_000


@dataclass
class RowTables:
    """Makes tables of rows, and remembers which kind of value each column held, over all files."""

    _kinds: dict[str, tuple[str, str]] = field(default_factory=dict)
    _inside: dict[str, Keys] = field(default_factory=dict)

    def tables(self, name: str, rows: Iterable[Row]) -> Iterator[pa.Table]:
        """Tables of at most 10,000 rows; a key that a row lacks is null there.

        Raises DataError naming row, line and column for a cell that no table can hold, and for a
        column that holds values of different kinds.
        """
        start = 1
        for batch in _batches(rows):
            keys = dict.fromkeys(itertools.chain.from_iterable(row for _, row in batch))
            known = [*dict.fromkeys([*self._inside, *keys])]
            refuse_names(name, [key for key in known if isinstance(key, str)])
            arrays = {key: self._array(name, start, batch, key) for key in keys}
            if not arrays:
                raise DataError(f"{name}: {_place(start, batch[0][0])} is an object without keys.")
            yield pa.table(arrays)
            start += len(batch)

    def _array(self, name: str, start: int, batch: list[Row], key: Any) -> pa.Array:
        if not isinstance(key, str):
            raise DataError(f"{name}: a column is named {key!r}; names of columns are texts.")
        values = [row.get(key) for _, row in batch]
        for offset, value in enumerate(values):
            place = _place(start + offset, batch[offset][0])
            self._check_kind(name, key, value, place)
            problem = nested_problem(value, self._inside.setdefault(key, set()))
            if problem:
                raise DataError(f"{name}: column {key!r} in {place}: {problem}.")
        try:
            return pa.array(values)
        except (pa.ArrowException, UnicodeEncodeError, OverflowError, ValueError, TypeError) as error:
            raise self._bad_cell(name, start, batch, key, error) from error

    def _check_kind(self, name: str, key: str, value: object, place: str) -> None:
        kind = _kind(value)
        if kind is None:
            return
        known, where = self._kinds.setdefault(key, (kind, f"{name}: {place}"))
        if known != kind:
            raise DataError(
                f"{name}: column {key!r} holds {kind} in {place}, and {known} before ({where}). "
                "A column holds one kind of value: change the cell, or make all of them texts."
            )

    def _bad_cell(self, name: str, start: int, batch: list[Row], key: str, error: Exception) -> DataError:
        for offset, (line, row) in enumerate(batch):
            try:
                pa.array([row.get(key)])
            except (pa.ArrowException, UnicodeEncodeError, OverflowError, ValueError, TypeError) as cause:
                place = _place(start + offset, line)
                return DataError(f"{name}: column {key!r} in {place}: {_explain(row.get(key), cause)}.")
        place = _place(start, batch[0][0])
        return DataError(f"{name}: column {key!r} from {place} on: {_explain(None, error)}.")


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(len(cell) for cell in row[1].values() if isinstance(cell, str))
        if len(batch) == _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _place(number: int, line: int | None) -> str:
    return f"row {number}" if line is None else f"row {number} (line {line})"


def _kind(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def _explain(value: object, error: Exception) -> str:
    if isinstance(error, UnicodeEncodeError):
        broken = error.object[error.start]
        return (
            f"half of a surrogate pair (\\u{ord(broken):04x} at character {error.start + 1}) is not text; "
            "the text was cut or decoded wrongly"
        )
    if isinstance(error, OverflowError):
        return f"the number {value} does not fit into 64 bits; write it as a text"
    return f"the value cannot be kept in a table ({first_line(error)})"
