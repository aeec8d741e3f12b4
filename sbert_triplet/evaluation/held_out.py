"""Held-out rows as a measurement: what to embed, what is scored, and base against tuned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.contrastive import ENTAILMENT, contrastive_rows, positive_rows
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.evaluation.labels import evaluate_labels
from sbert_triplet.evaluation.metrics import Metric, Task
from sbert_triplet.evaluation.pairs import evaluate_pairs
from sbert_triplet.evaluation.results import Comparison, FloatArray, MetricValues
from sbert_triplet.evaluation.retrieval import RetrievalTask, evaluate_retrieval
from sbert_triplet.evaluation.significance import STATISTICS, compare_items, compare_statistic
from sbert_triplet.evaluation.sts import evaluate_scored
from sbert_triplet.evaluation.triplets import evaluate_triplets, list_triplets
from sbert_triplet.nearest import Similarity, row_similarities

IntArray = NDArray[np.int64]


class Embed(Protocol):
    """Embeddings of text ids as one model makes them, and what they are compared by."""

    @property
    def similarity(self) -> Similarity: ...

    def __call__(self, side: Side, ids: IntArray) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Scored:
    """One model on one part: ``values`` by metric, ``predictions`` (n,) where the metric needs them.

    ``top_ids`` (n, 10): the first results of each query, for retrieval.
    """

    values: dict[str, MetricValues]
    predictions: FloatArray | None = None
    top_ids: IntArray | None = None


@dataclass(frozen=True)
class Part:
    """n held-out items of one task.

    ``items``: (n, k) text ids that each item is made of; ``rows``: (n,) the test row that an item
    came from, by which it belongs to slices; ``groups``: (n,) what is resampled whole, or None.
    """

    task: Task
    metrics: tuple[Metric, ...]
    items: IntArray
    rows: IntArray
    wanted: tuple[tuple[Side, IntArray], ...]
    score: Callable[[Embed], Scored]
    gold: FloatArray | None = None
    groups: IntArray | None = None
    retrieval: RetrievalTask | None = None

    def compare(self, base: Scored, tuned: Scored, *, seed: int = 13) -> dict[str, Comparison]:
        """Every metric of the part, on the same items."""
        return {
            metric.name: self.compare_rows(metric, base, tuned, np.arange(len(self.items)), seed=seed)
            for metric in self.metrics
        }

    def compare_rows(
        self, metric: Metric, base: Scored, tuned: Scored, chosen: IntArray, *, seed: int = 13
    ) -> Comparison:
        """One metric on the chosen items."""
        groups = None if self.groups is None else self.groups[chosen]
        one, two = base.values[metric.name].per_item, tuned.values[metric.name].per_item
        if one is not None and two is not None:
            return compare_items(metric, one[chosen], two[chosen], groups=groups, seed=seed)
        if base.predictions is None or tuned.predictions is None or self.gold is None:
            raise ValueError(f"{metric.name} has neither values per item nor predictions")
        return compare_statistic(
            metric,
            STATISTICS[metric.name],
            base.predictions[chosen],
            tuned.predictions[chosen],
            self.gold[chosen],
            groups=groups,
            seed=seed,
        )


@dataclass(frozen=True)
class HeldOut:
    """All parts of a measurement; the first metric of the first part is the main one."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def main(self) -> Metric:
        return self.parts[0].metrics[0]

    @property
    def wanted(self) -> list[tuple[Side, IntArray]]:
        """Everything that has to be embedded."""
        return [each for part in self.parts for each in part.wanted]

    def score(self, embed: Embed) -> list[Scored]:
        """One model on every part."""
        return [part.score(embed) for part in self.parts]

    def compare(
        self, base: Sequence[Scored], tuned: Sequence[Scored], *, seed: int = 13
    ) -> dict[str, Comparison]:
        """Every metric of every part, in the order of the parts."""
        compared: dict[str, Comparison] = {}
        for part, one, two in zip(self.parts, base, tuned, strict=True):
            compared |= part.compare(one, two, seed=seed)
        return compared


def hold_out(
    test: Examples,
    metrics: Sequence[Metric],
    *,
    pool: IntArray,
    memory: Examples | None = None,
    groups: IntArray | None = None,
    binary: bool = False,
) -> HeldOut:
    """The measurement of test rows by these metrics.

    ``pool``: text ids of every document that retrieval ranks. ``memory``: labelled training texts,
    which 1-NN and centroids are taken from. ``groups``: (N,) group of each test row. Raises
    ValueError where the rows cannot be measured by a metric.
    """
    tasks = list(dict.fromkeys(metric.task for metric in metrics))
    parts = []
    for task in tasks:
        chosen = tuple(metric for metric in metrics if metric.task is task)
        if task is Task.RETRIEVAL:
            parts.append(_retrieval(test, chosen, pool, groups))
        elif task is Task.TRIPLETS:
            parts.append(_triplets(test, chosen, groups))
        elif task is Task.LABELS:
            parts.append(_labels(test, chosen, memory, groups))
        else:
            parts.append(_pairs(test, chosen, task, groups))
    return HeldOut(tuple(part for part in parts if part is not None))


