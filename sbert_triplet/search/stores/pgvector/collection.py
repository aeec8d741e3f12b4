"""The passages of one generation in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from sbert_triplet.search.filters import Condition
from sbert_triplet.search.store import About, Count, FloatMatrix, Found, Metadata, Passage, Record
from sbert_triplet.search.stores.kept import faults, with_nul, without_nul
from sbert_triplet.search.stores.pgvector.connection import Connection
from sbert_triplet.search.stores.pgvector.loading import (
    as_numbers,
    empty,
    fill,
    keep_digests,
    kept_digests,
    load,
    spelled,
)
from sbert_triplet.search.stores.pgvector.shape import (
    GENERATIONS,
    LARGEST,
    TYPES,
    Shape,
    graph_on,
    named,
    nearest,
)

R = TypeVar("R")
CANDIDATES = 10
"""How many candidates by signs are put in order for each passage wanted."""
_WIDEST, _NARROWEST = 1000, 100
_AT_ONCE = 1000


class PgCollection:
    """One generation. ``shape_now``: its table and columns, which a switch renames, in a transaction."""

    def __init__(
        self, connection: Connection, shape_now: Callable[[Any], Shape], about: About, generation: str
    ) -> None:
        self._connection, self._shape_now, self.about = connection, shape_now, about
        self._key = (connection.address.table, int(generation))

    @contextmanager
    def _writing(self) -> Iterator[tuple[Any, Shape]]:
        """A transaction that no switch can come between."""
        with self._connection.transaction() as cursor:
            cursor.execute(f"lock table {GENERATIONS} in share mode")
            yield cursor, self._shape_now(cursor)

    def _reading(self, read: Callable[[Any, Shape], R]) -> R:
        """What ``read`` finds, again where a switch came between."""
        while True:
            with self._connection.transaction() as cursor:
                shape = self._shape_now(cursor)
                try:
                    with cursor.connection.transaction():
                        found = read(cursor, shape)
                except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
                    if shape == self._shape_now(cursor):
                        raise
                    continue
                if shape == self._shape_now(cursor):
                    return found

    @property
    def exact(self) -> bool:
        return not self._reading(self._graphs)

    def upsert(self, records: Sequence[Record], embeddings: FloatMatrix) -> None:
        with self._writing() as (cursor, shape):
            if shape.adopted:
                fill(cursor, shape, self.about, records, embeddings)
                keep_digests(cursor, self._key, records)
                return
            ids = list({without_nul(record.id) for record in records})
            cursor.execute(sql.SQL("delete from {} where id = any(%s)").format(named(shape.table)), (ids,))
            load(cursor, shape, records, embeddings)

    def delete(self, ids: Sequence[str]) -> int:
        kept = [without_nul(id) for id in ids]
        with self._writing() as (cursor, shape):
            if shape.adopted:
                return empty(cursor, shape, self._key, kept)
            cursor.execute(
                sql.SQL(
                    "with gone as (delete from {} where id = any(%s) returning id) "
                    "select count(distinct id) from gone"
                ).format(named(shape.table)),
                (kept,),
            )
            return int(cursor.fetchone()[0])

    def search(self, queries: FloatMatrix, k: int, conditions: Sequence[Condition] = ()) -> list[list[Found]]:
        breadth = min(max(2 * k, _NARROWEST), _WIDEST)

        def read(cursor: Any, shape: Shape) -> list[list[Found]]:
            statement, values = nearest(shape, self.about, conditions)
            cursor.execute(f"set local hnsw.ef_search = {breadth}")
            cursor.execute("set local hnsw.iterative_scan = strict_order")
            found = []
            for query in queries:
                asked = {**values, "query": spelled(query), "k": k, "candidates": CANDIDATES * k}
                cursor.execute(statement, asked)
                found.append([self._found(row) for row in cursor.fetchall()])
            return found

        return self._reading(read)

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        kept = [without_nul(id) for id in ids]

        def read(cursor: Any, shape: Shape) -> dict[str, str]:
            if shape.adopted:
                return kept_digests(cursor, self._key, kept)
            query = "select id, digest from {} where id = any(%s) and number = 0"
            cursor.execute(sql.SQL(query).format(named(shape.table)), (kept,))
            return dict(cursor.fetchall())

        return {with_nul(id): digest for id, digest in self._reading(read).items()}

    def embeddings(self, ids: Sequence[str]) -> dict[tuple[str, int], NDArray[np.float32]]:
        def read(cursor: Any, shape: Shape) -> dict[tuple[str, int], NDArray[np.float32]]:
            id, embedding = sql.Identifier(shape.id), sql.Identifier(shape.embedding)
            query = "select {}::text, {}, {}::text from {} where {}::text = any(%s) and {} is not null"
            parts = id, shape.number, embedding, named(shape.table), id, embedding
            cursor.execute(sql.SQL(query).format(*parts), ([without_nul(id) for id in ids],))
            return {(with_nul(id), int(number)): as_numbers(row) for id, number, row in cursor.fetchall()}

        return self._reading(read)

    def count(self) -> Count:
        def read(cursor: Any, shape: Shape) -> Count:
            query = sql.SQL("select count(distinct {}), count(*) from {} where {} is not null")
            columns = sql.Identifier(shape.id), named(shape.table), sql.Identifier(shape.embedding)
            cursor.execute(query.format(*columns))
            return Count(*map(int, cursor.fetchone()))

        return self._reading(read)

    def settle(self) -> None:
        limit = LARGEST[TYPES[self.about.precision]]
        enough = self.count().passages >= self._connection.address.hnsw_from
        if enough and self.exact and self.about.dimensions <= limit:
            with self._writing() as (cursor, shape):
                cursor.execute(graph_on(shape, self.about))
        with self._writing() as (cursor, shape):
            if not shape.adopted:
                name = f"{shape.table.split('.')[-1].split('__')[0]}_metadata_{self._key[1]}"
                query = "create index if not exists {} on {} using gin (metadata jsonb_path_ops)"
                cursor.execute(sql.SQL(query).format(sql.Identifier(name), named(shape.table)))
            cursor.execute(sql.SQL("analyze {}").format(named(shape.table)))

    def verify(self) -> list[str]:
        if self._reading(lambda _, shape: shape.adopted):
            # Texts and metadata are the application's, and may change.
            return [] if self.count().passages else ["no row has an embedding"]
        return faults(self._every(), self.about)

    def close(self) -> None:
        pass

    def _graphs(self, cursor: Any, shape: Shape) -> bool:
        """Whether there is a graph over the embeddings."""
        cursor.execute(
            "select 1 from pg_index i "
            "join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam "
            "join pg_attribute t on t.attrelid = i.indrelid and t.attname = %s "
            "where i.indrelid = to_regclass(%s) and a.amname = 'hnsw' and i.indisvalid "
            "and (t.attnum = any(i.indkey) or pg_get_indexdef(i.indexrelid) like %s)",
            (shape.embedding, named(shape.table).as_string(cursor), f"%({shape.embedding})%"),
        )
        return bool(cursor.fetchall())

    def _every(self) -> Iterator[tuple[Record, NDArray[np.float32]]]:
        last: tuple[str, int] = ("", -1)

        def read(cursor: Any, shape: Shape) -> list[tuple[Any, ...]]:
            query = (
                "select {}, embedding::text from {} where (id, number) > (%s, %s) "
                "order by id, number limit %s"
            )
            statement = sql.SQL(query).format(shape.selected(), named(shape.table))
            cursor.execute(statement, (*last, _AT_ONCE))
            return list(cursor.fetchall())

        while rows := self._reading(read):
            for row in rows:
                yield _record(row), as_numbers(row[7])
            last = rows[-1][0], rows[-1][1]

    def _found(self, row: tuple[Any, ...]) -> Found:
        distance = float(row[7])
        return Found(_record(row), 1 - distance if self.about.similarity == "cosine" else -distance)


def _record(row: tuple[Any, ...]) -> Record:
    id, number, first, last, text, metadata, digest = row[:7]
    return Record(
        with_nul(id), Passage(number, first, last), with_nul(text or ""), _metadata(metadata), digest
    )


def _metadata(kept: dict[str, Any]) -> Metadata:
    """As it was given; of an application's table the plain values."""
    return {
        with_nul(key): with_nul(value) if isinstance(value, str) else value
        for key, value in kept.items()
        if isinstance(value, str | int | float | bool)
    }
