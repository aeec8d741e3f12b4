"""Steps that are left out because a number in them is not finite."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from sbert_triplet.errors import DivergedError

REMEDY = "lower train.learning_rate, or set train.precision to fp32"
MOST = 10
"""Steps that a run may leave out by default."""
_SHOWN = 10
_logger = logging.getLogger(__name__)


class LeftOut:
    """Counts the steps that never reached the weights, and names their rows in the log.

    Raises DivergedError for one more than ``most``. ``tell`` is given an entry for the log each time. A part
    of checkpoints (``training.kept``).
    """

    def __init__(self, most: int = MOST, tell: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        self.most, self.count = most, 0
        self._tell, self._last = tell, ""

    def add(self, step: int, rows: Tensor, why: str) -> None:
        """One more, with the data rows of its batch, from 0; they are named from 1."""
        self.count += 1
        numbers = [int(row) + 1 for row in rows]
        self._tell({"step": step, "left_out": why, "rows": numbers})
        self._last = f"step {step}, data rows {some(numbers)}: {why}"
        if self.count <= self.most:
            _logger.warning("%s; the step was left out (%d so far)", self._last, self.count)
            return
        before = f" after {self.count - 1:,} steps that were left out" if self.most else ""
        raise DivergedError(
            f"{self._last}. This is one more than train.max_bad_steps allows ({self.most:,}){before}: "
            f"{REMEDY}"
        )

    def all_of(self, steps: int, skipped: int = 0) -> bool:
        """Whether nothing but such steps were made: the weights are those of the start.

        ``skipped``: steps besides, which the gradient scaler of fp16 left out in its search for a scale.
        """
        return 0 < self.count + skipped >= steps

    def refuse_all(self, steps: int, skipped: int = 0) -> None:
        """Raise DivergedError where ``all_of`` them were left out; there is nothing to go on from."""
        if self.all_of(steps, skipped):
            last = f"{self._last}. " if self._last else ""
            raise DivergedError(
                f"{last}All {steps:,} steps were left out: {REMEDY}, and begin anew with --overwrite"
            )

    def state(self) -> Mapping[str, Tensor]:
        return {"count": torch.tensor(self.count)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.count = int(state["count"])


def some(numbers: list[int]) -> str:
    """The first of the numbers, and how many there are."""
    shown = ", ".join(str(number) for number in numbers[:_SHOWN])
    return shown + (f", … {len(numbers)} in all" if len(numbers) > _SHOWN else "")
