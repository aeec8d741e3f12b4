"""Draws for the bootstrap and for the randomisation test, in chunks of bounded memory.

A unit is what is drawn whole: an item, or a group of items. U units, n items, R draws of a chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sbert_triplet.evaluation.results import FloatArray

IntArray = NDArray[np.int64]

FEWEST_UNITS = 5
"""With fewer units than this no interval is given: resampling four values says nothing of a fifth."""
_CELLS_AT_ONCE = 1 << 21


@dataclass(frozen=True)
class Statistic:
    """A statistic of n predictions and n given values that is no mean over items.

    ``prepare(values, gold)`` returns a function from counts (n, R) to values (R,): the statistic of
    R resamples at once, where item i occurs ``counts[i, r]`` times in resample r; NaN where it is
    undefined. ``common_scale`` puts the predictions of one model on a scale that models share,
    without changing the statistic; None where there is none (groups of a clustering), so that predictions
    cannot be swapped.
    """

    name: str
    prepare: Callable[[FloatArray, FloatArray], Callable[[FloatArray], FloatArray]]
    common_scale: Callable[[FloatArray], FloatArray] | None

    def __call__(self, values: FloatArray, gold: FloatArray) -> float:
        return float(self.prepare(values, gold)(np.ones((len(gold), 1)))[0])


def average_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1, tied values at the average of theirs: the scale on which orders are compared."""
    return np.asarray(stats.rankdata(values), dtype=np.float64)


def bootstrap_draws(units: int, draws: int, rng: np.random.Generator, cells: int) -> Iterator[IntArray]:
    """Chunks (R, U) of units drawn with replacement; ``cells``: how many numbers a draw costs."""
    for rows in _chunks(draws, cells):
        yield rng.integers(0, units, size=(rows, units))


def random_flips(units: int, draws: int, rng: np.random.Generator, cells: int) -> Iterator[NDArray[np.uint8]]:
    """Chunks (R, U) of fair coin throws, 0 or 1."""
    # Whole words of the generator a row, so that the throws do not depend on the size of chunks.
    row_bytes = 4 * ((units + 31) // 32)
    for rows in _chunks(draws, cells):
        throws = np.frombuffer(rng.bytes(rows * row_bytes), dtype=np.uint8)
        yield np.unpackbits(throws.reshape(rows, -1), axis=1, count=units)


def all_flips(units: int, cells: int) -> Iterator[NDArray[np.uint8]]:
    """Chunks (R, U) of every way to flip U units while the last stays: 2^(U - 1) rows, first the identity.

    Flipping all units turns the sign of a difference and leaves its size: the other half mirrors this one.
    """
    first = 0
    for rows in _chunks(2 ** (units - 1), cells):
        numbers = np.arange(first, first + rows, dtype=np.int64)[:, None]
        yield ((numbers >> np.arange(units, dtype=np.int64)) & 1).astype(np.uint8)
        first += rows


def counts_of(draws: IntArray) -> FloatArray:
    """How often each unit occurs in each draw: (U, R) from (R, U)."""
    rows, units = draws.shape
    flat = draws * rows + np.arange(rows, dtype=np.int64)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * units).reshape(units, rows).astype(np.float64)


def left_out_counts(units: IntArray, cells: int) -> Iterator[FloatArray]:
    """Chunks (n, C) of counts in which every item occurs once but those of one unit, for each unit in turn.

    ``units`` (n,): the unit of each item, 0 to U - 1.
    """
    first = 0
    for number in _chunks(int(units.max()) + 1, cells):
        yield (units[:, None] != np.arange(first, first + number)).astype(np.float64)
        first += number


def _chunks(draws: int, cells: int) -> Iterator[int]:
    size = max(1, _CELLS_AT_ONCE // max(1, cells))
    for first in range(0, draws, size):
        yield min(size, draws - first)
