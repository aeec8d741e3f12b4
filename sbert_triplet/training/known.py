"""Which texts must never be taken as negatives of each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]


class KnownPositives:
    """Which texts are known to belong together, looked up for the texts of a batch.

    ``pairs``: (K, 2) text ids, in either order.
    """

    def __init__(self, pairs: IntArray) -> None:
        both = np.concatenate([pairs, pairs[:, ::-1]]) if len(pairs) else np.zeros((0, 2), dtype=np.int64)
        both = np.unique(both, axis=0)
        self._left, self._right = both[:, 0].copy(), both[:, 1].copy()

    def touching(self, ids: IntArray) -> IntArray:
        """(k, 2) known pairs of which one text is among ``ids``, that one first."""
        where = self._places(np.unique(ids))
        return np.stack([self._left[where], self._right[where]], axis=1)

    def among(self, ids: IntArray) -> IntArray:
        """(k, 2) known pairs of which both texts are among ``ids``, each pair once."""
        ids = np.unique(ids)
        where = self._places(ids)
        left, right = self._left[where], self._right[where]
        position = np.minimum(np.searchsorted(ids, right), max(len(ids) - 1, 0))
        both = (left < right) & (ids[position] == right) if len(ids) else np.zeros(0, dtype=bool)
        return np.stack([left[both], right[both]], axis=1)

    def _places(self, ids: IntArray) -> IntArray:
        """Positions of the pairs whose first text is among ``ids``, which are distinct."""
        starts = np.searchsorted(self._left, ids, side="left")
        counts = np.searchsorted(self._left, ids, side="right") - starts
        offsets = np.cumsum(counts) - counts
        places: IntArray = np.repeat(starts - offsets, counts) + np.arange(counts.sum())
        return places
