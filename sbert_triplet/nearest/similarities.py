"""What embeddings are compared by, and rows of them ready to be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sbert_triplet.errors import InputError

Embeddings = NDArray[np.floating[Any]]
IntArray = NDArray[np.int64]
Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")
PRODUCTS = ("cosine", "dot")
"""Those that are products of rows."""


class DistanceLike(Protocol):
    """A distance or similarity by its computation, as those of ``sbert_triplet.distances``."""

    name: ClassVar[str]
    smaller_is_closer: ClassVar[bool]

    def rowwise(self, x: Tensor, y: Tensor) -> Tensor:
        """(B, D), (B, D) -> (B,)."""

    def pairwise(self, x: Tensor, y: Tensor) -> Tensor:
        """(Q, D), (N, D) -> (Q, N)."""


Similarity = str | DistanceLike
"""One of ``SIMILARITIES``, or a distance that sentence-transformers has no name for."""


def closeness(distance: DistanceLike, values: Tensor) -> Tensor:
    """Values of the distance, turned so that larger is closer."""
    return -values if distance.smaller_is_closer else values


def check(first: Embeddings, second: Embeddings, similarity: Similarity) -> None:
    """Raise ValueError for an unknown similarity and for tables that cannot be compared."""
    if isinstance(similarity, str) and similarity not in SIMILARITIES:
        raise ValueError(f"unknown similarity {similarity!r}; it is one of {', '.join(SIMILARITIES)}")
    for array in (first, second):
        if array.ndim != 2:
            raise ValueError(f"embeddings must be a table (rows, D); got shape {array.shape}")
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"embeddings of {first.shape[1]} and of {second.shape[1]} dimensions cannot be compared; "
            "both must come from the same model"
        )


@dataclass(frozen=True)
class Table:
    """Embeddings (n, D) that rows are read from. ``name``: what messages call them."""

    values: Embeddings
    similarity: Similarity
    device: torch.device
    name: str

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        return int(self.values.shape[1])

    def rows(self, first: int, last: int, dtype: torch.dtype) -> Tensor:
        """Rows ``first`` to ``last`` on the device, of unit length under cosine.

        Raises InputError where a row holds NaN or infinity.
        """
        wide = torch.float32 if self.device.type == "mps" else torch.float64
        whole = self.values.dtype.itemsize > 4 and wide == torch.float64
        read = np.array(self.values[first:last], dtype=np.float64 if whole else np.float32)
        rows = torch.from_numpy(read).to(self.device)
        if not bool(torch.isfinite(rows).all()):
            row = first + int((~torch.isfinite(rows).all(dim=1)).nonzero()[0])
            raise InputError(
                f"row {row} of the {self.name} holds NaN or infinity; check the model that made the "
                "embeddings"
            )
        if self.similarity != "cosine":
            return rows.to(dtype)
        rows = rows.to(wide)
        lengths = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        unit: Tensor = (rows / lengths.masked_fill(lengths == 0, 1.0)).to(dtype)
        return unit
