"""Differences whose true mean is known, and how often an interval of them holds it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import integrate, stats

from sbert_triplet.evaluation.intervals import (
    Interval,
    adjusted_interval,
    bca_interval,
    mean_interval,
    percentile_interval,
    statistic_interval,
    studentised_interval,
)
from sbert_triplet.evaluation.pairs import PAIR_AP
from sbert_triplet.evaluation.randomisation import sign_flip_p_value, swap_p_value
from sbert_triplet.evaluation.resampling import Statistic, counts_of
from sbert_triplet.evaluation.sts import PEARSON, SPEARMAN
from sbert_triplet.evaluation.units import Draws, Units, draw_statistic, from_sums, leave_out_statistic
from sbert_triplet.evaluation.verdict import CHANCE

FloatArray = NDArray[np.float64]
Sums = tuple[FloatArray, FloatArray]
Random = np.random.Generator
Results = dict[str, Any]
BLOCK = 50
"""Trials that share their bootstrap draws, so that the sums of all of them are one product of matrices."""


@dataclass(frozen=True)
class Means:
    """Differences of items: totals and sizes of units (trials, U) for (generator, trials, n).

    ``draw``: with the mean ``truth``. ``alike``: of two models that are alike. ``skewed``: ``draw`` less its
    mean is looked at for false alarms too, although models that are alike never differ so.
    """

    words: str
    truth: float
    draw: Callable[[Random, int, int], Sums]
    alike: Callable[[Random, int, int], Sums]
    skewed: bool = False
    hits: bool = False


@dataclass(frozen=True)
class Statistics:
    """Predictions of two models and given values, each (n,), for (generator, n), by their strengths."""

    words: str
    truth: float
    statistic: Statistic
    draw: Callable[[Random, int, float, float], tuple[FloatArray, FloatArray, FloatArray]]
    strengths: tuple[float, float]


def _alone(values: FloatArray) -> Sums:
    return values, np.ones_like(values)


def _hits(worse: float, better: float) -> Callable[[Random, int, int], Sums]:
    shares = [worse, 1 - worse - better, better]
    return lambda rng, trials, n: _alone(rng.choice([-1.0, 0.0, 1.0], p=shares, size=(trials, n)))


BASE_RANK, TUNED_RANK, SAME_RANK = 0.5, 0.6, 0.6


def _ranks(tuned: float) -> Callable[[Random, int, int], Sums]:
    """Reciprocal ranks, geometric; most queries keep theirs."""

    def draw(rng: Random, trials: int, n: int) -> Sums:
        before = 1 / rng.geometric(BASE_RANK, (trials, n))
        after = np.where(rng.random((trials, n)) < SAME_RANK, before, 1 / rng.geometric(tuned, (trials, n)))
        return _alone(after - before)

    return draw


def _mean_reciprocal(share: float) -> float:
    return -share * math.log(share) / (1 - share)


def _clustered(effect: Callable[[Random, tuple[int, int]], FloatArray]) -> Callable[[Random, int, int], Sums]:
    """n items in n / 5 groups of uneven size; items of a group share its effect."""

    def draw(rng: Random, trials: int, n: int) -> Sums:
        groups = n // 5
        shares = rng.dirichlet(np.full(groups, 3.0), trials)
        sizes = 1.0 + rng.multinomial(n - groups, shares)
        return sizes * effect(rng, sizes.shape) + np.sqrt(sizes) * rng.normal(size=sizes.shape), sizes

    return draw


def _predictions(rng: Random, n: int, one: float, two: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Normal predictions of normal values, of given correlations, with independent errors."""
    gold, first, second = rng.normal(size=(3, n))
    return one * gold + math.sqrt(1 - one**2) * first, two * gold + math.sqrt(1 - two**2) * second, gold


POSITIVE = 0.4


