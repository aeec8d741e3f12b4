"""Is the tuned model better than the base model, or was it luck? Both are measured on the same items.

``compare_items`` is for metrics that are means of per-item values, ``compare_statistic`` for those
that are not (correlations, average precision over pairs). Each gives a bootstrap interval of the
difference (Efron and Tibshirani 1993; for retrieval Sakai 2006, doi:10.1145/1148170.1148261; see
``intervals``), a paired randomisation p-value (see ``randomisation``), and what difference so many items
can show at all (see ``power``).

Where items come in groups (queries of one package, triplets of one anchor), whole groups are drawn
and whole groups are flipped: items of a group are not independent, and an interval that treats them
so is too short.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.evaluation.clustering import V_MEASURE
from sbert_triplet.evaluation.correlations import williams
from sbert_triplet.evaluation.intervals import NO_INTERVAL, mean_interval, statistic_interval
from sbert_triplet.evaluation.metrics import Metric
from sbert_triplet.evaluation.pairs import PAIR_AP
from sbert_triplet.evaluation.power import smallest_shown, units_needed
from sbert_triplet.evaluation.randomisation import sign_flip_p_value, swap_p_value
from sbert_triplet.evaluation.resampling import IntArray, Statistic
from sbert_triplet.evaluation.results import Comparison, FloatArray
from sbert_triplet.evaluation.sts import PEARSON, SPEARMAN
from sbert_triplet.evaluation.units import draw_means, draw_statistic, unit_sums

STATISTICS = {statistic.name: statistic for statistic in (SPEARMAN, PEARSON, PAIR_AP, V_MEASURE)}
"""The metrics that ``compare_statistic`` takes, by name; all others have per-item values."""
_CORRELATIONS = (SPEARMAN, PEARSON)


def compare_items(
    metric: Metric | str,
    base: FloatArray,
    tuned: FloatArray,
    *,
    groups: IntArray | None = None,
    draws: int = 10_000,
    seed: int = 13,
    confidence: float = 0.95,
) -> Comparison:
    """Compares per-item values ``base`` and ``tuned`` (n,), whose means are the metric.

    An item that is NaN in both is left out (a query without a relevant document); NaN in one only
    is an error. ``groups`` (n,): the group of each item; a resample is then a sum over drawn groups
    divided by their number of items.

    The p-value is that of flipping the signs of the units' differences: exact where at most 20
    units differ (a unit without a difference changes nothing by its sign), otherwise
    (1 + #{|m*| >= |m|}) / (1 + draws).
    """
    base, tuned, groups = _paired(base, tuned, groups)
    differences = tuned - base
    n = len(differences)
    if n == 0:
        return _undefined(metric, groups)
    units = unit_sums(differences, groups, hits=bool(np.isin([base, tuned], (0.0, 1.0)).all()))
    rng = np.random.default_rng(seed)
    interval = mean_interval(units, draw_means(units, draws, rng), confidence)
    difference = float(tuned.mean() - base.mean())
    wanted = units_needed(difference, units.error, len(units), changed=units.changed, confidence=confidence)
    detectable = smallest_shown(units.error, len(units), amount=units.amount, confidence=confidence)
    return Comparison(
        metric=str(metric),
        base=float(base.mean()),
        tuned=float(tuned.mean()),
        difference=difference,
        low=interval.low,
        high=interval.high,
        p_value=sign_flip_p_value(units.totals, draws, rng),
        n=n,
        groups=None if groups is None else len(units),
        interval=interval.method,
        approximate=interval.approximate,
        detectable=None if interval.method is None else detectable,
        needed=None if interval.method is None else _items(wanted, len(units), n),
    )


def compare_statistic(
    metric: Metric | str,
    statistic: Statistic,
    base: FloatArray,
    tuned: FloatArray,
    gold: FloatArray,
    *,
    groups: IntArray | None = None,
    draws: int = 10_000,
    seed: int = 13,
    confidence: float = 0.95,
) -> Comparison:
    """Compares predictions ``base`` and ``tuned`` (n,) by a statistic of them and ``gold`` (n,).

    Bootstrap: items (or whole groups) are drawn with their gold value and both predictions, and the
    statistic is computed anew for both models.

    Randomisation: if the models were alike, it would not matter which of them made which prediction.
    Their scales differ, though (a tuned model spreads its cosines), and a mixture of two scales
    correlates worse than either. So each model's predictions are first put on a common scale, by
    average ranks for Spearman and average precision and by mean 0 and variance 1 for Pearson, none
    of which changes the statistic; then the predictions of units are swapped at random. Exact where
    at most 20 units differ and trying all swaps is cheap, otherwise (1 + #) / (1 + draws).
    """
    base, tuned, groups = _paired(base, tuned, groups)
    gold = np.asarray(gold, dtype=np.float64)
    if gold.shape != base.shape or np.isnan(base).any():
        raise ValueError(
            f"predictions {base.shape} and given values {gold.shape} must be paired and complete"
        )
    if len(gold) == 0:
        return _undefined(metric, groups)
    units = np.arange(len(gold)) if groups is None else np.unique(groups, return_inverse=True)[1]
    value_base, value_tuned = statistic(base, gold), statistic(tuned, gold)
    number, difference = int(units.max()) + 1, value_tuned - value_base
    interval, error, p_value = NO_INTERVAL, float("nan"), float("nan")
    if np.isfinite(difference):
        rng = np.random.default_rng(seed)
        values = draw_statistic(statistic, base, tuned, gold, units, draws, rng)
        changed = len(np.unique(units[base != tuned]))
        interval = statistic_interval(values, number, changed, confidence)
        error = _spread(values, number)
        p_value = swap_p_value(statistic, base, tuned, gold, units, draws, rng)
    wanted = units_needed(difference, error, number, confidence=confidence)
    detectable = smallest_shown(error, number, confidence=confidence)
    return Comparison(
        metric=str(metric),
        base=value_base,
        tuned=value_tuned,
        difference=difference,
        low=interval.low,
        high=interval.high,
        p_value=p_value,
        n=len(gold),
        groups=None if groups is None else number,
        interval=interval.method,
        approximate=interval.approximate,
        detectable=None if interval.method is None else detectable,
        needed=None if interval.method is None else _items(wanted, number, len(gold)),
        williams_p=_williams_p(statistic, base, tuned, gold) if groups is None else None,
    )


def _spread(values: FloatArray, units: int) -> float:
    """The standard error that bootstrap values show; their own is too small by sqrt((U - 1) / U)."""
    defined = values[np.isfinite(values)]
    if units < 2 or len(defined) < 2:
        return float("nan")
    return float(defined.std(ddof=1)) * float(np.sqrt(units / (units - 1)))


def _items(wanted: int | None, units: int, n: int) -> int | None:
    """So many units as items, of which ``units`` units have ``n``."""
    return None if wanted is None else -(-wanted * n // units)


def _williams_p(statistic: Statistic, base: FloatArray, tuned: FloatArray, gold: FloatArray) -> float | None:
    """Williams' p of two correlations with ``gold``; None for any other statistic, and where undefined."""
    if statistic not in _CORRELATIONS:
        return None
    pairs = ((tuned, gold), (base, gold), (tuned, base))
    # Rounding may lift a correlation of equal orders above 1.
    r12, r13, r23 = (float(np.clip(statistic(*pair), -1, 1)) for pair in pairs)
    p_value = williams(r12, r13, r23, len(gold)).p_value
    return p_value if np.isfinite(p_value) else None


def _paired(
    base: FloatArray, tuned: FloatArray, groups: IntArray | None
) -> tuple[FloatArray, FloatArray, IntArray | None]:
    """Without the items that are NaN in both."""
    base, tuned = np.asarray(base, dtype=np.float64), np.asarray(tuned, dtype=np.float64)
    shapes = [base.shape, tuned.shape] + ([] if groups is None else [np.shape(groups)])
    if base.ndim != 1 or len(set(shapes)) != 1:
        raise ValueError(f"items cannot be paired: base, tuned and groups have the shapes {shapes}")
    missing: NDArray[np.bool_] = np.isnan(base)
    if (missing != np.isnan(tuned)).any():
        item = int(np.flatnonzero(missing != np.isnan(tuned))[0])
        raise ValueError(
            f"item {item} has a value for one model only; both must be measured on the same items"
        )
    return base[~missing], tuned[~missing], None if groups is None else np.asarray(groups)[~missing]


def _undefined(metric: Metric | str, groups: IntArray | None) -> Comparison:
    nan = float("nan")
    return Comparison(str(metric), nan, nan, nan, nan, nan, nan, 0, None if groups is None else 0)
