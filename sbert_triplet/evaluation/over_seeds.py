"""Models of one recipe and several seeds, on a suite: shown one by one, and together against the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from sbert_triplet.evaluation.seeds import OverSeeds, compare_seeds
from sbert_triplet.evaluation.side_by_side import Row
from sbert_triplet.evaluation.suites import LoadedSuite, LoadedTask


@dataclass(frozen=True)
class SeedGroup:
    """``labels`` by seed; ``values``: by task, the main metric in the order of the seeds.

    ``against_first``: by task, the difference from the first model over seeds, where the metric is a mean
    over items and the first model is none of the group.
    """

    labels: Mapping[int, str]
    values: Mapping[str, tuple[float, ...]]
    against_first: Mapping[str, OverSeeds]

    def mean(self, task: str) -> float:
        """The mean over seeds."""
        return fmean(self.values[task])


def groups_over_seeds(
    suite: LoadedSuite, rows: Sequence[Row], groups: Sequence[Sequence[tuple[int, str]]], *, seed: int = 13
) -> list[SeedGroup]:
    """What each group of (seed, label) shows; ``rows``: of all models, the first one first."""
    by_label = {row.label: row for row in rows}
    return [_group(suite, rows[0], dict(group), by_label, seed) for group in groups]


def _group(
    suite: LoadedSuite, first: Row, labels: Mapping[int, str], rows: Mapping[str, Row], seed: int
) -> SeedGroup:
    values: dict[str, tuple[float, ...]] = {}
    compared: dict[str, OverSeeds] = {}
    for task in suite.tasks:
        name = task.main.name
        scored = {each: rows[label].scored[task.name] for each, label in labels.items()}
        values[task.name] = tuple(each.values[name].value for each in scored.values())
        if first.label not in labels.values():
            over = _over_seeds(task, first, labels, rows, seed)
            compared |= {} if over is None else {task.name: over}
    return SeedGroup(labels, values, compared)


def _over_seeds(
    task: LoadedTask, first: Row, labels: Mapping[int, str], rows: Mapping[str, Row], seed: int
) -> OverSeeds | None:
    name = task.main.name
    base = first.scored[task.name].values[name].per_item
    tuned = {each: rows[label].scored[task.name].values[name].per_item for each, label in labels.items()}
    given = {each: values for each, values in tuned.items() if values is not None}
    if base is None or len(given) < len(tuned):
        return None
    return compare_seeds(task.main, dict.fromkeys(given, base), given, groups=task.part.groups, seed=seed)
