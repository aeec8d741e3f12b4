"""Margins of losses beside what their distances reach."""

from __future__ import annotations

from collections.abc import Sequence

from sentence_transformers.sentence_transformer.modules import Normalize

from sbert_triplet.distances import Distance
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.audit.plan import Margin, unreachable_margin
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.margin_based import MarginBasedLoss
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.pipeline.tasks import Task
from sbert_triplet.recipe.loss import LossRecipe


def margin_within_reach(tasks: Sequence[Task], encoder: Encoder) -> Margin | None:
    """The margin of a single loss. Raises InputError for any that its distance never reaches."""
    margins = []
    for task in tasks:
        for part, loss in zip(task.recipes, task.losses, strict=True):
            margins.append(_margin(part.loss, loss, encoder))
            for finding in unreachable_margin(margins[-1]):
                raise InputError(f"loss {part.loss.name}: {finding.message}")
    return margins[0] if len(margins) == 1 else None


def _margin(loss_recipe: LossRecipe, loss: Loss, encoder: Encoder) -> Margin | None:
    """None without a margin, and where nothing bounds its distance: vectors of any length."""
    options, distance = loss_recipe.options, loss.compares_by
    if options.get("margins") and distance == "cosine":
        return Margin(max(options["margins"]), 2.0, "cosine", "loss.margins")
    key = "loss.margin"
    margin = None if options.get("soft") else options.get("margin", options.get("triplet_margin"))
    if isinstance(loss, MarginBasedLoss):
        margin, key = loss.alpha + float(loss.beta.detach().max()), "the sum of loss.alpha and loss.beta"
    if margin is None or not isinstance(distance, Distance):
        return None
    if not distance.bounded and not any(isinstance(part, Normalize) for part in encoder.model.children()):
        return None
    reach = distance.unit_range(encoder.model.get_embedding_dimension() or 0)
    return Margin(float(margin), float(reach), distance.name, key)
