"""Similarities of paired rows."""

from __future__ import annotations

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

_CHUNK_BYTES = 1 << 20


def row_similarities(
    left: Embeddings,
    right: Embeddings,
    *,
    left_rows: IntArray | None = None,
    right_rows: IntArray | None = None,
    similarity: Similarity = "cosine",
) -> FloatArray:
    """Similarity of paired rows (n,): of ``left[left_rows[i]]`` and ``right[right_rows[i]]``.

    Without rows given, row i of ``left`` (n, D) is paired with row i of ``right`` (n, D). Computed
    in float64 from differences and products of the rows themselves, in chunks, so that equal
    rows tie exactly. Raises as ``top_k`` does.
    """
    check(left, right, similarity)
    first = np.arange(len(left)) if left_rows is None else left_rows
    second = np.arange(len(right)) if right_rows is None else right_rows
    if len(first) != len(second):
        raise ValueError(f"{len(first)} left rows and {len(second)} right rows cannot be paired")
    result = np.empty(len(first), dtype=np.float64)
    chunk = max(1, _CHUNK_BYTES // (8 * max(1, left.shape[1])))
    with torch.inference_mode():
        for start in range(0, len(first), chunk):
            rows = slice(start, start + chunk)
            one, two = _doubles(left, first[rows]), _doubles(right, second[rows])
            result[rows] = _of_rows(one, two, similarity).numpy()
    if not np.isfinite(result).all():
        row = int(np.flatnonzero(~np.isfinite(result))[0])
        raise InputError(
            f"the similarity of pair {row} is not finite: row {int(first[row])} on the left or row "
            f"{int(second[row])} on the right holds NaN or infinity; check the model that made the embeddings"
        )
    return result


def _doubles(table: Embeddings, rows: IntArray) -> Tensor:
    return torch.from_numpy(table[rows]).double()


def _of_rows(one: Tensor, two: Tensor, similarity: Similarity) -> Tensor:
    """(n, D), (n, D) -> (n,)."""
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
    lengths = torch.linalg.vector_norm(one, dim=1) * torch.linalg.vector_norm(two, dim=1)
    # Only exact zeros are guarded: NaN must reach the check of the result.
    return torch.where(lengths == 0, 0.0, products / lengths)
