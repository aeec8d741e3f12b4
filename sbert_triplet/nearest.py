"""Exact nearest neighbours over arrays of embeddings, in bounded memory.

Legend: Q queries, N documents, D dimensions. A similarity is named as in
sentence-transformers: ``cosine``, ``dot``, ``euclidean``, ``manhattan``; or it is a distance that
has no such name, as an object. Distances are negated, so that larger is closer throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from sbert_triplet.errors import InputError

Embeddings = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


class DistanceLike(Protocol):
    """A distance or similarity by its computation, as those of ``sbert_triplet.distances``."""

    name: ClassVar[str]
    smaller_is_closer: ClassVar[bool]

    def rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,)."""

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """(Q, D), (N, D) -> (Q, N)."""


Similarity = str | DistanceLike
"""One of ``SIMILARITIES``, or a distance that sentence-transformers has no name for."""

# Larger score blocks gain nothing in the product and cost page faults.
_LARGEST_BLOCK_BYTES = 64 << 20
_ROW_CHUNK_BYTES = 32 << 20


def top_k(
    queries: Embeddings,
    documents: Embeddings,
    k: int,
    *,
    similarity: Similarity = "cosine",
    memory_bytes: int = 1 << 30,
    device: str | torch.device | None = None,
) -> tuple[IntArray, Float32Array]:
    """The k nearest documents of every query: positions (Q, k) and similarities (Q, k), best first.

    Every pair is scored (no approximation); both axes are cut into tiles, so that working memory
    stays within ``memory_bytes`` beside the answer, and a (Q, N) block never exists. Equal
    similarities are ordered by the lower document position. ``k`` above N gives N columns.

    Products are made in float32 with reduced precision switched off. Euclidean distances come
    from the Gram identity in float64, where float32 would lose near-duplicates to cancellation.
    Under cosine a zero vector has similarity 0 to everything. A distance given as an object is asked
    for its values in float32.

    ``queries`` (Q, D) and ``documents`` (N, D): arrays or memory maps of any float type.
    ``device``: where products are made; by default CUDA if there is one, else the CPU.

    Raises ``InputError`` where a row holds NaN or infinity, ``ValueError`` on shapes that do not
    fit, a negative ``k`` or an unknown similarity.
    """
    _check(queries, documents, similarity)
    if k < 0:
        raise ValueError(f"k is {k}; it must be 0 or more")
    if memory_bytes < 1:
        raise ValueError(f"memory_bytes is {memory_bytes}; it must be positive")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    k = min(k, len(documents))
    positions = np.zeros((len(queries), k), dtype=np.int64)
    scores = np.zeros((len(queries), k), dtype=np.float32)
    if k == 0 or len(queries) == 0:
        return positions, scores
    tiles = _Tiles.fit(len(queries), len(documents), queries.shape[1], memory_bytes, similarity)
    with torch.inference_mode(), _full_precision():
        for start in range(0, len(queries), tiles.queries):
            block = _load(queries, start, start + tiles.queries, similarity, where, "queries")
            best = _search_block(block, documents, k, similarity, tiles)
            rows = slice(start, start + len(block))
            scores[rows], positions[rows] = best[0].cpu().numpy(), best[1].cpu().numpy()
    return positions, scores


