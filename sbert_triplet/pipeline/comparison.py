"""Base against tuned: the same held-out rows, the general check, slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sbert_triplet.evaluation.bm25 import evaluate_bm25
from sbert_triplet.evaluation.metrics import Metric, Task
from sbert_triplet.evaluation.multiple import adjust_beside
from sbert_triplet.evaluation.probe import load_probe
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.significance import compare_items
from sbert_triplet.pipeline.evidence import Evidence, Measured
from sbert_triplet.pipeline.line_points import Searched
from sbert_triplet.pipeline.portraits import MAP, health_record, similarities_record, write_map
from sbert_triplet.pipeline.predictions import write_items
from sbert_triplet.pipeline.suite_entry import suite_entry
from sbert_triplet.pipeline.threshold import SameFrom
from sbert_triplet.training.fold import described

FEWEST_OF_A_SLICE = 5


@dataclass(frozen=True)
class Found:
    """The comparison of base and tuned model.

    ``training_distance``: its name and every metric under it, where the model is served with another.
    ``dimensions``: the metrics of the first part, on embeddings cut to so many dimensions.
    ``sample``: ``similarities``, ``health`` and ``map`` of ``report.json``. ``thresholds``: of both models.
    """

    main: Metric
    task: Task
    metrics: dict[str, Comparison]
    bm25: dict[str, float] = field(default_factory=dict)
    training_distance: tuple[str, dict[str, Comparison]] | None = None
    dimensions: dict[int, dict[str, Comparison]] = field(default_factory=dict)
    general: Comparison | None = None
    topics: dict[str, dict[str, float]] = field(default_factory=dict)
    slices: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    pool: dict[str, float | int | None] | None = None
    suite: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    sample: Mapping[str, Any] = field(default_factory=dict)
    thresholds: Mapping[str, SameFrom | None] = field(default_factory=dict)
    line: Searched | None = None
    curve: Mapping[str, Any] | None = None


def gather_evidence(evidence: Evidence, before: Measured, after: Measured, folder: Path) -> Found:
    """Compare, and write the predictions of both models into ``folder``."""
    held_out, data, recipe = evidence.held_out, evidence.data, evidence.recipe
    seed = recipe.train.seed
    texts = data.texts.texts
    for number, (part, one, two) in enumerate(zip(held_out.parts, before.parts, after.parts, strict=True)):
        name = "items.parquet" if number == 0 else f"{part.task.value.replace(' ', '-')}.parquet"
        write_items(folder / name, part, {"base": one, "tuned": two}, lambda ids: texts(list(ids)))
    general, topics = _general(before, after, seed)
    slices, notes = _slices(evidence, before, after)
    return Found(
        main=held_out.main,
        task=held_out.parts[0].task,
        metrics=adjust_beside(held_out.main.name, held_out.compare(before.parts, after.parts, seed=seed)),
        bm25=_bm25(evidence) if recipe.evaluate.bm25 else {},
        training_distance=_under_training(evidence, before, after),
        dimensions={
            size: held_out.parts[0].compare(before.cut[size], after.cut[size], seed=seed)
            for size in after.cut
        },
        general=general,
        topics=topics,
        slices=slices,
        pool=_pool(evidence),
        suite=suite_entry(evidence, before, after),
        notes=tuple(notes),
        sample=_sample(evidence, before, after, folder),
        thresholds={"base": before.threshold, "tuned": after.threshold},
    )


def _sample(evidence: Evidence, before: Measured, after: Measured, folder: Path) -> dict[str, Any]:
    """Base and tuned on a sample of the held-out rows; the map of its texts is written into ``folder``."""
    base, tuned = before.portrait, after.portrait
    if base is None or tuned is None or not len(evidence.sample):
        return {}
    data = evidence.data
    laid_out = write_map(
        folder / MAP,
        evidence.sample,
        base,
        tuned,
        texts=lambda ids: data.texts.texts(list(ids)),
        class_names=data.test.label_names,
        seed=evidence.recipe.train.seed,
    )
    return {
        "similarities": similarities_record(base, tuned),
        "health": health_record(base, tuned),
        "map": laid_out,
    }


def _under_training(
    evidence: Evidence, before: Measured, after: Measured
) -> tuple[str, dict[str, Comparison]] | None:
    if before.under_training is None or after.under_training is None or evidence.unnamed is None:
        return None
    held_out, seed = evidence.held_out, evidence.recipe.train.seed
    compared = held_out.compare(before.under_training, after.under_training, seed=seed)
    return described(evidence.unnamed), compared


def _general(
    before: Measured, after: Measured, seed: int
) -> tuple[Comparison | None, dict[str, dict[str, float]]]:
    if before.general is None or after.general is None:
        return None, {}
    comparison = compare_items("triplet accuracy", before.general, after.general, seed=seed)
    names = np.array(load_probe().topics)
    topics = {
        str(topic): {
            "base": float(before.general[names == topic].mean()),
            "tuned": float(after.general[names == topic].mean()),
            "n": int((names == topic).sum()),
        }
        for topic in dict.fromkeys(names.tolist())
    }
    return comparison, topics


def _bm25(evidence: Evidence) -> dict[str, float]:
    scores: dict[str, float] = {}
    for part in evidence.held_out.parts:
        if part.retrieval is not None:
            texts = evidence.data.texts.texts
            result = evaluate_bm25(
                part.retrieval,
                texts(part.retrieval.query_ids),
                texts(part.retrieval.document_ids),
                part.metrics,
            )
            scores |= {name: values.value for name, values in result.values.items()}
    return scores


def _slices(
    evidence: Evidence, before: Measured, after: Measured
) -> tuple[dict[str, dict[str, Mapping[str, Any]]], list[str]]:
    """The main metric on the items of each value of each column, and a note on values that are too rare."""
    part, kept = evidence.held_out.parts[0], evidence.data.test.kept
    metric, seed = part.metrics[0], evidence.recipe.train.seed
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    notes: list[str] = []
    if kept is None:
        return found, notes
    for column in evidence.recipe.evaluate.slices:
        values = np.array([str(value) for value in kept[column].to_pylist()])[part.rows]
        names, sizes = np.unique(values, return_counts=True)
        found[column] = {
            str(name): part.compare_rows(
                metric, before.parts[0], after.parts[0], np.flatnonzero(values == name), seed=seed
            ).as_json()
            for name in names[sizes >= FEWEST_OF_A_SLICE]
        }
        if (rare := int((sizes < FEWEST_OF_A_SLICE).sum())) > 0:
            notes.append(
                f"slices by {column}: {rare:,} of {len(names):,} values have fewer than "
                f"{FEWEST_OF_A_SLICE} held-out items and are not shown"
            )
    return found, notes


def _pool(evidence: Evidence) -> dict[str, float | int | None] | None:
    part = evidence.held_out.parts[0]
    if part.retrieval is None:
        return None
    return {
        "queries": len(part.retrieval.query_ids),
        "documents": len(part.retrieval.document_ids),
        "documents_seen_in_training": evidence.data.documents_seen,
    }
