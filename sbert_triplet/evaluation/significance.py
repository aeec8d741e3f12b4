"""Is the tuned model better than the base model, or was it luck? Both are measured on the same items.

``compare_items`` is for metrics that are means of per-item values, ``compare_statistic`` for those
that are not (correlations, average precision over pairs). Each gives a bootstrap interval of the
difference (Efron and Tibshirani 1993; for retrieval Sakai 2006, doi:10.1145/1148170.1148261) and a
paired randomisation p-value (Smucker, Allan and Carterette 2007, doi:10.1145/1321440.1321528).

Where items come in groups (queries of one package, triplets of one anchor), whole groups are drawn
and whole groups are flipped: items of a group are not independent, and an interval that treats them
so is too short.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.evaluation.metrics import Metric
from sbert_triplet.evaluation.pairs import PAIR_AP
from sbert_triplet.evaluation.resampling import (
    IntArray,
    Statistic,
    all_flips,
    bootstrap_draws,
    counts_of,
    percentile_interval,
    random_flips,
)
from sbert_triplet.evaluation.results import Comparison, FloatArray
from sbert_triplet.evaluation.sts import PEARSON, SPEARMAN

STATISTICS = {statistic.name: statistic for statistic in (SPEARMAN, PEARSON, PAIR_AP)}
"""The metrics that ``compare_statistic`` takes, by name; all others have per-item values."""

EXACT_UNITS = 20
"""Up to so many units that differ, every one of their sign flips is tried."""
_EXACT_CELLS = 1 << 26


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
    totals, sizes = _by_unit(differences, groups)
    changed = totals[totals != 0]
    rng = np.random.default_rng(seed)
    means = []
    for drawn in bootstrap_draws(len(totals), draws, rng, 2 * len(totals)):
        counted = len(totals) if groups is None else sizes[drawn].sum(axis=1)
        means.append(totals[drawn].sum(axis=1) / counted)
    low, high = percentile_interval(np.concatenate(means), len(totals), len(changed), confidence)
    return Comparison(
        metric=str(metric),
        base=float(base.mean()),
        tuned=float(tuned.mean()),
        difference=float(tuned.mean() - base.mean()),
        low=low,
        high=high,
        p_value=_sign_flip_p_value(changed, draws, rng),
        n=n,
        groups=None if groups is None else len(totals),
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
    low, high, p_value = float("nan"), float("nan"), float("nan")
    if np.isfinite(value_base) and np.isfinite(value_tuned):
        rng = np.random.default_rng(seed)
        changed = np.unique(units[base != tuned])
        values = _bootstrap_statistic(statistic, base, tuned, gold, units, draws, rng)
        low, high = percentile_interval(values, int(units.max()) + 1, len(changed), confidence)
        p_value = _swap_p_value(statistic, base, tuned, gold, units, draws, rng)
    return Comparison(
        metric=str(metric),
        base=value_base,
        tuned=value_tuned,
        difference=value_tuned - value_base,
        low=low,
        high=high,
        p_value=p_value,
        n=len(gold),
        groups=None if groups is None else int(units.max()) + 1,
    )


def _sign_flip_p_value(differences: FloatArray, draws: int, rng: np.random.Generator) -> float:
    """Two-sided p of a sum of differences under random signs; ``differences`` are those not 0."""
    if len(differences) == 0:
        return 1.0
    # Sums of the same numbers in another order differ by rounding; they are ties all the same.
    seen = abs(differences.sum()) - 1e-12 * np.abs(differences).sum()
    exact = len(differences) <= EXACT_UNITS
    flips = (
        all_flips(len(differences), len(differences))
        if exact
        else random_flips(len(differences), draws, rng, len(differences))
    )
    extreme = tried = 0
    for chunk in flips:
        sums = differences.sum() - 2 * (chunk.astype(np.float64) @ differences)
        extreme, tried = extreme + int((np.abs(sums) >= seen).sum()), tried + len(chunk)
    return extreme / tried if exact else (1 + extreme) / (1 + tried)


def _bootstrap_statistic(
    statistic: Statistic,
    base: FloatArray,
    tuned: FloatArray,
    gold: FloatArray,
    units: IntArray,
    draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    of_base, of_tuned = statistic.prepare(base, gold), statistic.prepare(tuned, gold)
    differences = []
    for drawn in bootstrap_draws(int(units.max()) + 1, draws, rng, 4 * len(gold)):
        counts = counts_of(drawn)[units]
        differences.append(of_tuned(counts) - of_base(counts))
    return np.concatenate(differences)


def _swap_p_value(
    statistic: Statistic,
    base: FloatArray,
    tuned: FloatArray,
    gold: FloatArray,
    units: IntArray,
    draws: int,
    rng: np.random.Generator,
) -> float:
    """Two-sided p of the difference under swapped predictions.

    All 2n predictions are pooled; a swap is then a choice of n of them, that is, counts of 0 and 1,
    and the statistic of a choice is that of a resample.
    """
    one, two = statistic.common_scale(base), statistic.common_scale(tuned)
    changed, swapped_with = np.unique(units[one != two], return_inverse=True)
    if len(changed) == 0:
        return 1.0
    of_pool = statistic.prepare(np.concatenate([one, two]), np.concatenate([gold, gold]))
    exact = len(changed) <= EXACT_UNITS and len(gold) * 2 ** len(changed) <= _EXACT_CELLS
    cells = 8 * len(gold)
    flips = all_flips(len(changed), cells) if exact else random_flips(len(changed), draws, rng, cells)
    seen = abs(statistic(two, gold) - statistic(one, gold)) - 1e-12
    extreme = tried = 0
    for chunk in flips:
        swapped = np.zeros((len(gold), len(chunk)))
        swapped[one != two] = chunk.T[swapped_with]
        taken = np.concatenate([1 - swapped, swapped])
        found = np.abs(of_pool(1 - taken) - of_pool(taken))
        # A mixture on which the statistic is undefined counts against a difference.
        extreme += int((~(found < seen)).sum())
        tried += len(chunk)
    return extreme / tried if exact else (1 + extreme) / (1 + tried)


def _by_unit(differences: FloatArray, groups: IntArray | None) -> tuple[FloatArray, FloatArray]:
    """Sum of differences and number of items of each unit."""
    if groups is None:
        return differences, np.ones_like(differences)
    _, units = np.unique(groups, return_inverse=True)
    totals = np.bincount(units, weights=differences)
    return np.asarray(totals, dtype=np.float64), np.bincount(units).astype(np.float64)


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
