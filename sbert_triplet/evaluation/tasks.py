"""What each task asks of a model: the part of a measurement that rows become.

``groups``: (N,) the group of each of the N test rows, or None. All raise ValueError for rows that the
metrics cannot be measured on.
"""

from __future__ import annotations

import numpy as np

from sbert_triplet.data.contrastive import ENTAILMENT, contrastive_rows, positive_rows
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.evaluation.clustering import evaluate_clustering
from sbert_triplet.evaluation.labels import evaluate_labels, evaluate_logistic
from sbert_triplet.evaluation.metrics import Metric, Task
from sbert_triplet.evaluation.pairs import best_f1_threshold, evaluate_pairs
from sbert_triplet.evaluation.parts import Classes, Embed, IntArray, Part, Scored, item_groups
from sbert_triplet.evaluation.results import FloatArray
from sbert_triplet.evaluation.retrieval import RetrievalTask, evaluate_retrieval
from sbert_triplet.evaluation.sts import evaluate_scored
from sbert_triplet.evaluation.triplets import evaluate_triplets, list_triplets
from sbert_triplet.nearest import row_similarities

LOGISTIC = "logistic accuracy"


def retrieval_part(
    test: Examples, metrics: tuple[Metric, ...], pool: IntArray, groups: IntArray | None
) -> Part:
    """Every query once, all of ``pool`` ranked for it; a query never finds its own text."""
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
        groups=item_groups(groups, kept[first], len(queries)),
        retrieval=task,
    )


def pairs_part(test: Examples, metrics: tuple[Metric, ...], task: Task, groups: IntArray | None) -> Part:
    """Pairs of texts, scored or judged as belonging together, as ``task`` has it."""
    if test.positives is None:
        raise ValueError(f"{metrics[0].name} needs pairs of texts; these are {test.kind.value} rows")
    gold = _gold(test, task, metrics)
    one, two = test.anchors, test.positives

    def score(embed: Embed) -> Scored:
        near = row_similarities(embed("left", one), embed("right", two), similarity=embed.similarity)
        predictions = np.asarray(near, dtype=np.float64)
        if task is Task.SCORED:
            return Scored(evaluate_scored(predictions, gold), predictions=predictions)
        values = {"pair AP": evaluate_pairs(predictions, gold)}
        best = best_f1_threshold(predictions, gold) if gold.any() else None
        return Scored(values, predictions=predictions, threshold=best)

    every = np.arange(len(test))
    return Part(
        task,
        metrics,
        np.stack([one, two], axis=1),
        every,
        (("left", one), ("right", two)),
        score,
        gold=gold,
        groups=item_groups(groups, every, len(test)),
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
        # A value that stands alone is not the larger of two: 0 for every pair is no.
        alone = len(np.unique(test.scores)) == 1
        yes = test.scores > 0 if alone else test.scores == test.scores.max(initial=-np.inf)
        return np.asarray(yes, dtype=np.float64)
    return test.scores


def triplets_part(test: Examples, metrics: tuple[Metric, ...], groups: IntArray | None) -> Part:
    """Every triplet of the rows; those of one row are resampled together."""
    rows = contrastive_rows(test)
    if rows.positives is None or rows.negatives is None or not len(rows.negatives.values):
        raise ValueError(f"{metrics[0].name} needs rows with negatives; these are {test.kind.value} rows")
    triplets, came_from = list_triplets(rows.anchors, rows.positives, rows.negatives)
    came_from = positive_rows(test)[came_from]
    anchors, positives, negatives = triplets.T
    of_triplets = came_from if groups is None else groups[came_from]

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
        groups=item_groups(of_triplets, np.arange(len(triplets)), len(triplets)),
    )


def labels_part(
    test: Examples, metrics: tuple[Metric, ...], memory: Examples | None, groups: IntArray | None
) -> Part:
    """Texts whose classes are looked up among those of ``memory``."""
    if test.labels is None or memory is None or memory.labels is None:
        raise ValueError(f"{metrics[0].name} needs labelled texts; these are {test.kind.value} rows")
    wanted = {metric.name for metric in metrics}
    known, classes, texts, answers = memory.anchors, memory.labels, test.anchors, test.labels

    def score(embed: Embed) -> Scored:
        rows = embed("right", known), classes, embed("left", texts), answers
        values, nearest = {}, None
        if wanted - {LOGISTIC}:
            found = evaluate_labels(*rows, similarity=embed.similarity)
            values, nearest = dict(found.values), found.nearest
        if LOGISTIC in wanted:
            values[LOGISTIC] = evaluate_logistic(*rows, similarity=embed.similarity)
        return Scored({metric.name: values[metric.name] for metric in metrics}, nearest=nearest)

    every = np.arange(len(test))
    return Part(
        Task.LABELS,
        metrics,
        texts[:, None],
        every,
        (("right", known), ("left", texts)),
        score,
        groups=item_groups(groups, every, len(test)),
        classes=Classes(answers, test.label_names, memory),
    )


def clustering_part(test: Examples, metrics: tuple[Metric, ...], groups: IntArray | None) -> Part:
    """Texts and the classes that their groups should follow; a text that comes twice counts twice."""
    if test.labels is None or test.kind is not Kind.LABELLED:
        raise ValueError(f"{metrics[0].name} needs labelled texts; these are {test.kind.described} rows")
    texts, classes = test.anchors, test.labels

    def score(embed: Embed) -> Scored:
        value, found = evaluate_clustering(embed("left", texts), classes, similarity=embed.similarity)
        return Scored({value.metric: value}, predictions=found.astype(np.float64))

    every = np.arange(len(test))
    return Part(
        Task.CLUSTERING,
        metrics,
        texts[:, None],
        every,
        (("left", texts),),
        score,
        gold=classes.astype(np.float64),
        groups=item_groups(groups, every, len(test)),
        classes=Classes(classes, test.label_names),
    )
