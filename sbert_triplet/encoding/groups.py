"""Texts of like length together, under a token budget: padded groups and packs."""

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


def plan_packs(lengths: IntArray, budget: int) -> list[IntArray]:
    """Cut n texts into packs, longest first, of at most ``budget`` tokens and about equally many each.

    As ``plan_groups``, without padding. Texts of no token come last, apart from the others.
    """
    order = np.argsort(-lengths, kind="stable")
    order, empty = np.split(order, [np.count_nonzero(lengths)])
    total = np.cumsum(lengths[order])
    packs: list[IntArray] = []
    wanted = total[-1] / np.ceil(total[-1] / budget) if len(order) else 0.0
    start, before = 0, 0
    while start < len(order):
        fits = int(np.searchsorted(total, before + budget, side="right"))
        near = int(np.searchsorted(total, before + wanted, side="left")) + 1
        end = max(min(fits, near), start + 1)
        packs.append(order[start:end])
        start, before = end, int(total[end - 1])
    return [*packs, empty] if len(empty) else packs
