"""All-pairs values by subtraction in blocks: exact where matrix products cancel, never a (B, C, D) tensor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1 << 21
"""Elements of the largest temporary difference tensor."""
NEAR = 1e-3
"""Squared distances below this share of the squared lengths lose too many digits in a Gram matrix.

A Gram matrix carries an absolute error of a few units in the last place of the squared lengths;
at this share that is a relative error of about 1e-4 in fp32, half of it in the distance.
"""


def recompute_near(values: Tensor, near: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Replace, in place, ``values[near]`` (B, C) by ``|x_i - y_j|^2`` from direct subtraction."""
    rows, candidates = near.nonzero(as_tuple=True)
    if rows.numel() == 0:
        return values
    apply: Callable[..., Tensor] = _SquaredGaps.apply
    return values.index_put_((rows, candidates), apply(x, y, rows, candidates))


def squared_gaps_within(x: Tensor) -> Tensor:
    """(B, D) -> (B, B): ``|x_i - x_j|^2`` by a matrix product, 0 on the diagonal."""
    apply: Callable[..., Tensor] = _SquaredGapsWithin.apply
    return apply(x)


def minkowski_pairs(x: Tensor, y: Tensor, p: float) -> Tensor:
    """(B, D), (C, D) -> (B, C): Minkowski distance of any real p > 1 or infinity."""
    apply: Callable[..., Tensor] = _MinkowskiPairs.apply
    return apply(x, y, p)


class _SquaredGaps(torch.autograd.Function):
    """Squared Euclidean distance of listed pairs; nothing of size (pairs, D) is kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, rows: Tensor, candidates: Tensor) -> Tensor:
        ctx.save_for_backward(x, y, rows, candidates)
        out = x.new_empty(rows.shape[0])
        for part in _blocks(rows.shape[0], x.shape[1]):
            out[part] = (x[rows[part]] - y[candidates[part]]).square_().sum(1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, rows, candidates = ctx.saved_tensors
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        for part in _blocks(rows.shape[0], x.shape[1]):
            pull = (x[rows[part]] - y[candidates[part]]).mul_(2 * grads[0][part, None])
            grad_x.index_add_(0, rows[part], pull)
            grad_y.index_add_(0, candidates[part], pull, alpha=-1)
        return grad_x, grad_y, None, None


class _SquaredGapsWithin(torch.autograd.Function):
    """One matrix product backward instead of two: both sides are the same tensor."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        lengths = x.square().sum(1)
        return torch.addmm(lengths[:, None] + lengths[None], x, x.T, alpha=-2).fill_diagonal_(0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        both = (grads[0] + grads[0].T).fill_diagonal_(0.0)
        return torch.addmm(both.sum(1)[:, None] * x, both, x, alpha=-1).mul_(2)


class _MinkowskiPairs(torch.autograd.Function):
    """Scaled by the largest coordinate, so that no power over- or underflows; ties of p = inf share."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, p: float) -> Tensor:
        out = x.new_empty(x.shape[0], y.shape[0])
        for rows in _blocks(x.shape[0], y.numel()):
            gap = (x[rows, None] - y[None]).abs_()
            largest = gap.amax(-1) if gap.shape[-1] else gap.new_zeros(gap.shape[:-1])
            if math.isinf(p):
                out[rows] = largest
                continue
            scale = torch.where(largest > 0, largest, 1.0)
            out[rows] = largest * gap.div_(scale[..., None]).pow_(p).sum(-1).pow_(1 / p)
        ctx.save_for_backward(x, y, out)
        ctx.p = p
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, out = ctx.saved_tensors
        grad_x, grad_y = torch.zeros_like(x), torch.zeros_like(y)
        # A loss that picked few pairs has no gradient for the others.
        rows, candidates = ((grads[0] != 0) & (out > 0)).nonzero(as_tuple=True)
        for part in _blocks(rows.shape[0], x.shape[1]):
            row, candidate = rows[part], candidates[part]
            gap = x[row] - y[candidate]
            length = out[row, candidate, None]
            if math.isinf(ctx.p):
                share = (gap.abs() == length).to(x.dtype)
                share /= share.sum(-1, keepdim=True)
            else:
                share = (gap.abs() / length).pow_(ctx.p - 1)
            pull = share.mul_(gap.sign_()).mul_(grads[0][row, candidate, None])
            grad_x.index_add_(0, row, pull)
            grad_y.index_add_(0, candidate, pull, alpha=-1)
        return grad_x, grad_y, None


def _blocks(rows: int, elements_per_row: int) -> Iterator[slice]:
    step = max(1, BLOCK // max(1, elements_per_row))
    for start in range(0, rows, step):
        yield slice(start, min(rows, start + step))
