"""What is trained and how: every value that the recipe left open, decided before the first step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sbert_triplet.data.wording import times
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.audit.plan import Margin
from sbert_triplet.losses.batch import Loss
from sbert_triplet.pipeline.curriculum import Curriculum, with_curriculum
from sbert_triplet.pipeline.decide import (
    choose_batch_size,
    choose_epochs,
    choose_eval_steps,
    choose_learning_rate,
    choose_save_steps,
)
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.margins import margin_within_reach
from sbert_triplet.pipeline.mining import Negatives, with_mined_negatives
from sbert_triplet.pipeline.refresh import Refresh
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.pipeline.steps import Pace, choose_steps
from sbert_triplet.pipeline.tasks import Setting, Task, joined, queue_size, tasks_of
from sbert_triplet.processes import agreed, processes
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.arguments import TrainSettings, freeze
from sbert_triplet.training.collate import BatchMaker
from sbert_triplet.training.fitting import chunk_that_fits, free_memory
from sbert_triplet.training.fold import learns_metric
from sbert_triplet.training.measure import choose_precision, graph_bytes_per_token, seconds_per_token
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches

MEASURED_BATCHES = 3


@dataclass(frozen=True)
class Plan:
    """What is trained and how. ``recipe`` has no open value that training depends on.

    ``margin``: that of the loss, where it can be compared with what its distance reaches.
    """

    recipe: Recipe
    objective: Objective
    collator: BatchMaker
    batches: Batches
    settings: TrainSettings
    pace: Pace
    decisions: Mapping[str, Any]
    frozen: tuple[str, ...] = ()
    margin: Margin | None = None
    curriculum: Curriculum | None = None
    negatives: Negatives | None = None
    refresh: Refresh | None = None

    @property
    def seconds(self) -> float:
        """What the training is expected to take."""
        return self.pace.seconds(self.settings.steps)

    def sentence(self) -> str:
        settings, refresh = self.settings, self.refresh
        parts = f", in parts of {chunk:,} tokens" if (chunk := self.recipe.train.chunk_tokens) else ""
        return (
            f"{times(settings.steps, 'step', 'steps')} of {settings.batch_size} rows, "
            f"loss {self.recipe.loss_names}, learning rate {settings.learning_rate:g}, "
            f"{settings.precision}{parts}"
            + (f", {self.curriculum.sentence()}" if self.curriculum else "")
            + (f", {refresh.sentence(self.pace.pauses(settings.steps))}" if refresh else "")
        )


def plan_training(setting: Setting, decided: Mapping[str, Any]) -> Plan:
    """Decide what the recipe left open, by the data and by short measurements.

    ``decided``: what a resolved recipe recorded; nothing is measured anew for it. Raises InputError
    for a loss that does not suit the data, and for a margin that its distance never reaches.
    """
    recipe, encoder = setting.recipe, setting.encoder
    main, negatives = with_mined_negatives(setting)
    tasks = tasks_of(setting, lambda rows: choose_batch_size(recipe, rows), main)
    margin = margin_within_reach(tasks, encoder)
    loss, batches, collator = _joined(tasks, recipe.train.seed)
    frozen = tuple(freeze(encoder.model, recipe.train.freeze, loss=loss))
    objective = Objective(
        encoder.model,
        loss.to(encoder.model.device),
        queue_size=queue_size(tasks),
        cached=bool(recipe.train.chunk_tokens),
    )
    try:
        precision, per_step, chunk = _by_measurement(recipe, objective, collator, batches, decided)
    except ValueError as error:
        names = ", ".join(str(part.loss.name) for task in tasks for part in task.recipes)
        raise InputError(f"loss {names}: {error}") from error
    rows = len(collator)
    pace = _pace(recipe, len(batches), per_step, negatives)
    steps = choose_steps(recipe, rows, len(batches), pace)
    tasks, curriculum = with_curriculum(setting, tasks, steps / len(batches))
    if curriculum is not None:
        _, batches, collator = _joined(tasks, recipe.train.seed)
        recipe = recipe.model_copy(update={"curriculum": curriculum.recipe})
    parameters = sum(p.numel() for p in encoder.model.parameters())
    batch_size = tasks[0].batch_size
    settings = _settings(recipe, steps, batch_size, precision, parameters, per_step)
    memory = {"group_tokens": setting.group_tokens, "chunk_tokens": chunk}
    resolved = _resolved(recipe, tasks, settings, rows, memory)
    timing = {"seconds_per_step": round(per_step, 4), "batches_per_epoch": len(batches)}
    return Plan(
        recipe=resolved,
        objective=objective,
        collator=collator,
        batches=batches,
        settings=settings,
        pace=pace,
        decisions=known_of(setting.data, encoder) | timing,
        frozen=frozen,
        margin=margin,
        curriculum=curriculum,
        negatives=negatives,
        refresh=_refresh(setting, negatives, tasks[0], pace),
    )


def _pace(recipe: Recipe, per_epoch: int, per_step: float, negatives: Negatives | None) -> Pace:
    if negatives is None:
        return Pace(per_step)
    return Pace(per_step, recipe.mine.refresh_steps(per_epoch), negatives.seconds)


def _refresh(setting: Setting, negatives: Negatives | None, task: Task, pace: Pace) -> Refresh | None:
    """``task``: that of ``data.train``."""
    if negatives is None or pace.every is None:
        return None
    if any(learns_metric(loss) for loss in task.losses):
        raise InputError(
            f"mine.refresh: the loss {task.recipes[0].loss.name} learns a metric beside the encoder, which "
            "the search would not know; leave refresh out, or take another loss"
        )
    return Refresh(setting, negatives, task.collator, pace.every)


def _joined(tasks: Sequence[Task], seed: int) -> tuple[Loss, Batches, BatchMaker]:
    leaves = [
        (str(part.loss.name), loss)
        for task in tasks
        for part, loss in zip(task.recipes, task.losses, strict=True)
    ]
    for name, loss in leaves if len(leaves) > 1 else []:
        if learns_metric(loss):
            raise InputError(
                f"losses: {name} learns a metric that the other losses would not train and the saved model "
                "would apply to all; train with it alone, or in a second run from the model of the first"
            )
    try:
        return joined(tasks, seed)
    except ValueError as error:
        raise InputError(f"losses: {error}") from error


def known_of(data: Gathered, encoder: Encoder) -> dict[str, Any]:
    """What is recorded of data and encoder beside the recipe: for the reader, and for the next run of it."""
    resolved = encoder.resolved
    return {
        "device": str(encoder.model.device.type),
        "threads": torch.get_num_threads(),
        "model": encoder.sentence,
        **({"model_commit": f"{resolved.name}@{resolved.revision}"} if resolved.revision else {}),
        "kind": data.kind.value,
        "roles": dict(data.roles),
        "data_fingerprint": data.fingerprint,
    }


def _by_measurement(
    recipe: Recipe,
    objective: Objective,
    collator: BatchMaker,
    batches: Batches,
    decided: Mapping[str, Any],
) -> tuple[str, float, int]:
    """The precision, the expected seconds of a step, and ``train.chunk_tokens``."""
    first = [batch.tolist() for batch in batches.epoch_batches(0)[:MEASURED_BATCHES]]
    tokens = [collator(batch).tokens for batch in first]
    precision, per_step = _measured(recipe, objective, collator, first, tokens, decided)
    return precision, per_step, _chunk_tokens(recipe, objective, collator, first[0], max(tokens), precision)


def _measured(
    recipe: Recipe,
    objective: Objective,
    collator: BatchMaker,
    batches: list[list[int]],
    tokens: list[int],
    decided: Mapping[str, Any],
) -> tuple[str, float]:
    """The precision, and the expected seconds of a step; ``tokens``: of each of the batches."""
    precision: str = recipe.train.precision
    recorded = decided.get("seconds_per_step")
    if precision != "auto" and isinstance(recorded, int | float):
        return precision, float(recorded)
    if precision == "auto":
        precision, per_token = choose_precision(objective, collator, batches)
    else:
        per_token = seconds_per_token(objective, collator, batches, precision)
    return agreed((precision, per_token * sum(tokens) / len(tokens) / processes()))


def _chunk_tokens(
    recipe: Recipe,
    objective: Objective,
    collator: BatchMaker,
    batch: list[int],
    tokens: int,
    precision: str,
) -> int:
    """``train.chunk_tokens``, by what the graph of ``batch`` takes; objective and collator are set to it.

    ``tokens``: of the largest batch that was looked at.
    """
    chunk = recipe.train.chunk_tokens
    if chunk is None:
        per_token = graph_bytes_per_token(objective, collator, batch, precision)
        free = free_memory(objective.model.device)
        chunk = agreed(chunk_that_fits(per_token, tokens // processes(), collator.budget, free))
    if chunk:
        objective.cached, collator.budget = True, min(chunk, collator.budget)
    return chunk


def _settings(
    recipe: Recipe, steps: int, batch_size: int, precision: str, parameters: int, per_step: float
) -> TrainSettings:
    train = recipe.train
    return TrainSettings(
        steps=steps,
        batch_size=batch_size,
        learning_rate=choose_learning_rate(recipe, parameters),
        schedule=train.schedule,
        warmup=float(train.warmup),
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm or 0.0,
        precision=precision,
        seed=train.seed,
        deterministic=train.deterministic,
        save_steps=choose_save_steps(recipe, parameters, per_step),
        keep=train.keep,
        max_bad_steps=train.max_bad_steps,
        report_to=tuple(train.report_to),
    )


def _resolved(
    recipe: Recipe, tasks: Sequence[Task], settings: TrainSettings, rows: int, memory: Mapping[str, int]
) -> Recipe:
    """The recipe with what was decided in the place of what was open: run again, it decides nothing."""
    changes: dict[str, Any] = {
        **memory,
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "precision": settings.precision,
        "epochs": choose_epochs(recipe, rows),
        "max_steps": settings.steps,
        "max_seconds": None,
        "eval_steps": choose_eval_steps(recipe, settings.steps),
        "save_steps": settings.save_steps,
    }
    parts = [part for task in tasks for part in task.recipes]
    losses: dict[str, Any] = {"losses": tuple(parts)} if recipe.losses else {"loss": parts[0].loss}
    return recipe.model_copy(update={**losses, "train": recipe.train.model_copy(update=changes)})
