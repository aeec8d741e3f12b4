"""A recipe made small enough to try in seconds."""

from __future__ import annotations

from typing import Any

from sbert_triplet.encoding.tiny import TINY_DIMENSIONS
from sbert_triplet.recipe.loss import LossRecipe
from sbert_triplet.recipe.model import Recipe

SMOKE_STEPS, SMOKE_ROWS, SMOKE_REFRESH = 3, 16, 1
RULES_OF_A_REAL_ENCODER: dict[str, Any] = {
    **dict.fromkeys(("relative_margin", "absolute_margin", "max_score", "min_score", "range_max", "rescore")),
    "range_min": 0,
}
"""Bounds of scores mean nothing to a random encoder, ranks nothing to a few rows."""


def smoke(recipe: Recipe) -> Recipe:
    """The recipe made small: a few rows, a few steps, a short queue, nested sizes of the tiny encoder,
    negatives by rank alone, mined anew at every step where they are to be at all."""
    steps = min(recipe.train.max_steps or SMOKE_STEPS, SMOKE_STEPS)
    rows = min(recipe.train.batch_size or SMOKE_ROWS, SMOKE_ROWS)
    train = recipe.train.model_copy(update={"max_steps": steps, "batch_size": rows, "max_seconds": None})
    data = recipe.data.model_copy(update={"limit": min(recipe.data.limit or 240, 240)})
    losses = tuple(part.model_copy(update={"loss": _smaller(part.loss)}) for part in recipe.losses)
    changes = {
        "train": train,
        "data": data,
        "max_length": None,
        "mine": recipe.mine.model_copy(
            update=RULES_OF_A_REAL_ENCODER | {"refresh": recipe.mine.refresh and SMOKE_REFRESH}
        ),
        "loss": _smaller(recipe.loss),
        "losses": losses,
    }
    return recipe.model_copy(update=changes)


def _smaller(loss: LossRecipe) -> LossRecipe:
    changes: dict[str, Any] = {}
    if loss.options.get("queue_size") is not None:
        changes["queue_size"] = None
    if loss.matryoshka is not None and max(loss.matryoshka) > TINY_DIMENSIONS:
        changes |= {"matryoshka": (TINY_DIMENSIONS, TINY_DIMENSIONS // 2), "matryoshka_weights": None}
    return loss.model_copy(update=changes)
