"""Which in-batch rows count: choosing positives and negatives by their distances, without cubic masks.

All functions take ``distances`` (B, C), smaller is closer, and the boolean (B, C) masks
``positives`` and ``negatives`` of each anchor's candidates. Choosing happens outside the graph;
the distances that are given back carry gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Fallback = Literal["skip", "easiest", "hardest"]
EmptyRow = Literal["uniform", "skip"]


@dataclass(frozen=True)
class Chosen:
    """K triplets an anchor: (B, K) distances ``positive`` and ``negative``; ``valid`` marks real ones."""

    positive: Tensor
    negative: Tensor
    valid: Tensor


def true_in_rows(mask: Tensor) -> Tensor:
    """(B, C) bool -> (B,) how many entries of each row are True.

    Summed in 32 bits: a sum of booleans makes a copy of the mask in 64 bits first.
    """
    return mask.view(torch.uint8).sum(1, dtype=torch.int32).long()


def padded_columns(mask: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C) bool -> (B, P) column indices of each row's True entries, and (B, P) bool that marks real ones.

    P is the largest number of True entries in a row; padding points at column 0.
    """
    counts = true_in_rows(mask)
    width = int(counts.max()) if mask.shape[0] else 0
    rows, columns = mask.nonzero(as_tuple=True)
    starts = counts.cumsum(0) - counts
    places = torch.arange(rows.shape[0], device=mask.device) - starts[rows]
    index = torch.zeros(mask.shape[0], width, dtype=torch.long, device=mask.device)
    index[rows, places] = columns
    return index, torch.arange(width, device=mask.device)[None] < counts[:, None]


def hard(distances: Tensor, positives: Tensor, negatives: Tensor) -> Chosen:
    """The farthest positive and the nearest negative of each anchor that has both (Hermans et al., 2017)."""
    return _one_each(distances, positives, negatives, _farthest(distances, positives))


def easy_positive(
    distances: Tensor, positives: Tensor, negatives: Tensor, semi_hard_margin: float | None = None
) -> Chosen:
    """The nearest positive of each anchor (Xuan, Stylianou and Pless, 2020) and a negative.

    The negative is the nearest one, or, with ``semi_hard_margin`` m, the nearest with
    d_ap < d_an < d_ap + m; anchors that have none are left out.
    """
    nearest = _nearest(distances, positives)
    if semi_hard_margin is None:
        return _one_each(distances, positives, negatives, nearest)
    only = torch.zeros_like(positives).scatter_(1, nearest[:, None], True) & positives
    return semi_hard(distances, only, negatives, semi_hard_margin)


def semi_hard(
    distances: Tensor, positives: Tensor, negatives: Tensor, margin: float, fallback: Fallback = "skip"
) -> Chosen:
    """Every (anchor, positive) with the nearest negative that has d_ap < d_an < d_ap + margin.

    Schroff, Kalenichenko and Philbin (FaceNet, 2015). Where there is none: ``skip`` leaves the
    pair out; ``easiest`` and ``hardest`` take the nearest negative beyond d_ap, and where no
    negative is beyond it the farthest or the nearest of all. O(B C log C) time, O(B C) memory.
    """
    index, valid = padded_columns(positives)
    valid = valid & negatives.any(1, keepdim=True)
    if index.shape[1] == 0:
        empty = distances[:, :0]
        return Chosen(empty, empty, valid)
    positive = distances.gather(1, index)
    with torch.no_grad():
        ordered, order = torch.where(negatives, distances, torch.inf).sort(dim=1)
        place = torch.searchsorted(ordered, positive.detach().contiguous(), right=True)
        inside = place.clamp(max=ordered.shape[1] - 1)
        value = ordered.gather(1, inside)
        beyond = (place < ordered.shape[1]) & torch.isfinite(value)
        if fallback == "skip":
            valid = valid & beyond & (value < positive + margin)
        else:
            last = (negatives.sum(1, keepdim=True) - 1).clamp(min=0)
            other = last if fallback == "easiest" else torch.zeros_like(last)
            inside = torch.where(beyond, inside, other)
        chosen = order.gather(1, inside)
    return Chosen(positive, distances.gather(1, chosen), valid)


def distance_weighted(
    distances: Tensor,
    positives: Tensor,
    negatives: Tensor,
    dimensions: int,
    generator: torch.Generator,
    empty: EmptyRow = "uniform",
) -> Chosen:
    """Every (anchor, positive) with a negative drawn by ``distance_weights`` (Wu et al., 2017).

    Distances are Euclidean between unit vectors. ``generator`` is a CPU generator, so that the
    draw is the same on every device. An anchor with no eligible negative draws uniformly from
    its negatives, or is left out with ``skip``.
    """
    index, valid = padded_columns(positives)
    valid = valid & negatives.any(1, keepdim=True)
    if index.shape[1] == 0:
        return Chosen(distances[:, :0], distances[:, :0], valid)
    with torch.no_grad():
        shares = distance_weights(distances, negatives, dimensions)
        none_eligible = shares.sum(1, keepdim=True) == 0
        if empty == "skip":
            valid = valid & ~none_eligible
        shares = torch.where(none_eligible, negatives.to(shares.dtype), shares)
        summed = shares.cumsum(1)
        draw = torch.rand(index.shape, generator=generator, dtype=torch.float64).to(summed)
        # The last column with a share above 0: rounding must not draw one beyond it.
        columns = torch.arange(shares.shape[1], device=shares.device)
        last = torch.where(shares > 0, columns, 0).amax(1, keepdim=True)
        place = torch.searchsorted(summed, draw * summed[:, -1:], right=True).minimum(last)
    return Chosen(distances.gather(1, index), distances.gather(1, place), valid)


def distance_weights(
    distances: Tensor, negatives: Tensor, dimensions: int, cutoff: float = 0.5, upper: float = 1.4
) -> Tensor:
    """(B, C) -> (B, C): each negative's share of 1 / q(d) in its row; a row with none eligible is 0.

    q(d) = d^(n-2) (1 - d^2/4)^((n-3)/2) is the density of distances between random points of the
    unit sphere in n ``dimensions``. Distances below ``cutoff`` count as ``cutoff``; from
    ``upper`` on negatives are excluded. The row's own maximum is subtracted in the logarithm, so
    one near-duplicate does not silence the other anchors.
    """
    eligible = negatives & (distances < upper)
    clipped = distances.clamp(min=cutoff, max=upper)
    log_weight = (2 - dimensions) * clipped.log() - (dimensions - 3) / 2 * torch.log1p(-clipped.square() / 4)
    log_weight = torch.where(eligible, log_weight, -torch.inf)
    largest = torch.where(eligible, log_weight, torch.finfo(distances.dtype).min).amax(1, keepdim=True)
    weight = torch.where(eligible, (log_weight - largest).exp(), 0.0)
    return weight / weight.sum(1, keepdim=True).clamp(min=torch.finfo(distances.dtype).tiny)


def _farthest(distances: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, distances.detach(), -torch.inf).argmax(1)


def _nearest(distances: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, distances.detach(), torch.inf).argmin(1)


def _one_each(distances: Tensor, positives: Tensor, negatives: Tensor, positive: Tensor) -> Chosen:
    valid = positives.any(1, keepdim=True) & negatives.any(1, keepdim=True)
    negative = _nearest(distances, negatives)
    return Chosen(distances.gather(1, positive[:, None]), distances.gather(1, negative[:, None]), valid)
