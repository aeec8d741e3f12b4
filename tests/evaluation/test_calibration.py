"""The cut for a wanted precision: by hand, by brute force, by scikit-learn's curve, and by coverage."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import precision_recall_curve

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.calibration import _interval, calibrate
from sbert_triplet.evaluation.pairs import at_threshold
from sbert_triplet.evaluation.resampling import bootstrap_draws

SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
SAME = np.array([1, 1, 0, 1, 0, 0])
"""Precision from the top: 1, 1, 2/3, 3/4, 3/5, 1/2."""


def noisy(count: int, seed: int, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    same = (rng.random(count) < 0.4).astype(np.float64)
    return np.round(rng.normal(size=count) + 1.5 * same, digits), same


@pytest.mark.parametrize(
    ("precision", "cut", "found", "recall"),
    [
        (1.0, 0.75, 1.0, 2 / 3),
        (0.76, 0.75, 1.0, 2 / 3),
        (0.75, 0.55, 0.75, 1.0),  # below a level of 2/3
        (0.7, 0.55, 0.75, 1.0),
        (0.6, 0.45, 0.6, 1.0),
        (0.5, 0.4, 0.5, 1.0),  # everything passes
        (0.01, 0.4, 0.5, 1.0),
    ],
)
def test_the_lowest_cut_that_is_precise_enough(
    precision: float, cut: float, found: float, recall: float
) -> None:
    result = calibrate(SCORES, SAME, precision=precision, draws=50)
    assert result.reached
    assert result.cut.similarity == pytest.approx(cut)
    assert (result.cut.precision, result.cut.recall) == (pytest.approx(found), pytest.approx(recall))
    assert (result.pairs, result.groups, result.wanted) == (6, None, precision)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("precision", [0.6, 0.8, 0.9])
def test_recall_is_the_highest_of_scikit_learn_curve(seed: int, precision: float) -> None:
    scores, same = noisy(200, seed)
    result = calibrate(scores, same, precision=precision, draws=10)
    precisions, recalls, _ = precision_recall_curve(same, scores)
    assert result.cut.recall == pytest.approx(recalls[:-1][precisions[:-1] >= precision].max())
    assert result.cut == at_threshold(scores, same, result.cut.similarity)


def test_a_precision_that_no_cut_has() -> None:
    """The two highest are not the same; from the third on 1/3, then 2/4, then 2/5."""
    scores, same = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([0, 0, 1, 1, 0])
    result = calibrate(scores, same, precision=0.9, draws=200)
    assert not result.reached
    assert result.cut.similarity == pytest.approx(0.55)
    assert (result.cut.precision, result.cut.recall) == (0.5, 1.0)
    assert result.sentence() == (
        "no similarity cuts these 5 pairs with a precision of 0.9: the highest is 0.500, from 0.5500 "
        "upwards, with recall 1.000"
    )
    assert result.as_json()["reached"] is False
    # In resamples another cut, or none, is chosen: their recalls (0 where none) are not about this one.
    assert np.isnan([*result.similarity, *result.recall]).all()
    assert result.precision[0] <= result.cut.precision <= result.precision[1]


def test_of_equal_highest_precisions_the_one_that_finds_more() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    result = calibrate(scores, np.array([1, 0, 1, 0, 0, 0]), precision=1.0, draws=10)
    assert result.cut.similarity == pytest.approx(0.85)
    # Precision 0, 1/2, 1/3, 2/4, 2/5.
    tied = calibrate(scores[:5], np.array([0, 1, 0, 1, 0]), precision=0.9, draws=10)
    assert tied.cut.similarity == pytest.approx(0.55)


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(20), 3) * 7])
@pytest.mark.parametrize("precision", [0.7, 0.95])
def test_intervals_are_those_of_the_rows_drawn(groups: np.ndarray | None, precision: float) -> None:
    """Every resample calibrated by itself, on the rows that it consists of."""
    scores, same = noisy(60, 3, digits=1)
    result = calibrate(scores, same, precision=precision, groups=groups, draws=300, seed=4)
    units = np.arange(60) if groups is None else np.unique(groups, return_inverse=True)[1]
    count = units.max() + 1
    cuts, recalls, precisions = [], [], []
    for drawn in bootstrap_draws(count, 300, np.random.default_rng(4), 12 * 60):
        for one in drawn:
            rows = np.concatenate([np.flatnonzero(units == unit) for unit in one])
            own = calibrate(scores[rows], same[rows], precision=precision, draws=1)
            cuts.append(own.cut.similarity if own.reached else np.inf)
            recalls.append(own.cut.recall if own.reached else 0.0)
            precisions.append(at_threshold(scores[rows], same[rows], result.cut.similarity).precision)
    assert result.similarity == pytest.approx(_interval(np.array(cuts), count, 0.95))
    assert result.recall == pytest.approx(_interval(np.array(recalls), count, 0.95))
    shown = _interval(np.array(precisions)[np.isfinite(precisions)], count, 0.95)
    if precision < 0.9:
        assert result.precision == pytest.approx(shown)
        assert result.precision[0] < result.cut.precision < result.precision[1]
    else:
        # No resample shows a wrong pair: the bound of the binomial distribution, by scipy.
        passing = len(np.unique(units[scores >= result.cut.similarity]))
        exact = binomtest(passing, passing).proportion_ci(0.95, method="exact")
        assert shown == (1, 1)
        assert result.precision == pytest.approx((exact.low, exact.high))
    assert result.reached_share == np.isfinite(cuts).mean()
    assert result.groups == (None if groups is None else 20)
    assert result.similarity[0] <= result.cut.similarity <= result.similarity[1]
    assert result.recall[0] <= result.cut.recall <= result.recall[1]


def test_whole_groups_widen_the_interval() -> None:
    """Ten copies of every pair tell no more than one of each."""
    scores, same = noisy(60, 8)
    alone = calibrate(scores, same, precision=0.8)
    copies = np.repeat(np.arange(60), 10)
    taken_apart = calibrate(scores[copies], same[copies], precision=0.8)
    grouped = calibrate(scores[copies], same[copies], precision=0.8, groups=copies)
    assert grouped.similarity == alone.similarity
    assert grouped.recall == pytest.approx(alone.recall)
    assert np.ptp(taken_apart.recall) < 0.6 * np.ptp(grouped.recall)


def test_the_interval_covers_the_cut_of_all_pairs() -> None:
    everything = noisy(200_000, 99, digits=6)
    truth = calibrate(*everything, precision=0.8, draws=1)
    cuts = recalls = 0
    for seed in range(60):
        result = calibrate(*noisy(300, seed, digits=6), precision=0.8, draws=300)
        cuts += result.similarity[0] <= truth.cut.similarity <= result.similarity[1]
        recalls += result.recall[0] <= truth.cut.recall <= result.recall[1]
    assert cuts >= 52
    assert recalls >= 52


def test_the_upper_end_is_open_where_resamples_do_not_reach_it() -> None:
    """Nineteen of the twenty highest are the same, and 0.95 is wanted."""
    scores = np.linspace(1, 0, 40)
    same = np.array([0.0] + [1.0] * 19 + [0.0] * 20)
    result = calibrate(scores, same, precision=0.95)
    assert result.reached
    assert 0.3 < result.reached_share < 0.9
    assert result.similarity[1] == math.inf
    assert result.recall[0] == 0
    found = json.loads(json.dumps(result.as_json(), allow_nan=False))
    assert found["similarity_high"] is None
    assert found["similarity"] == pytest.approx(result.cut.similarity)
    assert (found["reached"], found["n"], found["recall_low"]) == (True, 40, 0)
    assert "to none that is precise enough) upwards 0.950 of the pairs" in result.sentence()


def test_few_units_have_no_interval() -> None:
    result = calibrate(SCORES, SAME, precision=0.7, groups=np.array([0, 0, 1, 1, 2, 3]), draws=100)
    assert result.groups == 4
    assert np.isnan([*result.similarity, *result.recall, *result.precision]).all()
    assert result.sentence() == (
        "from a similarity of 0.5500 upwards 0.750 of the pairs are the same, and 1.000 of those that are "
        "the same are found"
    )
    assert result.as_json()["similarity_low"] is None


def test_the_same_seed_gives_the_same() -> None:
    scores, same = noisy(100, 1)
    one, other = (calibrate(scores, same, precision=0.8, draws=200, seed=seed) for seed in (1, 2))
    assert one == calibrate(scores, same, precision=0.8, draws=200, seed=1)
    assert one.cut == other.cut
    assert (one.similarity, one.precision) != (other.similarity, other.precision)


def test_tied_similarities_pass_together() -> None:
    result = calibrate(np.array([0.9, 0.5, 0.5, 0.5]), np.array([1, 1, 1, 0]), precision=0.8, draws=10)
    assert result.cut.similarity == pytest.approx(0.7)
    assert result.cut.recall == pytest.approx(1 / 3)


def test_what_cannot_be_calibrated_is_refused() -> None:
    for wanted in (0.0, 1.01, float("nan")):
        with pytest.raises(ValueError, match="the wanted precision is"):
            calibrate(SCORES, SAME, precision=wanted)
    with pytest.raises(ValueError, match="no pair belongs together"):
        calibrate(SCORES, np.zeros(6), precision=0.5)
    with pytest.raises(ValueError, match="0 or 1"):
        calibrate(SCORES, SAME * 0.5, precision=0.5)
    with pytest.raises(ValueError, match=r"groups \(5,\)"):
        calibrate(SCORES, SAME, precision=0.5, groups=np.arange(5))
    with pytest.raises(InputError, match="pair 1 is inf"):
        calibrate(np.array([0.1, np.inf]), np.array([0, 1]), precision=0.5)
