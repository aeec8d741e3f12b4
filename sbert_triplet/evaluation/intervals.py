"""Bootstrap intervals of a paired difference, and the rule that says which of them is used.

A unit is what is drawn whole: an item, or a group of items. U units, R draws.

- percentile: quantiles of the bootstrap values, moved outwards on few units (Hesterberg 2015, "expanded
  percentile interval", arXiv 1411.5279).
- BCa: the same with the tails moved for bias and for acceleration, the latter from the values without one
  unit each (Efron 1987, doi:10.1080/01621459.1987.10478410).
- studentised: quantiles of (value - estimate) / standard error of the draw (bootstrap-t, Efron 1982; Hall
  1988, doi:10.1214/aos/1176350933); the standard error of a ratio of sums is the linearised one.
- adjusted: for items that only gain, lose or keep one and the same amount, as hits do: half a gain and half a
  loss are added, and the interval is Student's (after Bonett and Price 2012, doi:10.3102/1076998611411915,
  who add one of each, which holds the true difference more often than it says).

Which one is taken follows from how often each held the true difference where it is known:
``eval/intervals.py`` measures that, and ``eval/results/intervals.json`` holds what was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import special

from sbert_triplet.evaluation.power import fewest_changed
from sbert_triplet.evaluation.resampling import FEWEST_UNITS
from sbert_triplet.evaluation.results import FloatArray
from sbert_triplet.evaluation.units import Draws, Units

Method = Literal["percentile", "BCa", "studentised", "adjusted"]
Ends = tuple[float, float]

FEWEST_STUDENTISED = 6
"""With fewer units that differ, a draw may hold none of them, and its standard error says nothing."""
FEWEST_SURE, FEWEST_CHANGED = 20, 12
"""With fewer units, or fewer that differ, an interval is called approximate."""
ADDED = 0.5
"""So much of a gain, and of a loss, is added for the adjusted interval."""
SKEWED = 0.03
"""Beyond this acceleration the tails of a studentised interval are taken as ``SMALLER`` times as large."""
SMALLER = 0.7
MOST_ACCELERATION = 0.06
"""Beyond this the differences are too skewed for their number, and an interval is called approximate."""


@dataclass(frozen=True)
class Interval:
    """``low`` to ``high``, by ``method``; NaN and None where there are too few units for any.

    ``approximate``: it may hold the true difference less often than it says.
    """

    low: float
    high: float
    method: Method | None = None
    approximate: bool = False


NO_INTERVAL = Interval(float("nan"), float("nan"))


def percentile_interval(values: FloatArray, units: int, confidence: float = 0.95) -> Ends:
    """The expanded percentile interval of bootstrap values (R,); NaN among them are left out.

    The plain one is too short by the factor sqrt((U - 1) / U) and by the ratio of normal to t quantiles.
    """
    tail = expanded_tail(units, confidence)
    return _ends(values, tail, 1 - tail)


def expanded_tail(units: int, confidence: float) -> float:
    """The share of bootstrap values beyond either end of the expanded percentile interval."""
    return float(special.ndtr(-_quantile(units, confidence)))


def bca_interval(values: FloatArray, estimate: float, left_out: FloatArray, confidence: float = 0.95) -> Ends:
    """The BCa interval of bootstrap values (R,), expanded as the percentile interval is.

    ``left_out`` (U,): the estimate without each unit. Where every value lies on one side of the estimate
    there is no bias to speak of, and the interval is NaN.
    """
    defined = values[~np.isnan(values)]
    gaps = defined - estimate
    # Values that tie with the estimate but for rounding count half on either side.
    noise = 1e-12 * np.abs(gaps).max(initial=0.0)
    below = float(np.mean(gaps < -noise) + np.mean(np.abs(gaps) <= noise) / 2) if len(gaps) else np.nan
    if not 0 < below < 1:
        return float("nan"), float("nan")
    bias, quantile = float(special.ndtri(below)), _quantile(len(left_out), confidence)
    bent = acceleration(left_out)

    def tail(normal: float) -> float:
        moved = bias + normal
        return float(special.ndtr(bias + moved / (1 - bent * moved)))

    return _ends(values, tail(-quantile), tail(quantile))


def acceleration(left_out: FloatArray) -> float:
    """How fast the standard error changes with the estimate; a sixth of the skewness of a mean."""
    centred = left_out.mean() - left_out
    squares = float((centred**2).sum())
    return float((centred**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0


def studentised_interval(estimate: float, error: float, draws: Draws, confidence: float = 0.95) -> Ends:
    """The bootstrap-t interval; not finite where too many draws have no spread."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (draws.values - estimate) / draws.errors
    tail = (1 - confidence) / 2
    low, high = _ends(ratios, tail, 1 - tail)
    return estimate - error * high, estimate - error * low


