"""Similarities of paired rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sbert_triplet.errors import InputError
from sbert_triplet.nearest.similarities import (
    Embeddings,
    FloatArray,
    IntArray,
    Similarity,
    check,
    closeness,
)

_CHUNK_BYTES = 3 << 20
_HELD_BYTES = 8 << 20


def row_similarities(
    left: Embeddings,
    right: Embeddings,
    *,
    left_rows: IntArray | None = None,
    right_rows: IntArray | None = None,
    similarity: Similarity = "cosine",
    memory_bytes: int = 1 << 26,
) -> FloatArray:
    """Similarity of paired rows (n,): of ``left[left_rows[i]]`` and ``right[right_rows[i]]``.

    Without rows given, row i of ``left`` (n, D) is paired with row i of ``right`` (n, D). Computed
    in float64 from differences and products of the rows themselves, so that equal rows tie exactly; in
    chunks, within ``memory_bytes``. Raises as ``top_k`` does.
    """
    check(left, right, similarity)
    first = np.arange(len(left)) if left_rows is None else left_rows
    second = np.arange(len(right)) if right_rows is None else right_rows
    if len(first) != len(second):
        raise ValueError(f"{len(first)} left rows and {len(second)} right rows cannot be paired")
    result = np.empty(len(first), dtype=np.float64)
    share = memory_bytes // 5
    chunk = max(1, min(share, _CHUNK_BYTES) // (8 * max(1, left.shape[1])))
    with torch.inference_mode():
        one, two = (_Side.of(table, min(share, _HELD_BYTES)) for table in (left, right))
        for start in range(0, len(first), chunk):
            rows = slice(start, start + chunk)
            result[rows] = _similarities(one, two, first[rows], second[rows], similarity).numpy()
    if not np.isfinite(result).all():
        row = int(np.flatnonzero(~np.isfinite(result))[0])
        raise InputError(
            f"the similarity of pair {row} is not finite: row {int(first[row])} on the left or row "
            f"{int(second[row])} on the right holds NaN or infinity; check the model that made the embeddings"
        )
    return result


@dataclass(frozen=True)
class _Side:
    """A table (n, D), and where it is small all of it in float64 with the lengths (n,) of its rows."""

    table: Embeddings | Tensor
    held: Tensor | None
    lengths: Tensor | None

    @classmethod
    def of(cls, table: Embeddings, small: int) -> _Side:
        """``small``: bytes of a table in float64."""
        if 8 * table.size > small:
            return cls(_view(table), None, None)
        held = torch.from_numpy(np.array(table, dtype=np.float64))
        return cls(held, held, torch.linalg.vector_norm(held, dim=1))

    def rows(self, places: Tensor) -> Tensor:
        if isinstance(self.table, Tensor):
            return self.table.index_select(0, places).double()
        return torch.from_numpy(self.table[places.numpy()].astype(np.float64))

    def lengths_of(self, places: Tensor, rows: Tensor) -> Tensor:
        if self.lengths is not None:
            return self.lengths.index_select(0, places)
        lengths: Tensor = torch.linalg.vector_norm(rows, dim=1)
        return lengths


def _view(table: Embeddings) -> Embeddings | Tensor:
    """The same memory as a tensor, of which all threads gather rows; itself where torch cannot read it."""
    plain = table.dtype in (np.float16, np.float32, np.float64) and table.dtype.isnative
    if not plain or any(stride < 0 or stride % table.itemsize for stride in table.strides):
        return table
    with warnings.catch_warnings():
        # Nothing is written to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(table)


def _similarities(
    left: _Side, right: _Side, first: IntArray, second: IntArray, similarity: Similarity
) -> Tensor:
    """(n,) in float64 of the pairs of rows."""
    places, others = torch.tensor(first), torch.tensor(second)
    one, two = left.rows(places), right.rows(others)
    if not isinstance(similarity, str):
        return closeness(similarity, similarity.rowwise(one, two))
    if similarity == "euclidean":
        distances: Tensor = torch.linalg.vector_norm(one - two, dim=1)
        return -distances
    if similarity == "manhattan":
        return -(one - two).abs().sum(dim=1)
    products = (one * two).sum(dim=1)
    if similarity == "dot":
        return products
    lengths = left.lengths_of(places, one) * right.lengths_of(others, two)
    # Only exact zeros are guarded: NaN must reach the check of the result.
    return torch.where(lengths == 0, 0.0, products / lengths)
