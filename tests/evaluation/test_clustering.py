"""Clustering: the V-measure against scikit-learn, and what k-means is given."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import v_measure_score

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.clustering import V_MEASURE, cluster, evaluate_clustering
from sbert_triplet.evaluation.significance import compare_statistic
from sbert_triplet.evaluation.verdict import plain_sentence, verdict


def clouds(texts: int = 120, classes: int = 4, spread: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Classes around points far apart, and their numbers, which are no positions."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, classes, texts)
    points = np.eye(classes, 8)[labels] + spread * rng.normal(size=(texts, 8))
    return points.astype(np.float32), labels * 7 + 2


groupings = st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 3)), min_size=1, max_size=40)


@given(groupings)
def test_the_measure_equals_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    groups, labels = np.array(pairs, dtype=np.float64).T
    value = V_MEASURE(groups, labels)
    if len(np.unique(labels)) == 1:
        assert math.isnan(value)
    else:
        assert value == pytest.approx(v_measure_score(labels, groups), abs=1e-12)


@given(groupings.filter(lambda pairs: len({label for _, label in pairs}) > 1), st.integers(0, 2**32 - 1))
def test_a_resample_is_measured_as_the_items_drawn(pairs: list[tuple[int, int]], seed: int) -> None:
    groups, labels = np.array(pairs, dtype=np.float64).T
    drawn = np.random.default_rng(seed).integers(0, len(pairs), len(pairs))
    counts = np.bincount(drawn, minlength=len(pairs)).astype(np.float64)[:, None]
    value = float(V_MEASURE.prepare(groups, labels)(counts)[0])
    if len(np.unique(labels[drawn])) == 1:
        assert math.isnan(value)
    else:
        assert value == pytest.approx(v_measure_score(labels[drawn], groups[drawn]), abs=1e-12)


@pytest.mark.parametrize("most_at_once", [10_000, 100])
def test_classes_that_lie_apart_are_found(most_at_once: int) -> None:
    points, labels = clouds()
    groups = cluster(points, 4, similarity="cosine", most_at_once=most_at_once)
    assert v_measure_score(labels, groups) == pytest.approx(1.0)
    assert groups.tolist() == cluster(points, 4, similarity="cosine", most_at_once=most_at_once).tolist()


def test_right_groups_are_1_and_a_collapsed_model_is_0() -> None:
    points, labels = clouds()
    value, groups = evaluate_clustering(points, labels, similarity="cosine")
    assert (value.metric, value.value, value.per_item) == ("V-measure", pytest.approx(1.0), None)
    assert len(np.unique(groups)) == 4
    value, groups = evaluate_clustering(np.ones_like(points), labels, similarity="cosine")
    assert value.value == 0.0
    assert len(np.unique(groups)) == 1


def test_under_cosine_lengths_say_nothing() -> None:
    points, labels = clouds()
    longer = points * np.where(np.arange(len(points)) % 2, 1.0, 50.0)[:, None].astype(np.float32)
    assert evaluate_clustering(longer, labels, similarity="cosine")[0].value == pytest.approx(1.0)
    assert evaluate_clustering(longer, labels, similarity="euclidean")[0].value < 0.9


def test_embeddings_that_cannot_be_written_to() -> None:
    points, labels = clouds()
    points.flags.writeable = False
    kept = points.copy()
    evaluate_clustering(points, labels, similarity="euclidean")
    np.testing.assert_array_equal(points, kept)


def test_what_cannot_be_measured() -> None:
    points, labels = clouds()
    with pytest.warns(RuntimeWarning, match="of 1 class, and it takes 2"):
        value, _ = evaluate_clustering(points, np.ones(len(points), dtype=np.int64), similarity="cosine")
    assert math.isnan(value.value)
    with pytest.raises(ValueError, match="120 embeddings, but 3 labels"):
        evaluate_clustering(points, labels[:3], similarity="cosine")
    points[5, 0] = np.nan
    with pytest.raises(InputError, match="row 5 of the embeddings holds NaN"):
        evaluate_clustering(points, labels, similarity="cosine")


def test_two_clusterings_are_compared_whatever_their_groups_are_called() -> None:
    labels = np.repeat(np.arange(4.0), 60)
    rng = np.random.default_rng(5)
    base, tuned = rng.integers(0, 4, 240).astype(np.float64), labels.copy()
    wrong = rng.choice(240, 20, replace=False)
    tuned[wrong] = rng.integers(0, 4, 20)
    comparison = compare_statistic("V-measure", V_MEASURE, base, tuned, labels, draws=2_000)
    assert comparison.base == pytest.approx(v_measure_score(labels, base))
    assert comparison.tuned == pytest.approx(v_measure_score(labels, tuned))
    assert 0.5 < comparison.low < comparison.difference < comparison.high < 1.0
    assert math.isnan(comparison.p_value)
    assert verdict(comparison) == "better"
    assert plain_sentence(comparison).startswith("Groups found among the texts follow the classes more")
    renamed = compare_statistic("V-measure", V_MEASURE, base, 9 - tuned, labels, draws=2_000)
    assert (renamed.low, renamed.high) == (comparison.low, comparison.high)
    same = compare_statistic("V-measure", V_MEASURE, tuned, 9 - tuned, labels, draws=500)
    assert (same.difference, same.low, same.high) == (0.0, 0.0, 0.0)
    assert verdict(same) == "not shown better"
