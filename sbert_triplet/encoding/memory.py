"""Out of memory: what it looks like, and how several processes take it alike."""

from __future__ import annotations

import errno
import gc
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from sbert_triplet.processes import several_processes

IN_WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    # How a full GPU shows in the first matrix product.
    "cublas_status_alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or of the system says that memory ran out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or getattr(error, "errno", 0) == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in IN_WORDS)


def free_unused(device: torch.device) -> None:
    """Give back what nothing refers to any more."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


class OutOfMemoryTogetherError(torch.OutOfMemoryError):
    """Memory ran out in one of several processes, and all of them know."""


def largest_anywhere(number: float, device: torch.device) -> float:
    """The largest ``number`` that any process gives; all of them have to ask."""
    if not several_processes():
        return number
    held = torch.tensor(float(number), device=device)
    dist.all_reduce(held, op=dist.ReduceOp.MAX)
    return float(held)


@contextmanager
def failing_together(device: torch.device) -> Iterator[None]:
    """All processes leave with an out-of-memory error where memory ran out inside on one of them.

    Where one stopped alone, the others would wait for it for ever. Nothing inside may be collective.
    Raises OutOfMemoryTogetherError, and what was raised inside where there is one process.
    """
    try:
        yield
    # The error is not kept in a name of its own: its frames hold the memory, and this would be one of them.
    except Exception as error:
        if not is_out_of_memory(error) or not several_processes():
            raise
        largest_anywhere(1, device)
        raise OutOfMemoryTogetherError(str(error)) from error
    if largest_anywhere(0, device):
        raise OutOfMemoryTogetherError("out of memory in another process of the run")
