"""Points of the line between base and tuned weights: what is measured at each, and which is the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sbert_triplet.evaluation.results import Comparison

COARSE = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
FINE = 0.1
"""Steps to both sides of the best of ``COARSE`` that are measured as well."""
MOST_POINTS = len(COARSE) + 2
QUANTILE = 1.959964
"""Of the normal distribution, for 95 % between both ends."""
LEFT_OUT = "(evaluate.general: false leaves it out)"
DIGITS = 9
"""Metrics are equal where they are after so many decimals."""


@dataclass(frozen=True)
class Point:
    """A point of the line: the main metric on dev, and the general check against the base model's.

    ``checked``: whether the general check was made, or is not asked for.
    """

    at: float
    dev: float
    general: Comparison | None = None
    checked: bool = True

    @property
    def allowed(self) -> bool:
        """Whether the general check, as far as it was made, has not fallen beyond the base's interval."""
        return self.general is None or self.general.tuned >= lowest_allowed(self.general)

    def as_json(self) -> dict[str, Any]:
        general: Mapping[str, Any] = self.general.as_json() if self.general else {}
        return {
            "at": self.at,
            "dev": self.dev if math.isfinite(self.dev) else None,
            "general": general.get("tuned"),
            "general_low": general.get("low"),
            "general_high": general.get("high"),
            "allowed": self.allowed if self.checked else None,
        }


def lowest_allowed(general: Comparison) -> float:
    """The lower end of the 95 % interval of the base model's own share of hits (Wilson 1927)."""
    n, square = general.n, QUANTILE**2
    spread = QUANTILE * math.sqrt(general.base * (1 - general.base) * n + square / 4)
    return (general.base * n + square / 2 - spread) / (n + square)


@dataclass(frozen=True)
class Searched:
    """What came of a search; ``points`` is empty where there was none, and ``reason`` then says why.

    ``chosen``: 0 is the base, 1 the tuned weights. ``measured_on``: which dev rows; ``thinned``: not all.
    """

    metric: str
    points: tuple[Point, ...]
    chosen: float
    reason: str
    seconds: float = 0.0
    measured_on: str | None = None
    thinned: bool = False

    @property
    def notes(self) -> list[str]:
        """What the reader has to know of how it was made."""
        if not self.points:
            return [f"the line between base and tuned weights was not searched: {self.reason}"]
        if not self.thinned:
            return []
        return [
            f"the line between base and tuned weights was searched on a part of dev, {self.measured_on}: all "
            "would have taken too much time beside the training"
        ]

    def as_json(self) -> dict[str, Any]:
        """``weight_line`` of ``report.json``."""
        checks = (point.general for point in self.points if point.general is not None)
        floor = next((lowest_allowed(check) for check in checks), None)
        found = {
            "metric": self.metric,
            "points": [point.as_json() for point in self.points],
            "general_floor": floor,
            "chosen": self.chosen,
            "reason": self.reason,
            "measured_on": self.measured_on,
            "seconds": round(self.seconds, 2),
        }
        return {name: value for name, value in found.items() if value is not None}


def search(measure: Callable[[float], Point], check: Callable[[Point], Point]) -> tuple[Point, ...]:
    """The points of ``COARSE``, and the neighbours of the best of them; in their order on the line.

    ``check`` makes the general check of a point that ``measure`` left unchecked, and is asked only where
    that point would be the best.
    """
    points = {at: measure(at) for at in COARSE}
    middle = _best_checked(points, check).at
    for at in (round(middle - FINE, 6), round(middle + FINE, 6)):
        if 0 < at < 1:
            points[at] = measure(at)
    _best_checked(points, check)
    return tuple(points[at] for at in sorted(points))


def _best_checked(points: dict[float, Point], check: Callable[[Point], Point]) -> Point:
    while not (found := best(points.values())).checked:
        points[found.at] = check(found)
    return found


def best(points: Iterable[Point]) -> Point:
    """The point with the highest metric of those that are allowed.

    The base where no other is higher. Of other points that are equally high the middle one, which is
    the furthest from where the metric falls; of two middle ones the one nearer to the base.
    """
    allowed = sorted((point for point in points if point.allowed), key=lambda point: point.at)
    top = max(_value(point) for point in allowed)
    equal = [point for point in allowed if _value(point) == top]
    return equal[0] if equal[0].at == 0 else equal[(len(equal) - 1) // 2]


def choose(metric: str, points: Iterable[Point]) -> tuple[float, str]:
    """Where on the line the model to ship lies, as far as dev says, and why."""
    measured = {point.at: point for point in points}
    if all(_value(point) == -math.inf for point in measured.values()):
        return 1.0, f"{metric} is undefined on the dev rows at every point, so none was chosen"
    found = best(measured.values())
    base, tuned = (_shown(measured[at]) for at in (0.0, 1.0))
    out = sum(1 for point in measured.values() if not point.allowed and _value(point) > _value(found))
    lost = f"; {_points(out)} higher and lost on the general check {LEFT_OUT}" if out else ""
    if found.at == 0:
        other = "no other point" if all(point.allowed for point in measured.values()) else "no point left"
        return 0.0, f"{other} has a higher {metric} on dev than the base model's {base} (tuned {tuned}){lost}"
    beside = f"base {base}" if found.at == 1 else f"base {base}, tuned {tuned}"
    return found.at, f"{metric} on dev is highest there, {_shown(found)} ({beside}){lost}"


def _value(point: Point) -> float:
    return round(point.dev, DIGITS) if math.isfinite(point.dev) else -math.inf


def _shown(point: Point) -> str:
    return f"{point.dev:.4f}" if math.isfinite(point.dev) else "undefined"


def _points(number: int) -> str:
    return "1 point was" if number == 1 else f"{number} points were"
