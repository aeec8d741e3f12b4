"""lancedb:DIR: tables of LanceDB in a folder.

    DIR/current.json              the name of the generation that searches read
    DIR/passages-1.lance, .json   a generation: its table, and what it says of itself

A batch is one ``merge_insert``, which is one version of the table: all of it or nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbert_triplet.data.durable import whole
from sbert_triplet.data.wording import first_line
from sbert_triplet.search.filters import Condition
from sbert_triplet.search.store import (
    About,
    Collection,
    Count,
    FloatMatrix,
    Found,
    Passage,
    Record,
    StoreError,
)
from sbert_triplet.search.stores.kept import faults, point_id, refuse_precision
from sbert_triplet.search.stores.lancedb_filters import TYPES, clause, facts_of

METRICS = {"cosine": "cosine", "dot": "dot", "euclidean": "l2"}
GRAPH_FROM = 100_000
"""Passages from which on ``settle`` makes a graph."""
CURRENT = "current.json"
_REFINED = 10
_AT_ONCE = 1000


def opened(url: str) -> LanceStore:
    """The store of ``lancedb:DIR``."""
    name = url.partition(":")[2]
    if not name or name.startswith("//"):
        raise StoreError(f"--store {url}: name a folder, as in lancedb:tickets.lance")
    return LanceStore(Path(name).expanduser())


class LanceStore:
    """A folder."""

    precisions = ("fp32", "fp16")

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, f"lancedb:{folder}"
        with _failures(self.url):
            self._database = lancedb.connect(str(folder))

    def generations(self) -> list[str]:
        names = [file.stem.partition("-")[2] for file in self.folder.glob("passages-*.json")]
        return sorted((name for name in names if name.isdecimal()), key=int)

    def current(self) -> str | None:
        try:
            return str(json.loads((self.folder / CURRENT).read_text(encoding="utf-8"))["current"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{self.folder / CURRENT}: cannot be read") from error

    def create(self, about: About) -> str:
        refuse_precision(self.url, about, self.precisions, tuple(METRICS))
        number = str(max(map(int, self.generations()), default=0) + 1)
        with _failures(self.url):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._database.create_table(f"passages-{number}", schema=_schema(about), mode="overwrite")
            with whole(self.folder / f"passages-{number}.json") as staged:
                staged.write_text(json.dumps(about.as_json()), encoding="utf-8")
        if self.current() is None:
            self.switch(number)
        return number

    def open(self, generation: str) -> Collection:
        if generation not in self.generations():
            raise StoreError(f"{self.url}: there is no generation {generation!r}")
        said = (self.folder / f"passages-{generation}.json").read_text(encoding="utf-8")
        with _failures(self.url):
            table = self._database.open_table(f"passages-{generation}")
        return LanceCollection(table, About.of_json(json.loads(said)), self.url)

    def switch(self, generation: str) -> None:
        self.open(generation)
        with whole(self.folder / CURRENT) as staged:
            staged.write_text(json.dumps({"current": generation}), encoding="utf-8")

    def drop(self, generation: str) -> None:
        if generation == self.current():
            raise StoreError(f"{self.url}: generation {generation} is current; switch to another one first")
        (self.folder / f"passages-{generation}.json").unlink()
        with _failures(self.url):
            self._database.drop_table(f"passages-{generation}")

    def close(self) -> None:
        pass


class LanceCollection:
    """One generation. Each key of metadata has a column for each kind of its values, to filter by."""

    def __init__(self, table: Any, about: About, url: str) -> None:
        self._table, self.about, self._url = table, about, url

    @property
    def exact(self) -> bool:
        with _failures(self._url):
            return not self._table.list_indices()

    def upsert(self, records: Sequence[Record], embeddings: FloatMatrix) -> None:
        with _failures(self._url):
            self._table.checkout_latest()
            self._add_columns({column for record in records for column in facts_of(record.metadata)})
            documents = _listed({_document(record.id) for record in records})
            merge = self._table.merge_insert("key").when_matched_update_all().when_not_matched_insert_all()
            merge.when_not_matched_by_source_delete(f"document in ({documents})").execute(
                _rows(records, embeddings, self._table.schema)
            )

    def delete(self, ids: Sequence[str]) -> int:
        there = list(self.digests(ids))
        with _failures(self._url):
            if there:
                self._table.delete(f"document in ({_listed(_document(id) for id in there)})")
        return len(there)

    def search(self, queries: FloatMatrix, k: int, conditions: Sequence[Condition] = ()) -> list[list[Found]]:
        with _failures(self._url):
            self._table.checkout_latest()
            clauses = [clause(condition, self._table.schema.names) for condition in conditions]
            if None in clauses:
                return [[] for _ in queries]
            return [self._nearest(query, k, " and ".join(map(str, clauses))) for query in queries]

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for first in range(0, len(ids), _AT_ONCE):
            documents = _listed(_document(id) for id in ids[first : first + _AT_ONCE])
            rows = self._read(f"number = 0 and document in ({documents})", ["id", "digest"])
            found |= {row["id"].decode(): row["digest"] for row in rows}
        return found

    def embeddings(self, ids: Sequence[str]) -> dict[tuple[str, int], NDArray[np.float32]]:
        rows = self._read(f"document in ({_listed(_document(id) for id in ids)})", ["id", "number", "vector"])
        return {(row["id"].decode(), row["number"]): np.asarray(row["vector"], np.float32) for row in rows}

    def count(self) -> Count:
        with _failures(self._url):
            self._table.checkout_latest()
            return Count(self._table.count_rows("number = 0"), self._table.count_rows())

    def settle(self) -> None:
        with _failures(self._url):
            self._table.checkout_latest()
            self._table.optimize()
            if self._table.count_rows() >= GRAPH_FROM and not self._table.list_indices():
                self._table.create_index(
                    metric=METRICS[self.about.similarity], index_type="IVF_HNSW_SQ", replace=True
                )

    def verify(self) -> list[str]:
        return faults(self._every(), self.about)

    def close(self) -> None:
        pass

    def _nearest(self, query: FloatMatrix, k: int, where: str) -> list[Found]:
        search = self._table.search(query, vector_column_name="vector", query_type="vector")
        search = search.distance_type(METRICS[self.about.similarity]).limit(k)
        if where:
            search = search.where(where, prefilter=True)
        rows = search.refine_factor(_REFINED).to_list()
        return [Found(_record(row), self._score(row["_distance"])) for row in rows]

    def _score(self, distance: float) -> float:
        return -math.sqrt(max(distance, 0)) if self.about.similarity == "euclidean" else 1 - distance

    def _add_columns(self, wanted: set[str]) -> None:
        new = sorted(wanted - set(self._table.schema.names))
        if new:
            self._table.add_columns({name: f"cast(null as {TYPES[name[0]]})" for name in new})

    def _read(self, where: str, columns: list[str]) -> list[dict[str, Any]]:
        with _failures(self._url):
            self._table.checkout_latest()
            found: list[dict[str, Any]] = (
                self._table.search().where(where).select(columns).limit(None).to_list()
            )
            return found

    def _every(self) -> Iterator[tuple[Record, NDArray[np.float32]]]:
        with _failures(self._url):
            self._table.checkout_latest()
            for batch in self._table.search().limit(None).to_batches(batch_size=_AT_ONCE):
                for row in batch.to_pylist():
                    yield _record(row), np.asarray(row["vector"], np.float32)


def _schema(about: About) -> pa.Schema:
    kind = pa.float16() if about.precision == "fp16" else pa.float32()
    return pa.schema(
        [
            ("key", pa.string()),
            ("document", pa.string()),
            ("id", pa.binary()),
            ("number", pa.int64()),
            ("first", pa.int64()),
            ("last", pa.int64()),
            ("text", pa.string()),
            ("metadata", pa.string()),
            ("digest", pa.string()),
            ("vector", pa.list_(kind, about.dimensions)),
        ]
    )


def _rows(records: Sequence[Record], embeddings: FloatMatrix, schema: pa.Schema) -> pa.Table:
    numbers = pa.array(embeddings.astype(schema.field("vector").type.value_type.to_pandas_dtype()).ravel())
    facts = [facts_of(record.metadata) for record in records]
    columns: dict[str, Any] = {
        "key": [point_id(record.id, record.passage.number) for record in records],
        "document": [_document(record.id) for record in records],
        "id": [record.id.encode() for record in records],
        "number": [record.passage.number for record in records],
        "first": [record.passage.start for record in records],
        "last": [record.passage.end for record in records],
        "text": [record.text for record in records],
        "metadata": [json.dumps(dict(record.metadata)) for record in records],
        "digest": [record.digest for record in records],
        "vector": pa.FixedSizeListArray.from_arrays(numbers, embeddings.shape[1]),
    }
    for name in schema.names:
        if name not in columns:
            columns[name] = pa.array([one.get(name) for one in facts], schema.field(name).type)
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _record(row: dict[str, Any]) -> Record:
    passage = Passage(row["number"], row["first"], row["last"])
    return Record(row["id"].decode(), passage, row["text"], json.loads(row["metadata"]), row["digest"])


def _document(id: str) -> str:
    return sha256(id.encode()).hexdigest()


def _listed(words: Any) -> str:
    return ", ".join(f"'{word}'" for word in words) or "''"


@contextmanager
def _failures(shown: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, OSError) as error:
        raise StoreError(f"{shown}: {first_line(error)}") from error
