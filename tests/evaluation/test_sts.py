"""Correlations against SciPy, with ties, and of resamples against SciPy on the resampled rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.resampling import bootstrap_draws, counts_of
from sbert_triplet.evaluation.sts import PEARSON, SPEARMAN, evaluate_scored


def test_reference_values() -> None:
    values = evaluate_scored(np.array([0.1, 0.4, 0.35, 0.8]), np.array([1.0, 2, 2, 3]))
    assert values["Spearman"].value == pytest.approx(0.948683, abs=5e-7)
    assert values["Pearson"].value == pytest.approx(0.986258, abs=5e-7)
    assert values["Spearman"].per_item is None


@pytest.mark.parametrize(
    ("similarities", "gold", "reason"),
    [
        ([0.5, 0.5, 0.5], [1.0, 2, 3], "every similarity is 0.5.*collapsed"),
        ([0.1, 0.2, 0.3], [4.0, 4, 4], "every given score is 4"),
        ([0.1], [4.0], "1 scored pairs"),
        ([], [], "0 scored pairs"),
    ],
)
def test_a_constant_side_is_undefined_with_a_warning(
    similarities: list[float], gold: list[float], reason: str
) -> None:
    with pytest.warns(stats.ConstantInputWarning, match=reason):
        values = evaluate_scored(np.array(similarities), np.array(gold))
    assert np.isnan([metric.value for metric in values.values()]).all()


def test_what_cannot_be_correlated_is_refused() -> None:
    with pytest.raises(InputError, match="the score of pair 1 is nan"):
        evaluate_scored(np.array([0.1, 0.2]), np.array([1.0, np.nan]))
    with pytest.raises(InputError, match="the similarity of pair 0 is inf"):
        evaluate_scored(np.array([np.inf, 0.2]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="cannot be paired"):
        evaluate_scored(np.array([0.1, 0.2]), np.array([1.0]))


@pytest.mark.parametrize("statistic", [SPEARMAN, PEARSON], ids=lambda statistic: statistic.name)
@pytest.mark.parametrize("levels", [4, 10_000])
@pytest.mark.filterwarnings("ignore::scipy.stats.ConstantInputWarning")
def test_resamples_equal_scipy_on_the_rows_drawn(statistic, levels: int) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(levels)
    n = 37
    gold = rng.integers(0, levels, n).astype(float)
    values = np.round(gold / levels + rng.normal(0, 0.3, n), 1 if levels == 4 else 9)
    drawn = np.concatenate([*bootstrap_draws(n, 200, rng, n), np.zeros((1, n), dtype=np.int64)])
    found = statistic.prepare(values, gold)(counts_of(drawn))
    scipy = stats.spearmanr if statistic is SPEARMAN else stats.pearsonr
    expected = [scipy(values[rows], gold[rows]).statistic for rows in drawn]
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert np.isnan(found[-1])
    assert statistic(values, gold) == pytest.approx(scipy(values, gold).statistic)


@pytest.mark.parametrize("statistic", [SPEARMAN, PEARSON], ids=lambda statistic: statistic.name)
def test_the_common_scale_leaves_the_statistic_as_it_is(statistic) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(1)
    gold, values = rng.normal(size=50), np.round(rng.normal(5, 3, size=50), 0)
    assert statistic(statistic.common_scale(values), gold) == pytest.approx(statistic(values, gold))
    assert np.array_equal(
        statistic.common_scale(values), statistic.common_scale(values * 4 + 8)
    ) or np.allclose(statistic.common_scale(values), statistic.common_scale(values * 4 + 8))
