"""A run whose embeddings all come together is stopped, and told what usually does it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from sbert_triplet.errors import CollapsedError
from sbert_triplet.losses.batch import Embedded
from sbert_triplet.processes import agreed
from sbert_triplet.training.batch_figures import batch_figures
from sbert_triplet.training.collapse_causes import likely_causes
from sbert_triplet.training.crowding import Crowding, crowding_of
from sbert_triplet.training.objective import Objective

LEFT = 0.05
"""Of the spread, or of the directions, at the start: a run that has no more than this left is collapsing."""
GAINED = 0.5
"""Of the nearness at the start: texts that belong together and have come as near are told apart."""
CHECKS_IN_A_ROW = 3
FEWEST_STEPS = 5
"""From the first of these checks to the last: a short run, which is checked at every step, may recover."""
_FIGURES = 5


def check_every(steps: int) -> int:
    """Steps from one check to the next in a run of so many: some fifty checks, at most 20 steps apart."""
    return min(max(steps // 50, 1), 20)


class CollapseWatch(TrainerCallback):
    """Looks at the embeddings of every ``every``-th batch, from the first, and stops a run that collapses.

    What is seen is compared with the first batch of the same data set, so an encoder that was narrow from
    the start is not stopped, nor one that becomes narrow while texts that belong together come nearer to
    each other than to others (classes that end in a point each). Raises CollapsedError once
    ``checks`` checks in a row have found a collapse, over ``FEWEST_STEPS`` steps or more. Costs a product of
    256 rows with themselves a check;
    batches of fewer than 8 different texts are never judged. ``stats`` are for the log's steps. A part of
    checkpoints (``training.kept``); several processes decide what the leading one does.
    """

    def __init__(self, objective: Objective, *, every: int = 10, checks: int = CHECKS_IN_A_ROW) -> None:
        if every < 1 or checks < 1:
            raise ValueError(f"a check every {every} steps, {checks} in a row: both must be 1 or more")
        self.objective, self.every, self.checks = objective, every, checks
        # Of the encoder itself: a trainer for several devices puts a wrapper in its place.
        self._dimensions = objective.model.get_embedding_dimension() or 1
        self._starts: dict[int, Crowding] = {}
        self._alarms: dict[int, list[int]] = {}
        self._looking = self._due = False
        self._seen: Crowding | None = None
        self._last: tuple[int, Crowding] | None = None
        self._figures: dict[str, float] = {}
        objective.loss.register_forward_pre_hook(self._look)

    def _look(self, _: torch.nn.Module, given: tuple[Embedded, ...]) -> None:
        if self._looking and (self._due or given[0].dataset not in self._starts):
            self._seen = crowding_of(given[0])
            self._figures = batch_figures(given[0], self.objective.loss)

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._looking, self._due, self._seen = True, state.global_step % self.every == 0, None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        self._looking = False
        if self._seen is None:
            return
        seen, step = agreed(self._seen), state.global_step
        self._seen, self._last = None, (step, seen)
        start = self._starts.setdefault(seen.dataset, seen)
        alarms = self._alarms.setdefault(seen.dataset, [])
        if not is_collapsing(start, seen):
            alarms.clear()
            return
        alarms.append(step)
        if len(alarms) >= self.checks and step - alarms[0] >= FEWEST_STEPS:
            causes = likely_causes(
                self.objective.loss,
                learning_rate=float(args.learning_rate),
                dimensions=self._dimensions,
                unit_length=seen.unit,
                nearness=start.nearness,
            )
            raise CollapsedError(_message(step, alarms, start, seen, causes))

    def stats(self, step: int) -> dict[str, float]:
        """Of the batch of a step, from 0, that was checked: ``anisotropy`` and ``effective_rank``, and
        what ``batch_figures`` says of it.
        """
        if self._last is None or self._last[0] != step + 1:
            return {}
        seen = self._last[1]
        return {"anisotropy": seen.cosine, "effective_rank": seen.rank, **self._figures}

    def state(self) -> dict[str, Tensor]:
        """What was seen at the start, and the steps of the last checks that found a collapse."""
        starts = [start.numbers() for start in self._starts.values()]
        alarms = [(dataset, step) for dataset, steps in self._alarms.items() for step in steps]
        return {
            "starts": torch.tensor(starts, dtype=torch.float64).reshape(-1, _FIGURES),
            "alarms": torch.tensor(alarms, dtype=torch.long).reshape(-1, 2),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Go on comparing with the start of the run that wrote the checkpoint."""
        starts = [Crowding.of_numbers(*numbers) for numbers in state["starts"].tolist()]
        self._starts = {start.dataset: start for start in starts}
        self._alarms = {}
        for dataset, step in state["alarms"].tolist():
            self._alarms.setdefault(dataset, []).append(step)


def is_collapsing(start: Crowding, seen: Crowding) -> bool:
    """Whether next to nothing is left of the spread or of the directions that there were at the ``start``.

    Not where texts that belong together have come much nearer to each other than to others since then.
    """
    if seen.nearness <= GAINED * start.nearness:
        return False
    crowded = start.spread > 0 and seen.spread <= LEFT * start.spread
    flat = start.rank > 1 and seen.rank - 1 <= LEFT * (start.rank - 1)
    return crowded or flat


def _message(step: int, alarms: list[int], start: Crowding, seen: Crowding, causes: list[str]) -> str:
    listed = " ".join(f"({number}) {cause};" for number, cause in enumerate(causes, start=1)).rstrip(";")
    apart = (
        ""
        if math.isnan(seen.nearness)
        else f", and texts that belong together lie at {seen.nearness:.2f} of the squared distance of others "
        f"({start.nearness:.2f} at the start)"
    )
    return (
        f"step {step}: the embeddings are collapsing: two different texts of a batch have a mean cosine of "
        f"{_cosine(seen)} ({_cosine(start)} at the start), the effective rank is {seen.rank:.2f} "
        f"({start.rank:.2f} at the start){apart}; so it was at the checks of steps "
        f"{', '.join(map(str, alarms))}. What usually does it with this loss, the likeliest first: {listed}. "
        f"Start again with one of these changed"
    )


def _cosine(seen: Crowding) -> str:
    """As many digits as tell it from 1."""
    digits = 3 if seen.spread >= 0.01 else min(8, 1 - math.floor(math.log10(max(seen.spread, 1e-8))))
    return f"{seen.cosine:.{digits}f}"
