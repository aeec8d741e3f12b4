"""The similarity from which on two texts are taken as the same, for the precision that a person wants."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.wording import percent
from sbert_triplet.evaluation.intervals import expanded_tail
from sbert_triplet.evaluation.pairs import (
    Threshold,
    at_threshold,
    checked_pairs,
    cut_between,
    distinct_thresholds,
)
from sbert_triplet.evaluation.resampling import FEWEST_UNITS, IntArray, bootstrap_draws, counts_of
from sbert_triplet.evaluation.results import FloatArray

Interval = tuple[float, float]
UNDEFINED: Interval = (float("nan"), float("nan"))


@dataclass(frozen=True)
class Calibration:
    """The cut for a wanted precision, as found on ``pairs`` pairs.

    ``cut``: the threshold, and precision and recall on these pairs. Where no cut is ``reached`` that is
    precise enough it is the one of the highest precision instead, and has neither of the next two intervals,
    which are of another cut. ``similarity`` and ``recall``: bootstrap intervals of the cut and of the recall
    there; a resample in which no cut is precise enough has a cut of infinity and recall 0, and
    ``reached_share`` is the share of the others. ``precision``: the interval of that of ``cut``. NaN where
    too few pairs, or groups, tell nothing. On the pairs that it was chosen on a cut looks better than it is:
    choose it on some (dev), and see what ``at_threshold`` says on others.
    """

    wanted: float
    cut: Threshold
    reached: bool
    similarity: Interval
    recall: Interval
    precision: Interval
    reached_share: float
    pairs: int
    groups: int | None
    confidence: float

    def as_json(self) -> dict[str, Any]:
        """For a model's folder; JSON has neither NaN nor infinity, so these are null."""
        numbers = {
            "precision_wanted": self.wanted,
            "similarity": self.cut.similarity,
            "similarity_low": self.similarity[0],
            "similarity_high": self.similarity[1],
            "precision": self.cut.precision,
            "precision_low": self.precision[0],
            "precision_high": self.precision[1],
            "recall": self.cut.recall,
            "recall_low": self.recall[0],
            "recall_high": self.recall[1],
            "reached_share": self.reached_share,
            "confidence": self.confidence,
        }
        return {
            "reached": self.reached,
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "n": self.pairs,
            **({} if self.groups is None else {"groups": self.groups}),
        }

    def sentence(self) -> str:
        """For people: what to use, or that there is nothing to use."""
        cut = self.cut
        if not self.reached:
            return (
                f"no similarity cuts these {self.pairs:,} pairs with a precision of {self.wanted:g}: the "
                f"highest is {cut.precision:.3f}, from {cut.similarity:.4f} upwards, with recall "
                f"{cut.recall:.3f}"
            )
        low, high = self.similarity
        between = (
            "" if math.isnan(low) else f" ({percent(self.confidence)} interval {low:.4f} to {_or_none(high)})"
        )
        return (
            f"from a similarity of {cut.similarity:.4f}{between} upwards {cut.precision:.3f} of the pairs "
            f"are the same, and {cut.recall:.3f} of those that are the same are found"
        )


def calibrate(
    similarities: FloatArray,
    same: NDArray[np.generic],
    *,
    precision: float,
    groups: IntArray | None = None,
    draws: int = 2_000,
    seed: int = 13,
    confidence: float = 0.95,
) -> Calibration:
    """The lowest cut with at least ``precision`` on n pairs, with bootstrap intervals.

    The lowest, since it has the highest recall; precision need not rise with the cut, so one further up
    may have less. It lies half way between the last similarity that passes and the next below it.
    ``similarities`` and ``same`` (n,): 1 or True where the pair belongs together. ``groups`` (n,): the group
    of each pair (of one text, of one source); whole groups are drawn. Intervals are percentiles of
    ``draws`` resamples, moved outwards as those of differences are. Raises ValueError for a precision
    outside (0, 1], for labels other than 0 and 1 and where no pair belongs together.
    """
    scores, positive = checked_pairs(similarities, same)
    if not 0 < precision <= 1:
        raise ValueError(f"the wanted precision is {precision:g}; it must be above 0 and at most 1")
    if not positive.any():
        raise ValueError("no threshold can be chosen: no pair belongs together")
    units = _units(scores, groups)
    levels = _Levels.of(scores, positive)
    passed, hits = levels.passing(np.ones((len(scores), 1)))
    chosen = _lowest(passed, hits, precision)
    reached = bool(chosen[0] >= 0)
    if not reached:
        # Of equal precisions the one further down, which finds more.
        chosen = len(passed) - 1 - np.argmax((hits / passed)[::-1], axis=0)
    cut = float(levels.cuts(chosen, passed)[0])
    count = int(units.max()) + 1
    drawn = bootstrap_draws(count, draws, np.random.default_rng(seed), 12 * len(scores))
    found = _resampled(levels, units, precision, chosen, drawn)
    return Calibration(
        wanted=precision,
        cut=at_threshold(scores, positive, cut),
        reached=reached,
        similarity=_interval(found.cuts, count, confidence) if reached else UNDEFINED,
        recall=_interval(found.recalls, count, confidence) if reached else UNDEFINED,
        precision=_of_precision(found.precisions, units[scores >= cut], count, confidence),
        reached_share=float(np.isfinite(found.cuts).mean()),
        pairs=len(scores),
        groups=None if groups is None else count,
        confidence=confidence,
    )


