"""Softmax over candidates: similarities, temperature, and rows of cross-entropy."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from sbert_triplet.distances import DISTANCES, full_precision, unit
from sbert_triplet.distances.options import POSITIVE, check_choice

Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
LARGEST_LOG_SCALE = math.log(100.0)
BLOCK = 1 << 24
"""Logits beyond this number are computed in blocks of rows, and again in the backward pass."""


class Scale(nn.Module):
    """1 / temperature: fixed, or learned as its logarithm and kept at 100 at most (Radford et al., 2021)."""

    def __init__(self, scale: float, learned: bool) -> None:
        super().__init__()
        POSITIVE.check("scale", scale)
        if learned and math.log(scale) > LARGEST_LOG_SCALE:
            raise ValueError(f"a learned scale starts at 100 at most (temperature 0.01), not {scale:g}")
        self.fixed = scale
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale))) if learned else None

    def forward(self) -> Tensor | float:
        return self.fixed if self.log_scale is None else self.log_scale.exp()

    @torch.no_grad()
    def clamp(self) -> None:
        if self.log_scale is not None:
            self.log_scale.clamp_(max=LARGEST_LOG_SCALE)

    def number(self) -> float:
        return self.fixed if self.log_scale is None else float(self.log_scale.detach().exp())


@dataclass(frozen=True)
class Group:
    """``rows`` (R, D) against ``candidates`` (M, D), as far as ``allowed`` (R, M) lets them count."""

    rows: Tensor
    candidates: Tensor
    allowed: Tensor


def similarities(rows: Tensor, candidates: Tensor, similarity: Similarity) -> Tensor:
    """(R, D), (M, D) -> (R, M): cosine, dot, or the negative distance."""
    rows = full_precision(rows)
    candidates = candidates.to(rows)
    if similarity == "cosine":
        return unit(rows) @ unit(candidates).T
    if similarity == "dot":
        return rows @ candidates.T
    return -DISTANCES[similarity]().pairwise(rows, candidates)


def row_similarities(left: Tensor, right: Tensor, similarity: Similarity) -> Tensor:
    """(R, D), (R, D) -> (R,): the same, row by row."""
    left, right = full_precision(left), full_precision(right)
    if similarity == "cosine":
        return (unit(left) * unit(right)).sum(-1)
    if similarity == "dot":
        return (left * right).sum(-1)
    return -DISTANCES[similarity]().rowwise(left, right)


def default_scale(similarity: Similarity) -> float:
    """20 for cosine, whose range is narrow; 1 for similarities that grow with the length of vectors."""
    check_choice("similarity", similarity, SIMILARITIES)
    return 20.0 if similarity == "cosine" else 1.0


def cross_entropy_rows(
    groups: Sequence[Group], own: Tensor, scale: Tensor | float, similarity: Similarity
) -> tuple[Tensor, Tensor]:
    """(R,) losses -s_own + ln sum_j e^(s_j) with s = scale * similarity, and (R,) bool, own ranks first.

    The candidates of a row are those of all groups that are allowed; ``own`` (R,) is the column
    of its positive in the first group, which must be allowed.
    """
    rows = own.shape[0]
    width = sum(group.candidates.shape[0] for group in groups)
    if rows * width <= BLOCK:
        return _block(groups, own, scale, similarity)
    losses, first = [], []
    for part in _row_blocks(rows, width):
        cut = [Group(group.rows[part], group.candidates, group.allowed[part]) for group in groups]
        loss, hit = checkpoint(_block, cut, own[part], scale, similarity, use_reentrant=False)
        losses.append(loss)
        first.append(hit)
    return torch.cat(losses), torch.cat(first)


def _block(
    groups: Sequence[Group], own: Tensor, scale: Tensor | float, similarity: Similarity
) -> tuple[Tensor, Tensor]:
    logits = [
        (scale * similarities(group.rows, group.candidates, similarity)).masked_fill(
            ~group.allowed, -torch.inf
        )
        for group in groups
    ]
    joined = logits[0] if len(logits) == 1 else torch.cat(logits, dim=1)
    positive = joined.gather(1, own[:, None]).squeeze(1)
    with torch.no_grad():
        first = positive >= joined.amax(1)
    return torch.logsumexp(joined, dim=1) - positive, first


def _row_blocks(rows: int, width: int) -> Iterator[slice]:
    step = max(1, BLOCK // width)
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))
