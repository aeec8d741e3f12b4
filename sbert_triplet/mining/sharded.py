"""Searches whose work the processes of a run share; each of them gets the answers of all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import IntArray
from sbert_triplet.mining.candidates import Candidates, merged
from sbert_triplet.mining.search import DenseSearch, Search, Wrapping
from sbert_triplet.mining.space import Space
from sbert_triplet.nearest import Float32Array
from sbert_triplet.processes import place, together

Plain = tuple[IntArray, Float32Array, NDArray[np.int8]]
"""What the other processes are told of an answer: documents, scores and sources."""


@dataclass(frozen=True)
class ShardedSearch:
    """``DenseSearch`` of which each process compares a slice of the documents with every query.

    ``documents``: (N,) distinct text ids, ascending, the same in every process, which all search for the same
    queries at the same time. Documents and scores are those of one process. ``memory_bytes``: of each
    process.
    """

    space: Space
    documents: IntArray
    memory_bytes: int = 1 << 30

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        _embed_all(self, queries)
        k = min(k, len(self.documents))
        parts = together(lambda: _plain(self._own(queries, k)) if len(self._own.documents) else None)
        return merged([Candidates.found(queries, *part) for part in parts if part is not None], k)

    @cached_property
    def _own(self) -> DenseSearch:
        rank, processes = place()
        share = np.array_split(self.documents, processes)[rank]
        return DenseSearch(self.space, share, self.memory_bytes)


@dataclass(frozen=True)
class QueriesShared(Wrapping):
    """A search that each process carries out for a slice of the queries; ``search`` has all documents."""

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        _embed_all(self, queries)
        rank, processes = place()
        own = np.array_split(queries, processes)[rank]
        parts = [
            part
            for part in together(lambda: _plain(self.search(own, k)) if len(own) else None)
            if part is not None
        ]
        if not parts:
            return self.search(queries, k)
        return Candidates.found(queries, *(np.concatenate(column) for column in zip(*parts, strict=True)))


def _plain(found: Candidates) -> Plain:
    return found.documents, found.scores, found.sources


def _embed_all(search: Search, queries: IntArray) -> None:
    """Have everything embedded that a process may ask for alone, which is when nobody else would help."""
    search.space.documents(search.documents)
    search.space.queries(queries)
