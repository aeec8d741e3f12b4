"""Pairs of texts of which it is known whether they are the same: what a threshold is calibrated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.evaluation.metrics import Task
from sbert_triplet.evaluation.parts import Embed, IntArray, Part, Scored
from sbert_triplet.evaluation.results import FloatArray
from sbert_triplet.nearest import row_similarities


@dataclass(frozen=True)
class Judged:
    """n pairs: ``similarities`` (n,), whether each is the ``same`` (n,), and ``groups`` (n,) or None.

    ``what``: in words, what a pair is and when it counts as the same.
    """

    similarities: FloatArray
    same: NDArray[np.bool_]
    groups: IntArray | None
    what: str

    def some(self, most: int, seed: int) -> Judged:
        """At most so many of the pairs, drawn by ``seed``."""
        if len(self.same) <= most:
            return self
        rows = np.sort(np.random.default_rng(seed).choice(len(self.same), most, replace=False))
        groups = None if self.groups is None else self.groups[rows]
        return Judged(self.similarities[rows], self.same[rows], groups, self.what)


def judged_pairs(part: Part, scored: Scored, embed: Embed) -> Judged | None:
    """The pairs of a part as one model sees them; None where no pair is said to be the same or not.

    Pairs that are judged are taken as they are. Of retrieval each query with its first result, of classes
    each text with the nearest of those of known class: what is taken as the answer, and whether it is right.
    """
    if part.task is Task.PAIRS and part.gold is not None and scored.predictions is not None:
        return Judged(scored.predictions, part.gold > 0, part.groups, "a pair of texts that is the same")
    if part.retrieval is not None and scored.top_ids is not None:
        return _of_retrieval(part, scored.top_ids, embed)
    if part.task is Task.TRIPLETS:
        return _of_triplets(part, embed)
    if part.task is Task.LABELS and scored.nearest is not None:
        return _of_classes(part, scored.nearest[:, 0], embed)
    return None


def _of_retrieval(part: Part, top: IntArray, embed: Embed) -> Judged:
    assert part.retrieval is not None
    found = np.flatnonzero(top[:, 0] >= 0)
    queries, first = part.items[found, 0], top[found, 0]
    grades = (part.retrieval.grades(query) for query in queries.tolist())
    same = [grade.get(document, 0) > 0 for grade, document in zip(grades, first.tolist(), strict=True)]
    near = row_similarities(embed("query", queries), embed("document", first), similarity=embed.similarity)
    groups = None if part.groups is None else part.groups[found]
    what = "a query with its first result, the same where that is relevant"
    return Judged(near, np.array(same, dtype=bool), groups, what)


def _of_triplets(part: Part, embed: Embed) -> Judged:
    anchors, positives, negatives = part.items.T
    pairs = np.unique(np.concatenate([part.items[:, :2], np.stack([anchors, negatives], axis=1)]), axis=0)
    known = {tuple(pair) for pair in np.stack([anchors, positives], axis=1).tolist()}
    near = row_similarities(
        embed("query", pairs[:, 0]), embed("document", pairs[:, 1]), similarity=embed.similarity
    )
    same = np.array([tuple(pair) in known for pair in pairs.tolist()], dtype=bool)
    what = "an anchor with a positive, which is the same, or with a negative"
    return Judged(near, same, pairs[:, 0], what)


def _of_classes(part: Part, nearest: IntArray, embed: Embed) -> Judged:
    assert part.classes is not None
    memory = part.classes.memory
    assert memory is not None
    assert memory.labels is not None
    texts, known = embed("left", part.items[:, 0]), embed("right", memory.anchors)
    near = row_similarities(texts, known, right_rows=nearest, similarity=embed.similarity)
    same = memory.labels[nearest] == part.classes.of_items
    what = "a text with the nearest text of known class, the same where that class is right"
    return Judged(near, np.asarray(same, dtype=bool), part.groups, what)
