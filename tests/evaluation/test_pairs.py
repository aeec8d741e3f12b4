"""Average precision and thresholds of binary pairs, against scikit-learn and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.pairs import PAIR_AP, at_threshold, best_f1_threshold, evaluate_pairs
from sbert_triplet.evaluation.resampling import bootstrap_draws, counts_of


def test_tied_similarities_pass_a_threshold_together() -> None:
    """Thresholds .9 (1 of 1) and .5 (2 of 4): AP = 1/2 * 1 + 1/2 * 2/4, in any order of the ties."""
    similarities = np.array([0.9, 0.5, 0.5, 0.5])
    for same in ([1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]):
        assert evaluate_pairs(similarities, np.array(same)).value == pytest.approx(0.75)


def test_a_collapsed_model_scores_the_share_of_positives() -> None:
    assert evaluate_pairs(np.ones(8), np.array([1, 0, 0, 0, 0, 0, 0, 1])).value == pytest.approx(0.25)


@pytest.mark.parametrize("digits", [1, 6])
def test_equals_scikit_learn(digits: int) -> None:
    rng = np.random.default_rng(digits)
    same = rng.random(300) < 0.3
    similarities = np.round(rng.normal(size=300) + same, digits)
    expected = average_precision_score(same, similarities)
    assert evaluate_pairs(similarities, same).value == pytest.approx(expected, abs=1e-12)


def test_resamples_equal_scikit_learn_on_the_rows_drawn() -> None:
    rng = np.random.default_rng(2)
    same = (rng.random(40) < 0.3).astype(float)
    similarities = np.round(rng.normal(size=40) + same, 1)
    drawn = np.concatenate(list(bootstrap_draws(40, 100, rng, 40)))
    found = PAIR_AP.prepare(similarities, same)(counts_of(drawn))
    expected = [average_precision_score(same[rows], similarities[rows]) for rows in drawn]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_no_positive_pair_is_undefined_with_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match="no pair belongs together"):
        assert np.isnan(evaluate_pairs(np.array([0.1, 0.2]), np.array([0, 0])).value)
    with pytest.raises(ValueError, match="no pair belongs together"):
        best_f1_threshold(np.array([0.1, 0.2]), np.array([0, 0]))


def test_best_threshold_lies_half_way_below_the_last_that_passes() -> None:
    best = best_f1_threshold(np.array([0.9, 0.7, 0.3, 0.1]), np.array([1, 1, 0, 0]))
    assert (best.similarity, best.precision, best.recall, best.f1) == (pytest.approx(0.5), 1.0, 1.0, 1.0)
    everything = best_f1_threshold(np.array([0.2, 0.4]), np.array([1, 1]))
    assert everything.similarity == 0.2
    assert everything.f1 == 1.0


def test_best_threshold_is_best_by_brute_force() -> None:
    rng = np.random.default_rng(4)
    for _ in range(30):
        same = rng.random(25) < 0.4
        same[0] = True
        similarities = np.round(rng.normal(size=25) + same, 1)
        best = best_f1_threshold(similarities, same)
        scores = [f1_score(same, similarities >= cut) for cut in similarities]
        assert best.f1 == pytest.approx(max(scores))
        assert at_threshold(similarities, same, best.similarity) == best


def test_neighbouring_floats_are_still_told_apart() -> None:
    low = 0.5
    high = np.nextafter(low, 1.0)
    best = best_f1_threshold(np.array([high, low]), np.array([1, 0]))
    assert low < best.similarity <= high
    assert best.f1 == 1.0


def test_a_threshold_above_everything_has_no_precision() -> None:
    found = at_threshold(np.array([0.1, 0.2]), np.array([1, 0]), 0.9)
    assert np.isnan(found.precision)
    assert (found.recall, found.f1) == (0.0, 0.0)


def test_what_is_not_a_binary_pair_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        evaluate_pairs(np.array([0.1, 0.2]), np.array([0.5, 1]))
    with pytest.raises(InputError, match="pair 1 is nan"):
        evaluate_pairs(np.array([0.1, np.nan]), np.array([0, 1]))
    with pytest.raises(ValueError, match="cannot be paired"):
        evaluate_pairs(np.array([0.1, 0.2]), np.array([1]))
