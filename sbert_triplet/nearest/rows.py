"""Embeddings as rows that statistics can be computed of."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from sbert_triplet.errors import InputError
from sbert_triplet.nearest.similarities import Embeddings

Rows = NDArray[np.floating[Any]]


def finite_rows(embeddings: Embeddings, name: str, dtype: DTypeLike = np.float64, *, first: int = 0) -> Rows:
    """A copy (n, D) in ``dtype``. ``first``: the number of its first row in the table called ``name``.

    Raises InputError, naming the row, where one holds NaN or infinity.
    """
    rows: Rows = np.array(embeddings, dtype=dtype, order="C")
    finite = np.isfinite(rows).all(axis=1)
    if not finite.all():
        raise InputError(
            f"row {first + int(np.argmin(finite))} of the {name} holds NaN or infinity; check the model that "
            "made the embeddings"
        )
    return rows


def unit_rows(rows: Rows) -> Rows:
    """(n, D) rows of length 1; rows of zeros stay as they are."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Rows = rows / np.where(lengths == 0, 1, lengths)
    return unit
