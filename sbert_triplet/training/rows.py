"""Training rows out of examples: what each kind of input teaches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind

IntArray = NDArray[np.int64]
ENTAILMENT, CONTRADICTION = 0, 2
SYMMETRIC = frozenset({Kind.SCORED, Kind.NLI, Kind.LABELLED})
"""Kinds whose two sides play the same role, so that no query or document prompt belongs to one of them."""


def contrastive_rows(examples: Examples) -> Examples:
    """Rows with an anchor that belongs to its positive, and negatives that do not.

    NLI: entailed hypotheses are positives of their premise and its contradictions are negatives
    (Gao, Yao, Chen 2021, 2104.08821). Retrieval: documents judged above 0 are positives of their
    query and documents judged 0 are negatives. Other kinds are returned as they are.
    """
    if examples.kind is Kind.NLI and examples.labels is not None:
        return _gathered(examples, examples.labels == ENTAILMENT, examples.labels == CONTRADICTION)
    if examples.kind is Kind.RETRIEVAL and examples.scores is not None:
        return _gathered(examples, examples.scores > 0, examples.scores <= 0)
    return examples


def _gathered(examples: Examples, positive: NDArray[np.bool_], negative: NDArray[np.bool_]) -> Examples:
    """The positive rows, each with the positives of its anchor's negative rows as negatives."""
    if examples.positives is None:
        raise ValueError(f"rows of kind {examples.kind} have no second text")
    kept = examples.select(np.flatnonzero(positive))
    order = np.flatnonzero(negative)
    order = order[np.argsort(examples.anchors[order], kind="stable")]
    anchors, texts = examples.anchors[order], examples.positives[order]
    starts = np.searchsorted(anchors, kept.anchors, side="left")
    ends = np.searchsorted(anchors, kept.anchors, side="right")
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(ends - starts)])
    within = np.arange(offsets[-1], dtype=np.int64) - np.repeat(offsets[:-1], ends - starts)
    return replace(
        kept, negatives=Ragged(texts[np.repeat(starts, ends - starts) + within], offsets), labels=None
    )


class KnownPositives:
    """Which texts are known to belong together, looked up for the texts of a batch.

    ``pairs``: (K, 2) text ids, in either order.
    """

    def __init__(self, pairs: IntArray) -> None:
        both = np.concatenate([pairs, pairs[:, ::-1]]) if len(pairs) else np.zeros((0, 2), dtype=np.int64)
        both = np.unique(both, axis=0)
        self._left, self._right = both[:, 0].copy(), both[:, 1].copy()

    def among(self, ids: IntArray) -> IntArray:
        """(k, 2) known pairs of which both texts are among ``ids``, each pair once."""
        ids = np.unique(ids)
        starts = np.searchsorted(self._left, ids, side="left")
        counts = np.searchsorted(self._left, ids, side="right") - starts
        offsets = np.cumsum(counts) - counts
        where = np.repeat(starts - offsets, counts) + np.arange(counts.sum())
        left, right = self._left[where], self._right[where]
        position = np.minimum(np.searchsorted(ids, right), max(len(ids) - 1, 0))
        both = (left < right) & (ids[position] == right) if len(ids) else np.zeros(0, dtype=bool)
        return np.stack([left[both], right[both]], axis=1)