def _units(scores: FloatArray, groups: IntArray | None) -> IntArray:
    """(n,): what each pair is drawn with, from 0."""
    if groups is None:
        return np.arange(len(scores))
    if np.shape(groups) != scores.shape:
        raise ValueError(f"groups {np.shape(groups)} and similarities {scores.shape} cannot be paired")
    units: IntArray = np.unique(groups, return_inverse=True)[1]
    return units


@dataclass(frozen=True)
class _Levels:
    """n pairs from the highest similarity, and their L distinct similarities ``values`` (L,).

    ``ends`` (L,): the last pair of each; ``order`` and ``positive`` (n,).
    """

    order: IntArray
    ends: IntArray
    values: FloatArray
    positive: FloatArray

    @classmethod
    def of(cls, scores: FloatArray, positive: FloatArray) -> _Levels:
        order, ends = distinct_thresholds(scores)
        return cls(order, ends, scores[order][ends], positive[order])

    def passing(self, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(L, R), (L, R): pairs down to each level in R resamples (n, R), and the same ones of them."""
        ordered = counts[self.order]
        passed: FloatArray = np.cumsum(ordered, axis=0)[self.ends]
        hits: FloatArray = np.cumsum(ordered * self.positive[:, None], axis=0)[self.ends]
        return passed, hits

    def cuts(self, chosen: IntArray, passed: FloatArray) -> FloatArray:
        """(R,): below the last level of each resample down to ``chosen`` (R,); infinity for none, -1."""
        there = np.diff(passed, axis=0, prepend=0.0) > 0
        places = np.where(there, np.arange(len(self.values))[:, None], -1)
        last = np.take_along_axis(np.maximum.accumulate(places, axis=0), chosen[None], axis=0)[0]
        # A level of no pair has the precision of the one above it, so the next below the lowest cut has some.
        following = np.minimum(chosen + 1, len(self.values) - 1)
        below = np.where(following > chosen, self.values[following], self.values[last])
        return np.where(chosen < 0, np.inf, cut_between(self.values[last], below))


@dataclass(frozen=True)
class _Resampled:
    """(R,) cuts and recalls where some pair is the same, and (R,) precisions of the cut of all pairs."""

    cuts: FloatArray
    recalls: FloatArray
    precisions: FloatArray


def _resampled(
    levels: _Levels, units: IntArray, precision: float, level: IntArray, draws: Iterator[IntArray]
) -> _Resampled:
    """``level`` (1,): the one that was chosen on all pairs."""
    cuts, recalls, precisions = [], [], []
    for drawn in draws:
        passed, hits = levels.passing(counts_of(drawn)[units])
        chosen = _lowest(passed, hits, precision)
        defined, own = hits[-1] > 0, passed[level[0]] > 0
        cuts.append(levels.cuts(chosen, passed)[defined])
        recalls.append(_at(hits, chosen)[defined] / hits[-1][defined])
        precisions.append(hits[level[0]][own] / passed[level[0]][own])
    return _Resampled(np.concatenate(cuts), np.concatenate(recalls), np.concatenate(precisions))


def _lowest(passed: FloatArray, hits: FloatArray, precision: float) -> IntArray:
    """(R,): the last level of (L, R) that is precise enough, -1 for none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        enough = hits / passed >= precision
    last: IntArray = len(enough) - 1 - np.argmax(enough[::-1], axis=0)
    return np.where(enough.any(axis=0), last, -1)


def _at(numbers: FloatArray, chosen: IntArray) -> FloatArray:
    """(R,): the numbers (L, R) at the levels ``chosen`` (R,), 0 where that is none."""
    taken = np.take_along_axis(numbers, np.maximum(chosen, 0)[None], axis=0)[0]
    return np.where(chosen < 0, 0.0, taken)


def _of_precision(values: FloatArray, passing: IntArray, units: int, confidence: float) -> Interval:
    """As ``_interval``; where the resamples never show a wrong pair, from the exact binomial bound.

    ``passing``: the units of the pairs that pass, of which each counts once there.
    """
    low, high = _interval(values, units, confidence)
    if low != 1:
        return low, high
    return ((1 - confidence) / 2) ** (1 / len(np.unique(passing))), 1.0


def _interval(values: FloatArray, units: int, confidence: float) -> Interval:
    """Percentiles of what was drawn (never between a number and infinity), moved outwards for few units.

    By the ratio of Student's t to the normal quantile and by sqrt(U / (U - 1)) (Hesterberg 2015, arXiv
    1411.5279).
    """
    if units < FEWEST_UNITS or not len(values):
        return UNDEFINED
    tail = expanded_tail(units, confidence)
    return (
        float(np.quantile(values, tail, method="lower")),
        float(np.quantile(values, 1 - tail, method="higher")),
    )


def _or_none(number: float) -> str:
    return f"{number:.4f}" if math.isfinite(number) else "none that is precise enough"
