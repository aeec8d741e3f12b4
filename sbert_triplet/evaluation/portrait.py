"""What one model makes of the sample of held-out rows: how near texts are, where they lie, what is right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.evaluation.health import Health, health
from sbert_triplet.evaluation.metrics import Task
from sbert_triplet.evaluation.parts import Embed, IntArray, Part, Scored
from sbert_triplet.evaluation.resampling import average_ranks
from sbert_triplet.evaluation.results import FloatArray
from sbert_triplet.evaluation.sample import PairGroup, Sample
from sbert_triplet.nearest import row_similarities

NEAREST_WRONG = "best other document"
"""The group of each query with the first of its results that is not relevant."""
FAR_OFF = 0.25
"""A pair whose place by similarity differs from that by score by more than this share of all is missed."""


@dataclass(frozen=True)
class Portrait:
    """One model on a sample of N texts.

    ``similarity``: by what texts are compared, as its name. ``near``: similarities of the pairs of each
    group. ``rows`` (N, D): embeddings of the texts. ``hits`` (n,): of the items of the part, whether the
    model is right, None where that cannot be said. ``health``: of ``rows``.
    """

    similarity: str
    near: Mapping[str, FloatArray]
    rows: NDArray[np.float32]
    hits: NDArray[np.bool_] | None
    health: Health


def portray(sample: Sample, part: Part, scored: Scored, embed: Embed, *, seed: int) -> Portrait:
    """The portrait of the model that ``embed`` is of; ``scored``: what it scored on the part."""
    groups = list(sample.groups)
    if sample.items is not None and scored.top_ids is not None:
        groups.insert(1, _nearest_wrong(part, sample.items, scored.top_ids))
    near = {
        group.name: row_similarities(
            embed(group.sides[0], group.left),
            embed(group.sides[1], group.right),
            similarity=embed.similarity,
        )
        for group in groups
        if len(group.left)
    }
    rows = np.concatenate([embed(block.side, block.ids) for block in sample.texts])
    return Portrait(
        similarity=str(embed.similarity),
        near=near,
        rows=rows,
        hits=hits_of(part, scored),
        health=health(rows, sample.together, seed=seed),
    )


def _nearest_wrong(part: Part, items: IntArray, top: IntArray) -> PairGroup:
    assert part.retrieval is not None
    queries, documents = [], []
    for item in items.tolist():
        query = int(part.items[item, 0])
        grades = part.retrieval.grades(query)
        wrong = next((d for d in top[item].tolist() if d >= 0 and grades.get(d, 0) <= 0), None)
        if wrong is not None:
            queries.append(query)
            documents.append(wrong)
    return PairGroup(
        NEAREST_WRONG,
        ("query", "document"),
        np.array(queries, dtype=np.int64),
        np.array(documents, dtype=np.int64),
    )


def hits_of(part: Part, scored: Scored) -> NDArray[np.bool_] | None:
    """(n,) whether the model is right on each item; None where nothing can be said of single items.

    Of retrieval: the first result is relevant. Of triplets and classes: the value of the item is 1. Of
    pairs: similarity is on the right side of the best threshold, or, of scored ones, the place by similarity
    lies within a quarter of all places of that by score.
    """
    if part.retrieval is not None and scored.top_ids is not None:
        first = scored.top_ids[:, 0]
        grades = (part.retrieval.grades(int(query)) for query in part.items[:, 0])
        return np.array([g.get(int(d), 0) > 0 for g, d in zip(grades, first, strict=True)], dtype=bool)
    if scored.predictions is not None and part.gold is not None and part.task is not Task.CLUSTERING:
        if part.task is Task.PAIRS:
            cut = scored.threshold
            return None if cut is None else (scored.predictions >= cut.similarity) == (part.gold > 0)
        places = average_ranks(scored.predictions) - average_ranks(part.gold)
        return np.asarray(np.abs(places) <= FAR_OFF * len(part.gold))
    values = scored.values[part.metrics[0].name].per_item
    return None if values is None else np.asarray(values == 1)
