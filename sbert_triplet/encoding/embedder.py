"""One model's embeddings of texts by id, each text encoded once however many tasks share it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.encode import FloatMatrix, IntArray, Progress, encode
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.nearest import Similarity


class Embedder:
    """Embeddings of ``model``, kept after the first time they are asked for.

    ``similarity`` is the model's own similarity function by name. Raises ValueError where ``tokens``
    was made for other prompts or routes than the model has.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        tokens: TokenTable,
        *,
        precision: str = "fp32",
        budget: int | None = None,
        progress: Progress | None = None,
    ) -> None:
        if not tokens.fits(model):
            raise ValueError("the token table was made for other prompts or routes: make one for this model")
        self.model, self.tokens = model, tokens
        self.similarity = str(model.similarity_fn_name)
        self._precision, self._budget, self._progress = precision, budget, progress
        self._kept: dict[int, tuple[IntArray, FloatMatrix]] = {}

    def prepare(self, wanted: Iterable[tuple[Side, IntArray]]) -> None:
        """Encode all of these in as few passes as there are forms."""
        for side, ids in self.tokens.by_form(wanted).values():
            self._add(side, ids)

    def __call__(self, side: Side, ids: IntArray) -> FloatMatrix:
        """(n, D) float32 embeddings in the order of ``ids``."""
        self._add(side, np.unique(ids))
        known, rows = self._kept[self.tokens.form(side)]
        return rows[np.searchsorted(known, ids)]

    def compared_by(self, similarity: Similarity) -> View:
        """The same embeddings, compared by something else than the model's own similarity."""
        return View(self, similarity)

    def cut(self, dimensions: int) -> View:
        """The first ``dimensions`` numbers of the same embeddings, as a model with ``truncate_dim`` gives."""
        return View(self, self.similarity, dimensions)

    def _add(self, side: Side, ids: IntArray) -> None:
        form = self.tokens.form(side)
        known, rows = self._kept.get(form, (np.zeros(0, dtype=np.int64), None))
        new = np.setdiff1d(ids, known, assume_unique=True)
        if not len(new) and rows is not None:
            return
        encoded = encode(
            self.model,
            self.tokens,
            side,
            new,
            precision=self._precision,
            budget=self._budget,
            progress=self._progress,
        )
        if rows is None:
            self._kept[form] = (new, encoded)
            return
        order = np.argsort(np.concatenate([known, new]), kind="stable")
        self._kept[form] = (
            np.concatenate([known, new])[order],
            np.concatenate([rows, encoded])[order],
        )


@dataclass(frozen=True)
class View:
    """Embeddings of an embedder, whole or their first ``dimensions``, and what they are compared by."""

    embedder: Embedder
    similarity: Similarity
    dimensions: int | None = None

    def __call__(self, side: Side, ids: IntArray) -> FloatMatrix:
        """(n, D) or (n, dimensions) float32 embeddings in the order of ``ids``."""
        return self.embedder(side, ids)[:, : self.dimensions]
