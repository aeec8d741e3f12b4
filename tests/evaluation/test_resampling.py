"""Draws and flips: fair, complete where they claim to be, and in bounded chunks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import stats

from sbert_triplet.evaluation import resampling
from sbert_triplet.evaluation.resampling import (
    all_flips,
    average_ranks,
    bootstrap_draws,
    counts_of,
    percentile_interval,
    random_flips,
)


def test_counts_say_how_often_each_unit_was_drawn() -> None:
    counts = counts_of(np.array([[0, 0, 2], [1, 2, 1]]))
    assert counts.T.tolist() == [[2, 0, 1], [0, 2, 1]]


def test_chunks_are_bounded_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_CELLS_AT_ONCE", 1_000)
    rng = np.random.default_rng(0)
    for chunks in (bootstrap_draws(30, 101, rng, 60), random_flips(30, 101, rng, 60)):
        sizes = [len(chunk) for chunk in chunks]
        assert max(sizes) == 16
        assert sum(sizes) == 101
    assert [len(chunk) for chunk in bootstrap_draws(5_000, 3, rng, 10_000)] == [1, 1, 1]


@pytest.mark.parametrize("make", [bootstrap_draws, random_flips])
def test_the_size_of_chunks_changes_no_draw(
    make: Callable[[int, int, np.random.Generator, int], Iterator[np.ndarray]],
) -> None:
    drawn = [
        np.concatenate(list(make(37, 50, np.random.default_rng(0), cells))) for cells in (1, 1 << 20, 1 << 30)
    ]
    assert (drawn[0] == drawn[1]).all()
    assert (drawn[0] == drawn[2]).all()


def test_every_flip_comes_once_up_to_its_mirror_image() -> None:
    rows = {tuple(row) for chunk in all_flips(5, 5) for row in chunk.tolist()}
    mirrored = {tuple(1 - flip for flip in row) for row in rows}
    assert len(rows) == 16
    assert rows | mirrored == set(itertools.product((0, 1), repeat=5))


def test_random_flips_are_fair_and_independent() -> None:
    flips = np.concatenate(list(random_flips(13, 20_000, np.random.default_rng(1), 13))).astype(float)
    np.testing.assert_allclose(flips.mean(axis=0), 0.5, atol=0.02)
    np.testing.assert_allclose(np.corrcoef(flips.T), np.eye(13), atol=0.04)


def test_draws_are_uniform() -> None:
    drawn = np.concatenate(list(bootstrap_draws(7, 10_000, np.random.default_rng(2), 7)))
    assert stats.chisquare(np.bincount(drawn.ravel())).pvalue > 1e-4


def test_average_ranks_share_ties() -> None:
    assert average_ranks(np.array([5.0, 1, 5, 3])).tolist() == [3.5, 1, 3.5, 2]


def test_on_many_units_the_interval_is_the_percentile_interval() -> None:
    values = np.random.default_rng(3).normal(size=10_000)
    expected = np.quantile(values, [0.025, 0.975])
    np.testing.assert_allclose(percentile_interval(values, 10**6, 10**6, 0.95), expected, atol=1e-4)


def test_on_few_units_the_interval_is_as_wide_as_students() -> None:
    """Bootstrap values of a mean have standard deviation sqrt((U - 1) / U) of its standard error."""
    values = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000) * np.sqrt(9 / 10)
    low, high = percentile_interval(values, 10, 10, 0.95)
    assert high == pytest.approx(stats.t.ppf(0.975, 9), abs=2e-3)
    assert low == pytest.approx(-high)


def test_fewer_than_five_units_or_many_undefined_draws_give_no_interval() -> None:
    values = np.linspace(1, 2, 1_000)
    assert np.isnan(percentile_interval(values, 4, 4, 0.95)).all()
    values[:51] = np.nan
    assert np.isnan(percentile_interval(values, 100, 100, 0.95)).all()
    values[0] = 1.0
    assert np.isfinite(percentile_interval(values, 100, 100, 0.95)).all()


@pytest.mark.parametrize(("changed", "clear"), [(0, False), (5, False), (6, True)])
def test_five_changed_units_cannot_clear_the_interval_of_0(changed: int, clear: bool) -> None:
    low, _ = percentile_interval(np.linspace(0.1, 0.2, 1_000), 100, changed, 0.95)
    assert (low > 0) is clear
    _, high = percentile_interval(np.linspace(-0.2, -0.1, 1_000), 100, changed, 0.95)
    assert (high < 0) is clear
