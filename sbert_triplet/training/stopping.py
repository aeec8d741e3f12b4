"""Stopping where the person or the system asks for it: after the step, with a checkpoint."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sbert_triplet.processes import several_processes

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping(TrainerCallback):
    """Ends training after the step in which a signal came, and has a checkpoint written.

    ``number``: of the signal, None while there was none. A second signal does what it did before. ``say`` is
    given a line at the end of that step. Several processes stop after the same step.
    """

    def __init__(self, say: Callable[[str], None] = lambda _: None) -> None:
        self.number: int | None = None
        self._say = say

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take signals, in the main thread; elsewhere Python has none."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.getsignal(each) for each in SIGNALS}

        def asked(number: int, _: FrameType | None) -> None:
            for each, handler in before.items():
                signal.signal(each, handler)
            # Nothing is said in here: the signal may have come in the middle of a line.
            self.number = number

        try:
            for each in SIGNALS:
                signal.signal(each, asked)
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        self.number = _anywhere(self.number, args.device)
        if self.number is not None:
            self._say("Stopping: the step is finished, and is saved; once more to stop at once")
            control.should_save = control.should_training_stop = True


def _anywhere(number: int | None, device: torch.device) -> int | None:
    """The largest number of a signal that any process was given."""
    if not several_processes():
        return number
    found = torch.tensor(number or 0, device=device)
    torch.distributed.all_reduce(found, op=torch.distributed.ReduceOp.MAX)
    return int(found) or None