def highest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k highest of each row of ``scores`` (R, N): values and positions (R, min(k, N)), best first.

    Equal scores are ordered by the lower position, which ``torch.topk`` does not promise.
    """
    k = min(k, scores.shape[1])
    if k == scores.shape[1]:
        values, positions = scores.sort(dim=1, descending=True, stable=True)
        return values, positions
    values, positions = scores.topk(k + 1, dim=1)
    tied_at_the_cut = (values[:, k - 1] == values[:, k]).nonzero().flatten()
    positions, order = positions[:, :k].sort(dim=1)
    values, again = values[:, :k].gather(1, order).sort(dim=1, descending=True, stable=True)
    positions = positions.gather(1, again)
    if len(tied_at_the_cut):
        ordered = scores[tied_at_the_cut].sort(dim=1, descending=True, stable=True)
        values[tied_at_the_cut], positions[tied_at_the_cut] = ordered[0][:, :k], ordered[1][:, :k]
    return values, positions


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
    _check(left, right, similarity)
    first = np.arange(len(left)) if left_rows is None else left_rows
    second = np.arange(len(right)) if right_rows is None else right_rows
    if len(first) != len(second):
        raise ValueError(f"{len(first)} left rows and {len(second)} right rows cannot be paired")
    result = np.empty(len(first), dtype=np.float64)
    chunk = max(1, _ROW_CHUNK_BYTES // (8 * max(1, left.shape[1])))
    for start in range(0, len(first), chunk):
        rows = slice(start, start + chunk)
        one, two = left[first[rows]].astype(np.float64), right[second[rows]].astype(np.float64)
        result[rows] = _similarity_of_rows(one, two, similarity)
    if not np.isfinite(result).all():
        row = int(np.flatnonzero(~np.isfinite(result))[0])
        raise InputError(
            f"the similarity of pair {row} is not finite: row {int(first[row])} on the left or row "
            f"{int(second[row])} on the right holds NaN or infinity; check the model that made the embeddings"
        )
    return result


def _similarity_of_rows(one: FloatArray, two: FloatArray, similarity: Similarity) -> FloatArray:
    result: FloatArray
    if not isinstance(similarity, str):
        with torch.inference_mode():
            values = similarity.rowwise(torch.from_numpy(one), torch.from_numpy(two))
        result = _closeness(similarity, values).numpy()
        return result
    if similarity == "euclidean":
        result = -np.linalg.norm(one - two, axis=1)
        return result
    if similarity == "manhattan":
        result = -np.abs(one - two).sum(axis=1)
        return result
    result = np.einsum("nd,nd->n", one, two)
    if similarity == "cosine":
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
        # Only exact zeros are guarded: NaN must reach the check of the result.
        result = np.where(lengths == 0, 0.0, result / np.where(lengths == 0, 1.0, lengths))
    return result


@dataclass(frozen=True)
class _Tiles:
    """How many queries are held, how many documents are held, and how many rows are scored at once."""

    queries: int
    documents: int
    rows: int

    @classmethod
    def fit(
        cls, queries: int, documents: int, dimensions: int, memory_bytes: int, similarity: Similarity
    ) -> _Tiles:
        """A fifth each for queries and documents, a sixteenth for scores: ordering these makes copies."""
        in_float64, copies = similarity == "euclidean", not isinstance(similarity, str)
        held = max(1, memory_bytes // 5 // (max(1, dimensions) * (12 if in_float64 else 4)))
        block = min(memory_bytes // 16, _LARGEST_BLOCK_BYTES) // (28 if in_float64 or copies else 4)
        tile = min(held, documents, max(1, block))
        return cls(min(held, queries), tile, max(1, min(held, queries, block // tile)))


@dataclass(frozen=True)
class _Rows:
    """Prepared vectors (n, D), and the squares (n,) of their lengths.

    Float32, of unit length under cosine; float64 under Euclid.
    """

    vectors: Tensor
    squares: Tensor

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice) -> _Rows:
        return _Rows(self.vectors[rows], self.squares[rows])


def _search_block(
    queries: _Rows, documents: Embeddings, k: int, similarity: Similarity, tiles: _Tiles
) -> tuple[Tensor, Tensor]:
    """Best scores and positions, each (q, k), of a block of queries."""
    device = queries.vectors.device
    best_scores = torch.empty(len(queries), k, device=device)
    best_positions = torch.empty(len(queries), k, dtype=torch.int64, device=device)
    buffer = torch.empty(tiles.rows, tiles.documents, device=device)
    for first in range(0, len(documents), tiles.documents):
        tile = _load(documents, first, first + tiles.documents, similarity, device, "documents")
        found = min(k, first)
        for start in range(0, len(queries), tiles.rows):
            rows = slice(start, start + tiles.rows)
            values, positions = highest(_scores(queries[rows], tile, similarity, buffer), k)
            # What was found earlier comes first and has lower positions: a stable sort keeps the rule.
            values = torch.cat([best_scores[rows, :found], values], dim=1)
            positions = torch.cat([best_positions[rows, :found], positions + first], dim=1)
            values, order = values.sort(dim=1, descending=True, stable=True)
            kept = min(k, values.shape[1])
            best_scores[rows, :kept] = values[:, :kept]
            best_positions[rows, :kept] = positions.gather(1, order[:, :kept])
    return best_scores, best_positions


def _scores(queries: _Rows, documents: _Rows, similarity: Similarity, buffer: Tensor) -> Tensor:
    """Similarities (q, n), larger is closer; in the buffer where they are products."""
    if not isinstance(similarity, str):
        return _closeness(similarity, similarity.pairwise(queries.vectors, documents.vectors))
    if similarity == "manhattan":
        return -torch.cdist(queries.vectors, documents.vectors, p=1.0)
    if similarity == "euclidean":
        return -_euclidean(queries, documents)
    shape = len(queries.vectors), len(documents.vectors)
    out = buffer.flatten()[: shape[0] * shape[1]].view(shape)
    return torch.matmul(queries.vectors, documents.vectors.T, out=out)


def _closeness(distance: DistanceLike, values: Tensor) -> Tensor:
    return -values if distance.smaller_is_closer else values


def _euclidean(queries: _Rows, documents: _Rows) -> Tensor:
    if queries.vectors.device.type == "mps":
        # No float64 there; differences taken directly do not cancel either.
        return torch.cdist(queries.vectors, documents.vectors, compute_mode="donot_use_mm_for_euclid_dist")
    sizes = queries.squares[:, None] + documents.squares
    squared = torch.addmm(sizes, queries.vectors, documents.vectors.T, beta=1.0, alpha=-2.0)
    # Below the rounding error of the sum the rows are equal, and equal rows must tie.
    noise = 8 * torch.finfo(torch.float64).eps
    return squared.masked_fill_(squared <= noise * sizes, 0.0).sqrt_().float()


def _load(
    source: Embeddings, first: int, last: int, similarity: Similarity, device: torch.device, name: str
) -> _Rows:
    """Rows ``first`` to ``last`` on the device, prepared for the similarity."""
    tile = torch.from_numpy(np.array(source[first:last], dtype=np.float32)).to(device)
    if not bool(torch.isfinite(tile).all()):
        row = first + int((~torch.isfinite(tile).all(dim=1)).nonzero()[0])
        raise InputError(
            f"row {row} of the {name} holds NaN or infinity; check the model that made the embeddings"
        )
    if similarity == "cosine":
        tile = functional.normalize(tile, dim=1)
    if similarity == "euclidean" and device.type != "mps":
        tile = tile.double()
    return _Rows(tile, torch.linalg.vector_norm(tile, dim=1).square())


@contextmanager
def _full_precision() -> Iterator[None]:
    """Float32 products in float32, whatever the process chose for training."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _check(first: Embeddings, second: Embeddings, similarity: Similarity) -> None:
    if isinstance(similarity, str) and similarity not in SIMILARITIES:
        raise ValueError(f"unknown similarity {similarity!r}; it is one of {', '.join(SIMILARITIES)}")
    for array in (first, second):
        if array.ndim != 2:
            raise ValueError(f"embeddings must be a table (rows, D); got shape {array.shape}")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"embeddings of {first.shape[1]} and of {second.shape[1]} dimensions cannot be compared; "
            "both must come from the same model"
        )
