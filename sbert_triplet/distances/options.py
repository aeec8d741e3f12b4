"""Ranges of options, declared once: constructors check them, a recipe's schema shows them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True)
class Range:
    """The values that a numeric option may take; attach with ``Annotated[float, Range(...)]``."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    infinite: bool = False
    """Whether infinity is meant: it is no margin, scale or weight."""

    def holds(self, value: float) -> bool:
        if math.isnan(value) or (math.isinf(value) and not self.infinite):
            return False
        if self.low is not None and (value <= self.low if self.low_open else value < self.low):
            return False
        return self.high is None or (value < self.high if self.high_open else value <= self.high)

    def check(self, name: str, value: float) -> None:
        """Raise ValueError, naming the option, its value and this range, where the value is outside."""
        if not self.holds(value):
            finite = " and finite" if math.isinf(value) else ""
            raise ValueError(f"{name} is {value}: it must be {self}{finite}")

    def __str__(self) -> str:
        bounds = []
        if self.low is not None:
            bounds.append(f"{'above' if self.low_open else 'at least'} {self.low:g}")
        if self.high is not None:
            bounds.append(f"{'below' if self.high_open else 'at most'} {self.high:g}")
        return " and ".join(bounds) or "a number"


ANY_NUMBER = Range()
POSITIVE = Range(low=0.0, low_open=True)
NOT_NEGATIVE = Range(low=0.0)
AT_LEAST_ONE = Range(low=1.0)
EXPONENT = Range(low=1.0, infinite=True)
BELOW_ONE = Range(low=0.0, high=1.0, high_open=True)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError, with the nearest spelling, where ``value`` is none of ``choices``."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}: {nearest_spelling(value, choices)}")


def nearest_spelling(value: str, choices: tuple[str, ...]) -> str:
    """``did you mean 'cosine'? Known: ...`` for an error message."""
    close = get_close_matches(value, choices, n=1, cutoff=0.5)
    known = f"known: {', '.join(choices)}"
    return f"did you mean {close[0]!r}? ({known})" if close else known
