"""Vectors in low precision, what they leave out, and which precision a device multiplies fastest in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from sbert_triplet.nearest.similarities import Table

ROUNDING = {torch.bfloat16: 1.02 * 2.0**-8, torch.float32: 0.0}
"""Relative rounding error of a product's result."""
FASTER = 1.5
"""bf16 has to be faster than float32 by this factor to be chosen."""
_TRIED_QUERIES, _TRIED_DOCUMENTS, _TRIED_DIMENSIONS = 500, 4097, 384
_BYTES_AT_ONCE = 4 << 20


def sum_error(dimensions: int) -> float:
    """Bound of the error of a product of unit vectors that comes from its float32 sum.

    The sum alone is off by at most ``dimensions`` 2^-24. The rest is for bounds and thresholds in float32,
    and for scores that float32 makes equal after they were bounded: it must not be cut.
    """
    return (dimensions + 16) * 2.0**-22


@dataclass(frozen=True)
class Coarse:
    """Vectors (n, D) in low precision, with lengths (n,) of the full vectors and of what was left out."""

    vectors: Tensor
    lengths: Tensor
    residuals: Tensor

    @classmethod
    def of(cls, table: Table, first: int, last: int, dtype: torch.dtype) -> Coarse:
        vectors = torch.empty(last - first, table.width, dtype=dtype, device=table.device)
        lengths, residuals = torch.empty(2, last - first, dtype=torch.float64, device=table.device)
        step = max(1, _BYTES_AT_ONCE // (8 * table.width))
        for start in range(0, last - first, step):
            # In float32 squares of small and of large numbers are lost.
            rows = table.rows(first + start, min(first + start + step, last), torch.float64)
            part = slice(start, start + len(rows))
            vectors[part] = rows.to(dtype)
            lengths[part] = torch.linalg.vector_norm(rows, dim=1)
            residuals[part] = torch.linalg.vector_norm(rows - vectors[part], dim=1)
        return cls(vectors, lengths, residuals)

    def __len__(self) -> int:
        return len(self.vectors)

    def part(self, first: int, last: int) -> Coarse:
        return Coarse(self.vectors[first:last], self.lengths[first:last], self.residuals[first:last])


@cache
def coarse_precision(device: torch.device) -> torch.dtype | None:
    """The precision for products whose error is bounded, by a trial; None where none keeps to its bound.

    bf16 on a CPU that is ``FASTER`` with it, else float32.
    """
    generator = torch.Generator().manual_seed(0)
    left, right = (
        functional.normalize(
            torch.randn(rows, _TRIED_DIMENSIONS, generator=generator, dtype=torch.float32, device="cpu")
        ).to(device)
        for rows in (_TRIED_QUERIES, _TRIED_DOCUMENTS)
    )
    tried = [torch.float32, torch.bfloat16] if device.type == "cpu" else [torch.float32]
    seconds = {
        dtype: _seconds(left.to(dtype), right.to(dtype))
        for dtype in tried
        if _keeps_to_its_bound(left.to(dtype), right.to(dtype))
    }
    if FASTER * seconds.get(torch.bfloat16, torch.inf) < seconds.get(torch.float32, torch.inf):
        return torch.bfloat16
    return torch.float32 if torch.float32 in seconds else None


def _keeps_to_its_bound(left: Tensor, right: Tensor) -> bool:
    exact = right.double() @ left.double().T
    off = ((right @ left.T).double() - exact).abs()
    return bool((off <= ROUNDING[left.dtype] * exact.abs() + sum_error(_TRIED_DIMENSIONS)).all())


def _seconds(left: Tensor, right: Tensor) -> float:
    """Of the fastest of a few products."""
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        right @ left.T
        taken.append(time.perf_counter() - start)
    return min(taken)
