"""What happens beside the steps: the log, progress, dev scores, patience."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy

from sbert_triplet.processes import agreed
from sbert_triplet.training.objective import Objective


class StepLog(TrainerCallback):
    """Writes ``log.jsonl``: one JSON object a step, with the loss's statistics.

    ``also``: further statistics of a step, which it is told counted from 0; ``include`` adds some.
    """

    def __init__(
        self,
        file: Path,
        objective: Objective,
        *,
        also: Callable[[int], Mapping[str, float]] = lambda _: {},
    ) -> None:
        self.file, self.objective = file, objective
        self._also = [also]
        self._last = time.perf_counter()
        self.losses: list[float] = []
        self._step = 0

    def include(self, also: Callable[[int], Mapping[str, float]]) -> None:
        """Statistics of a step, counted from 0, beside those that there are."""
        self._also.append(also)

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self._last = time.perf_counter()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if logs is None or "loss" not in logs or not state.is_world_process_zero:
            return
        last, step = self.objective.last, state.global_step
        value = float(last.value) if last is not None else float(logs["loss"])
        now = time.perf_counter()
        self.losses.append(value)
        self._step = step
        self.write(
            {
                "step": step,
                "epoch": round(float(state.epoch or 0.0), 4),
                "loss": _finite(value),
                "learning_rate": logs.get("learning_rate"),
                "grad_norm": _finite(logs.get("grad_norm")),
                "seconds": round(now - self._last, 4),
                "stats": {
                    **(last.stats if last is not None else {}),
                    **{name: found for also in self._also for name, found in also(step - 1).items()},
                },
            }
        )
        self._last = now

    def write_between(self, entry: dict[str, Any]) -> None:
        """Append one line on what was done between two steps; the time it took is not the next step's."""
        self.write(entry)
        self._last = time.perf_counter()

    def write(self, entry: dict[str, Any]) -> None:
        """Append one line."""
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def state(self) -> dict[str, torch.Tensor]:
        """The losses so far; a part of checkpoints (``training.kept``)."""
        return {
            "losses": torch.tensor(self.losses, dtype=torch.float64),
            "step": torch.tensor(self._step),
        }

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on with the losses of a checkpoint; the file's lines on later steps, or cut short, go."""
        self.losses, self._step = state["losses"].tolist(), int(state["step"])
        if not self.file.is_file():
            return
        lines = lines_up_to(self.file.read_bytes(), self._step)
        atomically = self.file.with_name(f".{self.file.name}.part")
        atomically.write_bytes(lines)
        atomically.replace(self.file)
        self.write({"step": self._step, "resumed": True})


class StepProgress(TrainerCallback):
    """Tells ``report(step, steps, loss)`` after each step."""

    def __init__(self, report: Callable[[int, int, float | None], None], objective: Objective) -> None:
        self.report, self.objective = report, objective

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.is_world_process_zero:
            last = self.objective.last
            self.report(state.global_step, state.max_steps, float(last.value) if last else None)


class AfterStep(TrainerCallback):
    """Tells the objective of each optimizer step."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.objective.after_step()


class BestOnDev(TrainerCallback):
    """Scores the encoder on the dev split every ``steps`` steps and keeps the best weights.

    ``score()`` is larger for better, and none is best that is not finite. Training stops after
    ``patience`` scores in a row without a new best; ``restore`` puts the best weights back.
    A part of checkpoints (``training.kept``).
    """

    def __init__(
        self,
        objective: Objective,
        score: Callable[[], float],
        *,
        metric: str,
        steps: int,
        patience: int | None,
        log: StepLog,
    ) -> None:
        self.score, self.metric = score, metric
        # The encoder itself: a trainer for several devices puts a wrapper into the objective.
        self._trained: dict[str, torch.nn.Module] = {"model": objective.model, "loss": objective.loss}
        self.steps, self.patience, self.log = steps, patience, log
        self.best: float | None = None
        self.best_step = 0
        self._weights: dict[str, dict[str, torch.Tensor]] = {}
        self._without_gain = 0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        if state.global_step % self.steps and state.global_step != state.max_steps:
            return
        value = agreed(self.score())
        if state.is_world_process_zero:
            self.log.write({"step": state.global_step, "dev": {self.metric: _finite(value)}})
        if math.isfinite(value) and (self.best is None or value > self.best):
            self.best, self.best_step, self._without_gain = value, state.global_step, 0
            self._weights = {name: _copied(module) for name, module in self._trained.items()}
            return
        self._without_gain += 1
        if self.exhausted:
            control.should_training_stop = True
            control.should_save = control.should_save or args.save_strategy == SaveStrategy.STEPS

    @property
    def exhausted(self) -> bool:
        """Whether training has ended for want of patience."""
        return self.patience is not None and self._without_gain >= self.patience

    def restore(self) -> None:
        """Load the best weights, where a score was taken."""
        for name, weights in self._weights.items():
            self._trained[name].load_state_dict(weights)

    def state(self) -> dict[str, torch.Tensor]:
        """The best score and its weights, and how many scores were taken since."""
        counts = torch.tensor([self.best_step, self._without_gain])
        if self.best is None:
            return {"counts": counts} if self._without_gain else {}
        weights = {
            f"{name}.{key}": value for name, own in self._weights.items() for key, value in own.items()
        }
        return {"best": torch.tensor(self.best, dtype=torch.float64), "counts": counts, **weights}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        self.best_step, self._without_gain = state["counts"].tolist()
        if "best" not in state:
            return
        self.best = float(state["best"])
        for name in self._trained:
            own = {
                key.removeprefix(f"{name}."): value
                for key, value in state.items()
                if key.startswith(f"{name}.")
            }
            self._weights[name] = own


def lines_up_to(log: bytes, step: int) -> bytes:
    """The lines of a log up to that of the loss of ``step``, in its order, without what is no entry of it.

    What is written after a step's loss belongs to the next one, though it may bear the step's number.
    """
    kept: list[bytes] = []
    for line in log.splitlines(keepends=True):
        try:
            entry = json.loads(line)
            number, ends = int(entry["step"]), "loss" in entry
        except (ValueError, TypeError, KeyError):
            continue
        if number > step or not line.endswith(b"\n"):
            continue
        kept.append(line)
        if ends and number == step:
            break
    return b"".join(kept)


def _finite(value: float | None) -> float | None:
    """None in the place of what JSON has no number for."""
    return value if value is not None and math.isfinite(value) else None


def _copied(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}
