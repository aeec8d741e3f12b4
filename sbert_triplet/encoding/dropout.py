"""Dropout whose random numbers cost a tenth: 16 bits an element, drawn 64 at a time.

torch draws a double for each element on the CPU, one after the other, which takes about as long as
all matrix products of a small encoder. A probability is rounded to a multiple of 2^-16, and what is
kept is scaled by exactly that probability, so the expectation is the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_STEPS = 1 << 16
_DRAWN_AT_ONCE = 4


def kept(shape: tuple[int, ...], probability: float) -> Tensor:
    """(shape) uint8 on the CPU: 0 with ``probability``, else 1, from torch's default generator."""
    count = math.prod(shape)
    words = torch.empty(-(-count // _DRAWN_AT_ONCE), dtype=torch.int64).random_(-(2**63), None)
    bits = words.view(torch.int16)[:count].view(shape)
    # Comparing into numbers and multiplying by them is vectorised, masks of bool are not.
    return torch.ge(bits, _threshold(probability) - _STEPS // 2, out=torch.empty(shape, dtype=torch.uint8))


def kept_scale(probability: float) -> float:
    """What the kept elements are multiplied by."""
    return _STEPS / (_STEPS - _threshold(probability))


def can_drop(probability: float) -> bool:
    """Whether some elements are kept and some are not."""
    return 0 < _threshold(probability) < _STEPS


def dropout(values: Tensor, probability: float) -> Tensor:
    """``values`` (CPU) with elements set to 0 with ``probability``, the others scaled up."""
    apply: Callable[[Tensor, float], Tensor] = _Dropout.apply
    return apply(values, probability)


@contextmanager
def cheap_dropout(encoder: nn.Module) -> Iterator[None]:
    """The dropout layers of a training ``encoder`` on the CPU draw as ``dropout`` does, inside."""
    layers = [
        layer
        for layer in encoder.modules()
        if type(layer) is nn.Dropout and layer.training and can_drop(layer.p) and "forward" not in vars(layer)
    ]
    for layer in layers:
        vars(layer)["forward"] = partial(dropout, probability=layer.p)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, probability: float) -> Tensor:
        keep = kept(tuple(values.shape), probability)
        ctx.save_for_backward(keep)
        ctx.scale = kept_scale(probability)
        # The scale comes last: in half precision it would be rounded on its own, and the mean be off.
        return keep.to(values.dtype).mul_(values).mul_(ctx.scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (keep,) = ctx.saved_tensors
        return keep.to(grads[0].dtype).mul_(grads[0]).mul_(ctx.scale), None


def _threshold(probability: float) -> int:
    return round(probability * _STEPS)
