"""BM25 (``sbert_triplet.data.bm25``), the lexical baseline of every retrieval table."""

from __future__ import annotations

from collections.abc import Sequence

from sbert_triplet.data.bm25 import bm25_rank
from sbert_triplet.evaluation.metrics import Metric
from sbert_triplet.evaluation.retrieval import (
    RetrievalResult,
    RetrievalTask,
    depth_for,
    evaluate_run,
    excluded_at_most,
)


def evaluate_bm25(
    task: RetrievalTask,
    query_texts: Sequence[str],
    document_texts: Sequence[str],
    metrics: Sequence[Metric],
    *,
    depth: int | None = None,
) -> RetrievalResult:
    """BM25 on a retrieval task; the texts stand in the order of the task's ids. As ``evaluate_run``."""
    depth = depth or depth_for(metrics)
    positions, scores = bm25_rank(query_texts, document_texts, depth + excluded_at_most(task))
    return evaluate_run(task, task.document_ids[positions], scores, metrics, depth=depth)
