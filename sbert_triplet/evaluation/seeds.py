"""The same training with several seeds: what each gave, and what may be said of seeds to come.

A seed is one draw of training's luck. Few of them say little of the next, so their results are shown one by
one, and only from five on are seeds drawn again together with the items (crossed: every drawn seed with every
drawn unit; Owen 2007, doi:10.1214/07-AOAS122, shows that this errs on the wide side).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sbert_triplet.evaluation.metrics import Metric
from sbert_triplet.evaluation.resampling import FEWEST_UNITS, IntArray, bootstrap_draws
from sbert_triplet.evaluation.results import FloatArray
from sbert_triplet.evaluation.units import unit_sums

FEWEST_SEEDS = 5
"""With fewer seeds than this they are shown and not resampled."""


@dataclass(frozen=True)
class OverSeeds:
    """One metric over several seeds: ``base``, ``tuned`` and ``differences`` in the order of ``seeds``.

    ``difference`` is the mean over seeds, ``least`` to ``most`` their range; ``low`` to ``high`` is the
    interval for seeds and items to come, NaN with fewer than five seeds or units.
    """

    metric: str
    seeds: tuple[int, ...]
    base: tuple[float, ...]
    tuned: tuple[float, ...]
    differences: tuple[float, ...]
    difference: float
    least: float
    most: float
    low: float
    high: float
    n: int
    groups: int | None = None

    @property
    def resampled(self) -> bool:
        """Whether there is an interval."""
        return bool(np.isfinite(self.low))

    def in_words(self) -> str:
        """Every seed's difference, their range, and the interval or why there is none."""
        each = ", ".join(
            f"{_signed(difference)} (seed {seed})"
            for seed, difference in zip(self.seeds, self.differences, strict=True)
        )
        told = f"{self.metric} by seed: {each}"
        if len(self.seeds) > 1:
            told += f"; from {_signed(self.least)} to {_signed(self.most)}, mean {_signed(self.difference)}"
        if self.resampled:
            return f"{told}, 95 % interval over seeds and items {_signed(self.low)} to {_signed(self.high)}."
        if len(self.seeds) < FEWEST_SEEDS:
            number = f"{len(self.seeds)} seed{' says' if len(self.seeds) == 1 else 's say'}"
            return f"{told}. {number} too little of others for an interval."
        return f"{told}. There are too few items for an interval."


def compare_seeds(
    metric: Metric | str,
    base: Mapping[int, FloatArray],
    tuned: Mapping[int, FloatArray],
    *,
    groups: IntArray | None = None,
    draws: int = 10_000,
    seed: int = 13,
    confidence: float = 0.95,
) -> OverSeeds:
    """Compares per-item values (n,) of two ways of training by seed; the items are the same for all.

    A model that has no seed, such as the base model, is given with the same values for each. An item that
    is NaN everywhere is left out. ``groups`` (n,): items that are drawn whole. Raises ``ValueError`` where
    seeds or items of the two sides differ.
    """
    one, two, groups = _paired(base, tuned, groups)
    differences = two - one
    count, n = differences.shape
    by_seed = _means(differences)
    units = [unit_sums(row, groups) for row in differences]
    totals, sizes = np.stack([each.totals for each in units]), units[0].sizes
    low, high = float("nan"), float("nan")
    if count >= FEWEST_SEEDS and len(sizes) >= FEWEST_UNITS:
        low, high = _crossed(totals, sizes, draws, np.random.default_rng(seed), confidence)
    return OverSeeds(
        metric=str(metric),
        seeds=tuple(base),
        base=_means(one),
        tuned=_means(two),
        differences=by_seed,
        difference=float(np.mean(by_seed)),
        least=float(np.min(by_seed)),
        most=float(np.max(by_seed)),
        low=low,
        high=high,
        n=n,
        groups=None if groups is None else len(sizes),
    )


def _means(values: FloatArray) -> tuple[float, ...]:
    """The mean of each seed; NaN without items."""
    if values.shape[1] == 0:
        return (float("nan"),) * len(values)
    return tuple(float(mean) for mean in values.mean(axis=1))


def _crossed(
    totals: FloatArray, sizes: FloatArray, draws: int, rng: np.random.Generator, confidence: float
) -> tuple[float, float]:
    """The expanded percentile interval of draws of seeds crossed with units; ``totals`` (seeds, U)."""
    count, number = totals.shape
    # A generator each, so that the draws do not depend on the size of chunks.
    for_seeds, for_units = rng.spawn(2)
    values = []
    for drawn in bootstrap_draws(number, draws, for_units, 2 * number + 2 * count):
        of_seeds = for_seeds.multinomial(count, np.full(count, 1 / count), size=len(drawn)) / count
        mixed = (of_seeds @ totals)[np.arange(len(drawn))[:, None], drawn]
        values.append(mixed.sum(axis=1) / sizes[drawn].sum(axis=1))
    tail = float(stats.norm.cdf(-_widened(totals, sizes, confidence)))
    low, high = np.quantile(np.concatenate(values), [tail, 1 - tail])
    return float(low), float(high)


def _widened(totals: FloatArray, sizes: FloatArray, confidence: float) -> float:
    """The normal quantile moved outwards for few seeds and few units.

    Degrees of freedom by Welch and Satterthwaite from the two parts of the variance, and each part as much
    larger as drawing from so few makes it too small.
    """
    count, number = totals.shape
    by_seed = totals.sum(axis=1) / sizes.sum()
    mixed = totals.mean(axis=0)
    residuals = mixed - by_seed.mean() * sizes
    of_seeds = float(by_seed.var(ddof=1)) / count
    of_units = float((residuals**2).sum()) * number / (number - 1) / float(sizes.sum()) ** 2
    both = of_seeds + of_units
    if both == 0:
        return float(stats.norm.ppf(1 - (1 - confidence) / 2))
    df = both**2 / (of_seeds**2 / (count - 1) + of_units**2 / (number - 1))
    drawn = of_seeds * (count - 1) / count + of_units * (number - 1) / number
    return float(stats.t.ppf(1 - (1 - confidence) / 2, df) * np.sqrt(both / drawn))


def _paired(
    base: Mapping[int, FloatArray], tuned: Mapping[int, FloatArray], groups: IntArray | None
) -> tuple[FloatArray, FloatArray, IntArray | None]:
    """Values (seeds, n) of both sides, without the items that are NaN everywhere."""
    if not base or set(base) != set(tuned):
        raise ValueError(f"both sides need the same seeds, got {sorted(base)} and {sorted(tuned)}")
    rows = [*base.values(), *(tuned[each] for each in base)]
    shapes = [np.shape(row) for row in rows] + ([] if groups is None else [np.shape(groups)])
    if len(shapes[0]) != 1 or len(set(shapes)) != 1:
        raise ValueError(f"items cannot be paired: seeds and groups have the shapes {shapes}")
    values = np.asarray(rows, dtype=np.float64)
    missing = np.isnan(values)
    if (missing.any(axis=0) != missing.all(axis=0)).any():
        item = int(np.flatnonzero(missing.any(axis=0) != missing.all(axis=0))[0])
        raise ValueError(
            f"item {item} has a value for some seeds only; all must be measured on the same items"
        )
    kept = ~missing[0]
    one, two = np.split(values[:, kept], 2)
    return one, two, None if groups is None else np.asarray(groups)[kept]


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("+0.", "+.").replace("-0.", "-.")