def _retrieval(test: Examples, metrics: tuple[Metric, ...], pool: IntArray, groups: IntArray | None) -> Part:
    if test.positives is None or test.kind in (Kind.SCORED, Kind.LABELLED):
        raise ValueError(f"{metrics[0].name} needs queries and documents; these are {test.kind.value} rows")
    kept = positive_rows(test) if test.kind is Kind.NLI else np.arange(len(test), dtype=np.int64)
    anchors, positives = test.anchors[kept], test.positives[kept]
    queries, first = np.unique(anchors, return_index=True)
    graded = test.kind is Kind.RETRIEVAL and test.scores is not None
    grades = test.scores[kept] if graded and test.scores is not None else np.ones(len(kept))
    judgements: dict[int, dict[int, int]] = {int(query): {} for query in queries}
    for query, document, grade in zip(anchors, positives, grades, strict=True):
        held = judgements[int(query)]
        held[int(document)] = max(held.get(int(document), 0), int(grade))
    documents = np.unique(np.concatenate([pool, positives]))
    own = {query: [query] for query in map(int, queries[np.isin(queries, documents)])}
    task = RetrievalTask(queries, documents, judgements, own)

    def score(embed: Embed) -> Scored:
        result = evaluate_retrieval(
            task,
            embed("query", queries),
            embed("document", documents),
            metrics,
            similarity=embed.similarity,
        )
        return Scored(result.values, top_ids=result.top_ids)

    return Part(
        Task.RETRIEVAL,
        metrics,
        queries[:, None],
        kept[first],
        (("query", queries), ("document", documents)),
        score,
        groups=_item_groups(groups, kept[first], len(queries)),
        retrieval=task,
    )


def _pairs(test: Examples, metrics: tuple[Metric, ...], task: Task, groups: IntArray | None) -> Part:
    if test.positives is None:
        raise ValueError(f"{metrics[0].name} needs pairs of texts; these are {test.kind.value} rows")
    gold = _gold(test, task, metrics)
    one, two = test.anchors, test.positives

    def score(embed: Embed) -> Scored:
        near = row_similarities(embed("left", one), embed("right", two), similarity=embed.similarity)
        predictions = np.asarray(near, dtype=np.float64)
        if task is Task.PAIRS:
            values = {"pair AP": evaluate_pairs(predictions, gold.astype(np.int64))}
        else:
            values = evaluate_scored(predictions, gold)
        return Scored(values, predictions=predictions)

    every = np.arange(len(test))
    return Part(
        task,
        metrics,
        np.stack([one, two], axis=1),
        every,
        (("left", one), ("right", two)),
        score,
        gold=gold,
        groups=_item_groups(groups, every, len(test)),
    )


def _gold(test: Examples, task: Task, metrics: tuple[Metric, ...]) -> FloatArray:
    if test.kind is Kind.NLI and test.labels is not None:
        return np.asarray(test.labels == ENTAILMENT, dtype=np.float64)
    if test.scores is None:
        raise ValueError(f"{metrics[0].name} needs a score for each pair; these are {test.kind.value} rows")
    if task is Task.PAIRS and len(np.unique(test.scores)) > 2:
        raise ValueError(
            f"{metrics[0].name} needs scores that are yes or no; these have more than two values"
        )
    if task is Task.PAIRS:
        return np.asarray(test.scores == test.scores.max(), dtype=np.float64)
    return test.scores


def _triplets(test: Examples, metrics: tuple[Metric, ...], groups: IntArray | None) -> Part:
    rows = contrastive_rows(test)
    if rows.positives is None or rows.negatives is None or not len(rows.negatives.values):
        raise ValueError(f"{metrics[0].name} needs rows with negatives; these are {test.kind.value} rows")
    triplets, came_from = list_triplets(rows.anchors, rows.positives, rows.negatives)
    came_from = positive_rows(test)[came_from]
    anchors, positives, negatives = triplets.T
    item_groups = came_from if groups is None else groups[came_from]

    def score(embed: Embed) -> Scored:
        queries = embed("query", anchors)
        near = row_similarities(queries, embed("document", positives), similarity=embed.similarity)
        far = row_similarities(queries, embed("document", negatives), similarity=embed.similarity)
        return Scored({"triplet accuracy": evaluate_triplets(near, far)})

    return Part(
        Task.TRIPLETS,
        metrics,
        triplets,
        came_from,
        (("query", anchors), ("document", np.concatenate([positives, negatives]))),
        score,
        groups=_item_groups(item_groups, np.arange(len(triplets)), len(triplets)),
    )


def _labels(
    test: Examples, metrics: tuple[Metric, ...], memory: Examples | None, groups: IntArray | None
) -> Part:
    if test.labels is None or memory is None or memory.labels is None:
        raise ValueError(f"{metrics[0].name} needs labelled texts; these are {test.kind.value} rows")
    known, classes, texts, answers = memory.anchors, memory.labels, test.anchors, test.labels

    def score(embed: Embed) -> Scored:
        values = evaluate_labels(
            embed("right", known), classes, embed("left", texts), answers, similarity=embed.similarity
        )
        return Scored({metric.name: values[metric.name] for metric in metrics})

    every = np.arange(len(test))
    return Part(
        Task.LABELS,
        metrics,
        texts[:, None],
        every,
        (("right", known), ("left", texts)),
        score,
        groups=_item_groups(groups, every, len(test)),
    )


def _item_groups(groups: IntArray | None, rows: IntArray, items: int) -> IntArray | None:
    """Groups of items, or None where no two items share one."""
    if groups is None:
        return None
    found = np.unique(groups[rows], return_inverse=True)[1].astype(np.int64)
    return None if int(found.max(initial=0)) + 1 == items else found
