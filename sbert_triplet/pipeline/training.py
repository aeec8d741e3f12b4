"""The training stage: the plan with every decision in it, and carrying it out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from sbert_triplet.data.contrastive import contrastive_rows
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.losses.batch import Loss
from sbert_triplet.pipeline.decide import (
    CLASS_TEXTS,
    choose_batch_size,
    choose_epochs,
    choose_learning_rate,
)
from sbert_triplet.pipeline.gather import Gathered
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.recipe.loss import LossRecipe
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.arguments import TrainSettings, freeze, training_arguments
from sbert_triplet.training.callbacks import AfterStep, BestOnDev, StepLog, StepProgress
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.measure import choose_precision, seconds_per_token
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches, ClassBatches, RowBatches
from sbert_triplet.training.trainer import Trainer

Say = Callable[[str], None]
MEASURED_BATCHES = 3
SYMMETRIC = frozenset({Kind.SCORED, Kind.NLI, Kind.LABELLED})
"""Kinds whose two sides play the same role: no query or document prompt belongs to either."""


class Score(Protocol):
    """The main metric on the dev split with the weights of the moment; larger is better."""

    metric: str

    def on_dev(self) -> float: ...


@dataclass(frozen=True)
class Plan:
    """What is trained and how. ``recipe`` has no open value that training depends on."""

    recipe: Recipe
    objective: Objective
    collator: Collator
    batches: Batches
    settings: TrainSettings
    seconds_per_step: float
    decisions: Mapping[str, Any]
    frozen: tuple[str, ...] = ()

    def sentence(self) -> str:
        settings = self.settings
        return (
            f"{settings.steps} steps of {settings.batch_size} rows, loss {self.recipe.loss.name}, "
            f"learning rate {settings.learning_rate:g}, {settings.precision}"
        )


@dataclass(frozen=True)
class Trained:
    """What training did."""

    steps: int
    seconds: float
    rows: int
    tokens: int
    losses: tuple[float, ...]
    best_step: int | None = None


def plan_training(
    recipe: Recipe,
    data: Gathered,
    encoder: Encoder,
    loss_recipe: LossRecipe,
    decided: Mapping[str, Any],
    say: Say,
) -> Plan:
    """Decide what the recipe left open, by the data and by short measurements.

    ``decided``: what a resolved recipe recorded; nothing is measured anew for it.
    """
    rows = (
        contrastive_rows(data.train) if data.kind is not Kind.NLI or _contrastive(loss_recipe) else data.train
    )
    if not len(rows):
        raise ValueError("no training row has a text that belongs to its anchor")
    dimensions = encoder.model.get_embedding_dimension() or 0
    classes = len(data.train.label_names) or None
    loss = loss_recipe.build(dimensions=dimensions, seed=recipe.train.seed, classes=classes)
    frozen = tuple(freeze(encoder.model, recipe.train.freeze))
    objective = Objective(encoder.model, loss.to(encoder.model.device))
    batch_size = choose_batch_size(recipe, len(rows))
    batches = _batches(rows, loss, data.kind, batch_size, recipe.train.seed)
    collator = _collator(recipe, data, rows, encoder, loss)
    first = [batch.tolist() for batch in batches.epoch_batches(0)[:MEASURED_BATCHES]]
    if not first:
        raise ValueError("the training rows make no batch: too few texts a class")
    precision, per_step = _measured(recipe, objective, collator, first, decided)
    steps = _steps(recipe, len(rows), len(batches), per_step)
    parameters = sum(p.numel() for p in encoder.model.parameters())
    settings = _settings(recipe, steps, batch_size, precision, parameters)
    resolved = _resolved(recipe, loss_recipe, settings, rows)
    decisions = {
        "device": str(encoder.model.device.type),
        "model": encoder.resolved.sentence(),
        "seconds_per_step": round(per_step, 4),
        "batches_per_epoch": len(batches),
        "kind": data.kind.value,
        "roles": dict(data.roles),
        "data_fingerprint": data.fingerprint,
    }
    return Plan(resolved, objective, collator, batches, settings, per_step, decisions, frozen)


def train(
    data: Gathered,
    encoder: Encoder,
    plan: Plan,
    home: Path,
    score: Score,
    progress: Callable[[str, int, int], None] | None = None,
) -> Trained:
    """Carry the plan out; the encoder's weights are the tuned ones afterwards."""
    objective, recipe = plan.objective, plan.recipe
    log = StepLog(home / "log.jsonl", objective)
    callbacks: list[Any] = [AfterStep(objective), log]
    if progress is not None:
        tell = progress
        callbacks.append(StepProgress(lambda step, steps, _: tell("training", step, steps), objective))
    best = None
    if recipe.train.eval_steps is not None and len(data.dev):
        best = BestOnDev(
            objective,
            score.on_dev,
            metric=score.metric,
            steps=recipe.train.eval_steps,
            patience=recipe.train.patience,
            log=log,
        )
        callbacks.append(best)
    arguments = training_arguments(plan.settings, home / "checkpoints", device=str(encoder.model.device.type))
    trainer = Trainer(objective, arguments, collator=plan.collator, batches=plan.batches, callbacks=callbacks)
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    if best is not None:
        best.restore()
    return Trained(
        steps=int(trainer.state.global_step),
        seconds=seconds,
        rows=trainer.rows_seen,
        tokens=trainer.tokens_seen,
        losses=tuple(log.losses),
        best_step=best.best_step if best else None,
    )


