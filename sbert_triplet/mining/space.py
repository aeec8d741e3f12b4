"""How queries and documents are compared: by which embeddings, and by which similarity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.nearest import Embeddings, Similarity, row_similarities

Embed = Callable[[Side, IntArray], Embeddings]
"""Embeddings (n, D) of n text ids encoded as a side; an ``Embedder``, for instance."""

_PAIRS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Space:
    """Embeddings of texts by id, and what they are compared by.

    ``sides``: how queries and documents are encoded. ``device``: on which they are compared.
    """

    embed: Embed
    similarity: Similarity = "cosine"
    sides: tuple[Side, Side] = ("query", "document")
    device: str | torch.device | None = None

    def queries(self, ids: IntArray) -> Embeddings:
        """(n, D) embeddings of queries."""
        return self.embed(self.sides[0], ids)

    def documents(self, ids: IntArray) -> Embeddings:
        """(n, D) embeddings of documents."""
        return self.embed(self.sides[1], ids)

    def pairs(self, queries: IntArray, documents: IntArray) -> FloatArray:
        """(n,) similarity of each query with the document beside it, rounded to float32 as a search's scores.

        A document with the embedding of a positive has the positive's score then, not one beside it.
        """
        scores = np.empty(len(queries), dtype=np.float64)
        # All in one place before parts of them are asked for, or each part would be encoded by itself.
        self.queries(np.unique(queries))
        for first in range(0, len(queries), _PAIRS_AT_ONCE):
            rows = slice(first, first + _PAIRS_AT_ONCE)
            left, left_rows = np.unique(queries[rows], return_inverse=True)
            right, right_rows = np.unique(documents[rows], return_inverse=True)
            found = row_similarities(
                self.queries(left),
                self.documents(right),
                left_rows=left_rows,
                right_rows=right_rows,
                similarity=self.similarity,
            )
            scores[rows] = found.astype(np.float32)
        return scores
