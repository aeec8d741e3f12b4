"""Groups of texts shared out among the processes of a run, each of which gets the embeddings of all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.processes import from_all, place, together

IntArray = NDArray[np.int64]
FloatMatrix = NDArray[np.float32]

GROUPS_AT_ONCE = 16
ROWS_AT_ONCE = 16_384
"""What a process makes, at most, before the others hear of it: so long they may wait for each other."""


@dataclass(frozen=True)
class Team:
    """Those who encode together: ``size`` processes, of which this one is number ``rank``."""

    rank: int = 0
    size: int = 1

    @classmethod
    def of_the_run(cls) -> Team:
        """All processes that have been met."""
        return cls(*place())

    def left(self, left: IntArray, groups: int) -> IntArray:
        """The numbers of those of ``groups`` groups that are left in any process."""
        if self.size == 1:
            return left
        needed = np.zeros(groups, dtype=bool)
        needed[left] = True
        return np.flatnonzero(np.logical_or.reduce(from_all(needed)))

    def rounds(self, left: IntArray, sizes: IntArray) -> Iterator[IntArray]:
        """The numbers ``left`` in parts that are made together; ``sizes``: (groups,) how many texts each has.

        One at a time where there is nobody to wait for.
        """
        if self.size == 1:
            yield from left[:, None]
            return
        ends = np.cumsum(sizes[left])
        start, before = 0, 0
        while start < len(left):
            fits = int(np.searchsorted(ends, before + ROWS_AT_ONCE * self.size, side="right"))
            end = min(max(fits, start + self.size), start + GROUPS_AT_ONCE * self.size, len(left))
            yield left[start:end]
            start, before = end, int(ends[end - 1])

    def each(
        self, numbers: IntArray, embed: Callable[[int], FloatMatrix]
    ) -> Iterator[tuple[int, FloatMatrix]]:
        """The groups ``numbers`` with their embeddings, of which every process makes its share.

        Raises in every process where one fails.
        """
        if self.size == 1:
            yield from ((number, embed(number)) for number in numbers.tolist())
            return
        shares = together(lambda: [embed(number) for number in numbers[self.rank :: self.size].tolist()])
        for turn, number in enumerate(numbers.tolist()):
            yield number, shares[turn % self.size][turn // self.size]
