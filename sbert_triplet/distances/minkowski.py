"""Minkowski distances of any real p >= 1 and infinity, and the squared Euclidean distance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from sbert_triplet.distances.base import Distance, safe_sqrt
from sbert_triplet.distances.options import EXPONENT
from sbert_triplet.distances.pairs import NEAR, minkowski_pairs, recompute_near, squared_gaps_within


@dataclass(frozen=True)
class Minkowski(Distance):
    """(sum |x_i - y_i|^p)^(1/p); p = inf is the largest |x_i - y_i|. Gradient 0 at x = y.

    Ties of p = inf share the gradient equally. p below 1 raises ValueError: the triangle
    inequality fails there.
    """

    p: float
    name: ClassVar[str] = "minkowski"

    def __post_init__(self) -> None:
        EXPONENT.check("p", self.p)

    def unit_range(self, dimensions: int) -> float:
        inverse = 0.0 if math.isinf(self.p) else 1.0 / self.p
        return float(2.0 * dimensions ** max(0.0, inverse - 0.5))

    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        gap = x - y
        # The norm is homogeneous, so dividing by a constant changes neither value nor gradient.
        largest = gap.detach().abs().amax(-1)
        scale = torch.where(largest > 0, largest, 1.0)
        length: Tensor = torch.linalg.vector_norm(gap / scale[:, None], ord=self.p, dim=-1)
        return scale * length

    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        if self.p == 2:
            return safe_sqrt(squared_euclidean_pairs(x, y))
        if self.p == 1:
            return torch.cdist(x, y, p=1.0)
        return minkowski_pairs(x, y, float(self.p))


class Manhattan(Minkowski):
    """sum |x_i - y_i|."""

    name: ClassVar[str] = "manhattan"

    def __init__(self) -> None:
        super().__init__(1.0)


class Euclidean(Minkowski):
    """Square root of sum (x_i - y_i)^2."""

    name: ClassVar[str] = "euclidean"

    def __init__(self) -> None:
        super().__init__(2.0)


class Chebyshev(Minkowski):
    """The largest |x_i - y_i|."""

    name: ClassVar[str] = "chebyshev"

    def __init__(self) -> None:
        super().__init__(math.inf)


@dataclass(frozen=True)
class SquaredEuclidean(Distance):
    """sum (x_i - y_i)^2. Not a metric; 2 (1 - cosine) on unit vectors."""

    name: ClassVar[str] = "squared_euclidean"

    def unit_range(self, dimensions: int) -> float:
        return 4.0

    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().sum(-1)

    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return squared_euclidean_pairs(x, y)


def squared_euclidean_pairs(x: Tensor, y: Tensor) -> Tensor:
    """(B, D), (C, D) -> (B, C) by a matrix product; pairs too close for it are subtracted directly."""
    if x.numel() == 0 or y.numel() == 0:
        return torch.cdist(x, y).square()
    same = x is y
    # Differences do not change when both sides move; moving to the centre keeps digits.
    centre = y.detach().mean(0)
    left = x - centre
    right = left if same else y - centre
    lengths = left.square().sum(1)[:, None] + right.square().sum(1)[None]
    values = squared_gaps_within(left) if same else torch.addmm(lengths, left, right.T, alpha=-2)
    near = values.detach() <= lengths.detach().mul_(NEAR)
    if same:
        near.fill_diagonal_(False)
    return recompute_near(values, near, x, y)
