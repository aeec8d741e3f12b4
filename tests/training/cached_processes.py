"""Two processes with a gradient cache: how often they join their gradients, and memory that runs out in one.

As a script: ``cached_processes.py FOLDER CASE…`` with the environment that ``accelerate launch`` sets;
writes what each case gave to ``FOLDER/RANK.pt``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import several_processes as runs
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from transformers import TrainerCallback

from sbert_triplet.training.arguments import TrainSettings, training_arguments
from sbert_triplet.training.callbacks import AfterStep
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.trainer import Trainer

FROM_STEP, TOKENS = 3, 20
"""Where memory begins to be short, and for how many tokens it still lasts."""


class Counter(TrainerCallback):
    """Of each step: the buckets of gradients that were joined, and how often the encoder was entered."""

    def __init__(self, objective: Objective) -> None:
        self.encoder = objective.model
        self.step = 0
        self.joined: list[list[int]] = []
        self.entered: list[dict[str, int]] = []
        objective.model.register_forward_pre_hook(lambda *_: self._entered("encoder"))

    def wrapped(self, wrapper: DistributedDataParallel) -> None:
        """Look at what goes through the wrapper."""
        wrapper.register_forward_pre_hook(lambda *_: self._entered("wrapper"))
        wrapper.register_comm_hook(None, self._join)

    def _join(self, state, bucket):  # type: ignore[no-untyped-def] # annotations are looked at as objects
        del state
        self.joined[-1].append(int(bucket.index()))
        return allreduce_hook(None, bucket)

    def _entered(self, what: str) -> None:
        # The trial whether an encoder takes packs, at its first batch, is no part of a step.
        if self.entered and self.encoder.training:
            self.entered[-1][what] += 1

    def on_step_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        self.step = state.global_step + 1
        self.joined.append([])
        self.entered.append({"encoder": 0, "wrapper": 0})


def short_of_memory(model: SentenceTransformer, counter: Counter, when: Callable[[], bool]) -> list[int]:
    """Memory of this process runs out for large groups; returns the steps in which it did, as they come."""
    failures: list[int] = []

    def fail(_: Any, inputs: tuple[dict[str, Tensor]]) -> None:
        if counter.step >= FROM_STEP and inputs[0]["input_ids"].numel() > TOKENS and when():
            failures.append(counter.step)
            raise torch.OutOfMemoryError(f"out of memory in process {os.environ['RANK']}")

    model.register_forward_pre_hook(fail)
    return failures


def fail_in_the_joining_backward(model: SentenceTransformer, counter: Counter) -> None:
    def fail(grad: Tensor) -> Tensor:
        if counter.step >= FROM_STEP:
            raise torch.OutOfMemoryError("out of memory while gradients are joined")
        return grad

    next(model.parameters()).register_hook(fail)


CASES: dict[str, tuple[bool, Callable[[], bool]]] = {
    "whole graph": (False, lambda: False),
    "cached": (True, lambda: False),
    "whole graph, in the forward pass": (False, torch.is_grad_enabled),
    "cached, in the forward pass": (True, lambda: not torch.is_grad_enabled()),
    "cached, in the replay": (True, torch.is_grad_enabled),
}
JOINING = "while gradients are joined"


def run(case: str, model: SentenceTransformer, folder: Path) -> dict[str, Any]:
    """Six steps; memory runs out in the second process alone."""
    cached, when = CASES.get(case, (False, lambda: False))
    objective, collator, batches = runs.prepared("ranking", model, cached=cached)
    counter, told = Counter(objective), list[dict[str, Any]]()
    second = os.environ["RANK"] == "1"
    failures = short_of_memory(model, counter, when) if second else []
    if second and case == JOINING:
        fail_in_the_joining_backward(model, counter)
    arguments = training_arguments(TrainSettings(steps=6, learning_rate=1e-3), folder / case, device="cpu")
    callbacks: list[TrainerCallback] = [AfterStep(objective), counter]
    trainer = Trainer(
        objective, arguments, collator=collator, batches=batches, callbacks=callbacks, tell=told.append
    )
    prepare = trainer.accelerator.prepare_model

    def watched(*given: Any, **named: Any) -> Any:
        wrapper = prepare(*given, **named)
        counter.wrapped(wrapper)
        return wrapper

    trainer.accelerator.prepare_model = watched
    trainer.train()
    return {
        "joined": counter.joined,
        "entered": counter.entered,
        "failures": failures,
        "told": told,
        "budget": collator.budget,
        "cached": objective.cached,
        "rows": trainer.spent.rows,
        "weights": {name: tensor.clone() for name, tensor in objective.state_dict().items()},
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    out, rank = Path(sys.argv[1]), os.environ["RANK"]
    # Before the first trainer, after which only one process would write the files of a new encoder.
    encoders = {case: runs.encoder(torch.float64) for case in sys.argv[2:]}
    last = encoders.pop(JOINING, None)
    found = {case: run(case, model, out / rank) for case, model in encoders.items()}
    torch.save(found, out / f"{rank}.pt")
    if last is not None:
        run(JOINING, last, out / rank)  # of which no process comes back
    torch.distributed.destroy_process_group()
