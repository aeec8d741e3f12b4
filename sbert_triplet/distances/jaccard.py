"""Jaccard distances of vectors: Ruzicka on non-negative or signed vectors, and Tanimoto."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sbert_triplet.distances.base import Distance
from sbert_triplet.distances.minkowski import squared_euclidean_pairs
from sbert_triplet.distances.options import check_choice
from sbert_triplet.errors import InputError

Signed = Literal["split", "refuse", "tanimoto"]


@dataclass(frozen=True)
class Ruzicka(Distance):
    """1 - sum min(x, y) / sum max(x, y), a metric in [0, 1]; two zero vectors are at distance 0.

    With S = |x|_1 + |y|_1 and D = |x - y|_1 this is 2 D / (S + D). A signed vector counts as its
    positive and its negative part side by side, which leaves S and D as they are; with
    ``refuse_signed`` a negative number raises InputError instead.
    """

    refuse_signed: bool = False
    name: ClassVar[str] = "jaccard"
    bounded: ClassVar[bool] = True

    def unit_range(self, dimensions: int) -> float:
        return 1.0

    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        self._check(x, y)
        return _ratio(x.abs().sum(-1) + y.abs().sum(-1), (x - y).abs().sum(-1))

    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        self._check(x, y)
        return _ratio(x.abs().sum(-1)[:, None] + y.abs().sum(-1)[None], torch.cdist(x, y, p=1.0))

    def _check(self, *vectors: Tensor) -> None:
        if self.refuse_signed and any(bool((vector < 0).any()) for vector in vectors):
            raise InputError(
                "jaccard: the vectors hold negative numbers, for which sum min / sum max means nothing; "
                "use signed='split', or end the encoder with ReLU or softplus"
            )


@dataclass(frozen=True)
class Tanimoto(Distance):
    """1 - x.y / (|x|^2 + |y|^2 - x.y), in [0, 4/3]; two zero vectors are at distance 0."""

    name: ClassVar[str] = "jaccard"
    bounded: ClassVar[bool] = True

    def unit_range(self, dimensions: int) -> float:
        return 4.0 / 3.0

    def _rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        return _tanimoto((x - y).square().sum(-1), (x * y).sum(-1))

    def _pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        return _tanimoto(squared_euclidean_pairs(x, y), x @ y.T)


def jaccard(*, signed: Signed = "split") -> Distance:
    """Jaccard distance of embeddings.

    ``signed``: what to do with negative numbers. ``split``: positive and negative parts side by
    side (keeps the metric); ``refuse``: InputError; ``tanimoto``: 1 - x.y / (|x|^2 + |y|^2 - x.y).
    """
    check_choice("signed", signed, ("split", "refuse", "tanimoto"))
    return Tanimoto() if signed == "tanimoto" else Ruzicka(refuse_signed=signed == "refuse")


def _ratio(sums: Tensor, gaps: Tensor) -> Tensor:
    bottom = sums + gaps
    return 2 * gaps / torch.where(bottom > 0, bottom, 1.0)


def _tanimoto(gaps: Tensor, dots: Tensor) -> Tensor:
    # |x|^2 + |y|^2 - x.y = |x - y|^2 + x.y, and 1 - x.y / that = |x - y|^2 / that.
    bottom = gaps + dots
    return gaps / torch.where(bottom > 0, bottom, 1.0)
