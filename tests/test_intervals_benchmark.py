"""The measurement of intervals: its truths, its short form, and that it measures what the package does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sbert_triplet.evaluation.significance import compare_items

Load = Callable[[str], Any]


def test_short_form(load: Load) -> None:
    """Every kind once; 40 trials cannot tell 93 from 97 %, but they tell it from 75."""
    intervals = load("intervals")
    arguments = intervals.parsed(["--short"])
    *_, (results, _) = intervals.measured(arguments)
    assert [case["kind"] for case in results["cases"]] == list(intervals.KINDS)
    for case in results["cases"]:
        assert case["n"] == 40
        assert case["trials"] == 40 == sum(case["methods"].values())
        assert case["ways"]["chosen"]["coverage"] > 0.75
        assert case["false_alarms"]["p"] < 0.25
    shown = intervals.table(results)
    assert "| lognormal | 40 |" in shown
    assert "- coverage between 93% and 97%: " in shown


def test_earlier_cases_stay(load: Load) -> None:
    intervals = load("intervals")
    words = ["--short", "--kinds", "normal", "--trials", "3"]
    ((first, _),) = intervals.measured(intervals.parsed([*words, "--n", "12"]))
    ((both, case),) = intervals.measured(intervals.parsed([*words, "--n", "9"]), first)
    assert [each["n"] for each in both["cases"]] == [9, 12]
    assert both["cases"] == [case, first["cases"][0]]


def test_the_order_of_cases_changes_nothing(load: Load) -> None:
    cases = load("intervals_cases")
    plan = cases.Plan(5, draws=99, flips=99)
    first = cases.measured_case("lognormal", 20, plan)
    cases.measured_case("normal", 20, plan)
    assert cases.measured_case("lognormal", 20, plan) == first


@pytest.mark.parametrize("name", ["lognormal", "hits", "few hits", "ranks", "clustered", "clustered, skewed"])
def test_truths_are_the_means_of_many(load: Load, name: str) -> None:
    cases = load("intervals_cases")
    kind, rng = cases.KINDS[name], np.random.default_rng(0)
    for draw, truth in ((kind.draw, kind.truth), (kind.alike, 0.0)):
        totals, sizes = draw(rng, 400, 500)
        error = (totals.sum(axis=1) / sizes.sum(axis=1)).std() / 20
        assert totals.sum() / sizes.sum() == pytest.approx(truth, abs=4 * error)
        assert sizes.sum() == 400 * 500


@pytest.mark.parametrize("name", ["Pearson", "Spearman", "pair AP"])
def test_truths_are_the_statistics_of_many(load: Load, name: str) -> None:
    cases = load("intervals_cases")
    kind = cases.KINDS[name]
    base, tuned, gold = kind.draw(np.random.default_rng(1), 200_000, *kind.strengths)
    assert kind.statistic(tuned, gold) - kind.statistic(base, gold) == pytest.approx(kind.truth, abs=0.006)


@pytest.mark.parametrize("name", ["lognormal", "hits", "clustered"])
def test_intervals_are_those_of_a_comparison(load: Load, name: str) -> None:
    """The sums over draws are made another way here; the interval of the same differences agrees."""
    cases = load("intervals_cases")
    kind = cases.KINDS[name]
    totals, sizes = kind.draw(np.random.default_rng(2), 1, 200)
    ((units, draws),) = cases._resampled(kind, (totals, sizes), 20_000, np.random.default_rng(3))
    chosen = cases.mean_interval(units, draws)
    groups = np.repeat(np.arange(len(sizes[0])), sizes[0].astype(int))
    items = (totals[0] / sizes[0])[groups]
    found = compare_items("RR", np.zeros(200), items, groups=groups, draws=20_000)
    assert found.interval == chosen.method
    length = found.high - found.low
    np.testing.assert_allclose([chosen.low, chosen.high], [found.low, found.high], atol=0.04 * length)


def test_targets(load: Load) -> None:
    intervals = load("intervals")

    def case(coverage: float, approximate: float, alarms: float) -> dict[str, Any]:
        return {
            "kind": "normal",
            "n": 40,
            "ways": {"chosen": {"coverage": coverage}},
            "approximate": approximate,
            "coverage_where_not_approximate": None,
            "false_alarms": {"p": alarms},
        }

    good, said, bad = intervals.targets([case(0.95, 0, 0.05), case(0.91, 0.95, 0.05), case(0.91, 0.5, 0.08)])
    assert (good["reached"], good["false_alarms_reached"]) == (True, True)
    assert (said["reached"], said["said_to_be_approximate"]) == (False, True)
    assert (bad["reached"], bad["said_to_be_approximate"], bad["false_alarms_reached"]) == (
        False,
        False,
        False,
    )