def adjusted_interval(units: Units, step: float, confidence: float = 0.95) -> Ends:
    """Student's interval after half a gain and half a loss of ``step`` were added; within -step to step."""
    number = len(units) + 2 * ADDED
    mean = float(units.totals.sum()) / number
    square = (float((units.totals**2).sum()) + 2 * ADDED * step**2) / number - mean**2
    half = float(special.stdtrit(number - 1, 1 - (1 - confidence) / 2)) * float(np.sqrt(square / number))
    return max(mean - half, -step), min(mean + half, step)


def choose(units: Units) -> Method | None:
    """The interval for a mean over so many units of which so many differ; None for fewer than five.

    Studentised holds best where differences are skewed or in uneven groups. Where few differ and most do
    not, its standard errors hang on how many of those few a draw holds, and the percentile one is better.
    """
    if len(units) < FEWEST_UNITS:
        return None
    if units.step is not None:
        return "adjusted"
    sparse = units.changed < FEWEST_CHANGED and 2 * units.changed < len(units)
    return "percentile" if sparse or units.changed < FEWEST_STUDENTISED else "studentised"


def mean_interval(units: Units, draws: Draws, confidence: float = 0.95) -> Interval:
    """The interval of a mean difference by the method that ``choose`` names.

    On so few units that differ that the exact sign-flip test cannot reach 1 - ``confidence`` (five at 95 %),
    it is never clear of 0.
    """
    method = choose(units)
    if method is None:
        return NO_INTERVAL
    few = len(units) < FEWEST_SURE or units.changed < FEWEST_CHANGED
    skewed = units.step is None and abs(acceleration(units.left_out)) > MOST_ACCELERATION
    ends = (float("nan"), float("nan"))
    if method == "adjusted" and units.step is not None:
        ends = adjusted_interval(units, units.step, confidence)
    elif method == "studentised":
        uneven = abs(acceleration(units.left_out)) > SKEWED
        tails = (1 - confidence) * (SMALLER if uneven else 1.0)
        ends = studentised_interval(units.mean, units.error, draws, 1 - tails)
    if not np.isfinite(ends).all():
        few = few or method != "percentile"
        method, ends = "percentile", percentile_interval(draws.values, len(units), confidence)
    low, high = _held_to_zero(ends, units.changed, confidence)
    return Interval(low, high, method, few or skewed)


def statistic_interval(values: FloatArray, units: int, changed: int, confidence: float = 0.95) -> Interval:
    """The percentile interval of a difference of statistics from bootstrap values (R,), NaN where undefined.

    For correlations and average precision the BCa interval holds the truth less often, most of all on few
    pairs. ``changed``: units that differ. Where more than a twentieth of the draws are undefined there is no
    interval.
    """
    if units < FEWEST_UNITS or np.isnan(values).sum() > 0.05 * len(values):
        return NO_INTERVAL
    low, high = _held_to_zero(percentile_interval(values, units, confidence), changed, confidence)
    return Interval(low, high, "percentile", units < FEWEST_SURE or changed < FEWEST_CHANGED)


def _quantile(units: int, confidence: float) -> float:
    """The normal quantile moved outwards to that of Student's t on so many units."""
    quantile = special.stdtrit(units - 1, 1 - (1 - confidence) / 2)
    return float(quantile * np.sqrt(units / (units - 1)))


def _ends(values: FloatArray, low: float, high: float) -> Ends:
    defined = values[~np.isnan(values)]
    if len(defined) == 0:
        return float("nan"), float("nan")
    with np.errstate(invalid="ignore"):
        one, two = np.quantile(defined, [low, high])
    return float(one), float(two)


def _held_to_zero(ends: Ends, changed: int, confidence: float) -> Ends:
    low, high = ends
    if changed < fewest_changed(confidence):
        return min(low, 0.0), max(high, 0.0)
    return low, high
