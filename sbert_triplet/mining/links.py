"""Positive links followed further: the positives of a query that shares a positive with this one."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from sbert_triplet.data.components import components
from sbert_triplet.data.examples import IntArray
from sbert_triplet.mining.candidates import BoolArray

_QUERIES_AT_ONCE = 1024


class PositiveLinks:
    """Which texts are joined by a chain of positive links.

    ``pairs``: (n, 2) text ids that belong together. ``hops``: links of the longest chain that counts, None
    for any; a positive is 1 hop away, a query that shares it 2, that query's other positives 3.
    ``largest``: components of more texts than this are not used, None for no limit: in data where
    chains of positives merge topics, being joined says nothing.
    """

    def __init__(self, pairs: IntArray, *, hops: int | None = 3, largest: int | None = 1000) -> None:
        pairs = np.unique(pairs, axis=0) if len(pairs) else np.zeros((0, 2), dtype=np.int64)
        self._hops = hops
        self._nodes, places = np.unique(pairs, return_inverse=True)
        places = places.reshape(-1, 2)
        self._component = np.full(len(self._nodes), -1, dtype=np.int64)
        if len(pairs):
            self._component[places] = components([pairs[:, 0], pairs[:, 1]])[:, None]
        sizes = np.bincount(self._component) if len(pairs) else np.zeros(0, dtype=np.int64)
        self.too_large = int((sizes > largest).sum()) if largest is not None else 0
        """Components that are not used."""
        if largest is not None:
            used = sizes[self._component] <= largest
            self._component = np.where(used, self._component, -1)
            places = places[used[places[:, 0]]]
        ends = np.concatenate([places, places[:, ::-1]])
        shape = (len(self._nodes), len(self._nodes))
        self._graph = csr_matrix((np.ones(len(ends), dtype=bool), (ends[:, 0], ends[:, 1])), shape=shape)

    def joined(self, queries: IntArray, documents: IntArray) -> BoolArray:
        """(Q, K) whether a query (Q,) and its candidate (Q, K) are joined; never for a text in no link."""
        query_places, document_places = self._places(queries), self._places(documents)
        component = np.append(self._component, -1)
        same: BoolArray = component[query_places][:, None] == component[document_places]
        same &= component[document_places] >= 0
        if self._hops is None:
            return same
        near = np.zeros_like(same)
        rows = np.flatnonzero(same.any(axis=1))
        for first in range(0, len(rows), _QUERIES_AT_ONCE):
            some = rows[first : first + _QUERIES_AT_ONCE]
            near[some] = self._within(query_places[some], document_places[some])
        joined: BoolArray = same & near
        return joined

    def _within(self, queries: IntArray, documents: IntArray) -> BoolArray:
        nodes = len(self._nodes)
        start = np.ones(len(queries), dtype=bool), (np.arange(len(queries)), queries)
        frontier = reached = csr_matrix(start, shape=(len(queries), nodes))
        for _ in range(self._hops or 0):
            step = (frontier @ self._graph).astype(bool)
            # What was not reached before; the chain ends early where there is nothing new.
            frontier = step > step.multiply(reached).astype(bool)
            if not frontier.nnz:
                break
            reached = reached + frontier
        reached.sort_indices()
        found = np.repeat(np.arange(len(queries)), np.diff(reached.indptr)) * nodes + reached.indices
        return np.isin(np.arange(len(queries))[:, None] * nodes + documents, found) & (documents >= 0)

    def _places(self, ids: IntArray) -> IntArray:
        """Positions among the nodes, -1 for a text in no link."""
        if not len(self._nodes):
            return np.full(ids.shape, -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self._nodes, ids), len(self._nodes) - 1)
        return np.where(self._nodes[places] == ids, places, -1)
