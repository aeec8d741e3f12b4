"""qdrant:DIR, in this process, and qdrant://HOST:PORT/NAME, a server.

NAME-1, NAME-2 ... are generations, NAME-about says what they are, and the alias NAME points at the current
one. Of a document of several passages the first one, which bears the digest, is written last, so that one
that was stopped in between counts as not written.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import ApiException, ResponseHandlingException

from sbert_triplet.data.wording import first_line
from sbert_triplet.search.filters import Condition, meets
from sbert_triplet.search.store import (
    About,
    Collection,
    Count,
    FloatMatrix,
    Found,
    Record,
    StoreError,
)
from sbert_triplet.search.stores.kept import faults, numbers_of_passages, point_id, refuse_precision
from sbert_triplet.search.stores.qdrant_payload import filter_of, of_documents, payload_of, record_of

NAME = "sbert_triplet"
DISTANCES = {
    "cosine": models.Distance.COSINE,
    "dot": models.Distance.DOT,
    "euclidean": models.Distance.EUCLID,
    "manhattan": models.Distance.MANHATTAN,
}
_URL = re.compile(r"qdrant://(?P<address>[^/]+)(?:/(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*))?/?")
_AT_ONCE = 500
_OVERSAMPLED = 10.0
_local: dict[Path, tuple[Any, int]] = {}
_lock = threading.Lock()


def opened(url: str) -> QdrantStore:
    """The store of a URL. Raises StoreError where the server does not answer or the folder is in use."""
    found = _URL.fullmatch(url)
    with _failures(url):
        if found is not None:
            client = QdrantClient(url=f"http://{found['address']}", timeout=60)
            name = found["name"] or NAME
            client.get_collections()
            return QdrantStore(client, name, f"qdrant://{found['address']}/{name}", None)
        folder = Path(url.partition(":")[2]).expanduser().resolve()
        if url.startswith("qdrant://") or url == "qdrant:":
            raise StoreError(f"--store {url}: write qdrant:DIR or qdrant://HOST:PORT/NAME")
        return QdrantStore(_shared(folder), NAME, f"qdrant:{folder}", folder)


def _shared(folder: Path) -> Any:
    """One client for all of this process: a folder lets in one only."""
    with _lock:
        client, users = _local.get(folder, (None, 0))
        try:
            client = client or QdrantClient(path=str(folder))
        except RuntimeError as error:
            raise StoreError(
                f"qdrant:{folder}: another process has it open; close that, or run a server"
            ) from error
        _local[folder] = client, users + 1
        return client


class QdrantStore:
    """Collections whose names begin with ``name``. ``folder``: of one in this process."""

    def __init__(self, client: Any, name: str, shown: str, folder: Path | None) -> None:
        self._client, self._name, self.url, self._folder = client, name, shown, folder
        # In this process nothing is rounded, and all passages are compared.
        self.precisions = ("fp32",) if folder is not None else ("fp32", "fp16", "int8", "binary")

    def generations(self) -> list[str]:
        form = re.compile(rf"{re.escape(self._name)}-(\d+)")
        with _failures(self.url):
            found = [form.fullmatch(one.name) for one in self._client.get_collections().collections]
        return [str(number) for number in sorted(int(one[1]) for one in found if one)]

    def current(self) -> str | None:
        with _failures(self.url):
            aliases = self._client.get_aliases().aliases
        named = next((one.collection_name for one in aliases if one.alias_name == self._name), None)
        return None if named is None else str(named.rpartition("-")[2])

    def create(self, about: About) -> str:
        refuse_precision(self.url, about, self.precisions, tuple(DISTANCES))
        first = self.current() is None
        number = max(map(int, self.generations()), default=0) + 1
        with _failures(self.url):
            told = f"{self._name}-about"
            if not self._client.collection_exists(told):
                size = models.VectorParams(size=1, distance=models.Distance.DOT)
                self._client.create_collection(told, vectors_config=size)
            payload = {"about": about.as_json()}
            point = models.PointStruct(id=number, vector=[1.0], payload=payload)
            self._client.upsert(told, [point], wait=True)
            self._make(f"{self._name}-{number}", about)
        if first:
            self.switch(str(number))
        return str(number)

    def open(self, generation: str) -> Collection:
        if generation not in self.generations():
            raise StoreError(f"{self.url}: there is no generation {generation!r}")
        with _failures(self.url):
            found = self._client.retrieve(f"{self._name}-about", [int(generation)])
        about = About.of_json(found[0].payload["about"] if found else {})
        return QdrantCollection(self._client, f"{self._name}-{generation}", about, self.url, self._folder)

    def switch(self, generation: str) -> None:
        if generation not in self.generations():
            raise StoreError(f"{self.url}: there is no generation {generation!r}")
        steps: list[Any] = []
        if self.current() is not None:
            old = models.DeleteAlias(alias_name=self._name)
            steps.append(models.DeleteAliasOperation(delete_alias=old))
        new = models.CreateAlias(collection_name=f"{self._name}-{generation}", alias_name=self._name)
        steps.append(models.CreateAliasOperation(create_alias=new))
        with _failures(self.url):
            self._client.update_collection_aliases(steps)

    def drop(self, generation: str) -> None:
        if generation == self.current():
            raise StoreError(f"{self.url}: generation {generation} is current; switch to another one first")
        with _failures(self.url):
            self._client.delete_collection(f"{self._name}-{generation}")

    def close(self) -> None:
        if self._folder is None:
            self._client.close()
            return
        with _lock:
            client, users = _local.get(self._folder, (None, 0))
            if users > 1:
                _local[self._folder] = client, users - 1
            elif client is not None:
                del _local[self._folder]
                client.close()

    def _make(self, name: str, about: About) -> None:
        quantised: Any = None
        if about.precision == "int8":
            scalar = models.ScalarQuantizationConfig(type=models.ScalarType.INT8, always_ram=True)
            quantised = models.ScalarQuantization(scalar=scalar)
        elif about.precision == "binary":
            binary = models.BinaryQuantizationConfig(always_ram=True)
            quantised = models.BinaryQuantization(binary=binary)
        kind = models.Datatype.FLOAT16 if about.precision == "fp16" else models.Datatype.FLOAT32
        self._client.create_collection(
            name,
            vectors_config=models.VectorParams(
                size=about.dimensions,
                distance=DISTANCES[about.similarity],
                datatype=kind,
                on_disk=about.precision in ("int8", "binary"),
            ),
            quantization_config=quantised,
        )
        for field, schema in (("id", "keyword"), ("number", "integer")):
            if self._folder is None:
                self._client.create_payload_index(name, field, field_schema=schema)


class QdrantCollection:
    """One generation."""

    def __init__(self, client: Any, name: str, about: About, url: str, folder: Path | None) -> None:
        self._client, self._name, self.about, self._url = client, name, about, url
        self.exact = folder is not None

    def upsert(self, records: Sequence[Record], embeddings: FloatMatrix) -> None:
        with _failures(self._url):
            self._write(records, embeddings, [n for n, one in enumerate(records) if one.passage.number])
            counted = numbers_of_passages(records)
            gone = [
                point.id
                for point in self._points(of_documents(list(counted)), vectors=False)
                if point.payload["number"] >= counted[point.payload["id"]]
            ]
            if gone:
                self._client.delete(self._name, models.PointIdsList(points=gone), wait=True)
            self._write(records, embeddings, [n for n, one in enumerate(records) if not one.passage.number])

    def delete(self, ids: Sequence[str]) -> int:
        there = list(self.digests(ids))
        with _failures(self._url):
            if there:
                chosen = models.FilterSelector(filter=of_documents(there))
                self._client.delete(self._name, chosen, wait=True)
        return len(there)

    def search(self, queries: FloatMatrix, k: int, conditions: Sequence[Condition] = ()) -> list[list[Found]]:
        with _failures(self._url):
            return [self._nearest(query, k, conditions) for query in queries]

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        with _failures(self._url):
            for first in range(0, len(ids), _AT_ONCE):
                points = [point_id(id, 0) for id in ids[first : first + _AT_ONCE]]
                kept = self._client.retrieve(self._name, points, with_payload=["id", "digest"])
                found |= {point.payload["id"]: point.payload["digest"] for point in kept}
        return found

    def embeddings(self, ids: Sequence[str]) -> dict[tuple[str, int], NDArray[np.float32]]:
        with _failures(self._url):
            return {
                (point.payload["id"], int(point.payload["number"])): np.asarray(point.vector, np.float32)
                for point in self._points(of_documents(list(ids)), vectors=True)
            }

    def count(self) -> Count:
        first = models.FieldCondition(key="number", match=models.MatchValue(value=0))
        with _failures(self._url):
            documents = self._client.count(self._name, models.Filter(must=[first])).count
            return Count(documents, self._client.count(self._name).count)

    def settle(self) -> None:
        pass

    def verify(self) -> list[str]:
        with _failures(self._url):
            kept = (
                (record_of(point.payload), np.asarray(point.vector, np.float32))
                for point in self._points(None, vectors=True)
            )
            return faults(kept, self.about)

    def close(self) -> None:
        pass

    def _nearest(self, query: FloatMatrix, k: int, conditions: Sequence[Condition]) -> list[Found]:
        """Asks for more where the local form, to which true is 1, gives what does not meet the conditions."""
        wanted = k
        rescoring = models.QuantizationSearchParams(rescore=True, oversampling=_OVERSAMPLED)
        while True:
            answer = self._client.query_points(
                self._name,
                query=query.tolist(),
                limit=wanted,
                query_filter=filter_of(conditions) if conditions else None,
                search_params=models.SearchParams(quantization=rescoring),
            ).points
            found = [Found(record_of(point.payload), self._score(point.score)) for point in answer]
            kept = [one for one in found if meets(one.record.metadata, conditions)]
            if len(kept) >= k or len(answer) < wanted:
                return kept[:k]
            wanted *= 4

    def _score(self, score: float) -> float:
        return score if self.about.similarity in ("cosine", "dot") else -abs(score)

    def _write(self, records: Sequence[Record], embeddings: FloatMatrix, places: Sequence[int]) -> None:
        for first in range(0, len(places), _AT_ONCE):
            points = [
                models.PointStruct(
                    id=point_id(records[place].id, records[place].passage.number),
                    vector=embeddings[place].tolist(),
                    payload=payload_of(records[place]),
                )
                for place in places[first : first + _AT_ONCE]
            ]
            self._client.upsert(self._name, points, wait=True)

    def _points(self, chosen: models.Filter | None, *, vectors: bool) -> Iterator[Any]:
        following: Any = None
        while True:
            points, following = self._client.scroll(
                self._name, scroll_filter=chosen, limit=_AT_ONCE, offset=following, with_vectors=vectors
            )
            yield from points
            if following is None:
                return


@contextmanager
def _failures(shown: str) -> Iterator[None]:
    try:
        yield
    except (ApiException, ResponseHandlingException, OSError) as error:
        raise StoreError(f"{shown}: {first_line(error)}") from error
