"""Negatives mined anew while training, with the weights of the moment.

After Xiong et al. (2021, arXiv 2007.00808), whose index is rebuilt every so many steps beside a training
that goes on; here training waits for it, so that negatives are as old as the log says and no older.
"""

from __future__ import annotations

import logging
import random
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sbert_triplet.data.examples import Ragged
from sbert_triplet.errors import DivergedError, InputError
from sbert_triplet.mining.mined import Mined
from sbert_triplet.training.callbacks import StepLog
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.left_out import REMEDY

IntArray = NDArray[np.int64]
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Round:
    """One mining of the negatives of a run, after ``step`` steps.

    ``chosen``: how many negatives it found; ``changed``: the share of these that their row did not have
    before, NaN for the first round. A round that found none is not ``used``: those before it stay.
    """

    step: int
    seconds: float
    chosen: int
    changed: float = float("nan")
    used: bool = True

    def as_json(self) -> dict[str, Any]:
        """For the log and the run folder."""
        return {
            "step": self.step,
            "seconds": round(self.seconds, 3),
            "chosen": self.chosen,
            "changed": self.changed,
            "used": self.used,
        }


@dataclass
class Mining:
    """What a refresh is made of, as functions.

    ``anew``: mines for the rows of the first round with the weights of the moment; it is told the number of
    the round, from 1. ``use``: has the next batches made with these negatives, row by row as mined.
    ``done``: is told all rounds after each.
    """

    anew: Callable[[int], Mined]
    use: Callable[[Ragged], None]
    done: Callable[[Sequence[Round]], None] = field(default=lambda _: None)


class NegativesRefresh(TrainerCallback):
    """Mines the negatives anew after every ``every`` steps, before the next one; never after the last.

    ``first`` are those of before training, which took ``seconds``. Nothing but the negatives changes:
    the optimizer, the learning rate and all random draws go on as if nothing had been mined. Each round is a
    line of ``log``; ``stats`` are for the log's steps. A round that leaves no negative at all keeps
    those that there are. A part of checkpoints (``training.kept``). Raises DivergedError, before anything
    is mined, for weights that are not finite.
    """

    def __init__(
        self,
        model: SentenceTransformer,
        first: Mined,
        mining: Mining,
        *,
        every: int,
        seconds: float = 0.0,
        log: StepLog | None = None,
    ) -> None:
        self.every, self.negatives = every, first.negatives
        self.rounds = [Round(0, seconds, first.counts.chosen)]
        self.given: IntArray = np.unique(first.negatives.values)
        """The text ids of every negative of any round."""
        self._model, self._mining, self._log = model, mining, log
        self._rows = zlib.crc32(np.stack([first.queries, first.positives]).tobytes())

    def stats(self, step: int) -> dict[str, float]:
        """``negatives_age``: how many steps were taken with the negatives of a step, from 0, before it."""
        mined_after = max(each.step for each in self.rounds if each.used)
        return {"negatives_age": float(step - mined_after)}

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        # Here and not at the end of the step before: a checkpoint of that step lies on the disk already.
        step = state.global_step
        if step == 0 or step % self.every:
            return
        if not all(bool(torch.isfinite(weight).all()) for weight in self._model.parameters()):
            raise DivergedError(f"step {step}: a weight of the encoder is not finite; {REMEDY}")
        with undisturbed(self._model):
            entry = self._refresh(step)
        if self._log is not None and state.is_world_process_zero:
            self._log.write_between({"step": step, "refresh": entry})

    def _refresh(self, step: int) -> dict[str, Any]:
        start = time.perf_counter()
        mined = self._mining.anew(step // self.every)
        used = len(mined.negatives.values) > 0
        changed = share_changed(self.negatives, mined.negatives)
        if used:
            self._mining.use(mined.negatives)
            self.negatives = mined.negatives
            self.given = np.union1d(self.given, mined.negatives.values)
        else:
            _logger.warning("after step %d no negative was left; those of before are kept", step)
        self.rounds.append(Round(step, time.perf_counter() - start, mined.counts.chosen, changed, used))
        self._mining.done(self.rounds)
        return {**mined.counts.as_json(), **self.rounds[-1].as_json()}

    def state(self) -> dict[str, Tensor]:
        """The negatives in use, all that were given, and the rounds."""
        return {
            "values": torch.tensor(self.negatives.values),
            "offsets": torch.tensor(self.negatives.offsets),
            "given": torch.tensor(self.given),
            "rows": torch.tensor(self._rows),
            "rounds": torch.tensor([astuple(each) for each in self.rounds], dtype=torch.float64),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on with the negatives of a checkpoint. Raises InputError for those of other rows."""
        negatives = Ragged(state["values"].numpy(), state["offsets"].numpy())
        if len(negatives) != len(self.negatives) or int(state["rows"]) != self._rows:
            raise InputError(
                f"the checkpoint holds negatives of {len(negatives):,} rows, and there are other "
                f"{len(self.negatives):,} here; go on with the data and the recipe of the run that wrote it"
            )
        self.given = state["given"].numpy()
        self.rounds = [
            Round(int(step), seconds, int(chosen), changed, bool(used))
            for step, seconds, chosen, changed, used in state["rounds"].tolist()
        ]
        self.negatives = negatives
        self._mining.use(negatives)


def give_negatives(collator: Collator, negatives: Ragged) -> None:
    """Other negatives for the rows of ``collator``, from the next batch on.

    Raises ValueError for those of another number of rows.
    """
    if len(negatives) != len(collator.examples):
        raise ValueError(
            f"negatives of {len(negatives)} rows were given, and there are {len(collator.examples)} rows"
        )
    collator.examples = replace(collator.examples, negatives=negatives)
    collator.prepare()


def share_changed(before: Ragged, after: Ragged) -> float:
    """The share of what is in ``after`` that its row did not have ``before``; 0 where nothing is."""
    if not len(after.values):
        return 0.0
    width = 1 + int(max(before.values.max(initial=0), after.values.max()))
    known, found = (
        np.repeat(np.arange(len(part)), np.diff(part.offsets)) * width + part.values
        for part in (before, after)
    )
    return float(1.0 - np.isin(found, known).mean())


@contextmanager
def undisturbed(model: SentenceTransformer) -> Iterator[None]:
    """The encoder in training as it is outside of it, and all generators as they were afterwards.

    A trainer puts a forward of its own in the place of the encoder's, which switches autocast on.
    """
    wrapped = vars(model).pop("forward", None)
    drawn = random.getstate(), np.random.get_state()
    device = model.device
    try:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield
    finally:
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        if wrapped is not None:
            vars(model)["forward"] = wrapped
