"""How a saved model does on held-out rows: the same code, and the same items in the same order, for all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from outcomes import FloatArray
from quality_plan import LABELS, METRICS, PAIRS, RETRIEVAL, SCORES, TRIPLETS, Job, Plan
from quality_sets import JUDGED
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.sources import SourceSpec
from sbert_triplet.encoding.loading import load_model, resolve_model
from sbert_triplet.evaluation.metrics import Task, parse_metric
from sbert_triplet.evaluation.suite_data import load_suite
from sbert_triplet.evaluation.suites import LoadedSuite, Suite, SuiteTask, measure_suite

TASKS = {
    PAIRS: Task.RETRIEVAL,
    RETRIEVAL: Task.RETRIEVAL,
    TRIPLETS: Task.TRIPLETS,
    LABELS: Task.LABELS,
    SCORES: Task.SCORED,
}


@dataclass(frozen=True)
class Items:
    """n items of a split: ``values`` whose mean is the metric, or predictions where ``gold`` is given.

    ``groups``: what is resampled whole.
    """

    values: FloatArray
    gold: FloatArray | None = None
    groups: IntArray | None = None


def held_out(job: Job, split: str) -> LoadedSuite:
    """The rows of a split, as a suite of one task; classes are looked up among the rows to train on."""
    judged = job.kind in (PAIRS, RETRIEVAL)
    place, known = job.folder / JUDGED, SourceSpec(str(job.folder / "train.parquet"))
    task = SuiteTask(
        name=split,
        task=TASKS[job.kind],
        source=SourceSpec(str(place), split=split)
        if judged
        else SourceSpec(str(job.folder / f"{split}.parquet")),
        known=known if job.kind == LABELS else None,
        metrics=(parse_metric(METRICS[job.kind]),),
    )
    return load_suite(Suite("quality", (task,)))


def measured(plan: Plan, job: Job, split: str, model: Path | None) -> Items:
    """The items of a split by a saved model; None for the base model. In fp32."""
    suite = held_out(job, split)
    scored = measure_suite(suite, _loaded(plan, job, model))[split]
    part, values = suite.tasks[0].part, scored.values[METRICS[job.kind]].per_item
    if values is not None:
        return Items(values, groups=part.groups)
    if scored.predictions is None or part.gold is None:
        raise ValueError(f"{job.kind}: neither values per item nor predictions")
    return Items(scored.predictions, part.gold, part.groups)


def _loaded(plan: Plan, job: Job, model: Path | None) -> SentenceTransformer:
    if model is None:
        return load_model(resolve_model(plan.model), max_length=job.max_length)
    return SentenceTransformer(str(model))


def over_folds(folds: list[Items], split: str) -> Items:
    """The items of all folds: of the test, whose rows are in one fold each, one after the other; of dev,
    whose rows are in all of them, their means.
    """
    if len(folds) == 1:
        return folds[0]
    values = [each.values for each in folds]
    return Items(np.mean(values, axis=0) if split == "dev" else np.concatenate(values))
