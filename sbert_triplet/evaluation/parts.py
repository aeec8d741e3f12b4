"""A part of a measurement: items of one task, what has to be embedded for them, and how they are scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.evaluation.metrics import Metric, Task
from sbert_triplet.evaluation.pairs import Threshold
from sbert_triplet.evaluation.results import Comparison, FloatArray, MetricValues
from sbert_triplet.evaluation.retrieval import RetrievalTask
from sbert_triplet.evaluation.significance import STATISTICS, compare_items, compare_statistic
from sbert_triplet.nearest import Similarity

IntArray = NDArray[np.int64]


class Embed(Protocol):
    """Embeddings of text ids as one model makes them, and what they are compared by."""

    @property
    def similarity(self) -> Similarity: ...

    def __call__(self, side: Side, ids: IntArray) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Scored:
    """One model on one part: ``values`` by metric, ``predictions`` (n,) where the metric needs them.

    ``predictions``: the similarity of each pair, the group of each clustered text. ``top_ids`` (n, 10):
    the first results of each query, for retrieval. ``nearest`` (n, 10): places of the most similar of the
    texts of known class, for labelled text; both -1 where there are fewer. ``threshold``: of pairs that
    belong together or not, the one of the highest F1 on these very pairs, None where none belongs together.
    """

    values: dict[str, MetricValues]
    predictions: FloatArray | None = None
    top_ids: IntArray | None = None
    nearest: IntArray | None = None
    threshold: Threshold | None = None


@dataclass(frozen=True)
class Classes:
    """``of_items``: (n,) numbers of the items' classes; ``names`` by number.

    ``memory``: the texts of known class that the items are looked up among; None for clustering.
    """

    of_items: IntArray
    names: tuple[str, ...]
    memory: Examples | None = None


@dataclass(frozen=True)
class Part:
    """n held-out items of one task.

    ``items``: (n, k) text ids that each item is made of; ``rows``: (n,) the test row that an item
    came from, by which it belongs to slices; ``groups``: (n,) what is resampled whole, or None.
    """

    task: Task
    metrics: tuple[Metric, ...]
    items: IntArray
    rows: IntArray
    wanted: tuple[tuple[Side, IntArray], ...]
    score: Callable[[Embed], Scored]
    gold: FloatArray | None = None
    groups: IntArray | None = None
    retrieval: RetrievalTask | None = None
    classes: Classes | None = None

    def compare(self, base: Scored, tuned: Scored, *, seed: int = 13) -> dict[str, Comparison]:
        """Every metric of the part, on the same items."""
        return {
            metric.name: self.compare_rows(metric, base, tuned, np.arange(len(self.items)), seed=seed)
            for metric in self.metrics
        }

    def compare_rows(
        self, metric: Metric, base: Scored, tuned: Scored, chosen: IntArray, *, seed: int = 13
    ) -> Comparison:
        """One metric on the chosen items."""
        groups = None if self.groups is None else self.groups[chosen]
        one, two = base.values[metric.name].per_item, tuned.values[metric.name].per_item
        if one is not None and two is not None:
            return compare_items(metric, one[chosen], two[chosen], groups=groups, seed=seed)
        if base.predictions is None or tuned.predictions is None or self.gold is None:
            raise ValueError(f"{metric.name} has neither values per item nor predictions")
        return compare_statistic(
            metric,
            STATISTICS[metric.name],
            base.predictions[chosen],
            tuned.predictions[chosen],
            self.gold[chosen],
            groups=groups,
            seed=seed,
        )


def item_groups(groups: IntArray | None, rows: IntArray, items: int) -> IntArray | None:
    """(n,) groups of n items by the test row (n,) each came from; None where no two items share one."""
    if groups is None:
        return None
    found = np.unique(groups[rows], return_inverse=True)[1].astype(np.int64)
    return None if int(found.max(initial=0)) + 1 == items else found
