"""Whether a margin can be met at all by the embeddings at hand."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from sbert_triplet.distances import Distance

UNIT_TOLERANCE = 1e-2


class Reach:
    """Warns once where ``margin`` is beyond what ``distance`` spans on the first embeddings it sees."""

    def __init__(self, distance: Distance, margin: float) -> None:
        self.distance, self.margin, self.checked = distance, margin, False

    def check(self, column: Tensor) -> None:
        if self.checked:
            return
        self.checked = True
        reach = self.distance.unit_range(column.shape[1])
        if self.margin > reach and (self.distance.bounded or is_unit(column)):
            warnings.warn(
                f"margin {self.margin:g} can never be met: {self.distance.name} spans 0 to {reach:g} at most "
                "on these embeddings, so the loss never reaches 0; choose a margin inside the range",
                stacklevel=4,
            )


def is_unit(column: Tensor) -> bool:
    """Whether every row has length 1, up to the rounding of half precision."""
    length = torch.linalg.vector_norm(column.detach().float(), dim=1)
    return bool(((length - 1).abs() < UNIT_TOLERANCE).all())
