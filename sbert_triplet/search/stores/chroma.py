"""chroma://HOST:PORT/NAME: collections of a Chroma server.

NAME-1, NAME-2 ... are generations, and the metadata of NAME say which one is current. A server's upsert is
whole, but takes no deletions along: of a document of several passages the first one, which bears the digest,
is written last, so that one that was stopped in between counts as not written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import chromadb
import numpy as np
from chromadb.config import Settings
from chromadb.errors import ChromaError, NotFoundError
from numpy.typing import NDArray

from sbert_triplet.data.wording import first_line
from sbert_triplet.search.filters import Condition, Value
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
from sbert_triplet.search.stores.chroma_filters import clause, escaped, joined
from sbert_triplet.search.stores.kept import (
    faults,
    numbers_of_passages,
    point_id,
    refuse_precision,
    with_nul,
    without_nul,
)

NAME = "sbert_triplet"
SPACES = {"cosine": "cosine", "dot": "ip", "euclidean": "l2"}
_OWN = "sbert_triplet:"
_ID, _NUMBER, _PLACE, _METADATA, _DIGEST = (
    f"{_OWN}{name}" for name in ("id", "number", "place", "metadata", "digest")
)
_ABOUT, _CURRENT = f"{_OWN}about", f"{_OWN}current"
_URL = re.compile(r"chroma://(?P<host>[^:/]+):(?P<port>\d+)(?:/(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*))?/?")
_BREADTH = 200
_AT_ONCE = 1000


def opened(url: str) -> ChromaStore:
    """The store of a URL. Raises StoreError where the server does not answer."""
    found = _URL.fullmatch(url)
    if found is None:
        raise StoreError(f"--store {url}: write chroma://HOST:PORT or chroma://HOST:PORT/NAME")
    host, port, name = found["host"], int(found["port"]), found["name"] or NAME
    shown = f"chroma://{host}:{port}/{name}"
    with _failures(shown):
        client = chromadb.HttpClient(host=host, port=port, settings=Settings(anonymized_telemetry=False))
    return ChromaStore(client, name, shown)


class ChromaStore:
    """Collections whose names begin with ``name``."""

    precisions = ("fp32",)

    def __init__(self, client: Any, name: str, shown: str) -> None:
        self._client, self._name, self.url = client, name, shown

    def generations(self) -> list[str]:
        form = re.compile(rf"{re.escape(self._name)}-(\d+)")
        with _failures(self.url):
            found = [form.fullmatch(one.name) for one in self._client.list_collections()]
        return [str(number) for number in sorted(int(one[1]) for one in found if one)]

    def current(self) -> str | None:
        with _failures(self.url):
            try:
                return str(
                    self._client.get_collection(self._name, embedding_function=None).metadata[_CURRENT]
                )
            except NotFoundError:
                return None
            except (KeyError, TypeError) as error:
                raise StoreError(
                    f"{self.url}: {self._name} is a collection that is no index; name another one"
                ) from error

    def create(self, about: About) -> str:
        refuse_precision(self.url, about, self.precisions, tuple(SPACES))
        first = self.current() is None
        name = str(max(map(int, self.generations()), default=0) + 1)
        space = {"space": SPACES[about.similarity], "ef_search": _BREADTH, "ef_construction": _BREADTH}
        with _failures(self.url):
            self._client.create_collection(
                f"{self._name}-{name}",
                metadata={_ABOUT: json.dumps(about.as_json())},
                configuration={"hnsw": space},
                embedding_function=None,
            )
            if first:
                self._client.create_collection(self._name, metadata={_CURRENT: name}, embedding_function=None)
        return name

    def open(self, generation: str) -> Collection:
        with _failures(self.url):
            try:
                found = self._client.get_collection(f"{self._name}-{generation}", embedding_function=None)
            except NotFoundError as error:
                raise StoreError(f"{self.url}: there is no generation {generation!r}") from error
        about = About.of_json(json.loads((found.metadata or {}).get(_ABOUT, "{}")))
        return ChromaCollection(found, about, self.url)

    def switch(self, generation: str) -> None:
        self.open(generation)
        with _failures(self.url):
            pointer = self._client.get_collection(self._name, embedding_function=None)
            pointer.modify(metadata={_CURRENT: generation})

    def drop(self, generation: str) -> None:
        if generation == self.current():
            raise StoreError(f"{self.url}: generation {generation} is current; switch to another one first")
        with _failures(self.url):
            self._client.delete_collection(f"{self._name}-{generation}")

    def close(self) -> None:
        pass


class ChromaCollection:
    """One generation, behind a graph of the server's."""

    exact = False

    def __init__(self, collection: Any, about: About, url: str) -> None:
        self._collection, self.about, self._url = collection, about, url

    def upsert(self, records: Sequence[Record], embeddings: FloatMatrix) -> None:
        later = [place for place, record in enumerate(records) if record.passage.number]
        first = [place for place, record in enumerate(records) if not record.passage.number]
        with _failures(self._url):
            self._write(records, embeddings, later)
            self._remove_beyond(numbers_of_passages(records))
            self._write(records, embeddings, first)

    def delete(self, ids: Sequence[str]) -> int:
        there = list(self.digests(ids))
        with _failures(self._url):
            for some in _parts([without_nul(id) for id in there]):
                self._collection.delete(where={_ID: {"$in": some}})
        return len(there)

    def search(self, queries: FloatMatrix, k: int, conditions: Sequence[Condition] = ()) -> list[list[Found]]:
        clauses = [clause(condition) for condition in conditions]
        if None in clauses:
            return [[] for _ in queries]
        with _failures(self._url):
            answer = self._collection.query(
                query_embeddings=[row.tolist() for row in queries],
                n_results=k,
                where=joined("$and", clauses) if clauses else None,
                include=["metadatas", "documents", "distances"],
            )
        together = zip(answer["metadatas"], answer["documents"], answer["distances"], strict=True)
        return [
            [Found(_record(one, text), self._score(far)) for one, text, far in zip(*some, strict=True)]
            for some in together
        ]

    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        with _failures(self._url):
            for some in _parts([point_id(id, 0) for id in ids]):
                kept = self._collection.get(ids=some, include=["metadatas"])
                found |= {with_nul(one[_ID]): str(one[_DIGEST]) for one in kept["metadatas"]}
        return found

    def embeddings(self, ids: Sequence[str]) -> dict[tuple[str, int], NDArray[np.float32]]:
        found: dict[tuple[str, int], NDArray[np.float32]] = {}
        with _failures(self._url):
            for some in _parts([without_nul(id) for id in ids]):
                kept = self._collection.get(where={_ID: {"$in": some}}, include=["metadatas", "embeddings"])
                for one, row in zip(kept["metadatas"], kept["embeddings"], strict=True):
                    found[with_nul(one[_ID]), int(one[_NUMBER])] = np.asarray(row, dtype=np.float32)
        return found

    def count(self) -> Count:
        with _failures(self._url):
            passages = int(self._collection.count())
            if self.about.passages.tokens is None and passages == 0:
                return Count(0, 0)
            documents = len(self._collection.get(where={_NUMBER: 0}, include=[])["ids"])
        return Count(documents, passages)

    def settle(self) -> None:
        pass

    def verify(self) -> list[str]:
        with _failures(self._url):
            return faults(self._every(), self.about)

    def close(self) -> None:
        pass

    def _write(self, records: Sequence[Record], embeddings: FloatMatrix, places: Sequence[int]) -> None:
        for some in _parts(places):
            chosen = [records[place] for place in some]
            self._collection.upsert(
                ids=[point_id(record.id, record.passage.number) for record in chosen],
                embeddings=[embeddings[place].tolist() for place in some],
                documents=[without_nul(record.text) for record in chosen],
                metadatas=[_kept(record) for record in chosen],
            )

    def _remove_beyond(self, counted: dict[str, int]) -> None:
        """Passages of an earlier form of documents that had more of them."""
        if self.about.passages.tokens is None and max(counted.values()) == 1:
            where: Any = {_NUMBER: {"$gte": 1}}
            if not self._collection.get(where=where, limit=1, include=[])["ids"]:
                return
        for some in _parts([without_nul(id) for id in counted]):
            where = {"$and": [{_ID: {"$in": some}}, {_NUMBER: {"$gte": 1}}]}
            kept = self._collection.get(where=where, include=["metadatas"])
            gone = [
                id
                for id, one in zip(kept["ids"], kept["metadatas"], strict=True)
                if one[_NUMBER] >= counted[with_nul(one[_ID])]
            ]
            if gone:
                self._collection.delete(ids=gone)

    def _every(self) -> Iterator[tuple[Record, NDArray[np.float32]]]:
        first, include = 0, ["metadatas", "documents", "embeddings"]
        while (kept := self._collection.get(limit=_AT_ONCE, offset=first, include=include))["ids"]:
            rows = zip(kept["metadatas"], kept["documents"], kept["embeddings"], strict=True)
            for one, text, row in rows:
                yield _record(one, text), np.asarray(row, dtype=np.float32)
            first += len(kept["ids"])

    def _score(self, distance: float) -> float:
        return -math.sqrt(max(distance, 0)) if self.about.similarity == "euclidean" else 1 - distance


