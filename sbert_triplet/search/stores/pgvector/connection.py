"""One connection to PostgreSQL, and what its URL says."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg

from sbert_triplet.data.wording import first_line
from sbert_triplet.search.store import StoreError

TABLE = "sbert_triplet"
HNSW_FROM = 20_000
_OWN = ("table", "id", "text", "embedding", "hnsw_from")


@dataclass(frozen=True)
class Address:
    """Where: ``url`` for the library, ``shown`` without a password.

    ``table``: of the current generation. ``id``, ``text`` and ``embedding`` are columns of an application's
    own table; without ``id`` the table is ours. ``hnsw_from``: passages from which on a graph is made.
    """

    url: str
    shown: str
    table: str
    id: str | None
    text: str | None
    embedding: str
    hnsw_from: int

    @classmethod
    def of(cls, url: str) -> Address:
        """Read it. Raises StoreError."""
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True)
        own = {name: value for name, value in given if name in _OWN}
        if empty := [name for name, value in own.items() if not value]:
            raise StoreError(f"--store: {empty[0]}= is empty; name a table or column, or leave it out")
        if not own.get("hnsw_from", "0").isdecimal():
            raise StoreError(f"--store: hnsw_from={own['hnsw_from']} is no number")
        if "id" not in own and (alone := [name for name in ("text", "embedding") if name in own]):
            raise StoreError(
                f"--store: {alone[0]}= names a column of a table of yours; name its id= as well, or leave "
                f"{alone[0]}= out for a table of the package's own"
            )
        others = urlencode([(name, value) for name, value in given if name not in _OWN])
        login, at, host = parts.netloc.rpartition("@")
        shown = f"{login.partition(':')[0]}{at}{host}"
        # A password may stand among the parameters as well.
        safe = urlencode([(name, value) for name, value in given if "pass" not in name], safe="/")
        return cls(
            urlunsplit(("postgresql", parts.netloc, parts.path, others, "")),
            urlunsplit(("postgresql", shown, quote(parts.path), safe, "")),
            own.get("table", TABLE),
            own.get("id"),
            own.get("text"),
            own.get("embedding", "embedding"),
            int(own.get("hnsw_from", HNSW_FROM)),
        )


class Connection:
    """A connection that is made again where it broke, for one thread at a time."""

    def __init__(self, address: Address) -> None:
        self.address, self._lock = address, threading.RLock()
        self._open: psycopg.Connection[Any] | None = None
        with self.transaction():
            pass

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor; everything done with it is written, or nothing. Raises StoreError."""
        with self._lock, self._failures():
            if self._open is None or self._open.closed or self._open.broken:
                self._open = psycopg.connect(self.address.url, autocommit=True, connect_timeout=15)
            with self._open.transaction(), self._open.cursor() as cursor:
                yield cursor

    def rows(self, query: Any, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The answer to one query."""
        with self.transaction() as cursor:
            cursor.execute(query, values)
            return list(cursor.fetchall())

    def close(self) -> None:
        with self._lock:
            if self._open is not None:
                self._open.close()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            words = first_line(error)
            raise StoreError(f"{self.address.shown}: {words}") from error
