"""The sections of the report, in the order in which they are read.

A new one is a file with a ``draw`` function, and a line in ``SECTIONS``.
"""

from __future__ import annotations

from sbert_triplet.reporting.section import Draw
from sbert_triplet.reporting.sections import (
    data,
    dimensions,
    environment,
    general,
    items,
    negatives,
    recipe,
    results,
    slices,
    suite,
    training,
    training_distance,
    verdict,
    weight_line,
)

SECTIONS: tuple[Draw, ...] = (
    verdict.draw,
    results.draw,
    training_distance.draw,
    dimensions.draw,
    training.draw,
    suite.draw,
    general.draw,
    weight_line.draw,
    slices.draw,
    items.draw,
    negatives.draw,
    data.draw,
    recipe.draw,
    environment.draw,
)
