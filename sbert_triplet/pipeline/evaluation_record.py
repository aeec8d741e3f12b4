"""``evaluation.json``: every figure of an evaluation, and what it was measured with."""

from __future__ import annotations

import datetime
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from sbert_triplet.evaluation.compressed import CANDIDATES, bytes_of_a_text
from sbert_triplet.evaluation.fusion import CONSTANT, fusion_depth
from sbert_triplet.evaluation.over_seeds import SeedGroup
from sbert_triplet.evaluation.parts import Scored
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.side_by_side import Compared, Row
from sbert_triplet.evaluation.speed import BATCH_SIZE, Speed
from sbert_triplet.evaluation.suites import LoadedSuite, LoadedTask
from sbert_triplet.pipeline.environment import environment
from sbert_triplet.pipeline.folder import finite
from sbert_triplet.pipeline.measurements import Loaded, Measurements

FORMAT = 1
MILLION = 1_000_000


def evaluation_record(measured: Measurements, command: str | None) -> dict[str, Any]:
    """The record as it is written: plain data, with null for what is undefined."""
    suite = measured.target.suite if measured.target else None
    asked = measured.asked
    by_label = {row.label: number for number, row in enumerate(measured.rows)}
    rows = []
    for number, each in enumerate(measured.models):
        own = measured.rows[by_label[each.contender.label]] if suite else None
        speed = measured.speeds[number] if measured.speeds else None
        rows.append(_model(each, speed) | _figures(suite, own, _of(measured, own, by_label)))
    for row in measured.rows[len(measured.models) :]:
        rows.append(
            {"label": row.label, "kind": row.kind, **_figures(suite, row, _of(measured, row, by_label))}
        )
    record = {
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "name": measured.target.name if measured.target else None,
        "tasks": [
            _task(number, task, measured.rows[0].scored[task.name]) for number, task in enumerate(suite.tasks)
        ]
        if suite
        else [],
        "first": measured.models[0].contender.label,
        "models": rows,
        "seeds": [_seeds(group) for group in measured.seeds],
        "mteb": _mteb(measured),
        "notes": list(measured.notes),
        "settings": {
            "precision": asked.precision,
            "seed": asked.seed,
            "device": str(measured.models[0].model.device),
            "batch_size": BATCH_SIZE,
            "fusion": {"constant": CONSTANT, "depth": _fusion_depth(suite)},
            "candidates_for_each_result": CANDIDATES,
        },
        "environment": environment(),
        "command": command or shlex.join(["sbert-triplet", "evaluate", *asked.models]),
    }
    plain: dict[str, Any] = finite({key: value for key, value in record.items() if value is not None})
    return plain


def _of(measured: Measurements, row: Row | None, numbers: Mapping[str, int]) -> Compared:
    return {} if row is None else measured.compared[numbers[row.label]]


def _model(each: Loaded, speed: Speed | None) -> dict[str, Any]:
    model, contender = each.model, each.contender
    dimensions = model.get_embedding_dimension()
    return {
        "label": contender.label,
        "kind": "model",
        "name": contender.given,
        "resolved": contender.resolved.sentence(),
        "revision": contender.resolved.revision,
        "run": contender.run.name if contender.run else None,
        "weights": each.weights,
        "parameters": sum(p.numel() for p in model.parameters()),
        "dimensions": dimensions,
        "max_length": model.max_seq_length,
        "similarity": str(model.similarity_fn_name),
        "prompts": {role: prompt for role, prompt in model.prompts.items() if prompt},
        "speed": asdict(speed) if speed else None,
        "bytes_per_million_texts": {
            form: MILLION * size for form, size in bytes_of_a_text(dimensions).items()
        }
        if dimensions
        else None,
    }


def _figures(suite: LoadedSuite | None, row: Row | None, compared: Compared) -> dict[str, Any]:
    """What a row scored, and how it compares; by task."""
    if suite is None or row is None:
        return {}
    whole = len(row.scored) == len(suite.tasks)
    return {
        "average": suite.average(row.scored) if whole and len(suite.tasks) > 1 else None,
        "results": {
            name: {metric: values.value for metric, values in scored.values.items()}
            for name, scored in row.scored.items()
        },
        "against_first": {name: _metrics(metrics) for name, metrics in compared.items()},
        "thresholds": {
            name: asdict(scored.threshold) for name, scored in row.scored.items() if scored.threshold
        },
        "compressed": {
            name: {form: _comparison(each, "full") for form, each in forms.items()}
            for name, forms in row.compressed.items()
        },
    }


def _metrics(metrics: Mapping[str, Comparison]) -> dict[str, Any]:
    return {name: _comparison(comparison, "first") for name, comparison in metrics.items()}


def _comparison(comparison: Comparison, base: str) -> dict[str, Any]:
    """As in ``report.json``, where what is compared with is not called base."""
    entry = dict(comparison.as_json())
    return {base: entry.pop("base"), "value": entry.pop("tuned"), **entry}


def _task(number: int, task: LoadedTask, scored: Scored) -> dict[str, Any]:
    """``left_out``: queries that no metric counts, since no document is relevant to them."""
    part = task.part
    values = scored.values[task.main.name].per_item
    pool = None if part.retrieval is None else len(part.retrieval.document_ids)
    readable = re.sub(r"[^\w-]+", "-", task.name).strip("-")[:60]
    return {
        "name": task.name,
        "kind": part.task.value,
        "main_metric": task.main.name,
        "metrics": [metric.name for metric in part.metrics],
        "items": len(part.items),
        "left_out": 0 if values is None else int(np.isnan(values).sum()),
        "documents": pool,
        "source": task.source,
        "fingerprint": task.fingerprint,
        # By number too: names may differ in signs that no file can have.
        "predictions": f"{number + 1}-{readable or 'task'}.parquet",
        "notes": list(task.notes),
    }


def _fusion_depth(suite: LoadedSuite | None) -> dict[str, int]:
    tasks: Sequence[LoadedTask] = suite.tasks if suite else ()
    return {task.name: fusion_depth(task.part.metrics) for task in tasks if task.part.retrieval is not None}


def _seeds(group: SeedGroup) -> dict[str, Any]:
    return {
        "labels": {str(seed): label for seed, label in group.labels.items()},
        "values": {
            task: {"by_seed": list(values), "mean": group.mean(task)} for task, values in group.values.items()
        },
        "against_first": {
            task: {**asdict(over), "sentence": over.in_words()} for task, over in group.against_first.items()
        },
    }


def _mteb(measured: Measurements) -> dict[str, list[dict[str, Any]]] | None:
    if not measured.mteb:
        return None
    return {
        label: [
            {
                "task": each.task,
                "split": each.split,
                "subset": each.subset,
                "main_metric": each.main,
                "metrics": {name: values.value for name, values in each.values.items()},
                "revision": each.revision,
                "version": each.version,
            }
            for each in results
        ]
        for label, results in measured.mteb.items()
    }
