"""Held-out rows as a measurement: what to embed, what is scored, and base against tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sbert_triplet.data.examples import Examples
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.evaluation.metrics import Metric, Task
from sbert_triplet.evaluation.parts import Embed, IntArray, Part, Scored
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.tasks import (
    clustering_part,
    labels_part,
    pairs_part,
    retrieval_part,
    triplets_part,
)

__all__ = ["Embed", "HeldOut", "Part", "Scored", "hold_out"]


@dataclass(frozen=True)
class HeldOut:
    """All parts of a measurement; the first metric of the first part is the main one."""

    parts: tuple[Part, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def main(self) -> Metric:
        return self.parts[0].metrics[0]

    @property
    def wanted(self) -> list[tuple[Side, IntArray]]:
        """Everything that has to be embedded."""
        return [each for part in self.parts for each in part.wanted]

    def score(self, embed: Embed) -> list[Scored]:
        """One model on every part."""
        return [part.score(embed) for part in self.parts]

    def compare(
        self, base: Sequence[Scored], tuned: Sequence[Scored], *, seed: int = 13
    ) -> dict[str, Comparison]:
        """Every metric of every part, in the order of the parts."""
        compared: dict[str, Comparison] = {}
        for part, one, two in zip(self.parts, base, tuned, strict=True):
            compared |= part.compare(one, two, seed=seed)
        return compared


def hold_out(
    test: Examples,
    metrics: Sequence[Metric],
    *,
    pool: IntArray,
    memory: Examples | None = None,
    groups: IntArray | None = None,
) -> HeldOut:
    """The measurement of test rows by these metrics.

    ``pool``: text ids of every document that retrieval ranks. ``memory``: labelled training texts,
    which 1-NN and centroids are taken from. ``groups``: (N,) group of each test row. Raises
    ValueError where the rows cannot be measured by a metric.
    """
    tasks = list(dict.fromkeys(metric.task for metric in metrics))
    parts = []
    for task in tasks:
        chosen = tuple(metric for metric in metrics if metric.task is task)
        if task is Task.RETRIEVAL:
            parts.append(retrieval_part(test, chosen, pool, groups))
        elif task is Task.TRIPLETS:
            parts.append(triplets_part(test, chosen, groups))
        elif task is Task.LABELS:
            parts.append(labels_part(test, chosen, memory, groups))
        elif task is Task.CLUSTERING:
            parts.append(clustering_part(test, chosen, groups))
        else:
            parts.append(pairs_part(test, chosen, task, groups))
    return HeldOut(tuple(parts))
