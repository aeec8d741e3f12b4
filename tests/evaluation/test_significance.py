"""Intervals and p-values: against brute force, against SciPy, and by simulation where the truth is known."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sbert_triplet.evaluation.correlations import williams
from sbert_triplet.evaluation.intervals import SKEWED, SMALLER
from sbert_triplet.evaluation.metrics import parse_metric
from sbert_triplet.evaluation.pairs import PAIR_AP
from sbert_triplet.evaluation.significance import STATISTICS, compare_items, compare_statistic
from sbert_triplet.evaluation.sts import PEARSON, SPEARMAN


def test_exact_sign_flip_reference_value() -> None:
    comparison = compare_items("RR@10", np.zeros(4), np.array([0.1, 0.2, -0.05, 0.3]))
    assert comparison.p_value == 0.25
    assert comparison.difference == pytest.approx(0.1375)
    assert np.isnan([comparison.low, comparison.high]).all()


def test_fields() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(50)
    tuned = base + rng.normal(0.05, 0.1, 50)
    comparison = compare_items(parse_metric("mrr@10"), base, tuned)
    assert (comparison.metric, comparison.n, comparison.groups) == ("RR@10", 50, None)
    assert comparison.base == pytest.approx(base.mean())
    assert comparison.tuned == pytest.approx(tuned.mean())
    assert comparison.low < comparison.difference < comparison.high
    assert comparison == compare_items("RR@10", base, tuned)
    assert comparison != compare_items("RR@10", base, tuned, seed=14)


@pytest.mark.parametrize("n", [6, 12])
def test_exact_p_equals_scipy(n: int) -> None:
    rng = np.random.default_rng(n)
    base, tuned = rng.random(n), rng.random(n) + 0.2
    expected = stats.permutation_test(
        (tuned, base), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=2**n
    ).pvalue
    assert compare_items("RR", base, tuned).p_value == pytest.approx(expected, abs=1e-12)


def test_items_without_a_difference_leave_the_p_value_exact() -> None:
    differences = np.array([0.1, 0.2, -0.05, 0.3])
    padded = np.concatenate([differences, np.zeros(500)])
    assert compare_items("RR", np.zeros(504), padded).p_value == 0.25


def test_sums_that_tie_but_for_rounding_are_ties() -> None:
    """Tenths add up in another order to another last bit; the truth is counted in whole numbers."""
    rng = np.random.default_rng(5)
    for _ in range(20):
        tenths = rng.integers(-3, 6, 9)
        signs = np.array(list(itertools.product((-1, 1), repeat=9)))
        expected = np.mean(np.abs(signs @ tenths) >= abs(tenths.sum()))
        assert compare_items("RR", np.zeros(9), tenths / 10).p_value == pytest.approx(expected, abs=1e-12)


def test_sampled_p_is_near_the_exact_one_and_never_0() -> None:
    """21 units are flipped at random; the truth is counted here over all 2^21 sign patterns."""
    rng = np.random.default_rng(3)
    differences = rng.normal(0.25, 1.0, 21)
    sums = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    exact = np.mean(np.abs(sums) >= abs(differences.sum()) - 1e-9)
    found = compare_items("RR", np.zeros(21), differences, draws=20_000).p_value
    assert found == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))
    clear = compare_items("RR", np.zeros(100), np.ones(100), draws=999)
    assert clear.p_value == 1 / 1_000


def test_equal_models_show_nothing() -> None:
    values = np.random.default_rng(4).random(30)
    comparison = compare_items("RR", values, values)
    assert (comparison.low, comparison.high, comparison.p_value) == (0.0, 0.0, 1.0)
    same = compare_statistic("Spearman", SPEARMAN, values, values, np.arange(30.0))
    assert (same.low, same.high, same.p_value) == (0.0, 0.0, 1.0)


def test_interval_of_a_mean_is_studentised() -> None:
    """Here by the mean and SciPy's standard error of every draw; skewed ones have smaller tails."""
    rng = np.random.default_rng(5)
    base = rng.random(60)
    tuned = base + rng.exponential(0.1, 60) - 0.08
    differences = tuned - base
    drawn = differences[rng.integers(0, 60, (20_000, 60))]
    ratios = (drawn.mean(axis=1) - differences.mean()) / stats.sem(drawn, axis=1)
    assert stats.skew(differences) / (6 * np.sqrt(60)) > SKEWED
    tail = 0.025 * SMALLER
    expected = differences.mean() - stats.sem(differences) * np.quantile(ratios, [1 - tail, tail])
    comparison = compare_items("RR", base, tuned, draws=20_000)
    assert comparison.interval == "studentised"
    np.testing.assert_allclose([comparison.low, comparison.high], expected, atol=2e-3)
    assert comparison.high - comparison.difference > 1.2 * (comparison.difference - comparison.low)


