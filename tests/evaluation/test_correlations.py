"""Williams' t and Steiger's z: reference values, symmetry, edges, and false alarms by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from sbert_triplet.evaluation.correlations import steiger, williams


def test_reference_values() -> None:
    t = williams(0.8, 0.75, 0.9, 100)
    assert t.statistic == pytest.approx(1.843407, abs=5e-7)
    assert t.df == 97
    assert t.p_value == pytest.approx(2 * (1 - stats.t.cdf(1.843407, 97)), abs=1e-7)
    z = steiger(0.8, 0.75, 0.9, 100)
    assert z.statistic == pytest.approx(1.818544, abs=5e-7)
    assert z.p_value == pytest.approx(math.erfc(1.818544 / math.sqrt(2)), abs=1e-7)
    assert z.df is None


@pytest.mark.parametrize("test", [williams, steiger])
def test_the_other_way_round_is_the_negative(test) -> None:  # type: ignore[no-untyped-def]
    one, two = test(0.5, 0.3, 0.2, 40), test(0.3, 0.5, 0.2, 40)
    assert one.statistic == pytest.approx(-two.statistic, rel=1e-12)
    assert one.p_value == pytest.approx(two.p_value, rel=1e-12)


@pytest.mark.parametrize("test", [williams, steiger])
def test_edges(test) -> None:  # type: ignore[no-untyped-def]
    assert test(0.5, 0.5, 1.0, 40).statistic == 0
    assert test(0.5, 0.5, 1.0, 40).p_value == 1
    assert math.isnan(test(0.5, 0.3, 0.2, 3).p_value)
    assert math.isnan(test(math.nan, 0.3, 0.2, 40).p_value)
    with pytest.raises(ValueError, match="no three variables"):
        test(0.9, -0.9, 0.9, 40)
    with pytest.raises(ValueError, match="between -1 and 1"):
        test(1.1, 0.9, 0.9, 40)


def test_a_perfect_correlation() -> None:
    assert math.isnan(steiger(1.0, 0.8, 0.8, 40).statistic)
    assert williams(1.0, 0.8, 0.8, 40).p_value < 1e-6


@pytest.mark.parametrize("test", [williams, steiger])
def test_false_alarms(test) -> None:  # type: ignore[no-untyped-def]
    """Both predictions correlate .6 with the given values; 2,000 trials of 50 items."""
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(2_000):
        gold, one, two = rng.normal(size=(3, 50))
        r = np.corrcoef([gold, 0.6 * gold + 0.8 * one, 0.6 * gold + 0.8 * two])
        alarms += test(r[0, 1], r[0, 2], r[1, 2], 50).p_value <= 0.05
    assert 0.035 < alarms / 2_000 < 0.065
