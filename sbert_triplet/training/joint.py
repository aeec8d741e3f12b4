"""Batches of several data sets in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sbert_triplet.training.collate import Collator, TokenBatch


class JointCollator:
    """The collators of several data sets, whose rows are numbered on from one to the next.

    A batch is of one data set: the one that its first row is of.
    """

    def __init__(self, parts: Sequence[Collator]) -> None:
        self.parts = tuple(parts)
        for place, part in enumerate(self.parts):
            part.dataset = place
        self._starts = np.concatenate([[0], np.cumsum([len(part) for part in self.parts])])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __call__(self, rows: Sequence[int]) -> TokenBatch:
        numbers = np.asarray(rows, dtype=np.int64)
        place = int(np.searchsorted(self._starts, numbers[0], side="right")) - 1
        batch = self.parts[place]((numbers - self._starts[place]).tolist())
        return replace(batch, numbers=tuple(rows))

    @property
    def changes(self) -> int:
        return sum(part.changes for part in self.parts)

    @property
    def budget(self) -> int:
        return max(part.budget for part in self.parts)

    @budget.setter
    def budget(self, tokens: int) -> None:
        for part in self.parts:
            part.budget = min(part.budget, tokens)

    def place(self, rank: int, processes: int) -> None:
        for part in self.parts:
            part.place(rank, processes)

    def set_epoch(self, epoch: int) -> None:
        for part in self.parts:
            part.set_epoch(epoch)
