"""Steps that fit in memory: how much a batch needs, and what is done where it was too much."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import torch

from sbert_triplet.encoding.gradient_cache import generator_states, restore_generators
from sbert_triplet.encoding.memory import (
    OutOfMemoryTogetherError,
    free_unused,
    is_out_of_memory,
    largest_anywhere,
)
from sbert_triplet.errors import MachineError
from sbert_triplet.processes import local_processes, several_processes
from sbert_triplet.training.collate import BatchMaker, TokenBatch
from sbert_triplet.training.objective import Objective

T = TypeVar("T")
FREE_SHARE = 0.6
"""Of the free memory: how much of it the graph of a batch may take."""
LEAST_CHUNK = 256
CGROUP = Path("/sys/fs/cgroup")
LIMITS = (("", "memory.max", "memory.current"), ("memory", "memory.limit_in_bytes", "memory.usage_in_bytes"))
"""Where a container's limit and use stand, in the second version of control groups and in the first."""
LARGER_THAN_MEASURED = 1.5
"""Other batches hold more tokens than the measured ones, and longer texts need more for each."""
_logger = logging.getLogger(__name__)


@dataclass
class StepFitter:
    """Repeats a step that ran out of memory, in smaller parts, with the same batch and the same draws.

    At first the graph of one group at a time is kept, then groups of half as many tokens. ``tell`` is
    given an entry for the log each time. Several processes repeat a step together; where one runs out
    of memory while they join their gradients, nothing can be repeated and MachineError is raised.
    """

    objective: Objective
    collator: BatchMaker
    tell: Callable[[dict[str, Any]], None] = field(default=lambda _: None)

    def state(self) -> Mapping[str, torch.Tensor]:
        """In which parts steps are made; a part of checkpoints (``training.kept``)."""
        return {"parts": torch.tensor([self.collator.budget, int(self.objective.cached)])}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        budget, cached = state["parts"].tolist()
        self.collator.budget, self.objective.cached = int(budget), bool(cached)

    def carry_out(
        self,
        batch: TokenBatch,
        step: Callable[[TokenBatch], T],
        number: int,
        before: StepState | None = None,
    ) -> T:
        """``step(batch)``, repeated as often as it takes; MachineError where a single text is too much.

        ``before``: as it was before the step; None for now.
        """
        before = before or StepState(self.objective)
        while True:
            try:
                return step(batch)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                if several_processes() and not isinstance(error, OutOfMemoryTogetherError):
                    raise MachineError(
                        f"step {number}: memory ran out in one of several processes while they joined their "
                        "gradients, after which no step can be repeated: set train.chunk_tokens to "
                        f"{max(self.collator.budget // 2, 1)} or less, or lower train.batch_size"
                    ) from error
                if not self._smaller(batch):
                    raise MachineError(
                        f"step {number}: memory ran out with one text at a time: lower max_length or "
                        "train.batch_size, or choose a smaller model"
                    ) from error
            # Outside of the except clause: the error holds the frames that hold the memory.
            before.restore()
            self._say(number)
            batch = self.collator(batch.numbers)

    def _smaller(self, batch: TokenBatch) -> bool:
        """Make the parts smaller where that is possible; every process finds the same."""
        shares = [share for share in (batch.texts, batch.keys) if share is not None]

        def largest(number: float) -> float:
            return largest_anywhere(number, next(self.objective.parameters()).device)

        cached, self.objective.cached = self.objective.cached, True
        if not cached and largest(max(len(share.groups) for share in shares)) > 1:
            return True
        several = any(len(share.groups) < len(share.places) for share in shares)
        if self.collator.budget == 1 or not largest(several):
            return False
        sizes = [group["input_ids"].numel() for share in shares for group in share.groups]
        self.collator.budget = max(min(self.collator.budget, int(largest(max(sizes)))) // 2, 1)
        return True

    def _say(self, number: int) -> None:
        tokens = self.collator.budget
        _logger.warning(
            "step %d: memory ran out; repeated in parts of at most %d tokens, the batch is unchanged",
            number,
            tokens,
        )
        self.tell({"step": number, "out_of_memory": True, "chunk_tokens": tokens})


class StepState:
    """What a step changes before it is done, put back where it has to be repeated or is left out."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.counted = {name: value.clone() for name, value in objective.loss.named_buffers()}
        self.device = next(objective.parameters()).device
        self.draws = generator_states(self.device)

    def restore(self) -> None:
        """Gradients, counts of the loss and random generators as they were before the step."""
        self.objective.zero_grad(set_to_none=True)
        if (reducer := getattr(self.objective.model, "reducer", None)) is not None:
            # A forward pass without its backward has it join every later gradient, those of parts as well.
            reducer._reset_state()
        for name, value in self.objective.loss.named_buffers():
            value.copy_(self.counted[name])
        free_unused(self.device)
        restore_generators(self.device, self.draws)


def free_memory(device: torch.device) -> int | None:
    """Bytes that are free on ``device`` for this process, within a container's limits; None for unknown."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    free = int(psutil.virtual_memory().available)
    for folder, limit_file, used_file in LIMITS:
        limit, used = _number(CGROUP / folder / limit_file), _number(CGROUP / folder / used_file)
        if limit is not None and used is not None:
            free = min(free, limit - used + _given_back(CGROUP / folder / "memory.stat"))
    return max(free, 0) // local_processes()


def chunk_that_fits(per_token: float, tokens: int, group: int, free: int | None) -> int:
    """Tokens whose graph is kept at a time; 0 where that of the whole batch fits.

    ``per_token``: bytes that the graph of a token takes; ``tokens`` of a batch; ``group``: those of a
    forward pass, which are not exceeded; ``free``: bytes that there are, None for enough.
    """
    if free is None or per_token * tokens * LARGER_THAN_MEASURED <= FREE_SHARE * free:
        return 0
    fitting = int(FREE_SHARE * free / (per_token * LARGER_THAN_MEASURED))
    return max(min(group, fitting), LEAST_CHUNK)


def _given_back(file: Path) -> int:
    """Bytes of files that the system keeps copies of while nothing else wants the room."""
    try:
        lines = file.read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError, IndexError):
        return 0


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None
