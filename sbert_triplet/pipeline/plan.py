"""What is trained and how: every value that the recipe left open, decided before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sentence_transformers.sentence_transformer.modules import Normalize

from sbert_triplet.data.contrastive import contrastive_rows
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.distances import Distance
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.audit.plan import unreachable_margin
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.pipeline.decide import (
    CLASS_TEXTS,
    choose_batch_size,
    choose_epochs,
    choose_eval_steps,
    choose_learning_rate,
)
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.recipe.loss import LossRecipe
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.arguments import TrainSettings, freeze
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.measure import choose_precision, seconds_per_token
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches, ClassBatches, RowBatches

MEASURED_BATCHES = 3
TEXTS_ALIKE = frozenset({Kind.SCORED, Kind.LABELLED})
"""Kinds whose texts play one role: no query or document prompt belongs to any of them."""
Margin = tuple[float, float, str]
"""A margin, the largest value of its distance on the encoder's output, and the distance's name."""


@dataclass(frozen=True)
class Plan:
    """What is trained and how. ``recipe`` has no open value that training depends on.

    ``margin``: that of the loss, where it can be compared with what its distance reaches.
    """

    recipe: Recipe
    objective: Objective
    collator: Collator
    batches: Batches
    settings: TrainSettings
    seconds_per_step: float
    decisions: Mapping[str, Any]
    frozen: tuple[str, ...] = ()
    margin: Margin | None = None

    def sentence(self) -> str:
        settings = self.settings
        return (
            f"{settings.steps} steps of {settings.batch_size} rows, loss {self.recipe.loss.name}, "
            f"learning rate {settings.learning_rate:g}, {settings.precision}"
        )


def plan_training(
    recipe: Recipe,
    data: Gathered,
    encoder: Encoder,
    tokens: TokenTable,
    loss_recipe: LossRecipe,
    decided: Mapping[str, Any],
) -> Plan:
    """Decide what the recipe left open, by the data and by short measurements.

    ``tokens``: the table that every stage of the run shares. ``decided``: what a resolved recipe
    recorded; nothing is measured anew for it. Raises InputError for a loss that does not suit the
    data, and for a margin that its distance never reaches.
    """
    rows = _training_rows(data, loss_recipe)
    loss = _loss(recipe, loss_recipe, data, encoder)
    margin = _margin(loss_recipe, loss, encoder)
    for finding in unreachable_margin(margin):
        raise InputError(f"loss {loss_recipe.name}: {finding.message}")
    frozen = tuple(freeze(encoder.model, recipe.train.freeze))
    objective = Objective(encoder.model, loss.to(encoder.model.device))
    batch_size = choose_batch_size(recipe, len(rows))
    try:
        batches = _batches(rows, loss, data.kind, batch_size, recipe.train.seed)
        collator = _collator(recipe, data, rows, tokens, loss)
        first = [batch.tolist() for batch in batches.epoch_batches(0)[:MEASURED_BATCHES]]
        precision, per_step = _measured(recipe, objective, collator, first, decided)
    except ValueError as error:
        raise InputError(f"loss {loss_recipe.name}, on {data.kind.described}: {error}") from error
    steps = _steps(recipe, len(rows), len(batches), per_step)
    parameters = sum(p.numel() for p in encoder.model.parameters())
    settings = _settings(recipe, steps, batch_size, precision, parameters)
    resolved = _resolved(recipe, loss_recipe, settings, rows)
    decisions = _decisions(data, encoder, batches, per_step)
    return Plan(resolved, objective, collator, batches, settings, per_step, decisions, frozen, margin)


def _training_rows(data: Gathered, loss: LossRecipe) -> Examples:
    """The rows as the loss takes them, each as often as its source's weight says."""
    suited = LOSSES[str(loss.name)].kinds
    if data.kind.value not in suited:
        others = [name for name, entry in LOSSES.items() if data.kind.value in entry.kinds]
        raise InputError(
            f"loss.name: {loss.name} works on {_listed(suited)}, and these rows are {data.kind.described}; "
            f"for these there are {', '.join(others)}"
        )
    train = data.train
    if data.repeats is not None:
        train = train.select(np.repeat(np.arange(len(train)), data.repeats))
    rows = train if data.kind is Kind.NLI and Kind.PAIRS.value not in suited else contrastive_rows(train)
    if not len(rows):
        raise InputError(
            "no training row has a text that belongs to its anchor: there is nothing to learn from"
        )
    return rows


def _loss(recipe: Recipe, loss_recipe: LossRecipe, data: Gathered, encoder: Encoder) -> Loss:
    try:
        return loss_recipe.build(
            dimensions=encoder.model.get_embedding_dimension() or 0,
            seed=recipe.train.seed,
            classes=len(data.train.label_names) or None,
        )
    except ValueError as error:
        raise InputError(f"loss {loss_recipe.name}: {error}") from error


def _margin(loss_recipe: LossRecipe, loss: Loss, encoder: Encoder) -> Margin | None:
    """None without a margin, and where nothing bounds its distance: vectors of any length."""
    margin = None if loss_recipe.options.get("soft") else loss_recipe.options.get("margin")
    distance = getattr(loss, "distance", None)
    if margin is None or not isinstance(distance, Distance):
        return None
    if not distance.bounded and not any(isinstance(part, Normalize) for part in encoder.model.children()):
        return None
    reach = distance.unit_range(encoder.model.get_embedding_dimension() or 0)
    return float(margin), float(reach), distance.name


def _decisions(data: Gathered, encoder: Encoder, batches: Batches, per_step: float) -> dict[str, Any]:
    """What is recorded beside the recipe: for the reader, and for the next run of it."""
    resolved = encoder.resolved
    return {
        "device": str(encoder.model.device.type),
        "threads": torch.get_num_threads(),
        "model": encoder.sentence,
        **({"model_commit": f"{resolved.name}@{resolved.revision}"} if resolved.revision else {}),
        "seconds_per_step": round(per_step, 4),
        "batches_per_epoch": len(batches),
        "kind": data.kind.value,
        "roles": dict(data.roles),
        "data_fingerprint": data.fingerprint,
    }


def _listed(kinds: frozenset[str]) -> str:
    return ", ".join(sorted(Kind(kind).described for kind in kinds))


def _batches(rows: Examples, loss: Loss, kind: Kind, batch_size: int, seed: int) -> Batches:
    needs = loss.needs_for(kind.value)
    if needs.labels and needs.columns == 1 and rows.labels is not None:
        return ClassBatches(rows.labels, max(batch_size // CLASS_TEXTS, 2), CLASS_TEXTS, seed=seed)
    return RowBatches(len(rows), batch_size, seed=seed)


def _collator(recipe: Recipe, data: Gathered, rows: Examples, tokens: TokenTable, loss: Loss) -> Collator:
    sides: tuple[Side, Side] = ("text", "text") if data.kind in TEXTS_ALIKE else ("query", "document")
    known = np.unique(np.concatenate([data.train.known_positives(), rows.known_positives()]), axis=0)
    collator = Collator(
        rows,
        tokens,
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
    if not batches:
        raise ValueError("the training rows make no batch, with too few texts of a class")
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
        "eval_steps": choose_eval_steps(recipe, settings.steps),
    }
    return recipe.model_copy(update={"loss": loss, "train": recipe.train.model_copy(update=changes)})
