"""Figures of a run that speak for a cause, and a cause."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sbert_triplet.evaluation.results import Comparison, FloatArray

NO_VALUES = np.zeros(0)
FEWEST_AT_AN_END = 5


@dataclass(frozen=True)
class Cause:
    """``strength``: how much the figures speak for it, from 0 to 1, to rank causes of one run by."""

    cause: str
    evidence: str
    advice: str
    strength: float


@dataclass(frozen=True)
class Shape:
    """Of ``evaluation.health.Health``: how texts lie under one model."""

    anisotropy: float
    effective_rank: float


@dataclass(frozen=True)
class Figures:
    """What is known of a run. What is not known is None, NaN or empty, and speaks for nothing.

    ``comparison``: of the main metric. ``rows``, ``steps``, ``learning_rate``: of the training. ``findings``:
    rows concerned by the audit's codes. ``truncated``: by role, the share of tokens that is never read.
    ``suspected``: suspects of mining, and all negatives that were chosen. ``losses`` (S,) and ``stats``, each
    (S,): by step. ``dev`` (E,): the main metric on dev. ``dev_ends``: on dev, of the base and of the last
    weights. ``general``: the check of everyday text.
    ``told_apart``: by the base model, the first group of pairs from each other one. ``same_text``: mean
    cosine of a text's embeddings before and after.
    """

    comparison: Comparison
    rows: int
    steps: int
    learning_rate: float | None = None
    findings: Mapping[str, int] = field(default_factory=dict)
    truncated: Mapping[str, float] = field(default_factory=dict)
    suspected: tuple[int, int] | None = None
    losses: FloatArray = field(default_factory=lambda: NO_VALUES)
    stats: Mapping[str, FloatArray] = field(default_factory=dict)
    dev: FloatArray = field(default_factory=lambda: NO_VALUES)
    dev_ends: tuple[float, float] = (math.nan, math.nan)
    general: Comparison | None = None
    told_apart: Mapping[str, float] = field(default_factory=dict)
    same_text: float = float("nan")
    base: Shape | None = None
    tuned: Shape | None = None


Rule = Callable[[Figures], Cause | None]


def ends(values: FloatArray) -> tuple[float, float, float]:
    """Means of the first and of the last tenth, and the standard error of their difference.

    NaN where a tenth is fewer than ``FEWEST_AT_AN_END`` values: single batches differ too much.
    """
    values = values[np.isfinite(values)]
    tenth = len(values) // 10
    if tenth < FEWEST_AT_AN_END:
        return math.nan, math.nan, math.nan
    first, last = values[:tenth], values[-tenth:]
    error = math.sqrt((first.var(ddof=1) + last.var(ddof=1)) / tenth)
    return float(first.mean()), float(last.mean()), error


def half_mean(values: FloatArray, *, last: bool) -> float:
    """The mean of one half; NaN without any value."""
    values = values[np.isfinite(values)]
    if not len(values):
        return math.nan
    half = len(values) // 2
    return float((values[half:] if last else values[: max(half, 1)]).mean())
