from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sbert_triplet.evaluation.histograms import edges_over, histograms, told_apart


def test_counts_means_and_who_is_told_apart() -> None:
    groups = {
        "near": np.array([0.9, 0.8, 0.5]),
        "far": np.array([0.1, 0.5]),
        "none": np.zeros(0),
    }
    found = histograms(groups, np.array([0.0, 0.4, 0.6, 1.0]))
    assert list(found) == ["near", "far"]
    assert found["near"]["counts"] == [0, 1, 2]
    assert found["far"]["counts"] == [1, 1, 0]
    assert found["near"]["mean"] == pytest.approx(2.2 / 3)
    assert found["near"]["sd"] == pytest.approx(np.std([0.9, 0.8, 0.5]))
    assert "told_apart" not in found["near"]
    # Of six pairs five are in order, and one is a tie.
    assert found["far"]["told_apart"] == pytest.approx(5.5 / 6)


def test_told_apart_is_the_area_under_the_roc_curve() -> None:
    rng = np.random.default_rng(4)
    near, far = rng.integers(0, 9, 50) / 8, rng.integers(-3, 7, 70) / 8
    truth = np.concatenate([np.ones(50), np.zeros(70)])
    assert told_apart(near, far) == pytest.approx(roc_auc_score(truth, np.concatenate([near, far])))


def test_edges_hold_every_value() -> None:
    base, tuned = {"a": np.array([0.2, 0.4]), "b": np.zeros(0)}, {"a": np.array([-0.3, 0.9])}
    edges = edges_over(base, tuned, bins=12)
    assert len(edges) == 13
    assert edges[0] == -0.3
    assert edges[-1] == 0.9
    assert np.diff(edges) == pytest.approx(np.full(12, 0.1))
    for group in (base, tuned):
        assert sum(histograms(group, edges)["a"]["counts"]) == 2


def test_values_that_are_all_the_same_have_bins_too() -> None:
    edges = edges_over({"a": np.full(4, 1.0)})
    assert histograms({"a": np.full(4, 1.0)}, edges)["a"]["counts"][0] == 4
    assert len(edges_over({})) == len(edges)
