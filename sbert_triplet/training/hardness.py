"""Given negatives in the order easy, semi-hard, hard over training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.training.samplers import Batches

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
CLASSES = ("easy", "semi-hard", "hard")
EASY, SEMI_HARD, HARD = range(3)
_TAKEN = ((EASY, SEMI_HARD, HARD), (SEMI_HARD, EASY, HARD), (HARD, SEMI_HARD, EASY))
"""Of each phase, which class a row gives its negatives of: the first of these that it has."""


def hardness_of(gaps: FloatArray, margin: float) -> IntArray:
    """(C,) classes by d(a, p) - d(a, n): easy up to -margin, hard from 0 on, semi-hard between them.

    The classes of Schroff, Kalenichenko and Philbin (2015, arXiv 1503.03832).
    """
    return np.where(gaps >= 0, HARD, np.where(gaps <= -margin, EASY, SEMI_HARD)).astype(np.int64)


def phased(examples: Examples, classes: IntArray) -> Examples:
    """The N rows three times: with the negatives of the first, the second and the third phase.

    ``classes``: (C,) of the negatives. In each phase a row has its negatives of one class: that of the
    phase, else the hardest below it, else the easiest above it; so a row that has negatives has some in
    every phase. Row i of phase f is row f * N + i. Raises ValueError without negatives.
    """
    given = examples.negatives
    if given is None or len(classes) != len(given.values):
        raise ValueError("one class is wanted for each of the rows' own negatives, and there are none")
    rows = len(examples)
    owners = np.repeat(np.arange(rows), np.diff(given.offsets))
    has = present(owners, classes, rows)
    parts, counts = [], []
    for preferred in _TAKEN:
        ranks = np.array(preferred)
        chosen = ranks[np.argmax(has[:, ranks], axis=1)]
        taken = classes == chosen[owners]
        parts.append(given.values[taken])
        counts.append(np.bincount(owners[taken], minlength=rows))
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.concatenate(counts))])
    plain = replace(examples, negatives=None, kept=None).select(np.tile(np.arange(rows), len(_TAKEN)))
    return replace(plain, negatives=Ragged(np.concatenate(parts), offsets))


def present(owners: IntArray, classes: IntArray, rows: int) -> BoolArray:
    """(N, 3): whether a row has a negative of each class; ``owners`` (C,) are the rows of the negatives."""
    has = np.zeros((rows, len(CLASSES)), dtype=bool)
    has[owners, classes] = True
    return has


class PhasedBatches(Batches):
    """``batches`` of rows that ``phased`` made three of: each third of ``steps`` takes its own."""

    in_turn = True

    def __init__(self, batches: Batches, rows: int, steps: float) -> None:
        super().__init__(batches.seed)
        self.batches, self.rows, self.steps = batches, rows, steps

    def phase(self, step: int) -> int:
        """0, 1 or 2: easy, semi-hard or hard."""
        return min(int(len(CLASSES) * step / self.steps), len(CLASSES) - 1)

    def epoch_batches(self, epoch: int) -> list[IntArray]:
        first = epoch * len(self)
        return [
            batch + self.phase(step) * self.rows
            for step, batch in enumerate(self.batches.epoch_batches(epoch), start=first)
        ]

    def state(self, step: int) -> dict[str, float]:
        """Beside what ``batches`` say, ``hardness``: 1 easy, 2 semi-hard, 3 hard."""
        return {**self.batches.state(step), "hardness": float(self.phase(step) + 1)}

    def __len__(self) -> int:
        return len(self.batches)
