"""How many steps a run has."""

from __future__ import annotations

from dataclasses import dataclass

from sbert_triplet.pipeline.decide import choose_epochs
from sbert_triplet.recipe.model import Recipe


@dataclass(frozen=True)
class Pace:
    """What takes time in training: a step ``per_step`` seconds; what is done after every ``every`` steps but
    the last, ``between`` seconds; ``every`` is None where there is nothing of that kind.
    """

    per_step: float
    every: int | None = None
    between: float = 0.0

    def pauses(self, steps: int) -> int:
        """How often something is done between the steps of a run of so many."""
        return 0 if self.every is None else max(steps - 1, 0) // self.every

    def seconds(self, steps: int) -> float:
        """What so many steps take, with what is done between them."""
        return steps * self.per_step + self.pauses(steps) * self.between

    def steps_within(self, seconds: float) -> int:
        """The most steps that ``seconds`` are enough for."""
        if self.every is None:
            return int(seconds / self.per_step)
        turns = int(seconds // (self.every * self.per_step + self.between))
        left = seconds - turns * (self.every * self.per_step + self.between)
        return turns * self.every + min(int(left / self.per_step), self.every)


def choose_steps(recipe: Recipe, rows: int, per_epoch: int, pace: Pace) -> int:
    """The steps of the recipe's epochs, or fewer where its other limits come first; at least 1."""
    limits = [max(round(choose_epochs(recipe, rows) * per_epoch), 1)]
    if recipe.train.max_steps is not None:
        limits.append(recipe.train.max_steps)
    if recipe.train.max_seconds is not None:
        limits.append(max(pace.steps_within(recipe.train.max_seconds), 1))
    return min(limits)
