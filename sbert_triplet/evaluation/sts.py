"""Scored pairs: does similarity follow the given scores? Spearman and Pearson correlation."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy import stats

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.resampling import Statistic, average_ranks
from sbert_triplet.evaluation.results import FloatArray, MetricValues


def evaluate_scored(similarities: FloatArray, gold: FloatArray) -> dict[str, MetricValues]:
    """Spearman (with average ranks for ties) and Pearson of n similarities and n given scores.

    Where either side is constant, or n is below 2, a correlation is undefined: NaN with a warning.
    Raises ``InputError`` on values that are not finite.
    """
    similarities, gold = np.asarray(similarities, np.float64), np.asarray(gold, np.float64)
    if similarities.shape != gold.shape or gold.ndim != 1:
        raise ValueError(f"similarities {similarities.shape} and scores {gold.shape} cannot be paired")
    for name, values in (("similarity", similarities), ("score", gold)):
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            raise InputError(f"the {name} of pair {row} is {values[row]}; correlations need finite numbers")
    reason = _undefined(similarities, gold)
    if reason:
        warnings.warn(
            f"Spearman and Pearson are undefined: {reason}", stats.ConstantInputWarning, stacklevel=2
        )
        return {name: MetricValues(name, float("nan"), undefined=reason) for name in ("Spearman", "Pearson")}
    spearman, pearson = stats.spearmanr(similarities, gold), stats.pearsonr(similarities, gold)
    return {
        "Spearman": MetricValues("Spearman", float(spearman.statistic)),
        "Pearson": MetricValues("Pearson", float(pearson.statistic)),
    }


def _undefined(similarities: FloatArray, gold: FloatArray) -> str | None:
    if len(gold) < 2:
        return f"{len(gold)} scored pairs; a correlation needs 2 or more"
    if np.ptp(gold) == 0:
        return f"every given score is {gold[0]:g}"
    if np.ptp(similarities) == 0:
        return f"every similarity is {similarities[0]:g}; the embeddings may have collapsed"
    return None


def _spearman(values: FloatArray, gold: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Spearman of resamples without sorting any of them.

    The order of the values is known once. In a resample in which item i occurs c_i times, the
    average rank of a set of tied items follows from running sums of c along that order.
    """
    value_ranks, gold_ranks = _ranks(values), _ranks(gold)

    def of_counts(counts: FloatArray) -> FloatArray:
        one, one_square = value_ranks(counts)
        two, two_square = gold_ranks(counts)
        product = np.einsum("nr,nr,nr->r", counts, one, two)
        with np.errstate(divide="ignore", invalid="ignore"):
            result: FloatArray = product / np.sqrt(one_square * two_square)
        return result

    return of_counts


def _ranks(values: FloatArray) -> Callable[[FloatArray], tuple[FloatArray, FloatArray]]:
    """For counts (n, R): centred average ranks (n, R), and the sum (R,) of their squares over a resample."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values[order]) != 0]))
    level = np.empty(len(values), dtype=np.int64)
    level[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))

    def of_counts(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        sizes = np.add.reduceat(counts[order], starts, axis=0) if len(starts) < len(order) else counts[order]
        ranks = np.cumsum(sizes, axis=0)
        total = ranks[-1].copy()
        # The ranks of a level run from (those below) + 1 to (those below) + its size.
        ranks -= (sizes - 1) / 2
        ranks -= (total + 1) / 2
        squares = np.einsum("nr,nr,nr->r", sizes, ranks, ranks)
        return ranks[level], squares

    return of_counts


def _pearson(values: FloatArray, gold: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Pearson of resamples from six weighted sums; both sides are centred first against cancellation."""
    x, y = _standardised(values), _standardised(gold)
    columns = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y])

    def of_counts(counts: FloatArray) -> FloatArray:
        n, sx, sy, sxx, syy, sxy = columns @ counts
        x_square, y_square = n * sxx - sx * sx, n * syy - sy * sy
        # What a constant resample leaves is rounding, not spread.
        noise = 1e-12 * n * n
        x_square = np.where(x_square > noise, x_square, np.nan)
        y_square = np.where(y_square > noise, y_square, np.nan)
        result: FloatArray = (n * sxy - sx * sy) / np.sqrt(x_square * y_square)
        return result

    return of_counts


def _standardised(values: FloatArray) -> FloatArray:
    spread = values.std()
    result: FloatArray = (values - values.mean()) / (spread if spread > 0 else 1.0)
    return result


SPEARMAN = Statistic("Spearman", _spearman, average_ranks)
PEARSON = Statistic("Pearson", _pearson, _standardised)