def _scores(rng: Random, n: int, one: float, two: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Normal similarities, those of pairs that belong together higher by so much."""
    same = (rng.random(n) < POSITIVE).astype(np.float64)
    return rng.normal(size=n) + one * same, rng.normal(size=n) + two * same, same


def _average_precision(apart: float) -> float:
    def precision(recall: float) -> float:
        wrong = (1 - POSITIVE) * stats.norm.cdf(stats.norm.ppf(recall) - apart)
        return float(POSITIVE * recall / (POSITIVE * recall + wrong))

    return float(integrate.quad(precision, 0, 1)[0])


def _rank_correlation(r: float) -> float:
    return 6 / math.pi * math.asin(r / 2)


KINDS: dict[str, Means | Statistics] = {
    "normal": Means(
        "normal",
        0.2,
        lambda rng, trials, n: _alone(rng.normal(0.2, 1, (trials, n))),
        lambda rng, trials, n: _alone(rng.normal(0, 1, (trials, n))),
    ),
    "lognormal": Means(
        "lognormal",
        math.exp(0.5),
        lambda rng, trials, n: _alone(rng.lognormal(0, 1, (trials, n))),
        lambda rng, trials, n: _alone(rng.lognormal(0, 1, (trials, n)) - rng.lognormal(0, 1, (trials, n))),
        skewed=True,
    ),
    "hits": Means("hits: 12 % gained, 5 % lost", 0.07, _hits(0.05, 0.12), _hits(0.085, 0.085), hits=True),
    "few hits": Means("hits: 3 % gained, 1 % lost", 0.02, _hits(0.01, 0.03), _hits(0.02, 0.02), hits=True),
    "ranks": Means(
        "reciprocal ranks, most unchanged",
        (1 - SAME_RANK) * (_mean_reciprocal(TUNED_RANK) - _mean_reciprocal(BASE_RANK)),
        _ranks(TUNED_RANK),
        _ranks(BASE_RANK),
    ),
    "clustered": Means(
        "groups of 5, normal",
        0.2,
        _clustered(lambda rng, shape: rng.normal(0.2, 1, shape)),
        _clustered(lambda rng, shape: rng.normal(0, 1, shape)),
    ),
    "clustered, skewed": Means(
        "groups of 5, exponential",
        1.0,
        _clustered(lambda rng, shape: rng.exponential(1, shape)),
        _clustered(lambda rng, shape: rng.exponential(1, shape) - rng.exponential(1, shape)),
        skewed=True,
    ),
    "Pearson": Statistics("Pearson, .6 and .7", 0.1, PEARSON, _predictions, (0.6, 0.7)),
    "Spearman": Statistics(
        "Spearman, .6 and .7 of normal values",
        _rank_correlation(0.7) - _rank_correlation(0.6),
        SPEARMAN,
        _predictions,
        (0.6, 0.7),
    ),
    "pair AP": Statistics(
        "average precision over pairs",
        _average_precision(1.5) - _average_precision(1.0),
        PAIR_AP,
        _scores,
        (1.0, 1.5),
    ),
}


@dataclass(frozen=True)
class Plan:
    """``draws``: of the bootstrap, ``flips``: of the p-value; both one less than a round number is best."""

    trials: int
    draws: int = 1_999
    flips: int = 999
    seed: int = 13


def measured_case(name: str, n: int, plan: Plan) -> Results:
    """How often each interval held the truth in ``plan.trials`` trials, and how often chance was alarming."""
    kind = KINDS[name]
    # A seed of its own for every case, so that the order in which cases are measured changes nothing.
    rng = np.random.default_rng([plan.seed, n, *name.encode()])
    tally = Tally(kind.truth)
    if isinstance(kind, Means):
        _mean_trials(kind, n, plan, rng, tally)
    else:
        _statistic_trials(kind, n, plan, rng, tally)
    return {"kind": name, "words": kind.words, "n": n, "truth": kind.truth, **tally.summary()}


class Tally:
    """Counts over trials."""

    def __init__(self, truth: float) -> None:
        self.truth = truth
        self.ends: dict[str, list[tuple[float, float]]] = {}
        self.chosen: list[Interval] = []
        self.alarms: dict[str, list[bool]] = {}

    def add(self, chosen: Interval, ways: dict[str, tuple[float, float]]) -> None:
        self.chosen.append(chosen)
        for way, ends in {**ways, "chosen": (chosen.low, chosen.high)}.items():
            self.ends.setdefault(way, []).append(ends)

    def alarm(self, what: str, raised: bool) -> None:
        self.alarms.setdefault(what, []).append(raised)

    def summary(self) -> Results:
        chosen, held = self.chosen, self._held(self.ends["chosen"])
        sure = np.array([not each.approximate for each in chosen])
        return {
            "trials": len(chosen),
            "methods": {
                str(method): sum(each.method == method for each in chosen)
                for method in dict.fromkeys(each.method for each in chosen)
            },
            "approximate": float(1 - sure.mean()),
            "coverage_where_not_approximate": float(held[sure].mean()) if sure.any() else None,
            "ways": {way: self._way(ends) for way, ends in self.ends.items()},
            "false_alarms": {what: float(np.mean(raised)) for what, raised in self.alarms.items()},
        }

    def _held(self, ends: list[tuple[float, float]]) -> NDArray[np.bool_]:
        low, high = np.array(ends).T
        inside: NDArray[np.bool_] = (low <= self.truth) & (self.truth <= high)
        return inside

    def _way(self, ends: list[tuple[float, float]]) -> Results:
        low, high = np.array(ends).T
        return {
            "trials": len(ends),
            "coverage": float(self._held(ends).mean()),
            "missed_below": float(np.mean(high < self.truth)),
            "missed_above": float(np.mean(low > self.truth)),
            "median_length": float(np.nanmedian(high - low)),
        }


def _mean_trials(kind: Means, n: int, plan: Plan, rng: Random, tally: Tally) -> None:
    for first in range(0, plan.trials, BLOCK):
        trials = min(BLOCK, plan.trials - first)
        for units, draws in _resampled(kind, kind.draw(rng, trials, n), plan.draws, rng):
            chosen = mean_interval(units, draws)
            tally.add(chosen, _ways(units, draws))
            if kind.skewed:
                clear = not chosen.low <= kind.truth <= chosen.high
                p_value = sign_flip_p_value(units.totals - kind.truth * units.sizes, plan.flips, rng)
                tally.alarm("p, not alike, no difference in the mean", p_value <= CHANCE)
                tally.alarm("verdict, not alike, no difference in the mean", clear and p_value <= CHANCE)
        for units, draws in _resampled(kind, kind.alike(rng, trials, n), plan.draws, rng):
            chosen = mean_interval(units, draws)
            p_value = sign_flip_p_value(units.totals, plan.flips, rng)
            tally.alarm("p", p_value <= CHANCE)
            tally.alarm("verdict", p_value <= CHANCE and not chosen.low <= 0 <= chosen.high)


def _ways(units: Units, draws: Draws) -> dict[str, tuple[float, float]]:
    ways = {
        "percentile": percentile_interval(draws.values, len(units)),
        "BCa": bca_interval(draws.values, units.mean, units.left_out),
        "studentised": studentised_interval(units.mean, units.error, draws),
    }
    return ways if units.step is None else {**ways, "adjusted": adjusted_interval(units, units.step)}


def _resampled(kind: Means, sums: Sums, draws: int, rng: Random) -> Iterator[tuple[Units, Draws]]:
    """Each trial's units, and their draws."""
    totals, sizes = sums
    every = [Units(total, size, kind.hits) for total, size in zip(totals, sizes, strict=True)]
    residuals = np.stack([units.residuals for units in every])
    counts = counts_of(rng.integers(0, totals.shape[1], (draws, totals.shape[1])))
    columns = (residuals, residuals**2, residuals * sizes, sizes, sizes**2)
    drawn = np.stack([column @ counts for column in columns], axis=1)
    for units, each in zip(every, drawn, strict=True):
        yield units, Draws(*from_sums(units, *each))


def _statistic_trials(kind: Statistics, n: int, plan: Plan, rng: Random, tally: Tally) -> None:
    for _ in range(plan.trials):
        base, tuned, gold = kind.draw(rng, n, *kind.strengths)
        difference = kind.statistic(tuned, gold) - kind.statistic(base, gold)
        units = np.arange(n)
        values = draw_statistic(kind.statistic, base, tuned, gold, units, plan.draws, rng)
        left_out = leave_out_statistic(kind.statistic, base, tuned, gold, units)
        ways = {
            "percentile": percentile_interval(values, n),
            "BCa": bca_interval(values, difference, left_out),
        }
        tally.add(statistic_interval(values, n, n), ways)
        base, tuned, gold = kind.draw(rng, n, kind.strengths[0], kind.strengths[0])
        p_value = swap_p_value(kind.statistic, base, tuned, gold, np.arange(n), plan.flips, rng)
        tally.alarm("p", p_value <= CHANCE)
