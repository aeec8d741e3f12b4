"""Tables of separated values: every cell exactly as written, an empty cell null."""

from __future__ import annotations

import contextlib
import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sbert_triplet.data.cache import common_schema
from sbert_triplet.data.discovery import suffix_of
from sbert_triplet.data.headers import refuse_names
from sbert_triplet.data.text_files import LONGEST, lines, open_text
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

_BATCH_ROWS = 10_000
_BATCH_CHARACTERS = 16_000_000
_SAMPLE_RECORDS = 50
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_LONGEST_CELL = 2**31 - 1
_NEVER_CLOSED = f"a row of more than {LONGEST:,} characters begins here; is a double quote never closed?"

# Leading zeros and plus signs mean an identifier or a telephone number; more digits than a number
# keeps exactly mean an identifier too. All of these stay text.
_INTEGER = r"^\s*-?(?:0|[1-9][0-9]{0,17})\s*$"
_FLOAT = r"^\s*-?(?:(?:0|[1-9][0-9]{0,14})(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?\s*$"


@dataclass(frozen=True)
class Dialect:
    """How cells are told apart. ``quoted``: a cell in double quotes may hold anything."""

    delimiter: str = ","
    quoted: bool = True

    def note(self, path: Path) -> str | None:
        """What is worth telling the person, when it is not what the file's name says."""
        name = _DELIMITERS[self.delimiter]
        if not self.quoted:
            return f"separated by {name}, double quotes taken as they stand"
        usual = "\t" if suffix_of(path) == ".tsv" else ","
        return None if self.delimiter == usual else f"separated by {name}"


