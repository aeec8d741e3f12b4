"""Rows after the texts became ids: what splitting, training and evaluation work on."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbert_triplet.data.kinds import Kind

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Ragged:
    """Rows of different length: row i is ``values[offsets[i]:offsets[i + 1]]``."""

    values: IntArray
    offsets: IntArray

    @classmethod
    def from_lists(cls, rows: list[list[int]] | list[IntArray]) -> Ragged:
        lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        parts = [np.asarray(row, dtype=np.int64) for row in rows if len(row)]
        return cls(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> IntArray:
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def select(self, rows: IntArray) -> Ragged:
        starts, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
        within = np.arange(offsets[-1], dtype=np.int64) - np.repeat(offsets[:-1], lengths)
        return Ragged(self.values[np.repeat(starts, lengths) + within], offsets)


@dataclass(frozen=True)
class Examples:
    """N rows as text ids. A source row with several positives is several rows here.

    ``anchors``: (N,) text ids; the text itself for labelled text, the first side of a scored
    pair, the premise of NLI, the query of retrieval.
    ``positives``: (N,) text ids; the second side of a scored pair, the hypothesis, the document.
    ``negatives``: text ids of each row's negatives. ``labels``: (N,) classes, as positions in
    ``label_names``; for NLI 0 entailment, 1 neutral, 2 contradiction.
    ``scores``: (N,) scores of scored pairs, grades of retrieval judgements.
    ``weights``: (N,) row weights. ``row_numbers``: (N,) the row of the source, from 0.
    ``kept``: N rows of the columns without a role.
    """

    kind: Kind
    anchors: IntArray
    row_numbers: IntArray
    positives: IntArray | None = None
    negatives: Ragged | None = None
    labels: IntArray | None = None
    label_names: tuple[str, ...] = ()
    scores: FloatArray | None = None
    weights: FloatArray | None = None
    kept: pa.Table | None = None

    def __len__(self) -> int:
        return len(self.anchors)

    def select(self, rows: IntArray) -> Examples:
        """The given rows, in the given order."""
        changes: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                changes[item.name] = value[rows]
            elif isinstance(value, Ragged):
                changes[item.name] = value.select(rows)
            elif isinstance(value, pa.Table):
                changes[item.name] = value.take(pa.array(rows))
        return replace(self, **changes)

    def known_positives(self) -> IntArray:
        """(K, 2) distinct pairs of text ids (anchor, positive) that belong together.

        Scored pairs have none: a score is not a yes or no. Of NLI only entailed pairs count.
        """
        if self.positives is None or self.kind is Kind.SCORED:
            return np.zeros((0, 2), dtype=np.int64)
        together = np.ones(len(self), dtype=bool)
        if self.kind is Kind.NLI and self.labels is not None:
            together = self.labels == 0
        if self.kind is Kind.RETRIEVAL and self.scores is not None:
            together = self.scores > 0
        pairs = np.stack([self.anchors[together], self.positives[together]], axis=1)
        return np.unique(pairs, axis=0)
