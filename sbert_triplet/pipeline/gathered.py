"""The data of a run as every later stage reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.texts import TextTable

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Rows to train on. ``repeats``: how often each comes in one pass, None where each comes once.

    ``blocked``: (n, 2) text ids that are no negatives of each other, beside the rows' known positives.
    ``later``: text ids that rows may get as negatives while training.
    """

    name: str
    examples: Examples
    repeats: IntArray | None = None
    blocked: IntArray | None = None
    later: IntArray | None = None


@dataclass(frozen=True)
class Gathered:
    """The data of a run.

    ``train``, ``dev`` and ``test`` share the ids of ``texts``; ``pool`` are the text ids of every
    document that search ranks, ``documents`` those of a corpus. ``repeats``: how often each training
    row comes in one pass, None where each comes once. ``exact``: (N,) of the training rows, equal where
    two rows are the same to the letter; None where that is not known. ``groups``: of the test rows, what
    is resampled whole.
    ``given``: dev and test where they were not cut from train. ``bad_cells``: (row from 0, column,
    reason) of the ``rows_set_aside``, the column with its source where there are several. ``others``:
    data sets that are only trained on, each for losses of its own; ``places``: which of them each loss
    with a data set takes, in the recipe's order.
    """

    texts: TextTable
    train: Examples
    dev: Examples
    test: Examples
    pool: IntArray
    roles: Mapping[str, str]
    fingerprint: str
    method: str
    sources: tuple[str, ...]
    documents: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    repeats: IntArray | None = None
    exact: IntArray | None = None
    groups: IntArray | None = None
    documents_seen: float | None = None
    notes: tuple[str, ...] = ()
    bad_cells: tuple[tuple[int, str, str], ...] = ()
    rows_set_aside: int = 0
    given: Mapping[str, Examples] = field(default_factory=dict)
    others: tuple[Rows, ...] = ()
    places: tuple[int, ...] = ()

    @property
    def main(self) -> Rows:
        """The training rows of ``data.train``."""
        return Rows(self.sources[0] if self.sources else "train", self.train, self.repeats)

    @property
    def kind(self) -> Kind:
        return self.train.kind

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each split has."""
        return {"train": len(self.train), "dev": len(self.dev), "test": len(self.test)}
