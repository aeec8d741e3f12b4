"""Retrieval metrics per query, computed by ir-measures (pytrec_eval) on exactly the ranking given."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ir_measures
import numpy as np
import torch
from numpy.typing import NDArray

from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.evaluation.metrics import Metric, Task
from sbert_triplet.evaluation.results import MetricValues
from sbert_triplet.nearest import Embeddings, Float32Array, Similarity, top_k

DEPTH_WITHOUT_CUTOFF = 1000
"""How deep a ranking goes for a metric without a cutoff, as in TREC."""
TOP = 10
"""How many results of each query are kept for the report."""
_QUERIES_AT_ONCE = 512


@dataclass(frozen=True)
class RetrievalTask:
    """Queries, a pool of documents and graded judgements, all as text ids.

    ``query_ids`` (Q,) and ``document_ids`` (N,), each without repeats. ``judgements``: for a query
    the grades of its judged documents; a grade of 1 or more is relevant, documents without a
    grade are not. ``excluded``: for a query, documents that it must never find (its own text); they
    leave its ranking and its judgements alike.
    """

    query_ids: IntArray
    document_ids: IntArray
    judgements: Mapping[int, Mapping[int, int]]
    excluded: Mapping[int, Collection[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, ids in (("query", self.query_ids), ("document", self.document_ids)):
            if len(np.unique(ids)) != len(ids):
                raise ValueError(f"the {name} ids of a retrieval task must not repeat")

    def grades(self, query: int) -> dict[int, int]:
        """The grades that count for a query; below 0 is read as 0, as trec_eval does."""
        hidden = self.excluded.get(query, ())
        judged = self.judgements.get(query, {})
        return {document: max(0, int(grade)) for document, grade in judged.items() if document not in hidden}


@dataclass(frozen=True)
class RetrievalResult:
    """What one ranking scored.

    ``values``: by metric name; ``per_item`` is aligned to the task's queries and NaN where a query
    has no relevant document (``evaluated`` (Q,) is False there), and ``value`` is the mean of the rest.
    ``top_ids`` and ``top_scores``: (Q, 10) the first results; -1 and -inf where there are fewer.
    ``depth``: how many documents of each query were ranked. ``documents``: the pool's size.
    ``unreachable``: relevant documents that are not in the pool; each counts as missed.
    """

    values: dict[str, MetricValues]
    top_ids: IntArray
    top_scores: Float32Array
    evaluated: NDArray[np.bool_]
    depth: int
    documents: int
    unreachable: int

    @property
    def without_relevant(self) -> int:
        """Queries left out of every mean because no document is relevant to them."""
        return int((~self.evaluated).sum())


def depth_for(metrics: Sequence[Metric]) -> int:
    """How deep a ranking must go for these metrics: the deepest cutoff, or 1,000 where one has none."""
    return max([TOP, *(metric.cutoff or DEPTH_WITHOUT_CUTOFF for metric in metrics)])


def excluded_at_most(task: RetrievalTask) -> int:
    """The largest number of documents excluded for one query: how much deeper a search must look."""
    return max((len(documents) for documents in task.excluded.values()), default=0)


def evaluate_retrieval(
    task: RetrievalTask,
    query_embeddings: Embeddings,
    document_embeddings: Embeddings,
    metrics: Sequence[Metric],
    *,
    similarity: Similarity,
    depth: int | None = None,
    memory_bytes: int = 1 << 30,
    device: str | torch.device | None = None,
) -> RetrievalResult:
    """Ranks the whole pool for every query and scores the ranking.

    ``query_embeddings`` (Q, D) and ``document_embeddings`` (N, D), in the order of the task's ids,
    as arrays or memory maps. ``depth`` defaults to the deepest cutoff asked for. Otherwise as
    ``sbert_triplet.nearest.top_k`` and ``evaluate_run``.
    """
    for name, ids, rows in (
        ("query", task.query_ids, query_embeddings),
        ("document", task.document_ids, document_embeddings),
    ):
        if len(ids) != len(rows):
            raise ValueError(f"{len(ids)} {name} ids, but {len(rows)} {name} embeddings")
    depth = depth or depth_for(metrics)
    positions, scores = top_k(
        query_embeddings,
        document_embeddings,
        depth + excluded_at_most(task),
        similarity=similarity,
        memory_bytes=memory_bytes,
        device=device,
    )
    return evaluate_run(task, task.document_ids[positions], scores, metrics, depth=depth)


def evaluate_run(
    task: RetrievalTask,
    ranked_ids: IntArray,
    scores: Float32Array,
    metrics: Sequence[Metric],
    *,
    depth: int | None = None,
) -> RetrievalResult:
    """Scores a ranking made by anything: embeddings, BM25, a fusion.

    ``ranked_ids`` (Q, K): document ids, best first; the order given is the order scored, whatever
    the ties in ``scores`` (Q, K). A score of -inf says "not retrieved".

    nDCG has linear gains (the grade itself, discounted by log2(rank + 1)); nDCG-exp has gains
    2^grade - 1. The ideal ranking holds every judged document. AP@k divides by the number of
    relevant documents, as trec_eval does, and RR@k is 0 where the first relevant document lies
    below k.

    Raises ``ValueError`` on shapes that do not fit, on a document ranked twice for a query, and on
    metrics of other tasks.
    """
    _check_run(task, ranked_ids, scores, metrics)
    depth = depth or depth_for(metrics)
    judged = [task.grades(int(query)) for query in task.query_ids]
    evaluated = np.array([any(grade > 0 for grade in grades.values()) for grades in judged], dtype=bool)
    columns = {metric.name: np.full(len(judged), np.nan) for metric in metrics}
    top_ids = np.full((len(judged), TOP), -1, dtype=np.int64)
    top_scores = np.full((len(judged), TOP), -np.inf, dtype=np.float32)
    for first in range(0, len(judged), _QUERIES_AT_ONCE):
        rows = range(first, min(first + _QUERIES_AT_ONCE, len(judged)))
        run: dict[str, dict[str, float]] = {}
        for row in rows:
            ids, kept = _ranking(task, row, ranked_ids[row], scores[row], depth)
            top_ids[row, : len(ids[:TOP])], top_scores[row, : len(ids[:TOP])] = ids[:TOP], kept[:TOP]
            if evaluated[row]:
                run[str(row)] = _as_trec(ids)
        _score(run, {row: judged[row] for row in rows if evaluated[row]}, metrics, columns)
    values = {name: _values(name, column, evaluated) for name, column in columns.items()}
    missing = _unreachable(task, judged)
    return RetrievalResult(values, top_ids, top_scores, evaluated, depth, len(task.document_ids), missing)


def _ranking(
    task: RetrievalTask, row: int, ids: IntArray, scores: Float32Array, depth: int
) -> tuple[IntArray, Float32Array]:
    keep = scores > -np.inf
    hidden = task.excluded.get(int(task.query_ids[row]), ())
    if hidden:
        keep &= ~np.isin(ids, np.fromiter(hidden, dtype=np.int64, count=len(hidden)))
    ids, scores = ids[keep][:depth], scores[keep][:depth]
    if len(np.unique(ids)) != len(ids):
        raise ValueError(f"a document is ranked twice for query {int(task.query_ids[row])}")
    return ids, scores


def _as_trec(ids: IntArray) -> dict[str, float]:
    """Strictly decreasing scores: trec_eval orders equal scores by document id, not by the order given."""
    return {str(document): float(-rank) for rank, document in enumerate(ids.tolist())}


def _score(
    run: dict[str, dict[str, float]],
    judged: Mapping[int, Mapping[int, int]],
    metrics: Sequence[Metric],
    columns: Mapping[str, FloatArray],
) -> None:
    """Fills ``columns`` for the rows of ``judged``; a query that retrieved nothing scores 0."""
    qrels = {str(row): {str(id_): grade for id_, grade in grades.items()} for row, grades in judged.items()}
    top_grade = max((grade for grades in judged.values() for grade in grades.values()), default=0)
    measures = {metric.name: _measure(metric, top_grade) for metric in metrics}
    found: dict[tuple[str, str], float] = {}
    evaluator = ir_measures.pytrec_eval.evaluator(list(dict.fromkeys(measures.values())), qrels)
    for item in evaluator.iter_calc(run):
        found[str(item.measure), item.query_id] = float(item.value)
    for metric in metrics:
        name = str(measures[metric.name])
        for row in judged:
            value = found.get((name, str(row)), 0.0)
            if metric.family == "RR" and metric.cutoff and value * metric.cutoff < 1 - 1e-9:
                value = 0.0
            columns[metric.name][row] = value


def _measure(metric: Metric, top_grade: int) -> Any:
    """The ir-measures object; RR is cut off afterwards, because pytrec_eval has no RR@k."""
    if metric.family == "RR":
        return ir_measures.RR
    if metric.family == "nDCG-exp":
        gains = {grade: 2**grade - 1 for grade in range(top_grade + 1)}
        measure = ir_measures.nDCG(gains=gains)
    else:
        measure = getattr(ir_measures, metric.family)
    return measure @ metric.cutoff if metric.cutoff else measure


def _values(name: str, column: FloatArray, evaluated: NDArray[np.bool_]) -> MetricValues:
    if not evaluated.any():
        reason = "no query has a relevant document"
        warnings.warn(f"{name} is undefined: {reason}", RuntimeWarning, stacklevel=3)
        return MetricValues(name, float("nan"), column, reason)
    return MetricValues(name, float(column[evaluated].mean()), column)


def _unreachable(task: RetrievalTask, judged: Sequence[Mapping[int, int]]) -> int:
    relevant = [document for grades in judged for document, grade in grades.items() if grade > 0]
    return int((~np.isin(np.array(relevant, dtype=np.int64), task.document_ids)).sum())


def _check_run(
    task: RetrievalTask, ranked_ids: IntArray, scores: Float32Array, metrics: Sequence[Metric]
) -> None:
    if ranked_ids.shape != scores.shape or ranked_ids.ndim != 2 or len(ranked_ids) != len(task.query_ids):
        raise ValueError(
            f"a run needs ids and scores of one shape ({len(task.query_ids)}, K); "
            f"got {ranked_ids.shape} and {scores.shape}"
        )
    for metric in metrics:
        if metric.task is not Task.RETRIEVAL:
            raise ValueError(f"{metric.name} is a metric of {metric.task.value}, not of retrieval")
