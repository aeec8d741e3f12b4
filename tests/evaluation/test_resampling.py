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
    left_out_counts,
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


def test_without_each_unit_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    units = np.array([0, 1, 1, 2])
    expected = [[0, 1, 1], [1, 0, 1], [1, 0, 1], [1, 1, 0]]
    assert np.concatenate(list(left_out_counts(units, 4)), axis=1).tolist() == expected
    monkeypatch.setattr(resampling, "_CELLS_AT_ONCE", 8)
    chunks = list(left_out_counts(units, 4))
    assert [chunk.shape for chunk in chunks] == [(4, 2), (4, 1)]
    assert np.concatenate(chunks, axis=1).tolist() == expected
