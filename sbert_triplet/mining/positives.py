"""The positives of queries: several a query are the rule, not the exception."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbert_triplet.data.examples import FloatArray, IntArray, Ragged


@dataclass(frozen=True)
class Positives:
    """``queries``: (Q,) distinct text ids, ascending. ``texts``: row q holds the positives of query q, one or
    more, ascending; P altogether.
    """

    queries: IntArray
    texts: Ragged

    @classmethod
    def of(cls, pairs: IntArray) -> Positives:
        """From (n, 2) text ids (query, positive), in any order and with repeats."""
        pairs = np.unique(pairs, axis=0)
        queries, counts = np.unique(pairs[:, 0], return_counts=True)
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
        return cls(queries, Ragged(pairs[:, 1].copy(), offsets))

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def counts(self) -> IntArray:
        """(Q,) how many positives each query has."""
        counts: IntArray = np.diff(self.texts.offsets)
        return counts

    @property
    def pairs(self) -> IntArray:
        """(P, 2) text ids (query, positive), ascending."""
        return np.stack([np.repeat(self.queries, self.counts), self.texts.values], axis=1)

    def select(self, rows: IntArray) -> Positives:
        """The given queries, which may stand in any order then."""
        return Positives(self.queries[rows], self.texts.select(rows))

    def least(self, scores: FloatArray) -> FloatArray:
        """(Q,) the least of each query's scores; ``scores`` (P,) in the order of ``pairs``."""
        least: FloatArray = np.minimum.reduceat(scores, self.texts.offsets[:-1]) if len(self) else scores[:0]
        return least

    def greatest(self, scores: FloatArray) -> FloatArray:
        """(Q,) the greatest of each query's scores; ``scores`` (P,) in the order of ``pairs``."""
        return -self.least(-scores)

    def least_texts(self, scores: FloatArray) -> IntArray:
        """(Q,) the positive with the least score of each query, of equal ones the lower id."""
        owners = np.repeat(np.arange(len(self)), self.counts)
        order = np.lexsort((self.texts.values, scores, owners))
        texts: IntArray = self.texts.values[order[self.texts.offsets[:-1]]]
        return texts
