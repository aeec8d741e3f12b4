"""Per-item results of a model, and the comparison of two models on the same items."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MetricValues:
    """One metric of one model on n held-out items.

    ``per_item``: (n,) values whose mean is ``value``; NaN marks an item that the metric leaves out
    (a query without a relevant document), and ``value`` is then the mean of the others. None for a
    metric that is no mean of items (Spearman, average precision over pairs), which is compared
    through the predictions themselves. ``undefined``: why ``value`` is NaN, where it is.
    """

    metric: str
    value: float
    per_item: FloatArray | None = None
    undefined: str | None = None


@dataclass(frozen=True)
class Comparison:
    """Base against tuned on the same items: ``low`` to ``high`` is the 95 % interval of ``difference``.

    NaN where something is undefined (a correlation of a constant) or too few items give no interval.

    ``interval``: how the interval was made ("percentile", "studentised" or "adjusted").
    ``approximate``: it may hold the true difference in clearly fewer, or more, than 95 of 100 cases.
    ``detectable``: the smallest true difference that these items would show, at 80 % power; ``needed``: how
    many items would show one as large as was seen.
    ``adjusted_p``: ``p_value`` after Holm's adjustment for the metrics that are looked at together.
    ``williams_p``: Williams' test beside it, where the metric is a correlation.
    """

    metric: str
    base: float
    tuned: float
    difference: float
    low: float
    high: float
    p_value: float
    n: int
    groups: int | None = None
    interval: str | None = None
    approximate: bool = False
    detectable: float | None = None
    needed: int | None = None
    adjusted_p: float | None = None
    williams_p: float | None = None

    @property
    def decisive_p(self) -> float:
        """What chance is judged by: ``adjusted_p``, and ``p_value`` where nothing is adjusted."""
        return self.p_value if self.adjusted_p is None else self.adjusted_p

    def as_json(self) -> Mapping[str, float | int | str | None]:
        """The entry of ``report.json``; JSON has no NaN, so what is undefined is null."""
        numbers = {
            "base": self.base,
            "tuned": self.tuned,
            "difference": self.difference,
            "low": self.low,
            "high": self.high,
            "p_value": self.p_value,
        }
        further = {
            "groups": self.groups,
            "interval": self.interval,
            "approximate": self.approximate or None,
            "detectable": self.detectable,
            "needed": self.needed,
            "adjusted_p": self.adjusted_p,
            "williams_p": self.williams_p,
        }
        return {
            **{name: value if math.isfinite(value) else None for name, value in numbers.items()},
            "n": self.n,
            **{name: value for name, value in further.items() if value is not None},
        }
