"""What each kind of input says about which texts belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind

IntArray = NDArray[np.int64]
ENTAILMENT, CONTRADICTION = 0, 2


def contrastive_rows(examples: Examples) -> Examples:
    """Rows with an anchor that belongs to its positive, and negatives that do not.

    NLI: entailed hypotheses are positives of their premise and its contradictions are negatives
    (Gao, Yao, Chen 2021, 2104.08821). Retrieval: documents judged above 0 are positives of their
    query and documents judged 0 are negatives. Other kinds are returned as they are.
    """
    if examples.kind is Kind.NLI and examples.labels is not None:
        return _gathered(examples, examples.labels == CONTRADICTION)
    if examples.kind is Kind.RETRIEVAL and examples.scores is not None:
        return _gathered(examples, examples.scores <= 0)
    return examples


def positive_rows(examples: Examples) -> IntArray:
    """Positions of the rows that ``contrastive_rows`` keeps, in their order."""
    if examples.kind is Kind.NLI and examples.labels is not None:
        return np.flatnonzero(examples.labels == ENTAILMENT)
    if examples.kind is Kind.RETRIEVAL and examples.scores is not None:
        return np.flatnonzero(examples.scores > 0)
    return np.arange(len(examples), dtype=np.int64)


def queries_without_positive(train: Examples) -> list[str]:
    """A note where queries of retrieval have no document judged above 0: nothing is trained for them."""
    if train.kind is not Kind.RETRIEVAL:
        return []
    without = np.flatnonzero(~np.isin(train.anchors, train.anchors[positive_rows(train)]))
    if not without.size:
        return []
    count, first = len(np.unique(train.anchors[without])), int(train.row_numbers[without[0]]) + 1
    return [
        f"{count:,} training queries have no document that is judged above 0 (the first in row {first:,} of "
        "the judgements): nothing is trained or mined for them"
    ]


def _gathered(examples: Examples, negative: NDArray[np.bool_]) -> Examples:
    """The positive rows, each with the second texts of its anchor's negative rows as negatives."""
    if examples.positives is None:
        raise ValueError(f"rows of kind {examples.kind} have no second text")
    kept = examples.select(positive_rows(examples))
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
