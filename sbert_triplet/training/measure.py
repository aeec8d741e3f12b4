"""Short measurements before training: which precision is faster here, and what memory a batch takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from sbert_triplet.encoding.encode import autocast
from sbert_triplet.training.collate import BatchMaker, TokenBatch
from sbert_triplet.training.objective import Objective

Measured = TypeVar("Measured")
MEASURED_ROWS = 16
MARGIN = 1.05
"""bf16 has to be faster by this factor to be chosen."""
IMITATED = 4.0
"""A processor whose products in bf16 take so many times as long as in fp32 does not compute in it."""
_TRIED = (128, 384), (384, 1536)


def bf16_supported(device: torch.device) -> bool:
    """Whether the device computes in bf16 at all: not one that only imitates it, many times slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and _processor_computes_in_bf16()


@cache
def _processor_computes_in_bf16() -> bool:
    """By a product of the size of a small layer: imitated, it takes some fifty times as long."""
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(shape, generator=generator, device="cpu") for shape in _TRIED)
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        one, other = left.to(dtype), right.to(dtype)
        seconds[dtype] = min(_seconds_of_product(one, other) for _ in range(3))
    return seconds[torch.bfloat16] < IMITATED * seconds[torch.float32]


def _seconds_of_product(left: Tensor, right: Tensor) -> float:
    start = time.perf_counter()
    left @ right
    return time.perf_counter() - start


def seconds_per_token(
    objective: Objective, collator: BatchMaker, batches: Sequence[Sequence[int]], precision: str
) -> float:
    """Time of forward and backward over the real tokens of at most 16 rows of each batch, the first
    batch left out as a warm-up.

    Nothing of it stays: no optimizer step is taken, gradients are dropped, and random generators and
    what the loss counts are put back.
    """
    seconds, tokens = _timed(objective, collator, batches, [precision])
    return sum(seconds[0]) / max(sum(tokens), 1)


def choose_precision(
    objective: Objective, collator: BatchMaker, batches: Sequence[Sequence[int]]
) -> tuple[str, float]:
    """The faster one of fp32 and bf16, and its seconds a token.

    bf16 is chosen where it is supported and faster by 5 % or more on every batch: both are timed batch by
    batch in turn, so that a moment in which the machine was busy decides nothing.
    """
    if not bf16_supported(objective.model.device):
        return "fp32", seconds_per_token(objective, collator, batches, "fp32")
    (plain, half), tokens = _timed(objective, collator, batches, ["fp32", "bf16"])
    faster = all(short * MARGIN < long for short, long in zip(half, plain, strict=True))
    return ("bf16" if faster else "fp32"), sum(half if faster else plain) / max(sum(tokens), 1)


def _timed(
    objective: Objective, collator: BatchMaker, batches: Sequence[Sequence[int]], precisions: Sequence[str]
) -> tuple[list[list[float]], list[int]]:
    """Seconds of each precision on each batch but the first, and the tokens of these batches."""
    device = objective.model.device

    def one(batch: TokenBatch, precision: str) -> float:
        start = time.perf_counter()
        with autocast(device, precision):
            loss = objective(batch.to(device))
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - start
        objective.zero_grad(set_to_none=True)
        return seconds

    def used() -> tuple[list[list[float]], list[int]]:
        made = [collator(list(rows[:MEASURED_ROWS])) for rows in batches]
        seconds = [[one(batch, precision) for precision in precisions] for batch in made]
        counted = slice(1 if len(made) > 1 else 0, None)
        columns = [list(column) for column in zip(*seconds[counted], strict=True)]
        return columns, [batch.tokens for batch in made[counted]]

    return _leaving_nothing(objective, used)


def graph_bytes_per_token(
    objective: Objective, collator: BatchMaker, rows: Sequence[int], precision: str
) -> float:
    """Memory that the graph of a forward pass keeps, for each token of at most 16 of ``rows``."""
    device = objective.model.device
    weights = {parameter.untyped_storage().data_ptr() for parameter in objective.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        # Itself, where it is the output of the node that holds it, would keep the graph alive for ever.
        return tensor.detach()

    def used() -> float:
        batch = collator(list(rows[:MEASURED_ROWS]))
        # The graph has to live while it is counted, or its addresses are given out again.
        with (
            torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
            autocast(device, precision),
        ):
            loss = objective(batch.to(device))
        del loss
        return sum(kept.values()) / max(batch.tokens, 1)

    return _leaving_nothing(objective, used)


def _leaving_nothing(objective: Objective, measure: Callable[[], Measured]) -> Measured:
    """``measure()`` of the training objective; generators, counts and gradients are put back."""
    device = objective.model.device
    counted = {name: value.clone() for name, value in objective.loss.state_dict().items()}
    was_training = objective.training
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        objective.train()
        try:
            return measure()
        finally:
            objective.zero_grad(set_to_none=True)
            objective.loss.load_state_dict(counted)
            objective.train(was_training)
            objective.last = None
