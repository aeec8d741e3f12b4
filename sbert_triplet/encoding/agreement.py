"""How far two copies of one model lie apart: the largest difference of any number of any embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.tokens import Side, form_of

SIDES: tuple[Side, ...] = ("text", "query", "document", "left", "right")


def largest_difference(one: SentenceTransformer, two: SentenceTransformer, texts: Sequence[str]) -> float:
    """max |a - b| over the numbers of all embeddings of ``texts``, as queries, documents and plain texts.

    Each model puts its own prompts before them. NaN where an embedding holds one. Raises ValueError where
    the two give embeddings of unequal sizes.
    """
    found: dict[tuple[Any, Any], float] = {}
    for side in SIDES:
        forms = form_of(one, side), form_of(two, side)
        if forms not in found:
            first, second = encoded(one, side, texts), encoded(two, side, texts)
            if first.shape != second.shape:
                raise ValueError(f"embeddings of {first.shape[1]} and of {second.shape[1]} numbers")
            found[forms] = float(np.abs(first - second).max()) if first.size else 0.0
    return float(np.max(list(found.values())))


def encoded(model: SentenceTransformer, side: Side, texts: Sequence[str]) -> NDArray[np.float32]:
    """(n, D) embeddings of ``texts`` on this side, by the library's own ``encode``."""
    form = form_of(model, side)
    rows = model.encode(list(texts), prompt=form.prompt or "", task=form.task, show_progress_bar=False)
    return np.asarray(rows, dtype=np.float32)
