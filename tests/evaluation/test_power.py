"""What a set can show: quantiles by hand, the power of a t-test by SciPy, and words."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sbert_triplet.evaluation.power import (
    fewest_changed,
    reason,
    reason_in_words,
    significant,
    smallest_shown,
    units_needed,
)
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.significance import compare_items

NAN = float("nan")


def test_by_hand_for_many_units() -> None:
    """1.95996 + .84162 standard errors."""
    assert smallest_shown(0.01, 10**7) == pytest.approx(0.0280158, abs=1e-6)


@pytest.mark.parametrize("units", [20, 50, 400])
def test_that_much_is_shown_in_four_of_five_trials(units: int) -> None:
    """Power of the t-test by the noncentral t of SciPy."""
    smallest = smallest_shown(1.0, units)
    assert smallest is not None
    power = stats.nct.sf(stats.t.ppf(0.975, units - 1), units - 1, smallest)
    assert power == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("units", [2, 3, 7, 40, 1_000])
def test_needed_for_the_smallest_are_just_as_many(units: int) -> None:
    smallest = smallest_shown(0.3, units)
    assert smallest is not None
    assert units_needed(smallest * (1 + 1e-9), 0.3, units) == units
    assert units_needed(-smallest * (1 + 1e-9), 0.3, units) == units
    fewer = units_needed(2 * smallest, 0.3, units)
    assert fewer is not None
    assert fewer <= units


def test_the_number_needed_is_the_first_that_is_enough() -> None:
    needed = units_needed(0.05, 0.04, 100)
    assert needed is not None
    for units, enough in ((needed, True), (needed - 1, False)):
        smallest = smallest_shown(0.04 * (100 / units) ** 0.5, units)
        assert smallest is not None
        assert (smallest <= 0.05) is enough


@pytest.mark.parametrize("error", [0.0, NAN])
def test_nothing_is_known_without_spread(error: float) -> None:
    assert smallest_shown(error, 50) is None
    assert units_needed(0.1, error, 50) is None
    assert smallest_shown(0.1, 1) is None


def test_no_number_is_enough_for_no_difference() -> None:
    assert units_needed(0.0, 0.1, 50) is None
    assert units_needed(1e-9, 0.1, 50) is None


UNSURE = Comparison(
    "RR@10", 0.5, 0.52, 0.02, -0.03, 0.07, 0.4, 200, detectable=0.0714, needed=2_451, interval="studentised"
)


@pytest.mark.parametrize(
    ("comparison", "expected", "words"),
    [
        (
            UNSURE,
            "too few to tell",
            "200 items are too few to tell: they can show a difference of about .071 or more. "
            "For one as large as that seen here, about 2,500 items would be needed.",
        ),
        (
            replace(UNSURE, groups=40, needed=None),
            "too few to tell",
            "200 items in 40 groups are too few to tell: they can show a difference of about .071 or more.",
        ),
        (
            replace(UNSURE, n=20_000, low=-0.002, high=0.005, detectable=0.0049, difference=0.0015),
            "enough to tell",
            "20,000 items are enough to tell: a gain of .0049 would most likely have shown.",
        ),
        (
            replace(UNSURE, low=-0.09, high=0.004, difference=-0.043),
            "enough to tell",
            "200 items are enough to tell: a gain above .004 is unlikely.",
        ),
        (replace(UNSURE, detectable=None), None, ""),
        (replace(UNSURE, low=NAN, high=NAN), None, ""),
    ],
)
def test_too_few_or_enough(comparison: Comparison, expected: str | None, words: str) -> None:
    assert reason(comparison) == expected
    assert reason_in_words(comparison) == words


def test_what_is_worthwhile_is_for_the_asker_to_say() -> None:
    assert reason(UNSURE, worthwhile=0.08) == "enough to tell"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0714, ".071"), (7.14, "7.1"), (100.0, "100"), (0.0, "0"), (0.2, ".2")]
)
def test_two_digits(value: float, text: str) -> None:
    assert significant(value) == text


def test_fewer_changes_than_the_exact_test_needs_show_nothing() -> None:
    for confidence in (0.8, 0.9, 0.95, 0.99):
        fewest = fewest_changed(confidence)
        assert 2.0 ** (1 - fewest) <= 1 - confidence < 2.0 ** (2 - fewest)
    assert fewest_changed() == 6


def test_few_items_that_differ_show_large_differences_only() -> None:
    """One of 24 items changed by .2: six like it are needed, 6 x .2 / 24."""
    base, tuned = np.zeros(24), np.zeros(24)
    tuned[3] = 0.2
    one = compare_items("nDCG@10", base, tuned)
    assert one.detectable == pytest.approx(0.05)
    assert one.needed is not None
    assert one.needed >= 6 * 24
    assert reason(one) == "too few to tell"
    every = compare_items("nDCG@10", base, np.linspace(-0.1, 0.12, 24))
    assert every.detectable is not None
    assert every.detectable > 0.03


def test_needed_units_hold_enough_that_differ() -> None:
    assert units_needed(0.5, 0.01, 100, changed=2) == 300
    assert units_needed(0.5, 0.01, 100, changed=100) == 6
    assert units_needed(0.01, 0.01, 100, changed=100) == units_needed(0.01, 0.01, 100)