class _MalformedError(Exception):
    """A record that breaks the rules of the dialect: ``line`` is where it starts."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


def find_dialect(path: Path) -> Dialect:
    """The dialect of a file, by its name and its first records.

    ``.tsv`` is separated by tabs; its double quotes count only if the whole file obeys the rules of
    quoting. ``.csv`` is separated by commas, unless the first records fit exactly one other delimiter.
    """
    if suffix_of(path) == ".tsv":
        quoted = Dialect("\t")
        unquoted = Dialect("\t", quoted=False)
        return quoted if _fits(path, quoted, None) or not _fits(path, unquoted, None) else unquoted
    fitting = [Dialect(mark) for mark in _DELIMITERS if _fits(path, Dialect(mark), _SAMPLE_RECORDS)]
    if len(fitting) == 1:
        return fitting[0]
    return Dialect()


def _fits(path: Path, dialect: Dialect, records: int | None) -> bool:
    """Whether the first records (None: all) have equally many cells, two at least."""
    try:
        with open_text(path, newline="") as text:
            rows = itertools.islice(_records(lines(path, text), dialect), records)
            widths = {len(cells) for _, cells in rows}
    except _MalformedError:
        return False
    return len(widths) == 1 and widths.pop() > 1


class _TooLongError(Exception):
    """A record of more than ``LONGEST`` characters."""


class _Bounded:
    """Hands out lines until those of one record hold too much; ``taken``: characters of this record."""

    def __init__(self, text: Iterator[str]) -> None:
        self._text, self.taken = text, 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._text)
        self.taken += len(line)
        if self.taken > LONGEST:
            raise _TooLongError
        return line


def _records(text: Iterator[str], dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """(line where the record starts, its cells); blank lines are no records."""
    pieces = _Bounded(text)
    reader = csv.reader(
        pieces,
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        strict=True,
    )
    line = 1
    with _any_cell_length():
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise _MalformedError(line, _problem(str(error))) from error
            except _TooLongError:
                raise _MalformedError(line, _NEVER_CLOSED) from None
            pieces.taken = 0
            if cells:
                yield line, cells
            line = reader.line_num + 1


def _problem(message: str) -> str:
    if "unexpected end of data" in message:
        return "a double quote opens a cell here and is never closed"
    if "expected after" in message:
        return "text follows the closing double quote of a cell; a quote inside a cell is written twice"
    return message


@contextlib.contextmanager
def _any_cell_length() -> Iterator[None]:
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


@dataclass
class DelimitedReader:
    """Reads files of one table; remembers which columns held nothing but numbers.

    ``schema`` is for ``arrow_dataset``: with ``numbers``, those columns become int64 or float64.
    """

    numbers: bool = True
    notes: list[str] = field(default_factory=list)
    _integers: dict[str, bool] = field(default_factory=dict)
    _floats: dict[str, bool] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def tables(self, path: Path) -> Iterator[pa.Table]:
        """The rows of one file as text columns. Raises DataError with row and line."""
        dialect = find_dialect(path)
        note = dialect.note(path)
        if note and note not in self.notes:
            self.notes.append(note)
        try:
            with open_text(path, newline="") as text:
                for table in _tables(path, _records(lines(path, text), dialect), dialect):
                    self._look_for_numbers(table)
                    yield table
        except _MalformedError as error:
            raise DataError(f"{path}: line {error.line}: {error}.") from error

    def schema(self, schemas: list[pa.Schema]) -> pa.Schema:
        """The schema of the whole table, once every file was read."""
        joined = common_schema(schemas)
        return pa.schema([pa.field(name, self._type(name)) for name in joined.names])

    def _type(self, name: str) -> pa.DataType:
        if not self.numbers or name not in self._seen:
            return pa.string()
        if self._integers[name]:
            return pa.int64()
        return pa.float64() if self._floats[name] else pa.string()

    def _look_for_numbers(self, table: pa.Table) -> None:
        if not self.numbers:
            return
        for name in table.column_names:
            column = table[name]
            if column.null_count == len(column):
                continue
            self._seen.add(name)
            self._integers[name] = self._integers.get(name, True) and _all_match(column, _INTEGER)
            self._floats[name] = self._floats.get(name, True) and _all_finite(column)


def _all_match(column: pa.ChunkedArray, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(column, pattern)).as_py())


def _all_finite(column: pa.ChunkedArray) -> bool:
    if not _all_match(column, _FLOAT):
        return False
    return bool(pc.all(pc.is_finite(pc.utf8_trim_whitespace(column).cast(pa.float64()))).as_py())


def _tables(path: Path, records: Iterator[tuple[int, list[str]]], dialect: Dialect) -> Iterator[pa.Table]:
    first = next(records, None)
    if first is None:
        raise DataError(f"{path}: is empty.")
    names = _header(path, first[1])
    rows: list[list[str]] = []
    characters = number = 0
    for number, (line, cells) in enumerate(records, start=1):
        if len(cells) != len(names):
            raise DataError(_ragged(path, number, line, cells, names, dialect))
        rows.append(cells)
        characters += sum(map(len, cells))
        if len(rows) == _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield _text_table(names, rows)
            rows, characters = [], 0
    if number == 0:
        raise DataError(f"{path}: has a header ({listed(names)}) and no rows.")
    if rows:
        yield _text_table(names, rows)


def _text_table(names: list[str], rows: list[list[str]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array([cell or None for cell in column], type=pa.string()) for column in columns]
    return pa.Table.from_arrays(arrays, names=names)


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() or f"column_{position}" for position, cell in enumerate(cells, start=1)]
    refuse_names(f"{path}: line 1", names)
    return names


def _ragged(path: Path, number: int, line: int, cells: list[str], names: list[str], dialect: Dialect) -> str:
    mark = _DELIMITERS[dialect.delimiter]
    advice = f"A cell that holds a {mark} or a line break must stand in double quotes."
    if len(cells) < len(names):
        advice = f"Add the missing cells; an empty cell still needs its {mark}."
    return (
        f"{path}: row {number} (line {line}) has {len(cells)} cells, the header has {len(names)} "
        f"({listed(names)}). {advice}"
    )
