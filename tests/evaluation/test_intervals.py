"""Intervals: values by hand, by SciPy and by loops, and the rule that says which one is used."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sbert_triplet.evaluation.intervals import (
    MOST_ACCELERATION,
    acceleration,
    adjusted_interval,
    bca_interval,
    choose,
    mean_interval,
    percentile_interval,
    statistic_interval,
    studentised_interval,
)
from sbert_triplet.evaluation.units import Draws, Units, draw_means


def items(differences: np.ndarray) -> Units:
    return Units(np.asarray(differences, dtype=np.float64), np.ones(len(differences)))


def drawn(units: Units, draws: int = 10_000, seed: int = 0) -> Draws:
    return draw_means(units, draws, np.random.default_rng(seed))


def test_on_many_units_the_percentile_interval_is_the_plain_one() -> None:
    values = np.random.default_rng(3).normal(size=10_000)
    expected = np.quantile(values, [0.025, 0.975])
    np.testing.assert_allclose(percentile_interval(values, 10**6), expected, atol=1e-4)
    with_undefined = np.concatenate([values, np.full(100, np.nan)])
    assert percentile_interval(with_undefined, 10**6) == percentile_interval(values, 10**6)


def test_on_few_units_the_percentile_interval_is_as_wide_as_students() -> None:
    """Bootstrap values of a mean have standard deviation sqrt((U - 1) / U) of its standard error."""
    values = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000) * np.sqrt(9 / 10)
    low, high = percentile_interval(values, 10)
    assert high == pytest.approx(stats.t.ppf(0.975, 9), abs=2e-3)
    assert low == pytest.approx(-high)


def test_bca_equals_scipys_up_to_the_widening() -> None:
    differences = np.random.default_rng(5).exponential(0.1, 50)
    units = items(differences)
    tail = stats.norm.cdf(-stats.t.ppf(0.975, 49) * np.sqrt(50 / 49))
    expected = stats.bootstrap(
        (differences,), np.mean, confidence_level=1 - 2 * tail, method="BCa", n_resamples=40_000, rng=6
    ).confidence_interval
    found = bca_interval(drawn(units, 40_000).values, units.mean, units.left_out)
    np.testing.assert_allclose(found, expected, atol=1.2e-3)
    plain = percentile_interval(drawn(units, 40_000).values, 50)
    assert found[0] > plain[0]
    assert found[1] > plain[1] + 1e-3


def test_acceleration_of_a_mean_is_a_sixth_of_its_skewness() -> None:
    differences = np.random.default_rng(6).lognormal(size=80)
    expected = stats.skew(differences) / (6 * np.sqrt(80))
    assert acceleration(items(differences).left_out) == pytest.approx(expected)
    assert acceleration(np.ones(9)) == 0


def test_bca_without_bias_to_speak_of_is_undefined() -> None:
    assert np.isnan(bca_interval(np.linspace(1, 2, 100), 3.0, np.arange(10.0))).all()
    assert np.isnan(bca_interval(np.full(9, np.nan), 3.0, np.arange(10.0))).all()


def test_studentised_by_hand() -> None:
    """Ratios (value - 2) / error of -1, 0 and 1: the middle 95 % of them lie between -.95 and .95."""
    draws = Draws(np.array([1.0, 2.0, 4.0, 5.0]), np.array([1.0, 7.0, 2.0, np.nan]))
    assert studentised_interval(2.0, 10.0, draws) == pytest.approx((2 - 9.5, 2 + 9.5))


def test_studentised_on_symmetric_differences_is_students() -> None:
    differences = stats.norm.ppf((np.arange(100) + 0.5) / 100)
    units = items(differences)
    half = stats.t.ppf(0.975, 99) * stats.sem(differences)
    np.testing.assert_allclose(
        studentised_interval(units.mean, units.error, drawn(units, 40_000)), [-half, half], atol=0.012
    )


def test_studentised_reaches_further_to_the_long_side() -> None:
    units = items(np.random.default_rng(7).lognormal(size=60))
    low, high = studentised_interval(units.mean, units.error, drawn(units))
    percentiles = percentile_interval(drawn(units).values, 60)
    assert high > percentiles[1]
    assert low > percentiles[0]


def test_adjusted_by_hand() -> None:
    """7 gained and 1 lost of 40: mean 6/41, its variance (9/41 - (6/41)^2) / 41, and t_40 = 2.021075."""
    units = items(np.array([1.0] * 7 + [-1.0] + [0.0] * 32))
    assert adjusted_interval(units, 1.0) == pytest.approx((0.005857, 0.286826), abs=2e-6)
    assert adjusted_interval(items(np.ones(6)), 1.0)[1] == 1.0


def test_hits_that_are_all_as_before_are_not_known_to_stay_so() -> None:
    """Half a gain and half a loss of 41: standard error sqrt(1 / 41 / 41), and t_40 = 2.021075."""
    units = Units(np.zeros(40), np.ones(40), hits=True)
    found = mean_interval(units, drawn(units, 100))
    assert (found.low, found.high) == pytest.approx((-0.049295, 0.049295), abs=2e-6)
    assert found.approximate


def test_adjusted_is_in_the_unit_of_the_differences() -> None:
    units = items(np.array([1.0] * 7 + [-1.0] + [0.0] * 32))
    halves = items(units.totals / 2)
    assert adjusted_interval(halves, 0.5) == pytest.approx((0.005857 / 2, 0.286826 / 2), abs=2e-6)


@pytest.mark.parametrize(
    ("totals", "sizes", "expected"),
    [
        (np.arange(4.0), np.ones(4), None),
        (np.zeros(40), np.ones(40), "percentile"),
        (np.array([0.0] * 30 + [1, 1, -1, 1, 1, 1, 1]), np.ones(37), "adjusted"),
        (np.array([0.0] * 30 + [1, 1, -1, 1, 1, 1, 1]), np.full(37, 2.0), "percentile"),
        (np.array([0.0] * 3 + [1, 1, -1, 1, 1, 1, 1]), np.full(10, 2.0), "studentised"),
        (np.array([0.0] * 30 + [1, 1, -1] * 4), np.full(42, 2.0), "studentised"),
        (np.array([0.0] * 30 + [0.1, 0.2]), np.ones(32), "percentile"),
        (np.arange(40.0), np.ones(40), "studentised"),
    ],
)
def test_which_one_is_used(totals: np.ndarray, sizes: np.ndarray, expected: str | None) -> None:
    units = Units(totals, sizes)
    assert choose(units) == expected
    found = mean_interval(units, drawn(units, 500))
    assert found.method == expected
    assert np.isfinite([found.low, found.high]).all() == (expected is not None)


def test_few_or_skewed_differences_make_it_approximate() -> None:
    rng = np.random.default_rng(8)
    even = items(rng.normal(size=100))
    assert not mean_interval(even, drawn(even, 500)).approximate
    few = items(rng.normal(size=12))
    assert mean_interval(few, drawn(few, 500)).approximate
    few_changed = items(np.concatenate([np.zeros(100), rng.normal(size=8)]))
    assert mean_interval(few_changed, drawn(few_changed, 500)).approximate
    skewed = items(np.append(rng.normal(size=40), 30.0))
    assert acceleration(skewed.left_out) > MOST_ACCELERATION
    assert mean_interval(skewed, drawn(skewed, 500)).approximate


def test_draws_without_spread_leave_the_percentile_interval() -> None:
    units = items(np.arange(40.0))
    values = np.linspace(10, 30, 500)
    found = mean_interval(units, Draws(values, np.zeros(500)))
    assert (found.low, found.high) == percentile_interval(values, 40)
    assert found.method == "percentile"
    assert found.approximate


@pytest.mark.parametrize(("changed", "clear"), [(0, False), (5, False), (6, True)])
def test_five_changed_units_cannot_clear_the_interval_of_0(changed: int, clear: bool) -> None:
    found = statistic_interval(np.linspace(0.1, 0.2, 1_000), 100, changed)
    assert (found.low > 0) is clear
    found = statistic_interval(np.linspace(-0.2, -0.1, 1_000), 100, changed)
    assert (found.high < 0) is clear


def test_fewer_than_five_units_or_many_undefined_draws_give_no_interval() -> None:
    values = np.linspace(1, 2, 1_000)
    assert np.isnan(statistic_interval(values, 4, 4).low)
    values[:51] = np.nan
    assert statistic_interval(values, 100, 100).method is None
    values[0] = 1.0
    assert statistic_interval(values, 100, 100).method == "percentile"
