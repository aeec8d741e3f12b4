"""Holm's adjustment: by hand, by its definition, and against statsmodels where that is installed."""

from __future__ import annotations

import numpy as np
import pytest

from sbert_triplet.evaluation.multiple import adjust, adjust_beside, holm
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.verdict import verdict

NAN = float("nan")


def test_by_hand() -> None:
    """.01 x 4, then .03 x 3 = .09, then .04 x 2 = .08 which may not fall below .09, then .5."""
    np.testing.assert_allclose(holm([0.5, 0.01, 0.04, 0.03]), [0.5, 0.04, 0.09, 0.09])
    np.testing.assert_allclose(holm([0.3, 0.4]), [0.6, 0.6])
    np.testing.assert_allclose(holm([0.7, 0.8]), [1.0, 1.0])
    assert holm([]).tolist() == []


def test_undefined_values_stay_and_do_not_count() -> None:
    found = holm([NAN, 0.02, 0.03, NAN])
    np.testing.assert_allclose(found, [NAN, 0.04, 0.04, NAN])


def test_rejects_what_the_step_down_procedure_rejects() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p_values = rng.beta(0.3, 1, rng.integers(1, 9))
        rejected = set()
        for step, place in enumerate(np.argsort(p_values)):
            if p_values[place] > 0.05 / (len(p_values) - step):
                break
            rejected.add(place)
        assert set(np.flatnonzero(holm(p_values) <= 0.05)) == rejected


def test_equals_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = np.random.default_rng(1).random(20) ** 3
    np.testing.assert_allclose(holm(p_values), multitest.multipletests(p_values, method="holm")[1])


@pytest.mark.parametrize("outside", [-0.1, 1.2])
def test_values_outside_are_refused(outside: float) -> None:
    with pytest.raises(ValueError, match=f"p-value 1 is {outside}"):
        holm([NAN if outside > 1 else 0.5, outside])
    with pytest.raises(ValueError, match="in one row"):
        holm(np.ones((2, 2)))


def test_comparisons_keep_their_own_p() -> None:
    given = {
        name: Comparison(name, 0.5, 0.6, 0.1, 0.0, 0.2, p, 50)
        for name, p in {"nDCG@10": 0.03, "RR@10": 0.01, "Spearman": NAN}.items()
    }
    found = adjust(given)
    assert [each.adjusted_p for each in found.values()] == [pytest.approx(0.03), pytest.approx(0.02), None]
    assert found["RR@10"].p_value == 0.01
    assert found["RR@10"].as_json()["adjusted_p"] == pytest.approx(0.02)
    assert "adjusted_p" not in found["Spearman"].as_json()


def test_the_main_metric_stands_by_itself() -> None:
    def compared(p_value: float) -> Comparison:
        return Comparison("RR@10", 0.1, 0.2, 0.1, 0.05, 0.15, p_value, 40)

    found = adjust_beside("main", {"main": compared(0.04), "one": compared(0.03), "two": compared(0.01)})
    assert list(found) == ["main", "one", "two"]
    assert [each.adjusted_p for each in found.values()] == [None, 0.03, 0.02]
    assert [each.decisive_p for each in found.values()] == [0.04, 0.03, 0.02]
    beside = adjust_beside("main", {"main": compared(0.04), "one": compared(0.04), "two": compared(0.03)})
    assert [verdict(each) for each in beside.values()] == ["better", "not shown better", "not shown better"]
