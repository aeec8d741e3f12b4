"""The database of an embedded collection: documents, passages, metadata, and which rows hold what.

SQLite with a write-ahead log that reaches the disk at every commit: what is committed outlasts a kill.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.errors import MachineError
from sbert_triplet.search.filters import BOUNDS, Between, Condition, Value
from sbert_triplet.search.store import Count, Metadata, Passage, Record, StoreError

NAME = "passages.sqlite"
_TEXT, _NUMBER, _FLAG = 0, 1, 2
_SIGNS = dict(zip(BOUNDS, (">", ">=", "<", "<="), strict=True))
_WAIT = 60.0
_AT_ONCE = 500
_SCHEMA = """
create table state (name text primary key, value text not null);
create table documents (
  number integer primary key, id blob not null unique, metadata text not null, digest text not null);
create table passages (
  row integer primary key, document integer not null, number integer not null, first integer not null,
  last integer not null, text text not null, sha256 blob not null);
create index passages_of_documents on passages (document, number);
create table facts (
  key text not null, kind integer not null, value not null, document integer not null,
  primary key (key, kind, value, document)) without rowid;
create index facts_of_documents on facts (document);
"""


class Database:
    """One connection, for one thread at a time."""

    def __init__(self, file: Path) -> None:
        self.file = file
        if not file.is_file():
            raise StoreError(f"{file}: is missing; bring it back from a copy, or index the documents anew")
        with self._failures():
            self._connection = sqlite3.connect(
                file, timeout=_WAIT, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("pragma journal_mode = wal")
            self._connection.execute("pragma synchronous = full")

    @classmethod
    def create(cls, file: Path, state: Mapping[str, Any]) -> None:
        """A new one, without passages."""
        connection = sqlite3.connect(file, isolation_level=None)
        try:
            connection.executescript(_SCHEMA)
            connection.executemany(
                "insert into state values (?, ?)", [(name, json.dumps(one)) for name, one in state.items()]
            )
        finally:
            connection.close()

    def close(self) -> None:
        self._connection.close()

    @property
    def version(self) -> int:
        """Another number after each commit of another connection."""
        return int(self._rows("pragma data_version")[0][0])

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Everything inside is written, or nothing; one writer at a time."""
        with self._failures():
            self._connection.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def state(self) -> dict[str, Any]:
        """Named values."""
        return {name: json.loads(value) for name, value in self._rows("select name, value from state")}

    def set_state(self, **values: Any) -> None:
        """Set named values, inside ``writing``."""
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        self._connection.executemany("insert or replace into state values (?, ?)", rows)

    def count(self) -> Count:
        """Documents and passages."""
        documents, passages = self._rows(
            "select (select count(*) from documents), (select count(*) from passages)"
        )[0]
        return Count(int(documents), int(passages))

    def insert(self, records: Sequence[Record], first_row: int, digests: Sequence[bytes]) -> None:
        """Records at the rows from ``first_row`` on, inside ``writing``; their documents are new."""
        numbers: dict[str, int] = {}
        for record in records:
            if record.id not in numbers:
                numbers[record.id] = self._insert_document(record)
        self._connection.executemany(
            "insert into passages values (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    first_row + place,
                    numbers[record.id],
                    record.passage.number,
                    record.passage.start,
                    record.passage.end,
                    record.text,
                    digest,
                )
                for place, (record, digest) in enumerate(zip(records, digests, strict=True))
            ],
        )

    def remove(self, ids: Sequence[str]) -> int:
        """Remove documents, inside ``writing``; how many there were."""
        numbers = [(int(number),) for number, *_ in self._documents(ids)]
        for table in ("facts", "passages"):
            self._connection.executemany(f"delete from {table} where document = ?", numbers)
        self._connection.executemany("delete from documents where number = ?", numbers)
        return len(numbers)

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        """``Record.digest`` of those that are there."""
        return {bytes(id).decode(): digest for _, id, digest in self._documents(ids)}

    def rows_of(self, ids: Sequence[str]) -> dict[int, tuple[str, int]]:
        """Document and number of passage by row."""
        found: dict[int, tuple[str, int]] = {}
        for number, id, _ in self._documents(ids):
            passages = self._rows("select row, number from passages where document = ?", (number,))
            found |= {int(row): (bytes(id).decode(), int(passage)) for row, passage in passages}
        return found

    def live(self) -> NDArray[np.int64]:
        """All rows that hold a passage, ascending."""
        return self._column("select row from passages order by row", ())

    def meeting(self, conditions: Sequence[Condition]) -> NDArray[np.int64]:
        """The rows of documents that meet all conditions, ascending."""
        clauses, values = [], []
        for condition in conditions:
            clause, more = _clause(condition)
            clauses.append(f"document in (select document from facts where {clause})")
            values += more
        return self._column(f"select row from passages where {' and '.join(clauses)} order by row", values)

    def records(self, rows: Sequence[int]) -> dict[int, Record]:
        """Records by row."""
        return {row: record for row, record, _ in self._sealed(rows)}

    def sealed(self, first: int, most: int) -> list[tuple[int, Record, bytes]]:
        """The next rows from ``first`` on, their records, and the digests they were written with."""
        rows = self._column("select row from passages where row >= ? order by row limit ?", (first, most))
        return self._sealed(rows.tolist())

    def renumber(self) -> None:
        """Number the rows from 0 on, in their order, inside ``writing``."""
        for statement in (
            "create temp table places as "
            "select row, row_number() over (order by row) - 1 as place from passages",
            "create temp table moved as "
            "select place, document, number, first, last, text, sha256 from passages join places using (row)",
            "delete from passages",
            "insert into passages select * from moved order by place",
            "drop table moved",
            "drop table places",
        ):
            self._connection.execute(statement)

    def faults(self) -> list[str]:
        """What SQLite's own check finds, and documents without passages."""
        found = [str(line) for (line,) in self._rows("pragma integrity_check") if line != "ok"]
        lost = self._rows(
            "select count(*) from documents where number not in (select document from passages)"
        )[0][0]
        return [*found, *([f"{lost} documents without a passage"] if lost else [])]

    def _sealed(self, rows: Sequence[int]) -> list[tuple[int, Record, bytes]]:
        found = []
        for first in range(0, len(rows), _AT_ONCE):
            some = [int(row) for row in rows[first : first + _AT_ONCE]]
            marks = ",".join("?" * len(some))
            query = (
                "select row, id, p.number, first, last, text, metadata, digest, sha256 from passages p "
                f"join documents d on d.number = p.document where row in ({marks}) order by row"
            )
            for row, id, number, start, end, text, metadata, digest, sha256 in self._rows(query, some):
                record = Record(
                    bytes(id).decode(), Passage(number, start, end), text, json.loads(metadata), digest
                )
                found.append((int(row), record, bytes(sha256)))
        return found

    def _insert_document(self, record: Record) -> int:
        cursor = self._connection.execute(
            "insert into documents (id, metadata, digest) values (?, ?, ?)",
            (record.id.encode(), _spelled(record.metadata), record.digest),
        )
        number = int(cursor.lastrowid or 0)
        facts = [(key, *_typed(value), number) for key, value in record.metadata.items()]
        self._connection.executemany("insert into facts values (?, ?, ?, ?)", facts)
        return number

    def _documents(self, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        distinct = list(dict.fromkeys(ids))
        for first in range(0, len(distinct), _AT_ONCE):
            some = [id.encode() for id in distinct[first : first + _AT_ONCE]]
            marks = ",".join("?" * len(some))
            found += self._rows(f"select number, id, digest from documents where id in ({marks})", some)
        return found

    def _column(self, query: str, values: Sequence[Any]) -> NDArray[np.int64]:
        with self._failures():
            cursor = self._connection.execute(query, tuple(values))
            return np.fromiter((row for (row,) in cursor), dtype=np.int64)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._failures():
            return self._connection.execute(query, tuple(values)).fetchall()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            words = str(error)
            if "full" in words or "I/O" in words:
                raise MachineError(f"{self.file}: {words}; make room on the disk") from error
            if "locked" in words or "busy" in words:
                raise StoreError(
                    f"{self.file}: another process has been writing to it for {_WAIT:.0f} s; try again"
                ) from error
            raise StoreError(
                f"{self.file}: cannot be read ({words}): bring it back from a copy, or index the documents "
                "anew in another place"
            ) from error


def _typed(value: Value) -> tuple[int, Value]:
    if isinstance(value, bool):
        return _FLAG, int(value)
    return (_TEXT, value) if isinstance(value, str) else (_NUMBER, value)


def _clause(condition: Condition) -> tuple[str, list[Any]]:
    if isinstance(condition, Between):
        bounds = condition.bounds()
        ranges = " and ".join(f"value {_SIGNS[name]} ?" for name in bounds)
        return f"key = ? and kind = {_NUMBER} and {ranges}", [condition.key, *bounds.values()]
    alternatives = [_typed(value) for value in condition.values]
    either = " or ".join("(kind = ? and value = ?)" for _ in alternatives) or "0"
    return f"key = ? and ({either})", [condition.key, *(part for pair in alternatives for part in pair)]


def _spelled(metadata: Metadata) -> str:
    return json.dumps(dict(metadata), ensure_ascii=False)


def sealed_digests(records: Sequence[Record], rows: Sequence[bytes]) -> list[bytes]:
    """SHA-256 of each passage with its embedding as the files hold it."""
    found = []
    for record, row in zip(records, rows, strict=True):
        passage = record.passage
        parts = [record.id, passage.number, passage.start, passage.end, record.text, record.digest]
        content = json.dumps([*parts, sorted(record.metadata.items())], ensure_ascii=False).encode()
        found.append(hashlib.sha256(content + row).digest())
    return found
