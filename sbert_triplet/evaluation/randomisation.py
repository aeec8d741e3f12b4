"""Paired randomisation: how often is a difference as large where it does not matter which model is which?

Smucker, Allan and Carterette 2007, doi:10.1145/1321440.1321528. The difference of two models that are
alike is as likely to be turned round in any unit, so its sign is flipped, or predictions are swapped.
"""

from __future__ import annotations

import numpy as np

from sbert_triplet.evaluation.resampling import IntArray, Statistic, all_flips, random_flips
from sbert_triplet.evaluation.results import FloatArray

EXACT_UNITS = 20
"""Up to so many units that differ, every one of their sign flips is tried."""
_EXACT_CELLS = 1 << 26


def sign_flip_p_value(differences: FloatArray, draws: int, rng: np.random.Generator) -> float:
    """Two-sided p of a sum of differences under random signs.

    Those that are 0 change nothing by their sign and are left out; exact where at most 20 are not.
    """
    differences = differences[differences != 0]
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


def swap_p_value(
    statistic: Statistic,
    base: FloatArray,
    tuned: FloatArray,
    gold: FloatArray,
    units: IntArray,
    draws: int,
    rng: np.random.Generator,
) -> float:
    """Two-sided p of the difference of a statistic under swapped predictions, on their common scale.

    All 2n predictions are pooled; a swap is then a choice of n of them, that is, counts of 0 and 1,
    and the statistic of a choice is that of a resample. ``units`` (n,): the unit of each item. NaN for a
    statistic whose predictions cannot be swapped.
    """
    if statistic.common_scale is None:
        return float("nan")
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
