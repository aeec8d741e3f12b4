"""Candidates for negatives: for each query the documents that a search found, best first.

Legend: Q queries, K candidates of a query, n pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import IntArray
from sbert_triplet.nearest import Float32Array

BoolArray = NDArray[np.bool_]


class Source(IntFlag):
    """Which search found a candidate; the sum of both where both did."""

    DENSE = 1
    BM25 = 2


@dataclass(frozen=True)
class Candidates:
    """What was found for Q queries.

    ``queries``: (Q,) text ids. ``documents``: (Q, K) text ids, best first, each at most once in a row;
    -1 where fewer were found. ``scores``: (Q, K) similarities with the query, larger is closer, -inf
    where there is no document; they need not fall from left to right where BM25 made the order.
    ``sources``: (Q, K) values of ``Source``. ``ranks``: (Q, K) ranks from 0, which stay with a
    document when others are taken away or the order changes.
    """

    queries: IntArray
    documents: IntArray
    scores: Float32Array
    sources: NDArray[np.int8]
    ranks: IntArray

    @classmethod
    def found(
        cls,
        queries: IntArray,
        documents: IntArray,
        scores: Float32Array,
        sources: Source | NDArray[np.int8],
    ) -> Candidates:
        """From documents (Q, K) and scores (Q, K), best first; a score of -inf says that none is there."""
        there = (documents >= 0) & (scores > -np.inf)
        if isinstance(sources, Source):
            sources = np.full(documents.shape, int(sources), dtype=np.int8)
        return cls(
            queries=queries,
            documents=np.where(there, documents, -1),
            scores=np.where(there, scores, -np.inf).astype(np.float32),
            sources=np.where(there, sources, 0).astype(np.int8),
            ranks=np.broadcast_to(np.arange(documents.shape[1], dtype=np.int64), documents.shape),
        )

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def there(self) -> BoolArray:
        """(Q, K) where a document stands."""
        return self.documents >= 0

    def select(self, rows: IntArray | BoolArray) -> Candidates:
        """The given queries."""
        return Candidates(
            self.queries[rows], self.documents[rows], self.scores[rows], self.sources[rows], self.ranks[rows]
        )

    def reordered(self, order: IntArray) -> Candidates:
        """Columns (Q, k) in another order, or fewer of them; ranks stay with their documents."""
        return Candidates(
            self.queries,
            np.take_along_axis(self.documents, order, axis=1),
            np.take_along_axis(self.scores, order, axis=1),
            np.take_along_axis(self.sources, order, axis=1),
            np.take_along_axis(self.ranks, order, axis=1),
        )

    def compacted(self, keep: BoolArray, depth: int) -> Candidates:
        """The first ``depth`` that are kept of each query, ranked anew; (Q, depth), padded."""
        depth = min(depth, keep.shape[1])
        order = np.argsort(~keep, axis=1, kind="stable")[:, :depth]
        taken = self.reordered(order)
        scores = np.where(np.take_along_axis(keep, order, axis=1), taken.scores, -np.inf)
        return Candidates.found(self.queries, taken.documents, scores.astype(np.float32), taken.sources)


def merged(parts: Sequence[Candidates], k: int) -> Candidates:
    """The k best of what several searches found for the same queries, each in its share of the documents.

    ``parts``: in the order of their shares, which have no document in common and of which an earlier one
    holds lower text ids; equal scores are then ordered by the lower id, as in one search over all.
    Raises ValueError where the parts are of different queries.
    """
    if any(not np.array_equal(part.queries, parts[0].queries) for part in parts):
        raise ValueError("the parts hold candidates of different queries and cannot be merged")
    beside = Candidates.found(
        parts[0].queries,
        np.concatenate([part.documents for part in parts], axis=1),
        np.concatenate([part.scores for part in parts], axis=1),
        np.concatenate([part.sources for part in parts], axis=1),
    )
    best = beside.reordered(np.argsort(-beside.scores, axis=1, kind="stable")[:, :k])
    return Candidates.found(best.queries, best.documents, best.scores, best.sources)


def interleaved(first: Candidates, second: Candidates, k: int) -> Candidates:
    """The k first of two rankings of the same queries, taken in turn: rank 0 of both, rank 1 of both, ...

    A document that is in both stands where it comes first, with both sources and the score that
    ``first`` gives it. With rankings that are k deep, the answer for a smaller k is its beginning.
    """
    if not np.array_equal(first.queries, second.queries):
        raise ValueError("candidates of different queries cannot be interleaved")
    width = max(first.documents.shape[1], second.documents.shape[1])
    both = [_widened(part, width) for part in (first, second)]
    shape = len(first), 2 * width
    documents = np.stack([part.documents for part in both], axis=2).reshape(shape)
    scores = np.stack([part.scores for part in both], axis=2).reshape(shape)
    sources = np.stack([part.sources for part in both], axis=2).reshape(shape)
    twin, repeated = _twins(documents)
    sources = (sources | np.take_along_axis(sources, twin, axis=1)).astype(np.int8)
    # The score of ``first`` is the one of the two that stands in an even column.
    columns = np.arange(2 * width)
    from_twin = (columns % 2 == 1) & (twin % 2 == 0)
    scores = np.where(from_twin, np.take_along_axis(scores, twin, axis=1), scores)
    joined = Candidates.found(first.queries, documents, scores, sources)
    return joined.compacted(joined.there & ~repeated, k)


def _widened(part: Candidates, width: int) -> Candidates:
    missing = ((0, 0), (0, width - part.documents.shape[1]))
    return Candidates.found(
        part.queries,
        np.pad(part.documents, missing, constant_values=-1),
        np.pad(part.scores, missing, constant_values=-np.inf),
        np.pad(part.sources, missing),
    )


def _twins(documents: IntArray) -> tuple[IntArray, BoolArray]:
    """For each column the one that holds the same document (itself where there is none), and repeats.

    A document stands at most twice in a row.
    """
    order = np.argsort(documents, axis=1, kind="stable")
    ordered = np.take_along_axis(documents, order, axis=1)
    same = np.zeros(documents.shape, dtype=bool)
    same[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    partner = order.copy()
    partner[:, 1:] = np.where(same[:, 1:], order[:, :-1], partner[:, 1:])
    partner[:, :-1] = np.where(same[:, 1:], order[:, 1:], partner[:, :-1])
    twin, repeated = np.empty_like(order), np.empty_like(same)
    np.put_along_axis(twin, order, partner, axis=1)
    np.put_along_axis(repeated, order, same, axis=1)
    return twin, repeated
