"""What a triplet costs, as a function of its gap d(anchor, positive) - d(anchor, negative)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Link(Protocol):
    """``value`` and its derivative ``slope``, elementwise; ``active`` marks triplets with a slope."""

    def value(self, gap: Tensor) -> Tensor: ...

    def slope(self, gap: Tensor) -> Tensor: ...

    def active(self, gap: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Hinge:
    """[margin + gap]_+, or its square. At exactly 0 a triplet is inactive."""

    margin: float
    squared: bool = False

    def value(self, gap: Tensor) -> Tensor:
        over = functional.relu(gap + self.margin)
        return over.square() if self.squared else over

    def slope(self, gap: Tensor) -> Tensor:
        over = functional.relu(gap + self.margin)
        return 2 * over if self.squared else (over > 0).to(gap.dtype)

    def active(self, gap: Tensor) -> Tensor:
        return gap + self.margin > 0


@dataclass(frozen=True)
class SoftMargin:
    """ln(1 + e^gap); never 0, so every triplet is active."""

    def value(self, gap: Tensor) -> Tensor:
        return functional.softplus(gap)

    def slope(self, gap: Tensor) -> Tensor:
        return torch.sigmoid(gap)

    def active(self, gap: Tensor) -> Tensor:
        return torch.ones_like(gap, dtype=torch.bool)


@dataclass(frozen=True)
class SquaredRatio:
    """(e^d_ap / (e^d_ap + e^d_an))^2 = sigmoid(gap)^2, of Hoffer and Ailon (2014, arXiv 1412.6622)."""

    def value(self, gap: Tensor) -> Tensor:
        return torch.sigmoid(gap).square()

    def slope(self, gap: Tensor) -> Tensor:
        share = torch.sigmoid(gap)
        return 2 * share.square() * (1 - share)

    def active(self, gap: Tensor) -> Tensor:
        return torch.ones_like(gap, dtype=torch.bool)
