"""Rows of all processes in one tensor, with gradient."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, rows: Tensor, sizes: tuple[int, ...]) -> Tensor:
        rank, longest = dist.get_rank(), max(max(sizes), 1)
        context.begin, context.size, context.rows = sum(sizes[:rank]), sizes[rank], rows.shape[0]
        padded = rows.new_zeros((longest, *rows.shape[1:]))
        padded[: context.size] = rows[: context.size]
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        mine = total.new_zeros((context.rows, *total.shape[1:]))
        mine[: context.size] = total[context.begin : context.begin + context.size]
        return mine, None


def gather_rows(rows: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Join the first ``sizes[rank]`` rows of every process, in the order of the ranks.

    ``rows``: (n, D) with n >= ``sizes[rank]``. Returns (sum of sizes, D). The backward pass sums
    the gradients over the processes; where every process computes the same loss of the joined rows
    and the model averages its gradients over the processes, as DistributedDataParallel does, the
    result is the gradient of one process with the joined batch.
    """
    if len(sizes) == 1:
        return rows[: sizes[0]]
    joined: Tensor = _GatherRows.apply(rows, sizes)  # type: ignore[no-untyped-call]
    return joined
