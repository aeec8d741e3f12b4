"""All runs of an experiment, each added to those that there are; results are kept after every one."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import beside  # noqa: F401
from carried import Place, made
from claim import Experiment
from mining_process import only_cache
from record import measured_by
from sets import Cut, cut_of
from throughput_data import TINY, model_folder

Results = dict[str, Any]
TRIAL_STEPS, TRIAL_SECONDS = 2, 0.2


@dataclass(frozen=True)
class Asked:
    """What of an experiment is wanted. ``data``: None for a trial on made-up rows with a random encoder.

    ``again``: runs that there are already are made anew.
    """

    data: Path | None
    seeds: Sequence[int]
    sets: Sequence[str]
    variants: Sequence[str]
    again: bool = False
    precision: str = "bf16"

    def cells(self, experiment: Experiment) -> list[tuple[str, str]]:
        wanted = set(self.sets), set(self.variants)
        return [(each, name) for each, name in experiment.cells if each in wanted[0] and name in wanted[1]]


def measured(experiment: Experiment, asked: Asked, earlier: Results | None = None) -> Iterator[Results]:
    """All that there is, with each run that was not among the ``earlier`` ones: seed by seed.

    Exits where runs of a wanted variant or set were made otherwise.
    """
    results = earlier or {"precision": asked.precision, "variants": {}, "sets": {}, "runs": []}
    refuse_other_settings(experiment, asked, results)
    left = missing(experiment, asked, results["runs"])
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        place = place_of(asked, folder)
        with only_cache(folder / "cache"):
            cuts = {each: cut_of(each, asked.data, folder) for each in dict.fromkeys(c[0] for c in left)}
            for cut in cuts.values():
                kept_of(cut, results)
            for each, name, seed in left:
                words = experiment.variants[name].words
                print(f"{experiment.name}: {each}, {words}, seed {seed}", file=sys.stderr, flush=True)
                found = made(experiment, name, cuts[each], seed, results["sets"][each], place)
                results["variants"][name] = experiment.settings(name)
                others = [run for run in results["runs"] if key_of(run) != (each, name, seed)]
                results["runs"] = [*others, {**found, "measured": measured_by()}]
                yield results


def missing(
    experiment: Experiment, asked: Asked, runs: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, int]]:
    """Sets, variants and seeds that are wanted and that there is no run of."""
    done = set() if asked.again else {key_of(run) for run in runs}
    wanted = [(each, name, seed) for seed in asked.seeds for each, name in asked.cells(experiment)]
    return [cell for cell in wanted if cell not in done]


def key_of(run: Mapping[str, Any]) -> tuple[str, str, int]:
    return run["set"], run["variant"], run["seed"]


def refuse_other_settings(experiment: Experiment, asked: Asked, results: Results) -> None:
    """Exit where there are runs of a wanted variant with other settings, or any in another precision."""
    if (other := results.get("precision", "bf16")) != asked.precision:
        sys.exit(f"{experiment.name}: the runs that there are were made in {other}; move their file away")
    for name in dict.fromkeys(name for _, name in asked.cells(experiment)):
        earlier = results["variants"].get(name)
        if earlier is not None and earlier != as_read(experiment.settings(name)):
            sys.exit(
                f"{experiment.name}, {name}: the runs that there are were made otherwise ({earlier}); "
                "move their file away"
            )


def as_read(settings: Any) -> Any:
    """Settings as they come out of a file: lists for tuples."""
    if isinstance(settings, Mapping):
        return {key: as_read(value) for key, value in settings.items()}
    return [as_read(each) for each in settings] if isinstance(settings, list | tuple) else settings


def kept_of(cut: Cut, results: Results) -> Results:
    """What the results hold of a set. Exits where that was made of other rows."""
    new = cut.as_json()
    kept: Results = results["sets"].setdefault(cut.name, dict(new))
    if {key: kept.get(key) for key in new} != new:
        sys.exit(f"{cut.name}: the runs that there are were made with other rows; move their file away")
    return kept


def place_of(asked: Asked, folder: Path) -> Place:
    """On real data as planned; a trial in small."""
    if asked.data is not None:
        return Place(folder, precision=asked.precision)
    model = str(model_folder(TINY, folder))
    return Place(folder, model, "fp32", 100.0, TRIAL_SECONDS, TRIAL_STEPS, margins=False)
