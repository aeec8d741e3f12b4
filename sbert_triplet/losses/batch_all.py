"""Sums over all triplets of a batch, exact, without a (B, C, C) tensor.

For one anchor let t_1 <= ... <= t_P be the distances of its positives plus the margin. A negative
at distance v is active with the r(v) thresholds that are larger than v, so

    sum over positives of [t - v]_+  =  T_(P - r) - r v,      T_k = t_(k+1) + ... + t_P,

and the derivatives are -r(v) for the negative and, for a positive, the number of negatives below
its threshold, which is the cumulated histogram of the same comparisons. Sorting the positives and
searching the negatives among them costs O(B C log P); the squared hinge needs a second suffix sum.
Links that are not piecewise polynomial are summed in blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sbert_triplet.losses.links import Hinge, Link
from sbert_triplet.selection import padded_columns, true_in_rows

BLOCK = 1 << 18
"""Elements of the largest temporary tensor: small enough to stay in the processor's cache."""


def all_triplets(
    distances: Tensor, positives: Tensor, negatives: Tensor, link: Link
) -> tuple[Tensor, Tensor, Tensor]:
    """(B, C) -> (B,) sums of ``link`` over each anchor's triplets, (B,) active and (B,) valid counts.

    The hinge takes O(B C log P) time, other links O(B P C); memory is O(B C) for both.
    """
    valid = true_in_rows(positives) * true_in_rows(negatives)
    if isinstance(link, Hinge):
        hinge_rows: Callable[..., tuple[Tensor, Tensor]] = _HingeRows.apply
        total, active = hinge_rows(distances, positives, negatives, link.margin, link.squared)
        return total, active, valid
    link_rows: Callable[..., tuple[Tensor, Tensor]] = _LinkRows.apply
    total, _ = link_rows(distances, positives, negatives, link)
    return total, valid, valid


class _RowSums(torch.autograd.Function):
    """Row sums whose gradient with respect to the distances was computed along the way."""

    @staticmethod
    def keep(ctx: Any, slopes: Tensor, counts: Tensor) -> None:
        ctx.save_for_backward(slopes)
        ctx.mark_non_differentiable(counts)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (grads[0][:, None] * slopes, *([None] * (len(ctx.needs_input_grad) - 1)))


class _HingeRows(_RowSums):
    @staticmethod
    def forward(
        ctx: Any, distances: Tensor, positives: Tensor, negatives: Tensor, margin: float, squared: bool
    ) -> tuple[Tensor, Tensor]:
        slopes = torch.zeros_like(distances)
        total = distances.new_zeros(distances.shape[0])
        active = torch.zeros(distances.shape[0], dtype=torch.long, device=distances.device)
        for rows in _row_blocks(*distances.shape):
            part = _hinge_block(distances[rows], positives[rows], negatives[rows], margin, squared)
            total[rows], active[rows] = part[0].to(total.dtype), part[1]
            slopes[rows] = part[2].to(slopes.dtype)
        _RowSums.keep(ctx, slopes, active)
        return total, active


def _hinge_block(
    distances: Tensor, positives: Tensor, negatives: Tensor, margin: float, squared: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Row sums (b,), active counts (b,), and the derivative of each row's sum (b, C)."""
    index, real = padded_columns(positives)
    width = index.shape[1]
    if width == 0:
        none = distances.new_zeros(distances.shape[0])
        return none, none.long(), torch.zeros_like(distances)
    # The threshold is rounded as a loop over triplets would round it, before widening.
    reach = torch.where(real, distances.gather(1, index) + margin, -torch.inf)
    reach, order = reach.sort(dim=1)
    below = torch.searchsorted(reach, distances.contiguous(), right=True)
    below.masked_fill_(~negatives, width)
    count = width - below
    wide = torch.where(torch.isfinite(reach), reach, 0.0).to(_wide(distances))
    far = distances.to(wide.dtype)
    hits = _histogram(below, torch.ones_like(distances), width)
    if squared:
        over = _suffix_sums(wide).gather(1, below) - count * far
        terms = _suffix_sums(wide.square()).gather(1, below) - far * (2 * over + count * far)
        total, negative_slope = terms.sum(1), -2 * over
        positive_slope = 2 * (hits * wide - _histogram(below, torch.where(count > 0, far, 0.0), width))
    else:
        total = (hits * wide).sum(1) - torch.linalg.vecdot(count.to(far.dtype), far)
        positive_slope, negative_slope = hits, -count
    slopes = negative_slope.to(positive_slope.dtype)
    positive_slope = torch.where(torch.isfinite(reach), positive_slope, 0.0)
    slopes.scatter_add_(1, index.gather(1, order), positive_slope)
    return total, count.sum(1), slopes


def _suffix_sums(values: Tensor) -> Tensor:
    """(b, P) -> (b, P + 1): entry k is the sum of the values from k on."""
    sums = values.flip(1).cumsum(1).flip(1)
    return torch.cat([sums, sums.new_zeros(sums.shape[0], 1)], dim=1)


def _histogram(below: Tensor, weight: Tensor, width: int) -> Tensor:
    """(b, P): entry i is the weight of all negatives with ``below`` <= i, those active with threshold i."""
    bins = weight.new_zeros(weight.shape[0], width + 1)
    return bins.scatter_add_(1, below, weight).cumsum(1)[:, :-1]


class _LinkRows(_RowSums):
    @staticmethod
    def forward(
        ctx: Any, distances: Tensor, positives: Tensor, negatives: Tensor, link: Link
    ) -> tuple[Tensor, Tensor]:
        slopes = torch.zeros_like(distances)
        total = distances.new_zeros(distances.shape[0])
        index, real = padded_columns(positives)
        width = max(1, index.shape[1])
        for rows in _row_blocks(distances.shape[0], distances.shape[1] * width):
            step = max(1, BLOCK // max(1, distances[rows].numel()))
            for start in range(0, index.shape[1], step):
                columns, some = index[rows, start : start + step], real[rows, start : start + step]
                _add_link_block(
                    distances[rows], negatives[rows], columns, some, link, total[rows], slopes[rows]
                )
        counts = true_in_rows(positives)
        _RowSums.keep(ctx, slopes, counts)
        return total, counts


def _add_link_block(
    distances: Tensor,
    negatives: Tensor,
    columns: Tensor,
    some: Tensor,
    link: Link,
    total: Tensor,
    slopes: Tensor,
) -> None:
    gap = distances.gather(1, columns)[:, :, None] - distances[:, None, :]
    outside = ~(some[:, :, None] & negatives[:, None, :])
    total += link.value(gap).masked_fill_(outside, 0.0).sum((1, 2))
    slope = link.slope(gap).masked_fill_(outside, 0.0)
    slopes.scatter_add_(1, columns, slope.sum(2))
    slopes -= slope.sum(1)


def _row_blocks(rows: int, elements_per_row: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, elements_per_row))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))


def _wide(values: Tensor) -> torch.dtype:
    """Sums of thousands of nearly cancelling terms want fp64, which Apple's devices lack."""
    return values.dtype if values.device.type == "mps" else torch.float64
