"""Our side of the comparison: the main job on the rows, with no recipe but where the rows lie and the limits.

It is given dev as its held-out rows, so that no choice of its own, not even which model it ships, sees a row
of the test.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quality_plan import PAIRS, RETRIEVAL, SHIPPED, TUNED, Job, Plan, Results, Spent
from quality_sets import JUDGED

from sbert_triplet.pipeline.api import train
from sbert_triplet.pipeline.options import Options, Run
from sbert_triplet.pipeline.request import read_request

BASE_MEASURED, BEGUN, ENDED = "Measuring the base model", "Training:", "Trained "
"""What the job says when it is prepared, when training begins, and when it has ended."""
CHOSEN = "Measuring the tuned model"
"""What it says when it has chosen weights by dev; where it does not say so, nothing was to be chosen."""
BASE = "base"


@dataclass(frozen=True)
class Limit:
    """So many steps, or as many as ``seconds`` are enough for; both None for what the rules give."""

    steps: int | None = None
    seconds: float | None = None


class Stages:
    """Reads the clock at what the job says; ``preparing``, ``training`` and ``choosing`` in seconds."""

    def __init__(self) -> None:
        self.start = time.perf_counter()
        self.at: dict[str, float] = {}

    def __call__(self, line: str) -> None:
        for mark in (BASE_MEASURED, BEGUN, ENDED, CHOSEN):
            if line.startswith(mark):
                self.at.setdefault(mark, time.perf_counter())

    @property
    def preparing(self) -> float:
        return self.at[BASE_MEASURED] - self.start

    @property
    def training(self) -> float:
        return self.at[ENDED] - self.at[BEGUN]

    @property
    def choosing(self) -> float:
        return self.at.get(CHOSEN, self.at[ENDED]) - self.at[ENDED]


def trained(plan: Plan, job: Job, limit: Limit, out: Path, changes: Mapping[str, Any] | None = None) -> Spent:
    """Carry the main job out; ``changes``: sections of the recipe in place of defaults."""
    stages = Stages()
    source, data = _sources(job)
    sections: Results = {
        "model": plan.model,
        "data": data,
        "train": {"seed": job.seed, "precision": plan.precision},
        "evaluate": {"bm25": False},
    }
    sections["train"] |= {"max_steps": limit.steps} if limit.steps is not None else {}
    sections["train"] |= {"max_seconds": limit.seconds} if limit.seconds is not None else {}
    if job.max_length is not None:
        sections["max_length"] = job.max_length
    for name, values in (changes or {}).items():
        sections[name] = {**sections.get(name, {}), **values}
    return _spent(train(source, out=out, options=Options(say=stages), **sections), stages)


def _sources(job: Job) -> tuple[Any, Results]:
    """What is trained on, and the other sources."""
    if job.kind == RETRIEVAL:
        judged = str(job.folder / JUDGED)
        dev = {"source": judged, "split": "dev"}
        return [{"source": judged, "split": "train"}], {"dev": dev, "test": dev}
    dev_file = str(job.folder / "dev.parquet")
    data: Results = {"dev": dev_file, "test": dev_file}
    if job.kind == PAIRS and (corpus := job.folder / "corpus.parquet").is_file():
        data["corpus"] = str(corpus)
    return str(job.folder / "train.parquet"), data


def _spent(run: Run, stages: Stages) -> Spent:
    report, resolved = run.report, read_request(str(run.folder / "recipe.yaml"))
    told, recipe = report["train"], resolved.recipe.train
    models = {SHIPPED: run.model}
    if report["shipped"] == BASE:
        models[TUNED] = run.folder / "candidate"
    per_epoch = float(resolved.decisions["batches_per_epoch"])
    how = f"{told['loss']}, {told['learning_rate']:g}, {recipe.epochs:g} epochs, {told['batch_size']} rows"
    if (mined := resolved.recipe.mine.negatives) is not None:
        how += f", {mined} mined"
    return Spent(
        preparing=stages.preparing,
        mining=0.0,
        training=stages.training,
        steps=int(told["steps"]),
        most=max(round(float(recipe.epochs or 0) * per_epoch), 1),
        rows=round(told["rows_per_second"] * told["seconds"]),
        models=models,
        how=how,
        shipped=report["shipped"],
        choosing=stages.choosing,
    )
