"""What all runs of the comparison share: kinds of input, the grid, what a training is told and costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sbert_triplet.encoding.loading import EMBEDDED_MODEL

Results = dict[str, Any]
PAIRS, RETRIEVAL, TRIPLETS, LABELS, SCORES = "pairs", "retrieval", "triplets", "labels", "scores"
METRICS = {
    PAIRS: "nDCG@10",
    RETRIEVAL: "nDCG@10",
    TRIPLETS: "triplet accuracy",
    LABELS: "1-NN accuracy",
    SCORES: "Spearman",
}
"""What a kind is measured by: the main metric that the main job has for it."""
SHIPPED, TUNED = "shipped", "tuned"


@dataclass(frozen=True)
class Grid:
    """What is tried on dev: both sides choose from it, ours by the rules that were made with it."""

    learning_rates: tuple[float, ...] = (2e-5, 5e-5, 1e-4)
    epochs: tuple[float, ...] = (1, 3)


@dataclass(frozen=True)
class Plan:
    """``tolerance``: the share by which our time may miss the peer's. ``negatives``: mined for a row."""

    grid: Grid = field(default_factory=Grid)
    precision: str = "bf16"
    negatives: int = 1
    tolerance: float = 0.1
    model: str = EMBEDDED_MODEL

    def as_json(self) -> Results:
        """What runs must have in common to be compared."""
        grid = {"learning_rates": list(self.grid.learning_rates), "epochs": list(self.grid.epochs)}
        return {**grid, "precision": self.precision, "negatives": self.negatives}


@dataclass(frozen=True)
class Job:
    """One training: rows in ``folder`` as ``quality_sets`` writes them, of a kind, cut at so many tokens."""

    folder: Path
    kind: str
    max_length: int | None
    seed: int


@dataclass(frozen=True)
class Spent:
    """What a training took: seconds ``preparing`` from files to the first step, ``training``, and
    ``choosing`` by dev which weights to ship.

    ``mining``: part of the first, where it is known. ``models``: folders by ``SHIPPED`` and, where that is
    another, ``TUNED``. ``most``: the steps that the epochs make. ``rows``: seen in all steps. ``how``: what
    was chosen, in words.
    """

    preparing: float
    mining: float
    training: float
    steps: int
    most: int
    rows: int
    models: dict[str, Path]
    how: str
    shipped: str = TUNED
    choosing: float = 0.0
