"""Passages into a table of ours, and embeddings into rows of an application's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import sql
from psycopg.types.json import Jsonb

from sbert_triplet.search.store import About, FloatMatrix, Record, StoreError
from sbert_triplet.search.stores.kept import without_nul
from sbert_triplet.search.stores.pgvector.shape import DIGESTS, Shape, named, plain, vector_type

Key = tuple[str, int]
"""The name of a table as the URL gives it, and the number of a generation."""


def load(cursor: Any, shape: Shape, records: Sequence[Record], embeddings: FloatMatrix) -> None:
    """New rows of a table of ours, by COPY."""
    into = sql.SQL("copy {} (id, number, first, last, text, metadata, digest, embedding) from stdin")
    with cursor.copy(into.format(named(shape.table))) as copy:
        for record, embedding in zip(records, embeddings, strict=True):
            passage = record.passage
            metadata = {without_nul(key): plain(value) for key, value in record.metadata.items()}
            copy.write_row(
                (
                    without_nul(record.id),
                    passage.number,
                    passage.start,
                    passage.end,
                    without_nul(record.text),
                    Jsonb(metadata),
                    record.digest,
                    spelled(embedding),
                )
            )


def fill(cursor: Any, shape: Shape, about: About, records: Sequence[Record], embeddings: FloatMatrix) -> None:
    """Embeddings into rows that the application made. Raises StoreError where there is no such row."""
    if cut := next((record for record in records if record.passage.number), None):
        raise StoreError(
            f"document {cut.id!r} is cut into passages, and a table of yours has one row for each document: "
            "leave --passage-tokens out, or leave id= out of the URL for a table of the package's own"
        )
    table, id, embedding = named(shape.table), sql.Identifier(shape.id), sql.Identifier(shape.embedding)
    staged = "create temporary table staged (id {} primary key, embedding {}) on commit drop"
    cursor.execute(sql.SQL(staged).format(sql.SQL(shape.id_type), vector_type(about)))
    with cursor.copy("copy staged from stdin") as copy:
        for record, row in zip(records, embeddings, strict=True):
            copy.write_row((without_nul(record.id), spelled(row)))
    cursor.execute(
        sql.SQL("update {} set {} = staged.embedding from staged where {}.{} = staged.id").format(
            table, embedding, table, id
        )
    )
    if cursor.rowcount >= len(records):
        return
    query = "select id::text from staged where id not in (select {} from {}) limit 1"
    cursor.execute(sql.SQL(query).format(id, table))
    raise StoreError(
        f"{shape.table} has no row whose {shape.id} is {cursor.fetchone()[0]!r}; your application makes the "
        "rows of its table, and they get embeddings here"
    )


def empty(cursor: Any, shape: Shape, key: Key, ids: Sequence[str]) -> int:
    """Take the embeddings out of an application's rows; how many had one."""
    embedding = sql.Identifier(shape.embedding)
    query = "update {} set {} = null where {}::text = any(%s) and {} is not null"
    cursor.execute(
        sql.SQL(query).format(named(shape.table), embedding, sql.Identifier(shape.id), embedding), (ids,)
    )
    emptied = int(cursor.rowcount)
    cursor.execute(f"delete from {DIGESTS} where name = %s and generation = %s and id = any(%s)", (*key, ids))
    return emptied


def keep_digests(cursor: Any, key: Key, records: Sequence[Record]) -> None:
    """Remember what an application's rows were embedded of."""
    cursor.executemany(
        f"insert into {DIGESTS} values (%s, %s, %s, %s) "
        "on conflict (name, generation, id) do update set digest = excluded.digest",
        [(*key, without_nul(record.id), record.digest) for record in records],
    )


def kept_digests(cursor: Any, key: Key, ids: Sequence[str]) -> dict[str, str]:
    """What was remembered, by id."""
    cursor.execute(
        f"select id, digest from {DIGESTS} where name = %s and generation = %s and id = any(%s)", (*key, ids)
    )
    return dict(cursor.fetchall())


def spelled(embedding: NDArray[np.float32]) -> str:
    """As pgvector reads it."""
    return f"[{','.join(map(str, embedding.tolist()))}]"


def as_numbers(spelled: str) -> NDArray[np.float32]:
    """What pgvector wrote."""
    return np.array(spelled[1:-1].split(","), dtype=np.float32)
