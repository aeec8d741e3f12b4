"""What a trainer is made of beside its steps: the order of batches, and its own parts of checkpoints."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sbert_triplet.errors import InputError
from sbert_triplet.training.collate import BatchMaker
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.resuming import OTHER_RUN
from sbert_triplet.training.samplers import Batches


@dataclass(frozen=True)
class OwnState:
    """The state of an objective without its encoder: the loss's, and that of a momentum encoder."""

    objective: Objective

    def state(self) -> dict[str, Tensor]:
        return self.objective.own_state()

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Raises InputError where those are the tensors of another loss."""
        own = self.objective.own_state()
        if _shapes(own) != _shapes(state):
            raise InputError(
                f"the tensors of the loss ({', '.join(sorted(own)) or 'none'}) are not those of the "
                f"checkpoint ({', '.join(sorted(state))}), or not as large: loss and losses {OTHER_RUN}"
            )
        for name, value in state.items():
            own[name].copy_(value)


def _shapes(tensors: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


@dataclass
class Spent:
    """What all steps took so far, also those before a run was resumed: ``rows``, ``tokens``, time.

    ``saving``: seconds, of all, in which the training waited for a checkpoint.
    """

    rows: int = 0
    tokens: int = 0
    saving: float = 0.0
    _before: float = 0.0
    _since: float | None = None

    @property
    def seconds(self) -> float:
        return self._before + (0.0 if self._since is None else time.perf_counter() - self._since)

    def start(self) -> None:
        """Count the time from here on."""
        self._before, self._since = self.seconds, time.perf_counter()

    def stop(self) -> None:
        """Count no further time."""
        self._before, self._since = self.seconds, None

    @contextmanager
    def waiting_for_checkpoint(self) -> Iterator[None]:
        """Count what goes by inside as ``saving``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.saving += time.perf_counter() - start

    def state(self) -> Mapping[str, Tensor]:
        return {
            "counts": torch.tensor([self.rows, self.tokens]),
            "seconds": torch.tensor([self.seconds, self.saving], dtype=torch.float64),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.rows, self.tokens = (int(count) for count in state["counts"])
        self._before, self.saving = state["seconds"].tolist()
        self._since = None if self._since is None else time.perf_counter()


class IntervalsAsAsked(TrainerCallback):
    """The base class goes on with the intervals of the checkpoint; those of the arguments are wanted."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        state.compute_steps(args, state.max_steps)  # type: ignore[no-untyped-call]


class Epochs:
    """``Batches`` as a batch sampler that tells batches and collator the epoch.

    The base class tells the ``batch_sampler`` of a data loader's batch sampler: on a resumed run
    that is this, inside one which skips batches; otherwise it would be one of its own.
    """

    def __init__(self, batches: Batches, collator: BatchMaker) -> None:
        self._batches, self._collator = batches, collator

    @property
    def batch_sampler(self) -> Epochs:
        return self

    def set_epoch(self, epoch: int) -> None:
        self._batches.set_epoch(epoch)
        self._collator.set_epoch(epoch)

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self._batches)

    def __len__(self) -> int:
        return len(self._batches)
