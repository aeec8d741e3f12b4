"""Units and draws: sums, standard errors and leaving out, against loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sbert_triplet.evaluation.resampling import bootstrap_draws
from sbert_triplet.evaluation.sts import PEARSON
from sbert_triplet.evaluation.units import (
    Units,
    draw_means,
    draw_statistic,
    leave_out_statistic,
    unit_sums,
)


def test_sums_by_group() -> None:
    units = unit_sums(np.array([1.0, 2.0, 4.0, -1.0]), np.array([7, 3, 7, 3]))
    assert units.totals.tolist() == [1.0, 5.0]
    assert units.sizes.tolist() == [2.0, 2.0]
    assert units.mean == 1.5
    assert units.step is None
    alone = unit_sums(np.array([0.0, 0.5, -0.5]), None)
    assert (alone.step, alone.changed, len(alone)) == (0.5, 2, 3)


def test_error_of_items_is_scipys() -> None:
    differences = np.random.default_rng(0).normal(size=30)
    assert unit_sums(differences, None).error == pytest.approx(stats.sem(differences))
    assert np.isnan(unit_sums(np.ones(1), None).error)


def test_left_out_means() -> None:
    totals, sizes = np.array([1.0, 5.0, 2.0]), np.array([1.0, 2.0, 4.0])
    assert Units(totals, sizes).left_out.tolist() == [7 / 6, 3 / 5, 6 / 3]


@pytest.mark.parametrize("grouped", [False, True])
def test_draws_have_the_mean_and_error_of_what_was_drawn(grouped: bool) -> None:
    rng = np.random.default_rng(1)
    sizes = rng.integers(1, 9, 12).astype(float) if grouped else np.ones(12)
    units = Units(rng.normal(0.4, 1, 12) * sizes, sizes)
    draws = draw_means(units, 40, np.random.default_rng(2))
    (rows,) = bootstrap_draws(12, 40, np.random.default_rng(2), 1)
    for row, value, error in zip(rows, draws.values, draws.errors, strict=True):
        again = Units(units.totals[row], sizes[row])
        assert value == pytest.approx(again.mean, abs=1e-12)
        assert error == pytest.approx(again.error, rel=1e-9)


def test_draws_of_equal_units_have_no_spread() -> None:
    units = Units(np.array([0.1] * 30 + [0.7]), np.ones(31))
    draws = draw_means(units, 300, np.random.default_rng(3))
    without = np.isclose(draws.values, 0.1, atol=1e-12)
    assert without.sum() > 50
    assert (draws.errors[without] == 0).all()
    assert (draws.errors[~without] > 0).all()


def test_statistics_drawn_and_left_out() -> None:
    rng = np.random.default_rng(4)
    base, tuned, gold = rng.normal(size=(3, 10))
    groups = np.array([0, 0, 1, 2, 2, 2, 3, 4, 5, 6])
    values = draw_statistic(PEARSON, base, tuned, gold, groups, 20, np.random.default_rng(5))
    left_out = leave_out_statistic(PEARSON, base, tuned, gold, groups)
    assert len(left_out) == 7

    def difference(rows: np.ndarray) -> float:
        of = [stats.pearsonr(one[rows], gold[rows]).statistic for one in (base, tuned)]
        return float(of[1] - of[0])

    (drawn,) = bootstrap_draws(7, 20, np.random.default_rng(5), 1)
    for row, value in zip(drawn, values, strict=True):
        rows = np.concatenate([np.flatnonzero(groups == group) for group in row])
        assert value == pytest.approx(difference(rows), abs=1e-9)
    for group, value in enumerate(left_out):
        assert value == pytest.approx(difference(np.flatnonzero(groups != group)), abs=1e-9)
