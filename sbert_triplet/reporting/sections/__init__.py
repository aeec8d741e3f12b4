"""The sections of the report, in the order in which they are read.

A new one is a file with a ``draw`` function, and a line in ``SECTIONS``.
"""

from __future__ import annotations

from sbert_triplet.reporting.section import Draw
from sbert_triplet.reporting.sections import (
    causes,
    data,
    dimensions,
    environment,
    general,
    health,
    items,
    learning_curve,
    negatives,
    recipe,
    results,
    similarities,
    slices,
    suite,
    text_map,
    threshold,
    training,
    training_distance,
    verdict,
    weight_line,
)

SECTIONS: tuple[Draw, ...] = (
    verdict.draw,
    causes.draw,
    results.draw,
    training_distance.draw,
    dimensions.draw,
    weight_line.draw,
    learning_curve.draw,
    suite.draw,
    threshold.draw,
    items.draw,
    slices.draw,
    similarities.draw,
    text_map.draw,
    health.draw,
    general.draw,
    training.draw,
    negatives.draw,
    data.draw,
    recipe.draw,
    environment.draw,
)
