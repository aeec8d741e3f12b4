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
"""Of a score, relative, where the result of a product is told in this precision."""
TRIAL = 512, 4096, 384
_ROWS_AT_ONCE = 4096


def sum_error(width: int) -> float:
    """Bound, for unit vectors, of rounding in a product's sum of float32 and in making the vectors unit."""
    return (width + 16) * 2.0**-22


@dataclass(frozen=True)
class Coarse:
    """``vectors`` (n, D) in low precision, with lengths (n,) of them and of what they leave out."""

    vectors: Tensor
    lengths: Tensor
    residuals: Tensor

    @classmethod
    def of(cls, table: Table, first: int, last: int, dtype: torch.dtype) -> Coarse:
        vectors = torch.empty(last - first, table.width, dtype=dtype, device=table.device)
        lengths = torch.empty(last - first, device=table.device)
        residuals = torch.zeros(last - first, device=table.device)
        for start in range(0, last - first, _ROWS_AT_ONCE):
            rows = table.rows(first + start, min(first + start + _ROWS_AT_ONCE, last))
            part = slice(start, start + len(rows))
            vectors[part] = rows
            lengths[part] = torch.linalg.vector_norm(rows, dim=1)
            if dtype != torch.float32:
                residuals[part] = torch.linalg.vector_norm(rows - vectors[part], dim=1)
        return cls(vectors, lengths, residuals)

    def __len__(self) -> int:
        return len(self.vectors)

    def part(self, first: int, last: int) -> Coarse:
        return Coarse(self.vectors[first:last], self.lengths[first:last], self.residuals[first:last])


@cache
def coarse_precision(device: torch.device) -> torch.dtype:
    """Float32; or bf16, on a CPU that in a trial is half as fast again with it and keeps to the bound."""
    if device.type != "cpu":
        return torch.float32
    generator = torch.Generator().manual_seed(0)
    left, right = (
        functional.normalize(torch.randn(rows, TRIAL[2], generator=generator)) for rows in TRIAL[:2]
    )
    halves = left.bfloat16(), right.bfloat16()
    seconds = {torch.float32: _seconds(left, right), torch.bfloat16: _seconds(*halves)}
    exact = halves[0].double() @ halves[1].double().T
    off = ((halves[0] @ halves[1].T).double() - exact).abs() - ROUNDING[torch.bfloat16] * exact.abs()
    kept_to = bool((off <= sum_error(TRIAL[2])).all())
    faster = 1.5 * seconds[torch.bfloat16] < seconds[torch.float32]
    return torch.bfloat16 if faster and kept_to else torch.float32


def _seconds(left: Tensor, right: Tensor) -> float:
    """Of the fastest of a few products."""
    taken = []
    for _ in range(4):
        start = time.perf_counter()
        left @ right.T
        taken.append(time.perf_counter() - start)
    return min(taken)
