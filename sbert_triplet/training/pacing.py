"""How much of the ordered rows is in use at a step (Wu, Dyer, Neyshabur 2021, arXiv 2012.03107)."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

PacingName = Literal["log", "exponential", "step", "root", "linear", "quadratic", "fixed_exponential"]
FIXED = "fixed_exponential"
NEVER = 2**62
_ROUNDING = 1e-9
"""A share of whole rows may lie this much below their number."""
_RISES: dict[str, Callable[[float], float]] = {
    "log": lambda u: 1 + 0.1 * math.log(u + math.exp(-10)),
    "exponential": lambda u: math.expm1(10 * u) / math.expm1(10),
    "step": lambda u: 0.0,
    "root": math.sqrt,
    "linear": lambda u: u,
    "quadratic": lambda u: u * u,
}
"""From 0 at u = 0 to 1 at u = 1, where it jumps if it has not risen."""


@dataclass(frozen=True)
class Pacing:
    """The share of the rows in use at step t of ``steps``, counted from 0; it never falls.

    With u = t / (``full_at`` * ``steps``) and b = ``start`` it is b at u = 0 and 1 from u = 1 on; between
    them log is b + (1 - b)(1 + 0.1 ln(u + e^-10)), exponential b + (1 - b)(e^10u - 1)/(e^10 - 1), step b, and
    root, linear and quadratic b + (1 - b) u^q with q = 1/2, 1 and 2; all cut to [b, 1].

    ``fixed_exponential`` is min(b * ``growth``^floor(t / ``every``), 1) (Hacohen, Weinshall 2019, arXiv
    1904.03626); without ``every`` it grows in steps so long that all rows are in use at ``full_at``.
    Raises ValueError for values outside their ranges.
    """

    name: PacingName
    steps: float
    start: float
    full_at: float = 1.0
    growth: float = 1.9
    every: int | None = None

    def __post_init__(self) -> None:
        if self.name not in _RISES and self.name != FIXED:
            raise ValueError(f"there is no pacing {self.name!r}; known: {', '.join([*_RISES, FIXED])}")
        for key, value in (("start", self.start), ("full_at", self.full_at)):
            if not 0 < value <= 1:
                raise ValueError(f"{key} is {value}: it must be above 0 and at most 1")
        if self.growth <= 1 or (self.every is not None and self.every < 1):
            raise ValueError(f"growth is {self.growth} and every {self.every}: above 1, and at least 1 step")

    @property
    def step_length(self) -> int:
        """Steps from one growth to the next of the fixed exponential."""
        if self.every is not None:
            return self.every
        return max(int(self.full_at * self.steps / max(self._growths, 1)), 1)

    @property
    def _growths(self) -> int:
        """After how many growths all rows are in use."""
        return math.ceil(math.log(1 / self.start) / math.log(self.growth) - _ROUNDING)

    def share(self, step: int) -> float:
        """The share in use, from ``start`` to 1."""
        if self.name == FIXED:
            growths = step // self.step_length
            return 1.0 if growths >= self._growths else self.start * self.growth**growths
        until_full = self.full_at * self.steps
        if step >= until_full:
            return 1.0
        rise = _RISES[self.name](step / until_full)
        return min(max(self.start + (1 - self.start) * rise, self.start), 1.0)

    def rows(self, step: int, of: int, least: int) -> int:
        """How many of ``of`` rows are in use: the share rounded down, and ``least`` at least."""
        return min(max(int(self.share(step) * of + _ROUNDING), least), of)

    def full_from(self, of: int, least: int) -> int:
        """The first step at which all of ``of`` rows are in use; ``NEVER`` where none is that."""
        last = math.ceil(self.steps) + self.step_length * (self._growths + 1)
        first = bisect_left(range(last), of, key=lambda step: self.rows(step, of, least))
        return first if first < last else NEVER
