"""Several rankings of the same documents as one: reciprocal rank fusion.

Cormack, Clarke and Büttcher 2009, doi:10.1145/1571941.1572114. A document's score is the sum of
1 / (60 + rank) over the rankings that retrieved it, so the scales of BM25 and of cosines never meet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import IntArray
from sbert_triplet.evaluation.metrics import Metric
from sbert_triplet.evaluation.retrieval import (
    RetrievalResult,
    RetrievalTask,
    depth_for,
    evaluate_run,
    excluded_at_most,
)
from sbert_triplet.nearest import Float32Array

Ranking = tuple[IntArray, Float32Array]
"""Document ids (Q, K), best first, and their scores (Q, K); -inf says "not retrieved"."""
CONSTANT = 60
DEPTH = 100
"""How deep each ranking is read, where the metrics look no deeper."""


def fusion_depth(metrics: Sequence[Metric]) -> int:
    """How deep the rankings of a fusion are read: 100 documents, or as deep as the metrics look."""
    return max(DEPTH, depth_for(metrics))


def ranked_for_fusion(task: RetrievalTask, metrics: Sequence[Metric]) -> int:
    """How many documents of each query a ranking to be fused must hold."""
    return fusion_depth(metrics) + excluded_at_most(task)


def evaluate_fusion(
    task: RetrievalTask, rankings: Sequence[Ranking], metrics: Sequence[Metric]
) -> RetrievalResult:
    """The fusion of rankings that each hold ``ranked_for_fusion`` documents. As ``evaluate_run``."""
    ids, scores = fuse(task, rankings, depth=fusion_depth(metrics))
    return evaluate_run(task, ids, scores, metrics, depth=depth_for(metrics))


def fuse(
    task: RetrievalTask, rankings: Sequence[Ranking], *, depth: int = DEPTH, constant: int = CONSTANT
) -> Ranking:
    """The first ``depth`` documents of every ranking, fused: (Q, the sum of their numbers) and scores.

    Documents that a query must never find leave a ranking before its ranks are counted. Equal scores are
    ordered by the lower document id. Raises ``ValueError`` for rankings of other queries.
    """
    for ids, scores in rankings:
        if ids.shape != scores.shape or ids.ndim != 2 or len(ids) != len(task.query_ids):
            raise ValueError(
                f"a ranking to be fused needs ids and scores of one shape ({len(task.query_ids)}, K); "
                f"got {ids.shape} and {scores.shape}"
            )
    gains = [_gains(task, ids, scores, depth, constant) for ids, scores in rankings]
    every, gained = np.concatenate([ids for ids, _ in rankings], axis=1), np.concatenate(gains, axis=1)
    fused_ids = np.full(every.shape, -1, dtype=np.int64)
    fused = np.full(every.shape, -np.inf, dtype=np.float32)
    for row, (ids, gain) in enumerate(zip(every, gained, strict=True)):
        found, places = np.unique(ids[gain > 0], return_inverse=True)
        totals = np.bincount(places, weights=gain[gain > 0], minlength=len(found))
        order = np.lexsort((found, -totals))
        fused_ids[row, : len(found)], fused[row, : len(found)] = found[order], totals[order]
    return fused_ids, fused


def _gains(
    task: RetrievalTask, ids: IntArray, scores: Float32Array, depth: int, constant: int
) -> NDArray[np.float64]:
    """(Q, K) what each place of a ranking adds to its document; 0 for what was not retrieved."""
    kept = scores > -np.inf
    for row, query in enumerate(task.query_ids):
        if hidden := task.excluded.get(int(query)):
            kept[row] &= ~np.isin(ids[row], np.fromiter(hidden, dtype=np.int64, count=len(hidden)))
    ranks = np.cumsum(kept, axis=1)
    gains: NDArray[np.float64] = np.where(kept & (ranks <= depth), 1 / (constant + ranks), 0.0)
    return gains