def grouped(seed: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Differences and groups of very different size; a group's items share half their variance."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 30, groups)
    ids = np.repeat(rng.permutation(groups) * 7, sizes)
    return np.repeat(rng.normal(0.1, 0.2, groups), sizes) + rng.normal(0, 0.2, len(ids)), ids


def ratio_error(parts: list[np.ndarray]) -> float:
    """The linearised standard error of a mean over all items, from what each group has beyond it."""
    mean, items = np.concatenate(parts).mean(), sum(map(len, parts))
    beyond = [(part - mean).sum() for part in parts]
    return float(np.sqrt(np.square(beyond).sum() * len(parts) / (len(parts) - 1)) / items)


def test_groups_are_resampled_whole_as_a_ratio_of_sums() -> None:
    differences, ids = grouped(0, 15)
    comparison = compare_items("RR", np.zeros(len(ids)), differences, groups=ids)
    assert (comparison.groups, comparison.n) == (15, len(ids))
    rng = np.random.default_rng(1)
    parts = [differences[ids == group] for group in np.unique(ids)]
    ratios = []
    for _ in range(8_000):
        chosen = [parts[i] for i in rng.integers(0, 15, 15)]
        ratios.append((np.concatenate(chosen).mean() - differences.mean()) / ratio_error(chosen))
    expected = differences.mean() - ratio_error(parts) * np.quantile(ratios, [0.975, 0.025])
    np.testing.assert_allclose([comparison.low, comparison.high], expected, atol=0.02)
    alone = compare_items("RR", np.zeros(len(ids)), differences)
    assert comparison.high - comparison.low > 1.5 * (alone.high - alone.low)


def test_groups_are_flipped_whole() -> None:
    differences, ids = grouped(2, 8)
    totals = [differences[ids == group].sum() for group in np.unique(ids)]
    sums = [abs(np.dot(signs, totals)) for signs in itertools.product((-1, 1), repeat=8)]
    expected = np.mean(np.array(sums) >= abs(sum(totals)) - 1e-9)
    found = compare_items("RR", np.zeros(len(ids)), differences, groups=ids).p_value
    assert found == pytest.approx(expected, abs=1e-12)


def test_groups_of_one_item_each_are_items() -> None:
    rng = np.random.default_rng(3)
    base, tuned = rng.random(40), rng.random(40)
    alone = compare_items("RR", base, tuned)
    one_each = compare_items("RR", base, tuned, groups=np.arange(40))
    np.testing.assert_allclose([one_each.low, one_each.high], [alone.low, alone.high], atol=1e-12)
    assert one_each.p_value == alone.p_value


def test_items_undefined_for_both_models_are_left_out() -> None:
    base = np.array([np.nan, 0, 0, 0, 0, 0, 0])
    tuned = np.array([np.nan, 1, 1, 1, 1, 1, 1])
    comparison = compare_items("RR", base, tuned, groups=np.array([9, 1, 2, 3, 4, 5, 6]))
    assert (comparison.n, comparison.groups, comparison.difference) == (6, 6, 1.0)
    assert comparison.p_value == 2 / 2**6
    with pytest.raises(ValueError, match="item 0 has a value for one model only"):
        compare_items("RR", base, np.ones(7))
    nothing = compare_items("RR", base[:1], tuned[:1])
    assert nothing.n == 0
    assert nothing.as_json()["difference"] is None


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        compare_items("RR", np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="cannot be paired"):
        compare_items("RR", np.zeros(3), np.zeros(3), groups=np.zeros(2))
    with pytest.raises(ValueError, match="paired and complete"):
        compare_statistic("Spearman", SPEARMAN, np.zeros(3), np.zeros(3), np.zeros(4))


def test_five_improved_searches_of_a_hundred_are_too_few() -> None:
    base = np.zeros(100)
    for improved, clear in ((5, False), (7, True)):
        comparison = compare_items("Success@3", base, (np.arange(100) < improved).astype(float))
        assert (comparison.low > 0) is clear
        assert (comparison.p_value < 0.05) is clear


def predictions(
    seed: int, n: int, base_r: float, tuned_r: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gold values and two normal predictions of them of given correlation, errors independent."""
    gold, one, two = np.random.default_rng(seed).normal(size=(3, n))
    return base_r * gold + np.sqrt(1 - base_r**2) * one, tuned_r * gold + np.sqrt(1 - tuned_r**2) * two, gold


@pytest.mark.parametrize("name", ["Spearman", "Pearson"])
def test_correlations_are_resampled_as_scipy_would(name: str) -> None:
    base, tuned, gold = predictions(0, 60, 0.4, 0.8)
    gold = np.round(gold, 1)
    comparison = compare_statistic(name, STATISTICS[name], base, tuned, gold, draws=10_000)
    correlate = stats.spearmanr if name == "Spearman" else stats.pearsonr
    assert comparison.base == pytest.approx(correlate(base, gold).statistic)
    assert comparison.tuned == pytest.approx(correlate(tuned, gold).statistic)

    def difference(one: np.ndarray, two: np.ndarray, values: np.ndarray) -> float:
        return float(correlate(two, values).statistic - correlate(one, values).statistic)

    tail = stats.norm.cdf(-stats.t.ppf(0.975, 59) * np.sqrt(60 / 59))
    expected = stats.bootstrap(
        (base, tuned, gold),
        difference,
        paired=True,
        vectorized=False,
        n_resamples=2_000,
        confidence_level=1 - 2 * tail,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert comparison.interval == "percentile"
    np.testing.assert_allclose([comparison.low, comparison.high], expected, atol=0.04)


@pytest.mark.parametrize("name", ["Spearman", "Pearson"])
def test_williams_beside_the_bootstrap(name: str) -> None:
    base, tuned, gold = predictions(0, 60, 0.4, 0.8)
    comparison = compare_statistic(name, STATISTICS[name], base, tuned, gold, draws=500)
    correlate = stats.spearmanr if name == "Spearman" else stats.pearsonr
    r = [correlate(*pair).statistic for pair in ((tuned, gold), (base, gold), (tuned, base))]
    assert comparison.williams_p == pytest.approx(williams(*r, 60).p_value, rel=1e-6)
    assert comparison.williams_p == pytest.approx(comparison.p_value, abs=0.05)
    copies = np.repeat(np.arange(60), 2)
    once_more = compare_statistic(
        name, STATISTICS[name], base[copies], tuned[copies], gold[copies], groups=copies, draws=50
    )
    assert once_more.williams_p is None


def test_what_so_many_items_can_show() -> None:
    """Standard error .1 over 100 items, 2 t quantiles with 99 degrees of freedom; whole groups by theirs."""
    differences = np.tile([1.05, -0.95], 50)
    comparison = compare_items("RR", np.zeros(100), differences)
    error = stats.sem(differences)
    expected = (stats.t.ppf(0.975, 99) + stats.t.ppf(0.8, 99)) * error
    assert comparison.detectable == pytest.approx(expected)
    assert comparison.needed == pytest.approx((1.95996 + 0.84162) ** 2 * 100 * (error / 0.05) ** 2, rel=0.01)
    copies = np.repeat(np.arange(100), 3)
    thrice = compare_items("RR", np.zeros(300), differences[copies], groups=copies)
    assert thrice.detectable == pytest.approx(expected)
    assert thrice.needed == 3 * comparison.needed
    equal = compare_items("RR", np.ones(9), np.ones(9))
    assert (equal.detectable, equal.needed) == (None, None)
    base, tuned, gold = predictions(7, 400, 0.6, 0.6)
    by_draws = compare_statistic("Pearson", PEARSON, base, tuned, gold, draws=2_000)
    assert by_draws.detectable == pytest.approx(2.8 * (by_draws.high - by_draws.low) / (2 * 1.96), rel=0.05)


def test_swapping_is_of_ranks_and_complete_on_few_pairs() -> None:
    """Scales differ by far; all 2^7 swaps of rank-normalised predictions are tried here with SciPy."""
    base, tuned, gold = predictions(2, 7, 0.1, 0.95)
    base = 100 + 50 * base
    one, two = stats.rankdata(base), stats.rankdata(tuned)
    seen = abs(stats.spearmanr(two, gold).statistic - stats.spearmanr(one, gold).statistic)
    differences = []
    for swap in itertools.product((False, True), repeat=7):
        first, second = np.where(swap, two, one), np.where(swap, one, two)
        differences.append(stats.spearmanr(second, gold).statistic - stats.spearmanr(first, gold).statistic)
    expected = np.mean(np.abs(differences) >= seen - 1e-9)
    comparison = compare_statistic("Spearman", SPEARMAN, base, tuned, gold)
    assert comparison.p_value == pytest.approx(expected, abs=1e-12)
    assert 0.01 < expected < 0.9


def test_groups_of_pairs_are_drawn_and_swapped_whole() -> None:
    base, tuned, gold = predictions(3, 40, 0.6, 0.75)
    copies = np.repeat(np.arange(40), 5)
    grouped_five = compare_statistic(
        "Pearson", PEARSON, base[copies], tuned[copies], gold[copies], groups=copies
    )
    once = compare_statistic("Pearson", PEARSON, base, tuned, gold)
    assert (grouped_five.n, grouped_five.groups) == (200, 40)
    np.testing.assert_allclose([grouped_five.low, grouped_five.high], [once.low, once.high], atol=1e-9)
    assert grouped_five.p_value == pytest.approx(once.p_value, abs=1e-9)


def test_average_precision_over_pairs() -> None:
    rng = np.random.default_rng(4)
    same = (rng.random(200) < 0.4).astype(float)
    base, tuned = same + rng.normal(0, 1.5, 200), same + rng.normal(0, 0.5, 200)
    comparison = compare_statistic("pair AP", PAIR_AP, base, tuned, same, draws=2_000)
    assert comparison.low > 0
    assert comparison.p_value < 0.01


def test_an_undefined_statistic_gives_nan_and_null() -> None:
    gold = np.arange(10.0)
    comparison = compare_statistic("Spearman", SPEARMAN, np.ones(10), gold, gold)
    assert np.isnan([comparison.base, comparison.difference, comparison.low, comparison.p_value]).all()
    assert comparison.as_json()["low"] is None
    assert comparison.as_json()["tuned"] == 1.0


def normal(rng: np.random.Generator, n: int) -> tuple[np.ndarray, None]:
    return rng.normal(0.2, 1, n), None


def skewed(rng: np.random.Generator, n: int) -> tuple[np.ndarray, None]:
    return rng.exponential(1, n) - 0.8, None


def steps(rng: np.random.Generator, n: int) -> tuple[np.ndarray, None]:
    return rng.choice([-1.0, 0, 1], p=[0.1, 0.6, 0.3], size=n), None


def clustered(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.sort(rng.integers(0, 40, n))
    return 0.2 + rng.normal(0, 1, 40)[ids] + rng.normal(0, 1, n), ids


@pytest.mark.parametrize("n", [40, 200])
@pytest.mark.parametrize("draw", [normal, skewed, steps, clustered], ids=lambda draw: draw.__name__)
def test_intervals_hold_the_true_difference(
    draw: Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray | None]], n: int
) -> None:
    """The true difference is 0.2 everywhere; 300 trials of a 95 % interval hold it 285 +- 4 times."""
    rng = np.random.default_rng(11)
    held = 0
    for trial in range(300):
        differences, ids = draw(rng, n)
        found = compare_items("RR", np.zeros(n), differences, groups=ids, draws=600, seed=trial)
        held += found.low <= 0.2 <= found.high
    assert 0.90 <= held / 300 <= 0.99


def test_false_alarms_come_as_often_as_promised() -> None:
    rng = np.random.default_rng(12)
    p_values = []
    for trial in range(300):
        differences, ids = clustered(rng, 120)
        found = compare_items("RR", np.zeros(120), differences - 0.2, groups=ids, draws=400, seed=trial)
        p_values.append(found.p_value)
    assert 0.02 <= np.mean(np.array(p_values) <= 0.05) <= 0.085


def test_false_alarms_of_correlations_on_unlike_scales() -> None:
    """Both models correlate with the gold values alike, on scales that differ in place, width and shape."""
    p_values, held = [], 0
    for trial in range(200):
        base, tuned, gold = predictions(trial, 80, 0.6, 0.6)
        found = compare_statistic(
            "Spearman", SPEARMAN, np.exp(3 * base), tuned / 100, gold, draws=200, seed=trial
        )
        p_values.append(found.p_value)
        held += found.low <= 0 <= found.high
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.10
    assert 0.89 <= held / 200 <= 0.99


@pytest.mark.long
def test_large_sets_take_seconds() -> None:
    """50,000 items, and 1,500 scored pairs, at 10,000 draws: processor time of one core."""
    rng = np.random.default_rng(13)
    base, tuned = rng.random((2, 50_000))
    started = time.process_time()
    compare_items("nDCG@10", base, tuned)
    assert time.process_time() - started < 10
    one, two, gold = predictions(14, 1_500, 0.6, 0.7)
    started = time.process_time()
    compare_statistic("Spearman", SPEARMAN, one, two, np.round(gold, 1))
    assert time.process_time() - started < 10
