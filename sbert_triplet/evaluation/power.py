"""What a held-out set can show at all: "not shown better" told from "too few rows to tell".

A difference is shown with some chance only, its power. The smallest difference that a set shows at 95 %
confidence with 80 % power is (t_.975 + t_.8) standard errors (Cohen 1988; for retrieval Sakai 2016,
doi:10.1007/s10791-015-9273-z).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

from scipy import special

from sbert_triplet.evaluation.results import Comparison

Reason = Literal["too few to tell", "enough to tell"]
WORTHWHILE = 0.01
"""A difference that people would want to know of: one in a hundred."""
CONFIDENCE, POWER = 0.95, 0.8
_MOST_UNITS = 10**9


def fewest_changed(confidence: float = CONFIDENCE) -> int:
    """With fewer units that differ, no outcome is clear of chance: 6 at 95 %.

    Of k units that differ the exact sign-flip test has 2^k outcomes, so that its p is at least 2^(1 - k).
    """
    return 1 + math.ceil(-math.log2(1 - confidence))


def smallest_shown(
    error: float,
    units: int,
    *,
    amount: float = 0.0,
    confidence: float = CONFIDENCE,
    power: float = POWER,
) -> float | None:
    """The smallest true difference that ``units`` units show with the chance ``power``.

    ``error``: the standard error of the difference. ``amount``: by how much a unit that differs changes it,
    on average; ``fewest_changed`` of them are the least that can show anything, whatever the error is. None
    where the error is not a positive number: on items without any spread, nothing is known of the next one.
    """
    if units < 2 or not (math.isfinite(error) and error > 0):
        return None
    return max(_factor(units, confidence, power) * error, fewest_changed(confidence) * amount)


def units_needed(
    difference: float,
    error: float,
    units: int,
    *,
    changed: int | None = None,
    confidence: float = CONFIDENCE,
    power: float = POWER,
) -> int | None:
    """How many units show a true ``difference`` with the chance ``power``.

    ``error`` is the standard error that was seen on ``units`` units, ``changed`` of which differ (None where
    that is not known); it falls with the root of their number, and as large a share of more units is taken
    to differ, of which there must be ``fewest_changed``. None where no number is known: no difference, no
    spread, or more than a billion units. A difference that was seen is the true one give or take its
    interval, and so is this number.
    """
    if units < 2 or not (math.isfinite(error) and error > 0 and math.isfinite(difference) and difference):
        return None
    ratio = units * (error / abs(difference)) ** 2
    low, high = 2, 4
    while not _factor(high, confidence, power) ** 2 * ratio <= high:
        low, high = high, 2 * high
        if high > _MOST_UNITS:
            return None
    while low < high:
        middle = (low + high) // 2
        if _factor(middle, confidence, power) ** 2 * ratio <= middle:
            high = middle
        else:
            low = middle + 1
    if changed is not None:
        high = max(high, -(-fewest_changed(confidence) * units // max(changed, 1)))
    return high


def reason(comparison: Comparison, *, worthwhile: float = WORTHWHILE) -> Reason | None:
    """Why a comparison that shows nothing shows nothing.

    ``too few to tell``: its interval still holds a gain of ``worthwhile``, and the set is too small to show
    one of that size. ``enough to tell``: either the interval rules such a gain out, or the set would
    most likely have shown it. None where there is no interval or no spread to judge by.
    """
    if comparison.detectable is None or not math.isfinite(comparison.high):
        return None
    few = comparison.high >= worthwhile and comparison.detectable > worthwhile
    return "too few to tell" if few else "enough to tell"


def reason_in_words(
    comparison: Comparison,
    *,
    worthwhile: float = WORTHWHILE,
    amount: Callable[[float], str] | None = None,
) -> str:
    """``reason`` in words for people; empty where there is none. ``amount`` writes a difference."""
    found = reason(comparison, worthwhile=worthwhile)
    if found is None or comparison.detectable is None:
        return ""
    write = amount or significant
    if found == "enough to tell":
        if comparison.high < comparison.detectable:
            unlikely = write(max(comparison.high, 0.0))
            return f"{_items(comparison)} are enough to tell: a gain above {unlikely} is unlikely."
        return (
            f"{_items(comparison)} are enough to tell: a gain of {write(comparison.detectable)} "
            "would most likely have shown."
        )
    told = (
        f"{_items(comparison)} are too few to tell: they can show a difference of about "
        f"{write(comparison.detectable)} or more."
    )
    if comparison.needed is None or comparison.needed <= comparison.n:
        return told
    needed = int(significant_number(comparison.needed))
    return f"{told} For one as large as that seen here, about {needed:,} items would be needed."


def significant(value: float) -> str:
    """Two digits that count, as correlations are printed: without the zero before the point."""
    text = f"{significant_number(value):f}".rstrip("0").rstrip(".")
    return text.replace("0.", ".", 1) if text.startswith("0.") else text


def significant_number(value: float) -> float:
    """``value`` rounded to two digits that count."""
    return float(f"{value:.2g}")


def _items(comparison: Comparison) -> str:
    groups = "" if comparison.groups is None else f" in {comparison.groups:,} groups"
    return f"{comparison.n:,} items{groups}"


def _factor(units: int, confidence: float, power: float) -> float:
    df = units - 1
    return float(special.stdtrit(df, 1 - (1 - confidence) / 2) + special.stdtrit(df, power))
