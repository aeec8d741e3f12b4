"""Search that makes the score of every pair, in blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sbert_triplet.nearest.ordering import highest
from sbert_triplet.nearest.ranking import RANKING_BYTES, ranked
from sbert_triplet.nearest.similarities import PRODUCTS, Similarity, Table, closeness

# Larger score blocks gain nothing in the product and cost page faults.
_LARGEST_BLOCK_BYTES = 64 << 20


def scan(queries: Table, documents: Table, k: int, memory_bytes: int) -> tuple[Tensor, Tensor]:
    """Scores (Q, k) and positions (Q, k) on the CPU, best first, equal scores by the lower position.

    Working memory stays within ``memory_bytes`` beside the answer. Products and Euclidean distances are made
    in float64 where the device has it. What is found is ordered by ``ranked``: sums of other
    tiles differ in their last bits, and Euclidean distances of near-duplicates in more.
    """
    scores = torch.zeros(len(queries), k, dtype=torch.float32, device="cpu")
    positions = torch.zeros(len(queries), k, dtype=torch.int64, device="cpu")
    tiles = _Tiles.fit(queries, documents, memory_bytes)
    for start in range(0, len(queries), tiles.queries):
        block = _Rows.of(queries, start, start + tiles.queries)
        found = _search_block(block, documents, k, tiles)
        rows = slice(start, start + len(block))
        scores[rows], positions[rows] = found[0].cpu(), found[1].cpu()
    if isinstance(queries.similarity, str):
        at_once = max(1, memory_bytes // (5 * RANKING_BYTES * max(1, k)))
        for start in range(0, len(queries), at_once):
            some = slice(start, start + at_once)
            asked = replace(queries, values=queries.values[some])
            nearest = positions[some].sort(dim=1).values
            row = torch.arange(len(nearest), device="cpu").repeat_interleave(k)
            scores[some], positions[some] = ranked(
                asked, documents, row, nearest.flatten(), k, memory_bytes=memory_bytes
            )
    return scores, positions


def _dtype(table: Table) -> torch.dtype:
    """Float64 for what float32 loses: near-duplicates to cancellation, and ties to the order of a sum."""
    double = table.similarity in (*PRODUCTS, "euclidean") and table.device.type != "mps"
    return torch.float64 if double else torch.float32


@dataclass(frozen=True)
class _Tiles:
    """How many queries are held, how many documents are held, and how many rows are scored at once."""

    queries: int
    documents: int
    rows: int

    @classmethod
    def fit(cls, queries: Table, documents: Table, memory_bytes: int) -> _Tiles:
        """A fifth each for queries and documents, a sixteenth for scores: ordering these makes copies."""
        in_float64, copies = _dtype(queries) == torch.float64, not isinstance(queries.similarity, str)
        held = max(1, memory_bytes // 5 // (max(1, queries.width) * (24 if in_float64 else 12)))
        block = min(memory_bytes // 16, _LARGEST_BLOCK_BYTES) // (28 if in_float64 or copies else 4)
        tile = min(held, len(documents), max(1, block))
        return cls(min(held, len(queries)), tile, max(1, min(held, len(queries), block // tile)))


@dataclass(frozen=True)
class _Rows:
    """Prepared vectors (n, D), and the squares (n,) of their lengths."""

    vectors: Tensor
    squares: Tensor

    @classmethod
    def of(cls, table: Table, first: int, last: int) -> _Rows:
        vectors = table.rows(first, last, _dtype(table))
        return cls(vectors, torch.linalg.vector_norm(vectors, dim=1).square())

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: slice) -> _Rows:
        return _Rows(self.vectors[rows], self.squares[rows])


def _search_block(queries: _Rows, documents: Table, k: int, tiles: _Tiles) -> tuple[Tensor, Tensor]:
    """Best scores and positions, each (q, k), of a block of queries."""
    device = documents.device
    best_scores = torch.empty(len(queries), k, device=device)
    best_positions = torch.empty(len(queries), k, dtype=torch.int64, device=device)
    for first in range(0, len(documents), tiles.documents):
        tile = _Rows.of(documents, first, first + tiles.documents)
        found = min(k, first)
        for start in range(0, len(queries), tiles.rows):
            rows = slice(start, start + tiles.rows)
            values, positions = highest(_scores(queries[rows], tile, documents.similarity), k)
            # What was found earlier comes first and has lower positions: a stable sort keeps the rule.
            values = torch.cat([best_scores[rows, :found], values], dim=1)
            positions = torch.cat([best_positions[rows, :found], positions + first], dim=1)
            values, order = values.sort(dim=1, descending=True, stable=True)
            kept = min(k, values.shape[1])
            best_scores[rows, :kept] = values[:, :kept]
            best_positions[rows, :kept] = positions.gather(1, order[:, :kept])
    return best_scores, best_positions


def _scores(queries: _Rows, documents: _Rows, similarity: Similarity) -> Tensor:
    """Similarities (q, n) in float32, larger is closer."""
    if not isinstance(similarity, str):
        return closeness(similarity, similarity.pairwise(queries.vectors, documents.vectors))
    if similarity == "manhattan":
        return -torch.cdist(queries.vectors, documents.vectors, p=1.0)
    if similarity == "euclidean":
        return -_euclidean(queries, documents)
    return torch.matmul(queries.vectors, documents.vectors.T).float()


def _euclidean(queries: _Rows, documents: _Rows) -> Tensor:
    if queries.vectors.device.type == "mps":
        # No float64 there; differences taken directly do not cancel either.
        return torch.cdist(queries.vectors, documents.vectors, compute_mode="donot_use_mm_for_euclid_dist")
    sizes = queries.squares[:, None] + documents.squares
    squared = torch.addmm(sizes, queries.vectors, documents.vectors.T, beta=1.0, alpha=-2.0)
    # Below the rounding error of the sum the rows are equal, and equal rows must tie.
    noise = 8 * torch.finfo(torch.float64).eps
    return squared.masked_fill_(squared <= noise * sizes, 0.0).sqrt_().float()
