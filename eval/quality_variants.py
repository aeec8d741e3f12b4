"""What is tried in the place of the defaults, by kind of input, and the results as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from quality_compare import compared
from quality_plan import LABELS, METRICS, PAIRS, RETRIEVAL, SCORES, TRIPLETS, Results

Sections = Mapping[str, Any]
DEFAULT = "as it is"


def _train(**values: Any) -> dict[str, Any]:
    return {"train": values}


def _loss(name: str, **options: Any) -> dict[str, Any]:
    return {"loss": {"name": name, **options}}


_FEW: dict[str, Sections] = {
    DEFAULT: {},
    "learning rate 1e-4": _train(learning_rate=1e-4),
    "1 epoch": _train(epochs=1),
    "6 epochs": _train(epochs=6),
    "6 epochs, 1e-4": _train(epochs=6, learning_rate=1e-4),
}
"""What depends on how many rows there are."""
_EVERYWHERE: dict[str, Sections] = {
    DEFAULT: {},
    "learning rate 2e-5": _train(learning_rate=2e-5),
    "learning rate 1e-4": _train(learning_rate=1e-4),
    "learning rate 2e-4": _train(learning_rate=2e-4),
    "1 epoch": _train(epochs=1),
    "3 epochs": _train(epochs=3),
    "6 epochs": _train(epochs=6),
    "16 rows": _train(batch_size=16),
    "128 rows": _train(batch_size=128),
}
_RANKING: dict[str, Sections] = {
    "scale 40": _loss("multiple_negatives_ranking", scale=40),
    "both directions": _loss("symmetric_ranking", temperature=0.05),
}
_MINED: dict[str, Sections] = {"1 mined negative": {"mine": {"negatives": 1, "relative_margin": 0.05}}}
_TRIPLET = {"distance": "cosine", "margin": 0.3}
OWN: dict[str, dict[str, Sections]] = {
    PAIRS: _RANKING | _MINED,
    RETRIEVAL: _RANKING | _MINED,
    TRIPLETS: _RANKING,
    LABELS: {
        "temperature .05": _loss("supervised_contrastive", temperature=0.05),
        "temperature .2": _loss("supervised_contrastive", temperature=0.2),
        "temperature .5": _loss("supervised_contrastive", temperature=0.5),
        "triplets, all": _loss("triplet", **_TRIPLET, miner="all"),
        "triplets, hardest": _loss("triplet", **_TRIPLET, miner="hard"),
        "triplets, hardest, soft margin": _loss("triplet", distance="euclidean", soft=True, miner="hard"),
    },
    SCORES: {
        "CoSENT": _loss("cosent", scale=20),
        "CoSENT, 2e-4, 16 rows": _loss("cosent", scale=20) | _train(learning_rate=2e-4, batch_size=16),
    },
}


def variants_of(kind: str, *, few: bool) -> dict[str, Sections]:
    """Sections of the recipe by what they change, the defaults first; ``few``: few rows are trained on."""
    return dict(_FEW) if few else _EVERYWHERE | OWN[kind]


def table(results: Results) -> str:
    """A table for each kind: the gain of the defaults, and what each change adds to it or takes away."""
    lines: list[str] = []
    for kind in METRICS:
        names = [name for name, kept in results["sets"].items() if kept["kind"] == kind]
        if names:
            lines += [*_of_kind(kind, names, results), ""]
    lines.append("Dev rows; in brackets the 95 % interval, then steps and seconds of training.")
    return "\n".join(lines)


def _of_kind(kind: str, names: Sequence[str], results: Results) -> list[str]:
    found = {
        (run["set"], run["variant"]): [
            other
            for other in results["runs"]
            if (other["set"], other["variant"]) == (run["set"], run["variant"])
        ]
        for run in results["runs"]
    }
    heads = [f"{name} ({results['sets'][name]['rows']['train']:,} rows)" for name in names]
    lines = [
        "| " + " | ".join([f"{kind}, {METRICS[kind]}", *heads, "mean"]) + " |",
        "| --- " * (len(names) + 2) + "|",
    ]
    told = dict.fromkeys(variant for _, variant in found if any((name, variant) in found for name in names))
    for variant in told:
        changes = [_change(kind, name, variant, found, results["sets"][name]) for name in names]
        known = [value for value, _ in changes if value is not None]
        mean = f"{np.mean(known):+.3f}" if len(known) == len(names) else "-"
        what = f"{variant} (against the base model)" if variant == DEFAULT else variant
        lines.append("| " + " | ".join([what, *(cell for _, cell in changes), mean]) + " |")
    return lines


def _change(
    kind: str, name: str, variant: str, found: Mapping[tuple[str, str], list[Results]], kept: Results
) -> tuple[float | None, str]:
    """By how much a variant is above the defaults, and the defaults above the base model; with the cell."""
    runs = found.get((name, variant), [])
    seeds = {run["seed"] for run in runs}
    if variant == DEFAULT:
        against = [kept["base"]["items"]] if runs else []
    else:
        same = [run for run in found.get((name, DEFAULT), []) if run["seed"] in seeds]
        runs = [run for run in runs if run["seed"] in {other["seed"] for other in same}]
        against = [run["items"] for run in same]
    if not runs or not against:
        return None, "-"
    one = compared(METRICS[kind], kept["base"], against, [run["items"] for run in runs])
    steps, seconds = sum(runs[0]["steps"]), float(np.mean([run["training"] for run in runs]))
    cell = f"{one.difference:+.3f} ({one.low:+.3f} to {one.high:+.3f}), {steps} steps, {seconds:.0f} s"
    return one.difference, cell
