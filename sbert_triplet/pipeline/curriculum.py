"""The curriculum of a run: rows of ``data.train`` scored, ordered and paced, and negatives by hardness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.parquet import write_parquet
from sbert_triplet.data.wording import percent
from sbert_triplet.errors import InputError
from sbert_triplet.pipeline.tasks import Setting, Task, guide_table
from sbert_triplet.processes import agreed
from sbert_triplet.recipe.curriculum import CurriculumRecipe
from sbert_triplet.training.curriculum import in_order, paced
from sbert_triplet.training.difficulty import (
    Table,
    jaccard_scores,
    length_scores,
    negative_gaps,
    reference_scores,
)
from sbert_triplet.training.hardness import CLASSES, PhasedBatches, hardness_of, phased, present
from sbert_triplet.training.row_losses import loss_scores

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
FILE = "curriculum.parquet"
FIRST = {"curriculum": "easy rows first", "anti": "difficult rows first", "random": "rows in random order"}


@dataclass(frozen=True)
class Curriculum:
    """What was decided of the N training rows, in the order in which they are trained on without it.

    ``scores``: (N,) larger for more difficult, NaN where there is none. ``order``: (N,) row numbers,
    first those that are in use first. ``classes``: (C,) of the rows' own negatives, as of ``hardness``.
    """

    recipe: CurriculumRecipe
    rows: Examples
    scores: FloatArray | None = None
    order: IntArray | None = None
    classes: IntArray | None = None

    def sentence(self) -> str:
        """What it does, in words."""
        recipe, parts = self.recipe, []
        if self.order is not None:
            by = f" by {recipe.score}" if self.scores is not None else ""
            parts.append(
                f"{FIRST[recipe.order]}{by} ({recipe.pacing} pacing from {percent(recipe.start or 0.0)})"
            )
        if self.classes is not None:
            counts = np.bincount(self.classes, minlength=len(CLASSES))
            found = ", ".join(f"{count:,} {name}" for name, count in zip(CLASSES, counts, strict=True))
            parts.append(f"negatives from easy to hard ({found})")
        return ", ".join(parts)

    def write(self, folder: Path) -> None:
        """``curriculum.parquet``: the row of the source, from 0, its score, and its place in the order;
        how many of its negatives are of each class.
        """
        rows = len(self.rows)
        columns: dict[str, pa.Array] = {"row": pa.array(self.rows.row_numbers)}
        scores = np.full(rows, np.nan) if self.scores is None else self.scores
        columns["score"] = pa.array(scores, pa.float64(), from_pandas=True)
        if self.order is not None:
            place = np.empty(rows, dtype=np.int64)
            place[self.order] = np.arange(rows)
            columns["place"] = pa.array(place)
        if self.classes is not None and self.rows.negatives is not None:
            owners = np.repeat(np.arange(rows), np.diff(self.rows.negatives.offsets))
            for number, name in enumerate(CLASSES):
                counts = np.bincount(owners[self.classes == number], minlength=rows)
                columns[name.replace("-", "_")] = pa.array(counts)
        write_parquet(pa.table(columns), folder / FILE)


def with_curriculum(
    setting: Setting, tasks: Sequence[Task], epochs: float
) -> tuple[list[Task], Curriculum | None]:
    """The tasks with the batches of the curriculum for ``data.train``, in a run of so many epochs.

    Raises InputError for rows that the score or the schedule says nothing of.
    """
    recipe, parts = setting.recipe.curriculum.decided(), setting.recipe.losses
    if not recipe.paced and recipe.hardness == "none":
        return list(tasks), None
    if parts and all(part.dataset is not None for part in parts):
        raise InputError(
            "curriculum: orders the rows of data.train, and every loss has a dataset of its own; "
            "give a loss without one, or leave the curriculum out"
        )
    task = tasks[0]
    table = _reference(setting, recipe, task) if recipe.asks_reference else None
    found = Curriculum(recipe, task.rows)
    steps = epochs * len(task.batches)
    if recipe.paced:
        found = _ordered(setting, found, task, table, steps)
    if recipe.hardness != "none":
        found = replace(found, classes=_classes(found, task, table))
    return [_following(found, task, steps), *tasks[1:]], found


def _ordered(
    setting: Setting, found: Curriculum, task: Task, table: Table | None, steps: float
) -> Curriculum:
    recipe, seed = found.recipe, setting.recipe.train.seed
    try:
        scores = agreed(_scores(setting, recipe, task, table)) if recipe.order != "random" else None
    except ValueError as error:
        raise InputError(f"curriculum.score: {error}; choose another score") from error
    if scores is not None and not np.nanmin(scores) < np.nanmax(scores):
        raise InputError(
            f"curriculum.score: {recipe.score} is the same for all rows and orders nothing; choose another"
        )
    every = recipe.pacing_over(steps).step_length if recipe.growth is not None else None
    return replace(
        found,
        recipe=recipe.model_copy(update={"every": every}),
        scores=scores,
        order=in_order(len(task.rows), recipe.order, scores, seed=seed),
    )


def _scores(setting: Setting, recipe: CurriculumRecipe, task: Task, table: Table | None) -> FloatArray:
    rows, collator = task.rows, task.collator
    if recipe.score == "jaccard":
        return jaccard_scores(rows, setting.texts)
    if recipe.score == "length":
        return length_scores(rows, setting.tokens, collator.sides)
    if table is not None and recipe.score == "reference":
        return reference_scores(rows, table, collator.sides)
    return loss_scores(setting.encoder.model, task.loss, collator, task.batches, setting.telling("scoring"))


def _classes(found: Curriculum, task: Task, table: Table | None) -> IntArray:
    given, key = task.rows.negatives, "curriculum.hardness"
    if given is None or not len(given.values) or table is None:
        raise InputError(f"{key}: no training row has negatives of its own; leave it out, or give some")
    try:
        gaps = agreed(negative_gaps(task.rows, table, task.collator.sides))
    except ValueError as error:
        raise InputError(f"{key}: {error}") from error
    classes = hardness_of(gaps, found.recipe.semi_hard_margin)
    owners = np.repeat(np.arange(len(task.rows)), np.diff(given.offsets))
    if not (present(owners, classes, len(task.rows)).sum(axis=1) > 1).any():
        counts = np.bincount(classes, minlength=len(CLASSES)).tolist()
        raise InputError(
            f"{key}: no training row has negatives of more than one class (easy {counts[0]:,}, semi-hard "
            f"{counts[1]:,}, hard {counts[2]:,}), so there is nothing to order; leave it out, change "
            "curriculum.semi_hard_margin, or give more negatives a row"
        )
    return classes


def _following(found: Curriculum, task: Task, steps: float) -> Task:
    """The task with its batches and rows as the curriculum has them."""
    batches, collator = task.batches, task.collator
    if found.order is not None:
        batches = paced(batches, found.order, found.recipe.pacing_over(steps), labels=task.rows.labels)
    if found.classes is not None:
        batches = PhasedBatches(batches, len(task.rows), steps)
        collator = replace(collator, examples=phased(task.rows, found.classes))
    return replace(task, batches=batches, collator=collator)


def _reference(setting: Setting, recipe: CurriculumRecipe, task: Task) -> Table:
    """What the reference model makes of every text; the guide's, where it is the same model."""
    if task.collator.guide is not None and task.collator.needs.guide == recipe.reference:
        return task.collator.guide
    return guide_table(setting, recipe.reference, task.collator)
