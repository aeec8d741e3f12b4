"""The scale of fp16's gradients: which of the steps that its scaler leaves out belong to its search."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

LEAST_SCALE = 1.0
"""At this scale or a smaller one it is not the scale by which a gradient overflows."""
MOST_IN_A_ROW = 20
"""The first scale is 2^16 and is halved each time: more than this many times is no search any more."""


class ScaleSearch:
    """Tells the steps in which a scale is looked for from those whose gradients are bad at any scale.

    ``skipped``: how many were left out in a search. A part of checkpoints (``training.kept``).
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._in_a_row = 0

    def goes_on(self, scaler: torch.amp.GradScaler | None, *, finite: bool) -> bool:
        """Whether a step is left out by the ``scaler`` to go on with a smaller scale; told of each step.

        ``finite``: whether its gradients are.
        """
        if finite or scaler is None:
            self._in_a_row = 0
            return False
        self._in_a_row += 1
        searching = self._in_a_row <= MOST_IN_A_ROW and scaler.get_scale() > LEAST_SCALE
        self.skipped += searching
        return searching

    def state(self) -> Mapping[str, Tensor]:
        if not self.skipped and not self._in_a_row:
            return {}
        return {"counts": torch.tensor([self.skipped, self._in_a_row])}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.skipped, self._in_a_row = (int(count) for count in state["counts"])
