"""Texts of like length together, so that little of a forward pass is padding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


def plan_groups(lengths: IntArray, budget: int) -> list[IntArray]:
    """Cut n texts into groups, longest first, of at most ``budget`` tokens with padding counted.

    ``lengths``: (n,) token counts. Every position appears once; a text longer than the budget is
    a group of its own. The order depends on lengths and positions only.
    """
    order = np.argsort(-lengths, kind="stable")
    groups: list[IntArray] = []
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        size = max(budget // longest, 1)
        groups.append(order[start : start + size])
        start += size
    return groups
