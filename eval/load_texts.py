"""Texts of the load, and what plain `encode` makes of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.encoding.encode import encode
from sbert_triplet.encoding.loading import load_model
from sbert_triplet.encoding.tokens import TokenTable

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_WHO = (
    "a nurse",
    "the council",
    "our neighbour",
    "a young fox",
    "the orchestra",
    "my printer",
    "a glacier",
    "the bank",
)
_WHAT = ("lost", "repaired", "measured", "sold", "painted", "forgot", "delivered", "compared")
_WHICH = (
    "an old clock",
    "three invoices",
    "the harbour wall",
    "a password",
    "two violins",
    "the ice",
    "a recipe",
    "the bridge",
)
APART, EQUAL = 5e-3, 1e-4
"""The largest difference of the embeddings of two texts is above the first; of one text, below the second."""


def texts() -> list[str]:
    """512 short ones that differ."""
    return [f"{who} {what} {which}" for who in _WHO for what in _WHAT for which in _WHICH]


class Known:
    """The embeddings (512, D) of ``texts``."""

    def __init__(self, model: str) -> None:
        self.model, self.texts = load_model(model), texts()
        self.embeddings = self.encoded(self.texts)
        for row, embedding in enumerate(self.embeddings):
            others = np.delete(self.embeddings, row, axis=0)
            if np.abs(others - embedding).max(axis=1).min() <= APART:
                raise SystemExit(f"two texts of the load have like embeddings: {self.texts[row]}")

    def encoded(self, some: list[str]) -> NDArray[np.float32]:
        """By the package's own `encode`, all at once."""
        table = TokenTable(self.model, lambda ids: [some[place] for place in ids])
        return encode(self.model, table, "text", np.arange(len(some)))

    def wrong(self, places: list[int], embeddings: NDArray[np.float32]) -> int:
        """How many of the (n, D) embeddings are not those of the texts at ``places``."""
        if embeddings.shape != (len(places), self.embeddings.shape[1]):
            return len(places)
        return int((np.abs(embeddings - self.embeddings[places]).max(axis=1) > EQUAL).sum())
