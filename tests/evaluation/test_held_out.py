"""Which sides texts are embedded on, and what they are compared by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.distances import Chebyshev
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.evaluation.held_out import hold_out
from sbert_triplet.evaluation.metrics import parse_metric
from sbert_triplet.nearest import Similarity

POINTS = np.array([[0, 0], [2, 2], [3, 0], [2.2, 2.2], [0, 3], [-1, 0.5]], dtype=np.float32)
"""From the first point the fourth is nearer than the third by the largest coordinate, farther by Euclid."""


@dataclass
class Points:
    """Embeddings that are given, and the sides that were asked for."""

    similarity: Similarity
    asked: list[tuple[Side, list[int]]] = field(default_factory=list)

    def __call__(self, side: Side, ids: np.ndarray) -> np.ndarray:
        self.asked.append((side, ids.tolist()))
        return POINTS[ids]


def rows(kind: Kind, anchors: Sequence[int], **parts: Sequence[int] | Sequence[float] | Ragged) -> Examples:
    arrays = {
        name: values if isinstance(values, Ragged) else np.array(values) for name, values in parts.items()
    }
    return Examples(kind, anchors=np.array(anchors), row_numbers=np.arange(len(anchors)), **arrays)  # type: ignore[arg-type]


@pytest.mark.parametrize(("similarity", "right"), [("euclidean", 0.0), (Chebyshev(), 1.0)])
def test_triplets(similarity: Similarity, right: float) -> None:
    test = rows(Kind.TRIPLETS, [0], positives=[3], negatives=Ragged.from_lists([[2]]))
    (scored,) = hold_out(test, [parse_metric("triplet accuracy")], pool=np.zeros(0, dtype=np.int64)).score(
        Points(similarity)
    )
    assert scored.values["triplet accuracy"].value == right


@pytest.mark.parametrize(("similarity", "first"), [("euclidean", 2), (Chebyshev(), 3)])
def test_retrieval(similarity: Similarity, first: int) -> None:
    test = rows(Kind.PAIRS, [0], positives=[3])
    points = Points(similarity)
    (scored,) = hold_out(test, [parse_metric("RR@10")], pool=np.array([2, 3])).score(points)
    assert scored.top_ids is not None
    assert scored.top_ids[0, 0] == first
    assert [side for side, _ in points.asked] == ["query", "document"]


def test_scored_pairs_have_a_left_and_a_right_side() -> None:
    test = rows(Kind.SCORED, [0, 0, 4], positives=[1, 2, 5], scores=[3.0, 2.0, 1.0])
    held_out = hold_out(test, [parse_metric("Spearman")], pool=np.zeros(0, dtype=np.int64))
    points = Points(Chebyshev())
    (scored,) = held_out.score(points)
    assert points.asked == [("left", [0, 0, 4]), ("right", [1, 2, 5])]
    assert scored.predictions is not None
    np.testing.assert_allclose(scored.predictions, [-2, -3, -2.5])
    assert {side for side, _ in held_out.wanted} == {"left", "right"}


@pytest.mark.parametrize(("similarity", "right"), [("euclidean", 0.0), (Chebyshev(), 1.0)])
def test_labelled_texts_are_looked_up_among_those_known(similarity: Similarity, right: float) -> None:
    test, memory = rows(Kind.LABELLED, [0], labels=[1]), rows(Kind.LABELLED, [2, 3], labels=[0, 1])
    points = Points(similarity)
    (scored,) = hold_out(
        test, [parse_metric("1-NN accuracy")], pool=np.zeros(0, dtype=np.int64), memory=memory
    ).score(points)
    assert scored.values["1-NN accuracy"].value == right
    assert sorted(points.asked) == [("left", [0]), ("right", [2, 3])]


def test_all_metrics_of_labels_are_those_asked_for() -> None:
    test, memory = rows(Kind.LABELLED, [3], labels=[1]), rows(Kind.LABELLED, [2, 1, 5], labels=[0, 1, 2])
    for names in (["logistic accuracy"], ["centroid accuracy", "logistic accuracy"], ["1-NN accuracy"]):
        held_out = hold_out(
            test, [parse_metric(name) for name in names], pool=np.zeros(0, dtype=np.int64), memory=memory
        )
        (scored,) = held_out.score(Points("cosine"))
        assert list(scored.values) == names
        assert scored.values[names[0]].value == 1.0


def test_clustered_texts() -> None:
    test = rows(Kind.LABELLED, [1, 3, 5, 5], labels=[4, 4, 0, 0])
    held_out = hold_out(test, [parse_metric("V-measure")], pool=np.zeros(0, dtype=np.int64))
    points = Points("cosine")
    (scored,) = held_out.score(points)
    assert points.asked == [("left", [1, 3, 5, 5])]
    assert scored.values["V-measure"].value == pytest.approx(1.0)
    assert scored.predictions is not None
    assert scored.predictions[0] == scored.predictions[1] != scored.predictions[2] == scored.predictions[3]
    comparison = held_out.parts[0].compare(scored, scored)["V-measure"]
    assert (comparison.difference, comparison.n) == (0.0, 4)


def test_the_best_threshold_of_pairs_goes_with_them() -> None:
    test = rows(Kind.SCORED, [1, 0, 4, 1], positives=[3, 2, 5, 2], scores=[1.0, 0.0, 0.0, 1.0])
    held_out = hold_out(test, [parse_metric("pair AP")], pool=np.zeros(0, dtype=np.int64))
    (scored,) = held_out.score(Points("euclidean"))
    assert scored.threshold is not None
    assert scored.threshold.f1 == 1.0
    assert -np.sqrt(7.25) < scored.threshold.similarity < -np.sqrt(5)
    none = rows(Kind.NLI, [1, 0], positives=[3, 2], labels=[2, 1])
    held_out = hold_out(none, [parse_metric("pair AP")], pool=np.zeros(0, dtype=np.int64))
    with pytest.warns(RuntimeWarning, match="no pair belongs together"):
        (scored,) = held_out.score(Points("euclidean"))
    assert scored.threshold is None


@pytest.mark.parametrize("name", ["V-measure", "logistic accuracy"])
def test_what_pairs_cannot_be_measured_by(name: str) -> None:
    test = rows(Kind.SCORED, [0], positives=[1], scores=[3.0])
    with pytest.raises(ValueError, match=f"{name} needs labelled texts"):
        hold_out(test, [parse_metric(name)], pool=np.zeros(0, dtype=np.int64))


@pytest.mark.parametrize(
    ("scores", "gold"),
    [
        ([0.0, 0.0, 0.0], [0, 0, 0]),
        ([-1.0, -1.0, -1.0], [0, 0, 0]),
        ([1.0, 1.0, 1.0], [1, 1, 1]),
        ([0.0, 5.0, 0.0], [0, 1, 0]),
        ([-1.0, 0.0, -1.0], [0, 1, 0]),
    ],
)
def test_the_larger_of_two_scores_is_yes_and_zero_alone_is_no(scores: list[float], gold: list[int]) -> None:
    """Held-out pairs may all be no: their average precision is undefined then, and not 1."""
    test = rows(Kind.SCORED, [0, 0, 4], positives=[1, 2, 5], scores=scores)
    held_out = hold_out(test, [parse_metric("pair AP")], pool=np.zeros(0, dtype=np.int64))
    assert held_out.parts[0].gold is not None
    assert held_out.parts[0].gold.tolist() == gold
    if any(gold):
        (scored,) = held_out.score(Points("euclidean"))
    else:
        with pytest.warns(RuntimeWarning, match="pair AP is undefined: no pair belongs together"):
            (scored,) = held_out.score(Points("euclidean"))
    assert np.isnan(scored.values["pair AP"].value) == (not any(gold))
