"""What the person left open, decided by rules of the data: kind, size, lengths, machine."""

from __future__ import annotations

from typing import Any

import numpy as np

from sbert_triplet.data.examples import Examples, FloatArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.evaluation.metrics import Metric, default_metrics, parse_metric
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.recipe.loss import LossRecipe
from sbert_triplet.recipe.model import Recipe

CLASS_TEXTS = 4
"""K of P x K batches, at least."""
SMALL_ENCODER = 50_000_000
MOST_OUTLYING = 2.0
"""So many times as far as nine in ten scores may all of them reach, and be grades."""
BYTES_A_PARAMETER = 16
"""Of a checkpoint: weights, two moments of AdamW, and the best weights on dev, in fp32."""
WRITTEN_A_SECOND = 100e6
"""Bytes of a checkpoint that a slow disk takes in a second, flushed and hashed."""
SHARE_OF_SAVING = 0.03
"""Of the time of training, at most."""
LEAST_BETWEEN_SAVES = 60.0
WHOLE_SCALE = 0.5
"""Scores from -1 to 1 that reach less far are no cosines."""


def choose_loss(loss: LossRecipe, kind: Kind, scores: FloatArray | None = None) -> LossRecipe:
    """The recipe's loss, or the one that suits the kind of data; ``scores``: (N,) of scored pairs."""
    if loss.name is not None:
        return loss
    beside = {key: getattr(loss, key) for key in LossRecipe.model_fields if key != "name"}
    chosen = _LOSS[kind] if scores is None or kind is not Kind.SCORED else _loss_of_scores(scores)
    return LossRecipe.model_validate(chosen | beside)


def _loss_of_scores(scores: FloatArray) -> dict[str, Any]:
    """CoSENT, for which their order alone counts, for yes and no and for scores with far outliers; for grades
    the cosine is fitted to the place on their scale.
    """
    low, high = float(scores.min()), float(scores.max())
    least, most = np.quantile(scores, [0.05, 0.95])
    if len(np.unique(scores)) <= 2 or high - low > MOST_OUTLYING * (most - least):
        return _LOSS[Kind.SCORED]
    if low >= -1 and high <= 1 and high - low >= WHOLE_SCALE:
        return {"name": "cosine_regression"}
    return {"name": "cosine_regression", "score_at_zero": low, "score_at_one": high}


_CONTRASTIVE: dict[str, Any] = {"name": "multiple_negatives_ranking", "scale": 20.0}
_LOSS: dict[Kind, dict[str, Any]] = {
    Kind.PAIRS: _CONTRASTIVE,
    Kind.TRIPLETS: _CONTRASTIVE,
    Kind.RETRIEVAL: _CONTRASTIVE,
    Kind.NLI: _CONTRASTIVE,
    Kind.SCORED: {"name": "cosent", "scale": 20.0},
    Kind.TEXTS: {"name": "simcse"},
    Kind.LABELLED: {"name": "supervised_contrastive", "temperature": 0.1},
}


def choose_metrics(recipe: Recipe, data: Gathered) -> tuple[Metric, ...]:
    """The recipe's metrics, or those of the held-out rows' kind; the first is the main one.

    None for texts alone, which cannot be measured.
    """
    if recipe.evaluate.metrics:
        return tuple(parse_metric(name) for name in recipe.evaluate.metrics)
    rows = data.test if len(data.test) else data.train
    whole = data.train if data.train.kind is rows.kind else rows
    return default_metrics(rows.kind, binary_scores=_is_binary(whole))


def _is_binary(rows: Examples) -> bool:
    """Whether scored pairs are only ever yes or no."""
    return rows.kind is Kind.SCORED and rows.scores is not None and len(np.unique(rows.scores)) <= 2


def choose_batch_size(recipe: Recipe, rows: int) -> int:
    """The recipe's, or 64, and less where fewer than eight batches would make an epoch."""
    if recipe.train.batch_size is not None:
        return recipe.train.batch_size
    size = 64
    while size > 16 and rows < 8 * size:
        size //= 2
    return size


def class_batch(batch_size: int, classes: int) -> tuple[int, int]:
    """P classes and K texts of each in a batch; more texts where the classes are too few to fill it."""
    most = max(batch_size // CLASS_TEXTS, 2)
    chosen = min(most, max(classes, 2))
    return chosen, max(batch_size // chosen, CLASS_TEXTS) if chosen < most else CLASS_TEXTS


def choose_epochs(recipe: Recipe, rows: int) -> float:
    """The recipe's, or one pass, and more passes over few rows."""
    if recipe.train.epochs is not None:
        return recipe.train.epochs
    return 1.0 if rows >= 10_000 else 2.0 if rows >= 3_000 else 3.0


def choose_eval_steps(recipe: Recipe, steps: int) -> int | None:
    """The recipe's; else ten times in a run that may stop early, and never in another."""
    if recipe.train.eval_steps is None and recipe.train.patience is not None:
        return max(steps // 10, 1)
    return recipe.train.eval_steps


def choose_save_steps(recipe: Recipe, parameters: int, per_step: float) -> int:
    """The recipe's; else as many steps as make saving a small share of the time, and a minute at least."""
    if recipe.train.save_steps is not None:
        return recipe.train.save_steps
    seconds = max(LEAST_BETWEEN_SAVES, parameters * BYTES_A_PARAMETER / WRITTEN_A_SECOND / SHARE_OF_SAVING)
    return max(round(seconds / max(per_step, 1e-6)), 1)


def choose_learning_rate(recipe: Recipe, parameters: int) -> float:
    """The recipe's, or 5e-5 for encoders of fewer than 50 million parameters and 2e-5 for larger ones."""
    if recipe.train.learning_rate is not None:
        return recipe.train.learning_rate
    return 5e-5 if parameters < SMALL_ENCODER else 2e-5
