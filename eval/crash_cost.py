"""What checkpoints cost: the quickstart's training with them at the default interval, and without."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crash_runs import begun, ended
from record import ROOT

SHORTENED = {"train.never_worse": "false", "evaluate.general": "false", "evaluate.metrics": "[nDCG@10]"}
"""Measuring is not what is measured."""
NEVER = 10**6
LIMIT = 1800.0


def costs(folder: Path, pairs: int, *, smoke: bool = False) -> Iterator[dict[str, Any]]:
    """One entry a training, with and without checkpoints in turn, all of as many steps as the first."""
    steps: int | None = None
    for number in range(pairs):
        for saving in (True, False):
            train = _trained(folder, folder / f"cost-{number}-{saving}", saving, steps, smoke)
            steps = int(train["steps"])
            kept = ("steps", "seconds", "saving_seconds")
            yield {"checkpoints": saving, **{name: train[name] for name in kept}}


def _trained(folder: Path, out: Path, saving: bool, steps: int | None, smoke: bool) -> dict[str, Any]:
    settings = dict(SHORTENED)
    if not saving:
        settings["train.save_steps"] = str(NEVER)
    elif smoke:
        settings["train.save_steps"] = "1"
    if steps is not None:
        settings |= {"train.max_steps": str(steps), "train.max_seconds": "null"}
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    recipe = str(ROOT / "recipes" / "quickstart.yaml")
    command = ["-m", "sbert_triplet", "train", recipe, "--out", str(out), *given]
    done = ended(begun([*command, "--smoke"] if smoke else command, folder), folder, LIMIT)
    if done.code:
        raise SystemExit(f"the quickstart's training failed:\n{done.output}")
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return dict(report["train"])


def share_of_saving(runs: list[dict[str, Any]]) -> float:
    """The median share of a training in which it waited for checkpoints."""
    return statistics.median(run["saving_seconds"] / run["seconds"] for run in runs if run["checkpoints"])


def slower(runs: list[dict[str, Any]]) -> float:
    """The median of what a training with checkpoints takes, divided by that of one which saves at its end."""
    with_, without = (
        statistics.median(run["seconds"] for run in runs if run["checkpoints"] is saving)
        for saving in (True, False)
    )
    return with_ / without
