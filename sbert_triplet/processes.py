"""Several processes of one run (``accelerate launch``, ``torchrun``): which one leads, what all agree on."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from sbert_triplet.errors import MachineError, SbertTripletError

T = TypeVar("T")
LONGEST_WAIT = timedelta(days=7)
"""One process may tokenise or write while the others wait; where one dies, the launcher ends the others."""


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

    state = PartialState(cpu=device == "cpu", timeout=LONGEST_WAIT)
    atexit.register(state.destroy_process_group)


def launched() -> list[str]:
    """The words of a command that begin this package's in as many processes as share the run."""
    if processes() == 1:
        return ["sbert-triplet"]
    if any(name.startswith("ACCELERATE_") for name in os.environ):
        launcher = ["accelerate", "launch", "--num_processes", str(processes())]
    else:
        here = local_processes()
        machines = processes() // here
        several = ["--nnodes", str(machines)] if machines > 1 else []
        launcher = ["torchrun", *several, "--nproc-per-node", str(here)]
    return [*launcher, "-m", "sbert_triplet"]


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


def place() -> tuple[int, int]:
    """The place of this process among those that share the run and have been met, and how many these are."""
    import torch.distributed as dist

    return (dist.get_rank(), dist.get_world_size()) if several_processes() else (0, 1)


def machine() -> int:
    """A number for the machine that this process is on: the rank of the first process there."""
    return place()[0] - local_rank()


def from_all(value: T) -> list[T]:
    """Every process's ``value``, in the order of their places; all of them have to ask."""
    import torch.distributed as dist

    if not several_processes():
        return [value]
    held: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(held, value)
    return held


def together(work: Callable[[], T]) -> list[T]:
    """What ``work`` gives in every process, in the order of their places; all of them have to ask.

    Where it raises in one, all others raise as well, since they would wait for that one for ever.
    Nothing inside ``work`` may wait for another process. Raises what was raised in this process; elsewhere
    an error on purpose of its own kind, and MachineError for any other.
    """
    if not several_processes():
        return [work()]
    try:
        given = work()
    # The error is not kept in a name of its own: its frames may hold the memory that ran out.
    except Exception as error:
        from_all(_Failed.by(error))
        raise
    held: list[Any] = from_all(given)
    for other in held:
        if isinstance(other, _Failed):
            raise other.kind(other.words)
    return held


@dataclass(frozen=True)
class _Failed:
    """What a process gives in the place of its work."""

    kind: type[SbertTripletError]
    words: str

    @classmethod
    def by(cls, error: Exception) -> _Failed:
        if isinstance(error, SbertTripletError):
            return cls(type(error), str(error))
        words = (str(error).strip() or type(error).__name__).splitlines()[0]
        return cls(MachineError, f"another process of the run stopped ({type(error).__name__}: {words})")
