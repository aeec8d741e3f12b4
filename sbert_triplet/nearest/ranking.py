"""Candidates ranked by their exact similarities."""

from __future__ import annotations

import torch
from torch import Tensor

from sbert_triplet.nearest.pairs import row_similarities
from sbert_triplet.nearest.similarities import Table

RANKING_BYTES = 100
"""Memory that a candidate takes while it is ranked."""


def ranked(
    queries: Table,
    documents: Table,
    rows: Tensor,
    positions: Tensor,
    k: int,
    *,
    memory_bytes: int = 1 << 26,
) -> tuple[Tensor, Tensor]:
    """Scores (Q, k) and positions (Q, k) of each query's k best candidates, all on the CPU, best first.

    A candidate is a pair of a query's ``rows`` (n,) and a document's ``positions`` (n,), those of a query in
    ascending order; equal scores stay in it. Scores are those of ``row_similarities``, rounded to float32;
    -inf where a query has fewer than k. ``memory_bytes``: for making them.
    """
    order = rows.argsort(stable=True)
    rows, positions = rows[order], positions[order]
    exact = row_similarities(
        queries.values,
        documents.values,
        left_rows=rows.numpy(),
        right_rows=positions.numpy(),
        similarity=queries.similarity,
        memory_bytes=memory_bytes,
    )
    counts = rows.bincount(minlength=len(queries))
    place = torch.arange(len(rows), device="cpu") - (counts.cumsum(0) - counts)[rows]
    width = max(int(counts.max()), k)
    scores = torch.full((len(queries), width), -torch.inf, dtype=torch.float32, device="cpu")
    where = torch.zeros(len(queries), width, dtype=torch.int64, device="cpu")
    scores[rows, place] = torch.from_numpy(exact).float()
    where[rows, place] = positions
    scores, by = scores.sort(dim=1, descending=True, stable=True)
    return scores[:, :k], where.gather(1, by[:, :k])
