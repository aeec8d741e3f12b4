"""Several seeds: one by one below five, resampled with the items from five on."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sbert_triplet.evaluation.seeds import FEWEST_SEEDS, compare_seeds


def made(seeds: int, items: int, of_seeds: float, of_items: float) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(0)
    shared = rng.normal(0.1, of_items, items)
    return {
        seed: shared + rng.normal(0, of_seeds) + rng.normal(0, 0.05, items) for seed in range(3, 3 + seeds)
    }


def nothing(of: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    return {seed: np.zeros_like(values) for seed, values in of.items()}


def test_each_seed_and_the_range() -> None:
    tuned = {1: np.array([0.5, 0.7]), 2: np.array([0.6, 0.9]), 9: np.array([0.4, 0.6])}
    base = {9: np.array([0.5, 0.5]), 1: np.array([0.5, 0.5]), 2: np.array([0.5, 0.6])}
    found = compare_seeds("RR@10", base, tuned)
    assert found.seeds == (9, 1, 2)
    assert found.differences == pytest.approx((0.0, 0.1, 0.2))
    assert found.base == pytest.approx((0.5, 0.5, 0.55))
    assert (found.least, found.most, found.difference) == pytest.approx((0.0, 0.2, 0.1))
    assert (found.n, found.resampled) == (2, False)
    assert found.in_words() == (
        "RR@10 by seed: +.0000 (seed 9), +.1000 (seed 1), +.2000 (seed 2); from +.0000 to +.2000, "
        "mean +.1000. 3 seeds say too little of others for an interval."
    )


@pytest.mark.parametrize(
    ("seeds", "resampled"), [(1, False), (FEWEST_SEEDS - 1, False), (FEWEST_SEEDS, True)]
)
def test_resampled_from_five_on(seeds: int, resampled: bool) -> None:
    tuned = made(seeds, 30, 0.01, 0.2)
    found = compare_seeds("RR", nothing(tuned), tuned, draws=200)
    assert found.resampled is resampled
    assert ("95 % interval over seeds and items" in found.in_words()) is resampled
    assert (found.low < found.difference < found.high) is resampled


def test_few_items_give_no_interval() -> None:
    tuned = made(6, 4, 0.01, 0.2)
    found = compare_seeds("RR", nothing(tuned), tuned)
    assert not found.resampled
    assert found.in_words().endswith("There are too few items for an interval.")


def test_without_luck_of_seeds_it_is_the_interval_of_items() -> None:
    values = np.random.default_rng(1).normal(0.1, 0.3, 60)
    tuned = dict.fromkeys(range(5), values)
    found = compare_seeds("RR", nothing(tuned), tuned)
    half = stats.t.ppf(0.975, 59) * stats.sem(values)
    np.testing.assert_allclose(
        [found.low, found.high], [values.mean() - half, values.mean() + half], atol=8e-3
    )


def test_without_luck_of_items_it_is_the_interval_of_seeds() -> None:
    of_seeds = np.array([0.10, 0.13, 0.08, 0.12, 0.09, 0.11, 0.14, 0.07])
    tuned = {seed: np.full(50, value) for seed, value in enumerate(of_seeds)}
    found = compare_seeds("RR", nothing(tuned), tuned)
    half = stats.t.ppf(0.975, 7) * stats.sem(of_seeds)
    np.testing.assert_allclose([found.low, found.high], [0.105 - half, 0.105 + half], atol=3e-3)


def test_draws_are_crossed_and_whole_groups() -> None:
    """By a loop over draws of seeds and of groups; with so many of each there is next to no widening."""
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(60), rng.integers(1, 6, 60))
    tuned = {
        seed: rng.normal(0.1, 0.2) + rng.normal(0, 0.4, 60)[groups] + rng.normal(0, 0.1, len(groups))
        for seed in range(60)
    }
    found = compare_seeds("RR", nothing(tuned), tuned, groups=groups, draws=8_000)
    assert found.groups == 60
    values, parts = np.stack(list(tuned.values())), [np.flatnonzero(groups == g) for g in range(60)]
    means = []
    for _ in range(4_000):
        rows = np.concatenate([parts[g] for g in rng.integers(0, 60, 60)])
        means.append(values[rng.integers(0, 60, 60)].mean(axis=0)[rows].mean())
    np.testing.assert_allclose([found.low, found.high], np.quantile(means, [0.022, 0.978]), atol=0.01)


def test_interval_holds_the_truth_over_seeds_and_items() -> None:
    """Five seeds and 40 items, both with luck; 95 of 100 wanted, and wide rather than narrow."""
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(200):
        shared = rng.normal(0, 0.2, 40)
        tuned = {s: 0.1 + shared + rng.normal(0, 0.03) + rng.normal(0, 0.1, 40) for s in range(5)}
        found = compare_seeds("RR", nothing(tuned), tuned, draws=400)
        held += found.low <= 0.1 <= found.high
    assert held >= 184


def test_items_undefined_everywhere_are_left_out() -> None:
    tuned = {1: np.array([np.nan, 1.0]), 2: np.array([np.nan, 3.0])}
    base = {1: np.array([np.nan, 0.0]), 2: np.array([np.nan, 0.0])}
    assert compare_seeds("RR", base, tuned, groups=np.array([4, 5])).n == 1
    with pytest.raises(ValueError, match="item 0 has a value for some seeds only"):
        compare_seeds("RR", nothing(tuned), tuned)


def test_what_cannot_be_paired_is_refused() -> None:
    values = np.zeros(3)
    with pytest.raises(ValueError, match="the same seeds"):
        compare_seeds("RR", {1: values}, {2: values})
    with pytest.raises(ValueError, match="the same seeds"):
        compare_seeds("RR", {}, {})
    with pytest.raises(ValueError, match="cannot be paired"):
        compare_seeds("RR", {1: values}, {1: np.zeros(4)})
