"""The nearest rows of files of embeddings, each compared, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from sbert_triplet.nearest import highest, row_similarities
from sbert_triplet.search.store import FloatMatrix
from sbert_triplet.search.stores.faiss.columns import Columns

IntArray = NDArray[np.int64]
_BLOCK = 8 << 20
"""Numbers of a block of embeddings, and of similarities."""
Scores = Callable[[IntArray], torch.Tensor]
"""(Q, n) similarities of the queries to n rows."""
CANDIDATES = 10
"""How many candidates by signs are put in order for each passage wanted."""


def nearest(
    columns: Columns, rows: IntArray, queries: FloatMatrix, k: int, similarity: str
) -> list[tuple[IntArray, FloatMatrix]]:
    """Of each query (Q, D) the k nearest of ``rows`` (ascending): row numbers and similarities, best first.

    Equal similarities are in the order of rows.
    """
    k = min(k, len(rows))
    if not k:
        empty = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        return [empty for _ in queries]
    if columns.precision == "binary":
        near = _by_signs(columns, rows, queries, min(CANDIDATES * k, len(rows)))
    else:
        near = _by_products(columns, rows, queries, k, similarity)
    return [rescored(columns, some, query, k, similarity) for some, query in zip(near, queries, strict=True)]


def rescored(
    columns: Columns, rows: IntArray, query: FloatMatrix, k: int, similarity: str
) -> tuple[IntArray, FloatMatrix]:
    """The k most similar of some rows to one query (D,), by the finest form that there is."""
    rows = np.sort(rows)
    if not len(rows):
        return rows, np.zeros(0, dtype=np.float32)
    values = row_similarities(
        np.repeat(query[None], len(rows), axis=0), columns.numbers(rows), similarity=similarity
    )
    order = np.argsort(-values, kind="stable")[:k]
    return rows[order], values[order].astype(np.float32)


def _by_products(columns: Columns, rows: IntArray, queries: FloatMatrix, k: int, similarity: str) -> IntArray:
    asked = torch.from_numpy(np.ascontiguousarray(queries))

    def scores(part: IntArray) -> torch.Tensor:
        among = torch.from_numpy(columns.numbers(part))
        if similarity in ("cosine", "dot"):
            return asked @ among.T
        return -torch.cdist(asked, among, p=2.0 if similarity == "euclidean" else 1.0)

    return _best(rows, len(queries), columns.dimensions, k, scores)


def _by_signs(columns: Columns, rows: IntArray, queries: FloatMatrix, k: int) -> IntArray:
    asked = torch.from_numpy(np.where(queries > 0, 1, -1).astype(np.float32))

    def scores(part: IntArray) -> torch.Tensor:
        bits = np.unpackbits(columns.bits(part), axis=1, count=columns.dimensions)
        return asked @ torch.from_numpy(2 * bits.astype(np.float32) - 1).T

    return _best(rows, len(queries), columns.dimensions, k, scores)


def _best(rows: IntArray, queries: int, dimensions: int, k: int, scores: Scores) -> IntArray:
    """(Q, k) the rows of the highest scores, which ``scores`` gives block by block."""
    best, places = torch.full((queries, 0), -torch.inf), np.zeros((queries, 0), dtype=np.int64)
    for part in _blocks(rows, queries, dimensions, k):
        with torch.inference_mode():
            values, chosen = highest(scores(part), k)
        places = np.concatenate([places, part[chosen.numpy()]], axis=1)
        best, kept = highest(torch.cat([best, values], dim=1), k)
        places = np.take_along_axis(places, kept.numpy(), axis=1)
    return places


def _blocks(rows: IntArray, queries: int, dimensions: int, k: int) -> Iterator[IntArray]:
    size = max(k, min(_BLOCK // max(dimensions, 1), _BLOCK // max(queries, 1)), 256)
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
