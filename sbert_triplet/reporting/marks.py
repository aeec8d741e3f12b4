"""Small drawings inside table cells: an interval against zero, and base against tuned on one scale."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.numbers import MINUS, compact
from sbert_triplet.reporting.record import Change

WIDTH, HEIGHT, PAD = 168, 22, 9
LABEL = 38
"""Room that a label on an axis needs."""
_MIDDLE = HEIGHT / 2


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` laid over the width of a drawing."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float | None]) -> Scale:
        """The scale that holds every given value that is a number, with round figures at its ends."""
        finite = [value for value in values if value is not None and math.isfinite(value)]
        low, high = min(finite, default=0.0), max(finite, default=1.0)
        if high <= low:
            return cls(low, low + 1.0)
        step = 10.0 ** math.floor(math.log10((high - low) / 2))
        return cls(math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)

    def at(self, value: float) -> float:
        """The horizontal place of ``value``."""
        return round(PAD + (WIDTH - 2 * PAD) * (value - self.low) / (self.high - self.low), 2)


def difference_scale(changes: Iterable[Change]) -> Scale:
    """One scale for the intervals of all rows, with zero on it."""
    rows = list(changes)
    return Scale.over([0.0, *(v for row in rows for v in (row.low, row.high, row.difference))])


def interval_mark(change: Change, scale: Scale) -> Html:
    """The difference as a point and its interval as a line, zero as a dashed rule.

    Shape as well as colour says what it shows: full circle better, full diamond worse, ring undecided.
    """
    if change.difference is None or not math.isfinite(change.difference):
        return Html("")
    x = scale.at(change.difference)
    line = None
    if change.low is not None and change.high is not None and math.isfinite(change.high - change.low):
        ends = (scale.at(change.low), scale.at(change.high))
        line = join([_rule(ends[0], ends[1]), *(_tick(end, 4) for end in ends)])
    point = element("circle", cx=x, cy=_MIDDLE, r=4)
    if change.reading == "worse":
        point = element("path", d=f"M{x} {_MIDDLE - 5}l5 5l-5 5l-5 -5z")
    zero = element("line", x1=scale.at(0), x2=scale.at(0), y1=0, y2=HEIGHT, class_="zero")
    return _drawing(join([zero, element("g", line, point, class_=change.reading)]))


def interval_axis(scale: Scale) -> Html:
    """The scale of ``interval_mark``, for the foot of its column."""
    zero = scale.at(0)
    ends = [(end, f"{end:+.3g}".replace("-", MINUS)) for end in (scale.low, scale.high)]
    return _axis(scale, [(0.0, "0"), *(end for end in ends if abs(scale.at(end[0]) - zero) > LABEL)])


def pair_mark(change: Change, scale: Scale) -> Html:
    """Base as a ring and tuned as a full circle, with a line from one to the other."""
    if change.base is None or change.tuned is None or not math.isfinite(change.base + change.tuned):
        return Html("")
    base, tuned = scale.at(change.base), scale.at(change.tuned)
    return _drawing(
        join(
            [
                element("g", _rule(base, tuned), class_="pair"),
                element("circle", cx=tuned, cy=_MIDDLE, r=3.5, class_="tuned"),
                element("circle", cx=base, cy=_MIDDLE, r=5.5, class_="base"),
            ]
        )
    )


def pair_axis(scale: Scale) -> Html:
    """The scale of ``pair_mark``, for the foot of its column."""
    return _axis(scale, [(scale.low, compact(scale.low)), (scale.high, compact(scale.high))])


def _axis(scale: Scale, labels: Iterable[tuple[float, str]]) -> Html:
    drawn = []
    for value, label in labels:
        x = scale.at(value)
        anchor = "start" if x <= PAD + 1 else "end" if x >= WIDTH - PAD - 1 else "middle"
        shift = {"start": -PAD, "end": PAD, "middle": 0}[anchor]
        drawn.append(element("text", label, x=x + shift, y=16, text_anchor=anchor))
        drawn.append(element("line", x1=x, x2=x, y1=0, y2=4))
    rule = element("line", x1=PAD, x2=WIDTH - PAD, y1=0.5, y2=0.5)
    return _drawing(element("g", rule, *drawn, class_="axis"))


def _rule(start: float, end: float) -> Html:
    return element("line", x1=start, x2=end, y1=_MIDDLE, y2=_MIDDLE)


def _tick(x: float, reach: float) -> Html:
    return element("line", x1=x, x2=x, y1=_MIDDLE - reach, y2=_MIDDLE + reach)


def _drawing(content: Html) -> Html:
    # The figures stand in the neighbouring cells, so a screen reader is not told them twice.
    return element(
        "svg",
        content,
        class_="mark",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        aria_hidden="true",
    )
