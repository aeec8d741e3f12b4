"""What a distance or similarity is, and the precision that all of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class Distance(ABC):
    """A distance (smaller is closer) or a similarity (larger is closer) between embeddings.

    Shapes: B rows, C candidates, D dimensions. Inputs in half precision are widened to fp32
    before anything is computed, and autocast is off inside.
    """

    name: ClassVar[str]
    smaller_is_closer: ClassVar[bool] = True
    bounded: ClassVar[bool] = False
    """Whether ``unit_range`` holds for vectors of any length, not only for unit vectors."""

    def rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,): the value of each row of ``x`` with the same row of ``y``."""
        if x.shape != y.shape or x.dim() != 2:
            raise ValueError(f"{self.name}: rowwise wants two (B, D) tensors, got {_shapes(x, y)}")
        with torch.autocast(device_type=x.device.type, enabled=False):
            return self._rowwise(*_common(x, y))

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, D), (C, D) -> (B, C): the value of every row of ``x`` with every row of ``y``."""
        if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1]:
            raise ValueError(f"{self.name}: pairwise wants (B, D) and (C, D), got {_shapes(x, y)}")
        with torch.autocast(device_type=x.device.type, enabled=False):
            return self._pairwise(*_common(x, y))

    @abstractmethod
    def unit_range(self, dimensions: int) -> float:
        """Width of the range of values on unit vectors of ``dimensions``.

        For a distance this is also its largest value. A margin above it can never be met.
        """

    def oriented(self, values: Tensor) -> Tensor:
        """Values turned so that smaller is closer: a distance itself, a similarity negated."""
        return values if self.smaller_is_closer else -values

    @abstractmethod
    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor: ...

    @abstractmethod
    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor: ...


def full_precision(x: Tensor) -> Tensor:
    """fp64 stays, everything narrower becomes fp32."""
    return x if x.dtype == torch.float64 else x.float()


def unit(x: Tensor) -> Tensor:
    """(B, D) -> (B, D): rows of length 1. A zero row stays 0 and gets gradient 0."""
    x = full_precision(x)
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    some = length > 0
    return torch.where(some, x / torch.where(some, length, 1.0), 0.0)


def safe_sqrt(values: Tensor) -> Tensor:
    """Square root with gradient 0, not infinity, at 0."""
    apply: Callable[[Tensor], Tensor] = _SafeSqrt.apply
    return apply(values)


class _SafeSqrt(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        root = values.sqrt()
        ctx.save_for_backward(root)
        return root

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        root: Tensor = ctx.saved_tensors[0]
        return (grads[0] / root).div_(2).masked_fill_(root == 0, 0.0)


def _common(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if x is y:
        x = full_precision(x)
        return x, x
    return full_precision(x), full_precision(y)


def _shapes(x: Tensor, y: Tensor) -> str:
    return f"{tuple(x.shape)} and {tuple(y.shape)}"
