"""BM25, the lexical baseline of every retrieval table.

Robertson and Zaragoza 2009, doi:10.1561/1500000019, in Lucene's variant (k1 = 1.5, b = 0.75) by
``bm25s`` (Lù 2024, arXiv 2407.03618). Texts are lower-cased and cut into runs of two or more
word characters; English stop words are dropped. Words are not stemmed: the stemmers are English
too, need a compiled package, and would help BM25 in one language only. Scripts without spaces
between words are therefore served badly.
"""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np
import torch

from sbert_triplet.data.examples import IntArray
from sbert_triplet.evaluation.metrics import Metric
from sbert_triplet.evaluation.retrieval import (
    RetrievalResult,
    RetrievalTask,
    depth_for,
    evaluate_run,
    excluded_at_most,
)
from sbert_triplet.nearest import Float32Array, highest

_BLOCK_BYTES = 64 << 20


def bm25_rank(
    query_texts: Sequence[str], document_texts: Sequence[str], k: int
) -> tuple[IntArray, Float32Array]:
    """Positions and BM25 scores, each (Q, min(k, N)), best first.

    Equal scores are ordered by the lower position. A document that shares no word with the query
    is not retrieved: its score is -inf.
    """
    k = min(k, len(document_texts))
    positions = np.zeros((len(query_texts), k), dtype=np.int64)
    scores = np.full((len(query_texts), k), -np.inf, dtype=np.float32)
    tokens = bm25s.tokenize(list(document_texts), stopwords="en", show_progress=False)
    if k == 0 or not query_texts or not any(len(document) for document in tokens.ids):
        positions[:] = np.arange(k)
        return positions, scores
    index = bm25s.BM25(method="lucene", k1=1.5, b=0.75, backend="numpy")
    index.index(tokens, show_progress=False)
    queries = bm25s.tokenize(list(query_texts), stopwords="en", return_ids=False, show_progress=False)
    chunk = max(1, _BLOCK_BYTES // (4 * len(document_texts)))
    for first in range(0, len(query_texts), chunk):
        rows = slice(first, first + chunk)
        block = np.stack([_scores(index, words, len(document_texts)) for words in queries[rows]])
        block[block <= 0] = -np.inf
        values, found = highest(torch.from_numpy(block), k)
        scores[rows], positions[rows] = values.numpy(), found.numpy()
    return positions, scores


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


def _scores(index: bm25s.BM25, words: list[str], documents: int) -> Float32Array:
    known = index.get_tokens_ids(words)
    if not known:
        return np.zeros(documents, dtype=np.float32)
    return np.array(index.get_scores_from_ids(known), dtype=np.float32)