def _contrastive(loss: LossRecipe) -> bool:
    from sbert_triplet.losses.names import LOSSES

    return loss.name is None or Kind.PAIRS.value in LOSSES[loss.name].kinds


def _batches(rows: Examples, loss: Loss, kind: Kind, batch_size: int, seed: int) -> Batches:
    needs = loss.needs_for(kind.value)
    if needs.labels and needs.columns == 1 and rows.labels is not None:
        return ClassBatches(rows.labels, max(batch_size // CLASS_TEXTS, 2), CLASS_TEXTS, seed=seed)
    return RowBatches(len(rows), batch_size, seed=seed)


def _collator(recipe: Recipe, data: Gathered, rows: Examples, encoder: Encoder, loss: Loss) -> Collator:
    sides: tuple[Side, Side] = ("text", "text") if data.kind in SYMMETRIC else ("query", "document")
    if data.kind is Kind.NLI:
        sides = ("query", "document")
    known = np.unique(np.concatenate([data.train.known_positives(), rows.known_positives()]), axis=0)
    collator = Collator(
        rows,
        encoder.tokens(data),
        loss.needs_for(data.kind.value),
        sides,
        recipe.train.group_tokens,
        KnownPositives(known),
        seed=recipe.train.seed,
    )
    collator.prepare()
    return collator


def _measured(
    recipe: Recipe,
    objective: Objective,
    collator: Collator,
    batches: list[list[int]],
    decided: Mapping[str, Any],
) -> tuple[str, float]:
    """The precision, and the expected seconds of a step."""
    precision: str = recipe.train.precision
    recorded = decided.get("seconds_per_step")
    if precision != "auto" and isinstance(recorded, int | float):
        return precision, float(recorded)
    if precision == "auto":
        precision, per_token = choose_precision(objective, collator, batches)
    else:
        per_token = seconds_per_token(objective, collator, batches, precision)
    tokens = [collator(batch).tokens for batch in batches]
    return precision, per_token * sum(tokens) / len(tokens)


def _steps(recipe: Recipe, rows: int, per_epoch: int, per_step: float) -> int:
    limits = [max(round(choose_epochs(recipe, rows) * per_epoch), 1)]
    if recipe.train.max_steps is not None:
        limits.append(recipe.train.max_steps)
    if recipe.train.max_seconds is not None:
        limits.append(max(int(recipe.train.max_seconds / per_step), 1))
    return min(limits)


def _settings(recipe: Recipe, steps: int, batch_size: int, precision: str, parameters: int) -> TrainSettings:
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
        save_steps=train.save_steps,
        keep=train.keep,
        report_to=tuple(train.report_to),
    )


def _resolved(recipe: Recipe, loss: LossRecipe, settings: TrainSettings, rows: Examples) -> Recipe:
    """The recipe with what was decided in the place of what was open: run again, it decides nothing."""
    changes: dict[str, Any] = {
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "precision": settings.precision,
        "epochs": choose_epochs(recipe, len(rows)),
        "max_steps": settings.steps,
        "max_seconds": None,
    }
    return recipe.model_copy(update={"loss": loss, "train": recipe.train.model_copy(update=changes)})
