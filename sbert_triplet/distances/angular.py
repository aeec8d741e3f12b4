"""Cosine distance and dot product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from sbert_triplet.distances.base import Distance, unit
from sbert_triplet.distances.minkowski import squared_euclidean_pairs


@dataclass(frozen=True)
class Cosine(Distance):
    """1 - cosine, in [0, 2]. Not a metric. A zero vector is at distance 1 from everything, gradient 0.

    Computed as |x - y|^2 / 2 of the vectors brought to length 1, which keeps the digits of small angles.
    """

    name: ClassVar[str] = "cosine"
    bounded: ClassVar[bool] = True

    def unit_range(self, dimensions: int) -> float:
        return 2.0

    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        left, right = unit(x), unit(y)
        return (left - right).square().sum(-1) / 2 + (_zero_rows(left) + _zero_rows(right)) / 2

    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        left = unit(x)
        right = left if x is y else unit(y)
        values = squared_euclidean_pairs(left, right) / 2
        zero_left, zero_right = _zero_rows(left), _zero_rows(right)
        if bool(zero_left.any()) or bool(zero_right.any()):
            values = values + (zero_left[:, None] + zero_right[None]) / 2
        return values


@dataclass(frozen=True)
class Dot(Distance):
    """x . y: a similarity, larger is closer; in [-1, 1] on unit vectors, so margins go up to 2."""

    name: ClassVar[str] = "dot"
    smaller_is_closer: ClassVar[bool] = False

    def unit_range(self, dimensions: int) -> float:
        return 2.0

    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        return (x * y).sum(-1)

    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return x @ y.T


def _zero_rows(x: Tensor) -> Tensor:
    """(B,): 1 where a row is 0, and so has no length to divide by."""
    return (x.detach() == 0).all(-1).to(x.dtype)
