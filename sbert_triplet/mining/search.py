"""Searches that propose candidates: exact over embeddings, BM25 over words, and both in turn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from sbert_triplet.data.bm25 import Bm25Index
from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.splits import Texts
from sbert_triplet.mining.candidates import Candidates, Source, interleaved
from sbert_triplet.mining.space import Space
from sbert_triplet.nearest import Embeddings, Float32Array, top_k


class Search(Protocol):
    """Finds documents for queries. Nothing is encoded or indexed before the first call."""

    @property
    def space(self) -> Space:
        """What candidates are scored by."""

    @property
    def documents(self) -> IntArray:
        """(N,) distinct text ids, ascending."""

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        """At most k candidates of each query, best first; equal ones by the lower text id.

        With a larger k the first k stay as they are, but for approximate searches.
        """


@dataclass(frozen=True)
class DenseSearch:
    """Every document compared with every query, by ``nearest.top_k`` within ``memory_bytes``.

    ``documents``: (N,) distinct text ids, ascending.
    """

    space: Space
    documents: IntArray
    memory_bytes: int = 1 << 30

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        positions, scores = top_k(
            self.space.queries(queries),
            self._embeddings,
            k,
            similarity=self.space.similarity,
            memory_bytes=self.memory_bytes,
            device=self.space.device,
        )
        return Candidates.found(queries, self.documents[positions], scores, Source.DENSE)

    @cached_property
    def _embeddings(self) -> Embeddings:
        return self.space.documents(self.documents)


@dataclass(frozen=True)
class LexicalSearch:
    """Documents that share words with the query, in BM25's order, scored by their embeddings.

    BM25 says what looks alike; margins against a positive need the scale that the positive is
    measured on, so ``scores`` are similarities. A query may find fewer than k, or none.
    ``documents``: (N,) distinct text ids, ascending; ``texts`` gives their texts.
    """

    space: Space
    documents: IntArray
    texts: Texts

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        positions, weights = self._index.rank(list(self.texts(queries)), k)
        found = weights > -np.inf
        documents = np.where(found, self.documents[positions], -1)
        return Candidates.found(queries, documents, self._scores(queries, documents), Source.BM25)

    def _scores(self, queries: IntArray, documents: IntArray) -> Float32Array:
        scores = np.full(documents.shape, -np.inf, dtype=np.float32)
        rows, columns = np.nonzero(documents >= 0)
        scores[rows, columns] = self.space.pairs(queries[rows], documents[rows, columns])
        return scores

    @cached_property
    def _index(self) -> Bm25Index:
        return Bm25Index(list(self.texts(self.documents)))


@dataclass(frozen=True)
class Wrapping:
    """A search that asks ``search``, over the same documents in the same space."""

    search: Search

    @property
    def space(self) -> Space:
        return self.search.space

    @property
    def documents(self) -> IntArray:
        return self.search.documents


@dataclass(frozen=True)
class MixedSearch:
    """Two searches over the same documents, taken in turn, ``first`` before ``second`` at each rank."""

    first: Search
    second: Search

    def __post_init__(self) -> None:
        if not np.array_equal(self.first.documents, self.second.documents):
            raise ValueError("the two searches of a mix must be over the same documents")

    @property
    def space(self) -> Space:
        return self.first.space

    @property
    def documents(self) -> IntArray:
        return self.first.documents

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        return interleaved(self.first(queries, k), self.second(queries, k), k)
