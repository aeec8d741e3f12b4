"""Why a tuned model may not have become better: rules that each look at some figures of the run.

A rule gives a cause only with the figure that speaks for it, so none is a guess from nothing; that a figure
speaks for a cause does not prove it. Sentences are made of figures alone, never of the person's texts.
"""

from __future__ import annotations

from sbert_triplet.evaluation.causes.figures import NO_VALUES, Cause, Figures, Rule, Shape
from sbert_triplet.evaluation.causes.of_rows import (
    columns_exchanged,
    false_negatives,
    few_training_rows,
    label_noise,
    little_to_gain,
    not_borne_out,
    other_rows,
    too_few_to_tell,
    truncation,
    wrong_prompts,
)
from sbert_triplet.evaluation.causes.of_training import (
    crowding,
    easy_negatives,
    rate_too_high,
    rate_too_low,
    trained_too_long,
)
from sbert_triplet.evaluation.verdict import verdict

__all__ = ["NO_VALUES", "RULES", "Cause", "Figures", "Shape", "likely_causes"]

RULES: tuple[Rule, ...] = (
    too_few_to_tell,
    little_to_gain,
    few_training_rows,
    label_noise,
    columns_exchanged,
    not_borne_out,
    other_rows,
    false_negatives,
    truncation,
    wrong_prompts,
    rate_too_high,
    rate_too_low,
    trained_too_long,
    easy_negatives,
    crowding,
)


def likely_causes(figures: Figures) -> list[Cause]:
    """Causes that the figures speak for, the likeliest first; none for a tuned model that is better."""
    if verdict(figures.comparison) == "better":
        return []
    found = [cause for rule in RULES if (cause := rule(figures)) is not None]
    return sorted(found, key=lambda cause: -cause.strength)
