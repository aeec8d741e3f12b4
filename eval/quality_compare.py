"""Two ways on the same items: of each the mean over its seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from outcomes import FloatArray, as_values
from quality_plan import Results

from sbert_triplet.evaluation.resampling import Statistic
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.significance import STATISTICS, compare_items, compare_statistic


def metric_value(metric: str, values: FloatArray, gold: FloatArray | None) -> float:
    """The metric of items: their mean, or the statistic of predictions and given scores."""
    return float(values.mean()) if gold is None else STATISTICS[metric](values, gold)


def compared(metric: str, kept: Results, one: Sequence[str], two: Sequence[str]) -> Comparison:
    """``two`` against ``one``: items by seed as texts; ``kept``: with the scores and groups of the items.

    The value of an item is its mean over seeds. Of a metric that is no mean of items, the mean over seeds of
    the metric itself is drawn, with the same items for all seeds; it has no p-value.
    """
    first, second = (np.stack([as_values(text) for text in texts]) for texts in (one, two))
    groups = None if kept["groups"] is None else as_values(kept["groups"]).astype(np.int64)
    if kept["gold"] is None:
        return compare_items(metric, first.mean(axis=0), second.mean(axis=0), groups=groups)
    places = np.arange(first.shape[1], dtype=np.float64)
    return compare_statistic(
        metric,
        _mean_over_seeds(STATISTICS[metric], first, second),
        places,
        places + len(places),
        as_values(kept["gold"]),
        groups=groups,
    )


def _mean_over_seeds(statistic: Statistic, first: FloatArray, second: FloatArray) -> Statistic:
    """A statistic of places: below n they are items of ``first`` (seeds, n), from n on of ``second``."""
    n = first.shape[1]

    def prepare(places: FloatArray, gold: FloatArray) -> Callable[[FloatArray], FloatArray]:
        table = first if places[0] < n else second
        items = places.astype(np.int64) % n
        of_seeds = [statistic.prepare(row[items], gold) for row in table]

        def of_counts(counts: FloatArray) -> FloatArray:
            values: FloatArray = np.mean([of_seed(counts) for of_seed in of_seeds], axis=0)
            return values

        return of_counts

    return Statistic(statistic.name, prepare, None)
