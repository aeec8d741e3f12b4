"""Base against tuned: the same held-out rows, the general check, slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sbert_triplet.data.examples import Examples, FloatArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.errors import DataError, InputError
from sbert_triplet.evaluation.bm25 import evaluate_bm25
from sbert_triplet.evaluation.held_out import HeldOut, Scored, hold_out
from sbert_triplet.evaluation.metrics import Metric, Task
from sbert_triplet.evaluation.probe import load_probe, probe_hits, probe_texts
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.significance import compare_items
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.predictions import write_predictions
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.recipe.model import Recipe

Progress = Callable[[str, int, int], None]
FEWEST_OF_A_SLICE = 5
TOKENS_IN_FP32 = 500_000
"""Up to so many tokens are always embedded in fp32 unless the recipe says otherwise."""


@dataclass(frozen=True)
class Measured:
    """One model: its scores on each part, and its hits on the general check."""

    parts: list[Scored]
    general: FloatArray | None


@dataclass(frozen=True)
class Found:
    """The comparison of base and tuned model."""

    main: Metric
    task: Task
    metrics: dict[str, Comparison]
    bm25: dict[str, float] = field(default_factory=dict)
    general: Comparison | None = None
    topics: dict[str, dict[str, float]] = field(default_factory=dict)
    slices: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)
    pool: dict[str, float | int | None] | None = None
    notes: tuple[str, ...] = ()


def measured_on(data: Gathered, metrics: Sequence[Metric], split: str = "test") -> HeldOut:
    """The measurement of a held-out split. Raises InputError for what cannot be measured."""
    rows = data.test if split == "test" else data.dev
    if not len(rows):
        why = "" if split == "test" else " (train.eval_steps and train.patience need dev rows)"
        raise DataError(
            f"no row is held out for {split}{why}: set evaluate.{split} above 0, or name data.{split}"
        )
    if rows.kind is Kind.LABELLED and data.kind is not Kind.LABELLED:
        raise DataError(
            f"data.{split}: holds labelled text, whose classes are looked up among training texts of known "
            f"class, and data.train holds {data.kind.described}; name a {split} file of another kind"
        )
    try:
        return hold_out(
            rows,
            metrics,
            pool=data.pool,
            memory=data.train if data.kind is Kind.LABELLED else None,
            groups=data.groups if split == "test" else None,
        )
    except ValueError as error:
        given = f"data.{split}" if split in data.given else f"the {split} rows"
        raise InputError(f"evaluate.metrics, on {given}: {error}") from error


def refuse_unknown_slices(columns: Sequence[str], test: Examples) -> None:
    """Raise InputError for a column to slice by that the test rows do not have."""
    kept = list(test.kept.column_names) if test.kept is not None else []
    for column in columns:
        if column not in kept:
            known = f"these are {', '.join(kept)}" if kept else "there are none"
            raise InputError(
                f"evaluate.slices: {column!r} is no column without a role of the test rows; {known}"
            )


class Evidence:
    """Measures the encoder with the weights of the moment."""

    def __init__(
        self,
        recipe: Recipe,
        data: Gathered,
        held_out: HeldOut,
        encoder: Encoder,
        tokens: TokenTable,
        *,
        dev: HeldOut | None = None,
        training_precision: str = "fp32",
        progress: Progress | None = None,
    ) -> None:
        self.recipe, self.data, self.held_out, self.encoder = recipe, data, held_out, encoder
        self.metric = held_out.main.name
        self._progress = progress
        self._tokens = tokens
        self._dev = dev
        self.precision = self._choose(training_precision)

    def _choose(self, training_precision: str) -> str:
        wanted = self.recipe.evaluate.precision
        if wanted != "auto" or training_precision == "fp32":
            return "fp32" if wanted == "auto" else wanted
        total = 0
        for side, ids in self.held_out.wanted:
            self._tokens.add(side, ids)
            total += int(self._tokens.lengths(self._tokens.form(side), np.unique(ids)).sum())
        return training_precision if total > TOKENS_IN_FP32 else "fp32"

    def size(self) -> str:
        """What is measured, in words."""
        part = self.held_out.parts[0]
        if part.retrieval is None:
            what = "labelled texts" if part.task is Task.LABELS else part.task.value
            return f"{len(part.items):,} held-out {what}"
        return f"{len(part.items):,} held-out queries over {len(part.retrieval.document_ids):,} documents"

    def measure(self) -> Measured:
        """Score the held-out rows and the general check."""
        embedder = self._embedder()
        embedder.prepare(self.held_out.wanted)
        return Measured(self.held_out.score(embedder), self._general())

    def on_dev(self) -> float:
        """The main metric on the dev split."""
        if self._dev is None:
            self._dev = measured_on(self.data, [self.held_out.main], "dev")
        embedder = self._embedder()
        embedder.prepare(self._dev.wanted)
        return self._dev.score(embedder)[0].values[self.metric].value

    def _embedder(self) -> Embedder:
        tell = self._progress
        return Embedder(
            self.encoder.model,
            self._tokens,
            precision=self.precision,
            budget=self.recipe.train.group_tokens,
            progress=(lambda done, total: tell("encoding", done, total)) if tell else None,
        )

    def _general(self) -> FloatArray | None:
        if not self.recipe.evaluate.general:
            return None
        model = self.encoder.model
        embeddings = model.encode(probe_texts(load_probe()), batch_size=64, show_progress_bar=False)
        sentences, paraphrases, near_misses = np.split(embeddings, 3)
        return probe_hits(sentences, paraphrases, near_misses, str(model.similarity_fn_name))


def gather_evidence(evidence: Evidence, before: Measured, after: Measured, folder: Path) -> Found:
    """Compare, and write the predictions of both models into ``folder``."""
    held_out, data, recipe = evidence.held_out, evidence.data, evidence.recipe
    seed = recipe.train.seed
    texts = data.texts.texts
    for number, (part, one, two) in enumerate(zip(held_out.parts, before.parts, after.parts, strict=True)):
        name = "items.parquet" if number == 0 else f"{part.task.value.replace(' ', '-')}.parquet"
        write_predictions(folder / name, part, one, two, lambda ids: texts(list(ids)))
    general, topics = _general(before, after, seed)
    slices, notes = _slices(evidence, before, after)
    return Found(
        main=held_out.main,
        task=held_out.parts[0].task,
        metrics=held_out.compare(before.parts, after.parts, seed=seed),
        bm25=_bm25(evidence) if recipe.evaluate.bm25 else {},
        general=general,
        topics=topics,
        slices=slices,
        pool=_pool(evidence),
        notes=tuple(notes),
    )


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
