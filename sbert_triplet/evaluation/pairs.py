"""Pairs that belong together or do not: average precision and the best threshold."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.resampling import Statistic, average_ranks
from sbert_triplet.evaluation.results import FloatArray, MetricValues


@dataclass(frozen=True)
class Threshold:
    """A pair is taken as the same from ``similarity`` upwards, and how right that is on some pairs."""

    similarity: float
    precision: float
    recall: float
    f1: float


def evaluate_pairs(similarities: FloatArray, same: NDArray[np.generic]) -> MetricValues:
    """Average precision over the distinct thresholds of n pairs: the sum of (R_i - R_{i-1}) P_i.

    Pairs of equal similarity pass a threshold together, so their order cannot matter. ``same``
    (n,): 1 or True where the pair belongs together. Without such a pair: NaN with a warning.
    """
    scores, positive = checked_pairs(similarities, same)
    if not positive.any():
        reason = "no pair belongs together"
        warnings.warn(f"pair AP is undefined: {reason}", RuntimeWarning, stacklevel=2)
        return MetricValues("pair AP", float("nan"), undefined=reason)
    value = _average_precision(scores, positive)(np.ones((len(scores), 1)))
    return MetricValues("pair AP", float(value[0]))


def best_f1_threshold(similarities: FloatArray, same: NDArray[np.generic]) -> Threshold:
    """The threshold of the highest F1; of several, the highest threshold.

    It lies half way between the last similarity that passes and the next below it. Raises
    ``ValueError`` where no pair belongs together.
    """
    scores, positive = checked_pairs(similarities, same)
    if not positive.any():
        raise ValueError("no threshold can be chosen: no pair belongs together")
    order, ends = distinct_thresholds(scores)
    hits = np.cumsum(positive[order])[ends]
    passed = ends + 1.0
    f1 = 2 * hits / (passed + positive.sum())
    best = int(np.argmax(f1))
    last = scores[order][ends[best]]
    following = scores[order][ends[best + 1]] if best + 1 < len(ends) else last
    return Threshold(
        similarity=float(cut_between(last, following)),
        precision=float(hits[best] / passed[best]),
        recall=float(hits[best] / positive.sum()),
        f1=float(f1[best]),
    )


def at_threshold(similarities: FloatArray, same: NDArray[np.generic], threshold: float) -> Threshold:
    """What a threshold chosen elsewhere (on dev rows) gives on these pairs; undefined parts are NaN."""
    scores, positive = checked_pairs(similarities, same)
    passed = scores >= threshold
    hits, given, wanted = int((passed & (positive > 0)).sum()), int(passed.sum()), int(positive.sum())
    return Threshold(
        similarity=threshold,
        precision=hits / given if given else float("nan"),
        recall=hits / wanted if wanted else float("nan"),
        f1=2 * hits / (given + wanted) if given + wanted else float("nan"),
    )


def checked_pairs(similarities: FloatArray, same: NDArray[np.generic]) -> tuple[FloatArray, FloatArray]:
    """Similarities (n,) and labels (n,) of 0 and 1 as numbers.

    Raises ValueError for other shapes and labels, InputError for a similarity that is not finite.
    """
    scores, positive = np.asarray(similarities, np.float64), np.asarray(same, np.float64)
    if scores.shape != positive.shape or scores.ndim != 1:
        raise ValueError(f"similarities {scores.shape} and labels {positive.shape} cannot be paired")
    if not np.isin(positive, (0.0, 1.0)).all():
        raise ValueError("labels of pairs must be 0 or 1; for graded scores use Spearman")
    if not np.isfinite(scores).all():
        row = int(np.flatnonzero(~np.isfinite(scores))[0])
        raise InputError(f"the similarity of pair {row} is {scores[row]}; it must be a finite number")
    return scores, positive


def cut_between(last: FloatArray, following: FloatArray) -> FloatArray:
    """Half way between similarities that pass and the next below them; those that pass where none is."""
    middle = following + (last - following) / 2
    return np.where(middle > following, middle, last)


def distinct_thresholds(scores: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order from the highest score, and the last position in it of every distinct score."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))
    return order, ends


def _average_precision(scores: FloatArray, positive: FloatArray) -> Callable[[FloatArray], FloatArray]:
    """Average precision of resamples; the order of the scores is known once."""
    order, ends = distinct_thresholds(scores)
    sorted_positive = positive[order][:, None]

    def of_counts(counts: FloatArray) -> FloatArray:
        ordered = counts[order]
        passed = np.cumsum(ordered, axis=0)[ends]
        hits = np.cumsum(ordered * sorted_positive, axis=0)[ends]
        gained = np.diff(hits, axis=0, prepend=0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(passed > 0, hits / passed, 0.0)
            result: FloatArray = (gained * precision).sum(axis=0) / hits[-1]
        return result

    return of_counts


PAIR_AP = Statistic("pair AP", _average_precision, average_ranks)
