"""JSON: one object a line, an array of objects, or ``{"data": [objects]}``, read piece by piece."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn, TextIO

import pyarrow as pa

from sbert_triplet.data.discovery import suffix_of
from sbert_triplet.data.rows import Row, RowTables
from sbert_triplet.data.text_files import LONGEST, lines, open_text
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

_CHUNK = 1 << 20
_BLANK = re.compile(r"[ \t\r\n]*")
_FORMS = 'Expected one object a line, an array of objects, or {"data": [objects]}'


def json_tables(path: Path, tables: RowTables) -> Iterator[pa.Table]:
    """The rows of one file. Raises DataError with row and line."""
    with open_text(path, newline="\n") as text:
        first = _first_mark(path, text)
        text.seek(0)
        one_a_line = suffix_of(path) != ".json" and first != "["
        rows = _from_lines(path, text) if one_a_line else _from_document(path, text)
        head = next(rows, None)
        if head is None:
            raise DataError(f"{path}: holds no rows.")
        yield from tables.tables(str(path), itertools.chain([head], rows))


def _first_mark(path: Path, text: TextIO) -> str:
    for piece in iter(lambda: text.read(_CHUNK), ""):
        if piece.strip():
            return piece.strip()[0]
    raise DataError(f"{path}: is empty.")


def _from_lines(path: Path, text: TextIO) -> Iterator[Row]:
    for number, line in enumerate(lines(path, text), start=1):
        if not line.strip():
            continue
        try:
            value = _DECODER.decode(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: line {number} is not valid JSON: {_reason(error)}.") from error
        yield number, _as_object(path, number, value)


def _as_object(path: Path, line: int, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{path}: line {line} holds {_name(value)}, not an object. {_FORMS}.")
    return value


def _name(value: object) -> str:
    names = {list: "an array", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.colno}"
    return "nested too deeply" if isinstance(error, RecursionError) else str(error)


def _distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {listed([repr(repeated)])} stands twice in one object")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_distinct_keys)


class _Document:
    """Walks through JSON text, holding no more of it than the value at hand."""

    def __init__(self, path: Path, text: TextIO) -> None:
        self.path = path
        self._text = text
        self._buffer = ""
        self._at = 0
        self._ended = False
        self.line = 1

    def peek(self) -> str:
        """The next character that is not white space; "" at the end."""
        while True:
            blank = _BLANK.match(self._buffer, self._at)
            end = blank.end() if blank else self._at
            self.line += self._buffer.count("\n", self._at, end)
            self._at = end
            if self._at < len(self._buffer) or self._ended:
                return self._buffer[self._at : self._at + 1]
            self._read_more()

    def take(self, expected: str) -> str:
        """The next mark, which must be one of ``expected``."""
        mark = self.peek()
        if not mark or mark not in expected:
            found = f"{mark!r} where one of {expected!r} was expected" if mark else "the file ends too early"
            self.fail(found)
        self._at += 1
        return mark

    def value(self) -> Any:
        """The next complete value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if self._ended and not self._buffer[error.pos :].strip():
                    self.fail("the file ends in the midst of a value")
                if self._ended:
                    self.line += self._buffer.count("\n", self._at, error.pos)
                    self.fail(error.msg)
            except (ValueError, RecursionError) as error:
                self.fail(_reason(error))
            else:
                # A number that reaches the end of the buffer may go on in the next piece.
                if end < len(self._buffer) or self._ended:
                    self.line += self._buffer.count("\n", self._at, end)
                    self._at = end
                    return value
            self._read_more()

    def fail(self, problem: str) -> NoReturn:
        raise DataError(f"{self.path}: line {self.line} is not valid JSON: {problem}. {_FORMS}.")

    def _read_more(self) -> None:
        pending = len(self._buffer) - self._at
        if pending > LONGEST:
            self.fail(f"a value of more than {LONGEST:,} characters")
        piece = self._text.read(max(_CHUNK, pending))
        self._ended = not piece
        self._buffer, self._at = self._buffer[self._at :] + piece, 0


def _from_document(path: Path, text: TextIO) -> Iterator[Row]:
    document = _Document(path, text)
    if document.peek() == "[":
        yield from _array(document)
    elif document.peek() == "{":
        yield from _object(document)
    else:
        document.fail(f"{document.peek()!r} stands where an object or an array should begin")
    if document.peek():
        document.fail(f"{document.peek()!r} follows the end of the data")


def _array(document: _Document) -> Iterator[Row]:
    document.take("[")
    if document.peek() == "]":
        document.take("]")
        return
    while True:
        document.peek()
        line = document.line
        yield line, _as_object(document.path, line, document.value())
        if document.take(",]") == "]":
            return


def _object(document: _Document) -> Iterator[Row]:
    """``{"data": [...]}`` with anything beside it, or objects one after the other."""
    line, first, rows_seen = document.line, {}, False
    document.take("{")
    more = document.peek() != "}" or document.take("}") != "}"
    while more:
        key = document.value()
        if not isinstance(key, str):
            document.fail(f"{_name(key)} stands where a key should")
        if key in first:
            document.fail(f"the key {listed([repr(key)])} stands twice in one object")
        document.take(":")
        if key == "data" and document.peek() == "[" and not rows_seen:
            yield from _array(document)
            rows_seen = True
        else:
            first[key] = document.value()
        more = document.take(",}") == ","
    if rows_seen:
        return
    if document.peek() != "{":
        keys = listed(map(repr, first)) or "none"
        raise DataError(f"{document.path}: holds a single object (keys: {keys}). {_FORMS}.")
    yield line, first
    while document.peek() == "{":
        line = document.line
        yield line, _as_object(document.path, line, document.value())