def _kept(record: Record) -> dict[str, Value]:
    """The metadata of a passage: the document's own, to filter by, and ours."""
    passage = record.passage
    own = {without_nul(key): escaped(value) for key, value in record.metadata.items()}
    return {
        **own,
        _ID: without_nul(record.id),
        _NUMBER: passage.number,
        _PLACE: f"{passage.start} {passage.end}",
        _METADATA: json.dumps(dict(record.metadata)),
        _DIGEST: record.digest,
    }


def _record(kept: dict[str, Any], text: str | None) -> Record:
    start, end = map(int, kept[_PLACE].split())
    passage = Passage(int(kept[_NUMBER]), start, end)
    return Record(
        with_nul(kept[_ID]), passage, with_nul(text or ""), json.loads(kept[_METADATA]), kept[_DIGEST]
    )


def _parts(values: Sequence[Any]) -> Iterator[list[Any]]:
    for first in range(0, len(values), _AT_ONCE):
        yield list(values[first : first + _AT_ONCE])


@contextmanager
def _failures(shown: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except (ChromaError, ValueError, OSError) as error:
        raise StoreError(f"{shown}: {first_line(error)}") from error
    except Exception as error:  # the client raises those of its transport
        if type(error).__module__.partition(".")[0] not in ("httpx", "httpcore"):
            raise
        raise StoreError(f"{shown}: the server does not answer ({first_line(error)})") from error
