"""How many steps a training of so many seconds has: found once, by a run that comes near enough."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Results = dict[str, Any]
TRIES = 3
"""How often the first run of a pace is made, where it took too long or not long enough."""
FEWEST_STEPS = 4


def timed_run(
    run: Callable[[int | None], Results], seconds: float, tolerance: float, steps: int | None = None
) -> Results:
    """A run whose training takes ``seconds``, refreshes included; ``steps``: a first guess of their number.

    ``run`` is given the number of steps, None for as many as it expects ``seconds`` to be enough for, and
    gives ``steps``, ``seconds`` and, where there are refreshes, ``refresh_seconds``. One that missed by more
    than the share ``tolerance`` is made again with the steps that its own pace gives, twice at most; one
    that was ``stopped`` is not.
    """
    for attempt in range(TRIES):
        found = run(steps)
        if found.get("stopped"):
            break
        off = found["seconds"] / seconds - 1
        print(f"{found['steps']} steps in {found['seconds']:.1f} s ({off:+.0%})", file=sys.stderr, flush=True)
        if abs(off) <= tolerance or attempt == TRIES - 1:
            break
        left = seconds - found.get("refresh_seconds", 0.0)
        steps = max(int(left / step_seconds(found)), FEWEST_STEPS)
    return found


def step_seconds(found: Results) -> float:
    """What a step of the run took, refreshes left out."""
    return float((found["seconds"] - found.get("refresh_seconds", 0.0)) / found["steps"])
