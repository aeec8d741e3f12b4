"""Several processes of one run (``accelerate launch``, ``torchrun``): which one leads, what all agree on."""

from __future__ import annotations

import atexit
import os
from typing import TypeVar

T = TypeVar("T")


def processes() -> int:
    """How many processes share the run."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process is the one that speaks and writes."""
    return os.environ.get("RANK", "0") == "0"


def local_rank() -> int:
    """The place of this process on its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_processes() -> int:
    """How many processes of the run share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def join(device: str) -> None:
    """Meet the other processes, where there are any, before something has to be agreed on.

    transformers writes the files of a new encoder in one process only from then on. ``device``: its type.
    """
    if processes() == 1:
        return
    from accelerate import PartialState

    state = PartialState(cpu=device == "cpu")
    atexit.register(state.destroy_process_group)


def several_processes() -> bool:
    """Whether other processes share the run, and have been met."""
    import torch.distributed as dist

    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def agreed(value: T) -> T:
    """The leading process's ``value``: what is measured differs from one process to the next."""
    import torch.distributed as dist

    if not several_processes():
        return value
    held = [value]
    dist.broadcast_object_list(held, src=0)
    return held[0]
