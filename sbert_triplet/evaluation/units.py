"""The units of a comparison, and what a difference is in bootstrap draws of them.

A unit is what is drawn whole: an item, or a group of items. U units, R draws, n items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sbert_triplet.evaluation.resampling import (
    IntArray,
    Statistic,
    bootstrap_draws,
    counts_of,
    left_out_counts,
)
from sbert_triplet.evaluation.results import FloatArray


@dataclass(frozen=True, eq=False)
class Units:
    """``totals`` (U,): the sum of the differences of each unit's items; ``sizes`` (U,): their number.

    ``hits``: an item is 0 or 1 for a model, so that it can differ by 1 only, also where none does.
    """

    totals: FloatArray
    sizes: FloatArray
    hits: bool = False

    def __len__(self) -> int:
        return len(self.totals)

    @cached_property
    def mean(self) -> float:
        """The mean over items: a ratio of sums."""
        return float(self.totals.sum() / self.sizes.sum())

    @cached_property
    def residuals(self) -> FloatArray:
        """(U,): what each unit has beyond the mean."""
        return self.totals - self.mean * self.sizes

    @cached_property
    def error(self) -> float:
        """Standard error of the mean, linearised; NaN for one unit."""
        if len(self) < 2:
            return float("nan")
        squares = float((self.residuals**2).sum()) * len(self) / (len(self) - 1)
        return float(np.sqrt(squares) / self.sizes.sum())

    @cached_property
    def changed(self) -> int:
        """Units that differ between the models."""
        return int(np.count_nonzero(self.totals))

    @cached_property
    def amount(self) -> float:
        """By how much a unit that differs changes the mean, on average; 0 where none does."""
        return float(np.abs(self.totals).sum() / (max(self.changed, 1) * self.sizes.sum()))

    @cached_property
    def step(self) -> float | None:
        """The one amount by which items differ where they do; None for groups and for other amounts."""
        if (self.sizes != 1).any():
            return None
        amounts = np.unique(np.abs(self.totals[self.totals != 0]))
        if len(amounts) == 0:
            return 1.0 if self.hits else None
        return float(amounts[0]) if len(amounts) == 1 else None

    @cached_property
    def left_out(self) -> FloatArray:
        """(U,): the mean without each unit."""
        without: FloatArray = (self.totals.sum() - self.totals) / (self.sizes.sum() - self.sizes)
        return without


@dataclass(frozen=True, eq=False)
class Draws:
    """R bootstrap draws of a mean: ``values`` (R,) and the standard error of each, ``errors`` (R,)."""

    values: FloatArray
    errors: FloatArray


def draw_means(units: Units, draws: int, rng: np.random.Generator) -> Draws:
    """The mean and its standard error in ``draws`` draws of whole units."""
    values, errors = zip(*_drawn_sums(units, draws, rng), strict=True)
    return Draws(np.concatenate(values), np.concatenate(errors))


def _drawn_sums(
    units: Units, draws: int, rng: np.random.Generator
) -> Iterator[tuple[FloatArray, FloatArray]]:
    alone = bool((units.sizes == 1).all())
    for drawn in bootstrap_draws(len(units), draws, rng, (2 if alone else 3) * len(units)):
        rest = units.residuals[drawn]
        total, squares = rest.sum(axis=1), np.einsum("ru,ru->r", rest, rest)
        if alone:
            number = np.full(len(drawn), float(len(units)))
            yield from_sums(units, total, squares, total, number, number)
        else:
            sizes = units.sizes[drawn]
            products, size_squares = np.einsum("ru,ru->r", rest, sizes), np.einsum("ru,ru->r", sizes, sizes)
            yield from_sums(units, total, squares, products, sizes.sum(axis=1), size_squares)


def from_sums(
    units: Units,
    total: FloatArray,
    squares: FloatArray,
    products: FloatArray,
    sizes: FloatArray,
    size_squares: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Means and standard errors (R,) of draws from what was summed over the drawn units, each (R,).

    ``total``, ``squares``, ``products``: of the residuals, of their squares, and of them times the sizes.
    """
    shift = total / sizes
    left = squares - 2 * shift * products + shift**2 * size_squares
    # What is left of units that are all equal is rounding, not spread.
    left = np.where(left > 1e-12 * squares, left, 0.0)
    factor = len(units) / max(len(units) - 1, 1)
    return units.mean + shift, np.sqrt(left * factor) / sizes


def unit_sums(differences: FloatArray, groups: IntArray | None, *, hits: bool = False) -> Units:
    """The units of per-item differences (n,): items, or whole groups of them. ``hits``: see ``Units``."""
    if groups is None:
        return Units(differences, np.ones_like(differences), hits)
    _, units = np.unique(groups, return_inverse=True)
    totals = np.asarray(np.bincount(units, weights=differences), dtype=np.float64)
    return Units(totals, np.bincount(units).astype(np.float64), hits)


def draw_statistic(
    statistic: Statistic,
    base: FloatArray,
    tuned: FloatArray,
    gold: FloatArray,
    units: IntArray,
    draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """(R,) the difference of a statistic in bootstrap draws; ``units`` (n,): the unit of each item."""
    of_base, of_tuned = statistic.prepare(base, gold), statistic.prepare(tuned, gold)
    values = []
    for drawn in bootstrap_draws(int(units.max()) + 1, draws, rng, 4 * len(gold)):
        counts = counts_of(drawn)[units]
        values.append(of_tuned(counts) - of_base(counts))
    return np.concatenate(values)


def leave_out_statistic(
    statistic: Statistic, base: FloatArray, tuned: FloatArray, gold: FloatArray, units: IntArray
) -> FloatArray:
    """(U,) the difference of a statistic without each unit."""
    of_base, of_tuned = statistic.prepare(base, gold), statistic.prepare(tuned, gold)
    left_out = [of_tuned(counts) - of_base(counts) for counts in left_out_counts(units, 4 * len(gold))]
    return np.concatenate(left_out)
