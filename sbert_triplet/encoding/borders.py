"""Where the texts of a pack lie, and which tokens of its text a token sees."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

PADDED_SHARE = 0.25
"""Of a group of like length: how much of it may be padding."""


@dataclass(frozen=True)
class Scope:
    """Which tokens of its text a token sees: all, only those before it, or ``reach`` of them on each side."""

    causal: bool = False
    reach: int | None = None

    def limits(self, length: int) -> bool:
        """Whether the reach matters in a text of ``length`` tokens."""
        return self.reach is not None and self.reach < length - 1

    def mask(self, length: int, device: torch.device) -> Tensor:
        """(L, L) bool of what is seen."""
        return _band(length, self.reach if self.limits(length) else None, self.causal, device)


@dataclass(frozen=True)
class Rule:
    """How a layer attends: what it sees, the ``dropout`` of its shares, the ``scale`` of its scores."""

    scope: Scope = Scope()
    dropout: float = 0.0
    scale: float | None = None


class Group(NamedTuple):
    """``texts`` neighbours of a pack that are computed at once, the longest of ``longest`` tokens."""

    start: int
    texts: int
    longest: int
    tokens: int


@dataclass
class Borders:
    """Where the texts of a pack lie. ``lengths``: the tokens of each, in the order of the pack."""

    lengths: tuple[int, ...]
    asked: int = 0
    """How many layers asked for attention within these borders."""

    @cached_property
    def tokens(self) -> int:
        return sum(self.lengths)

    @cached_property
    def equal(self) -> tuple[Group, ...]:
        """Neighbours of equal length: nothing is padded and nothing masked."""
        groups, first = [], 0
        for length, same in groupby(self.lengths):
            texts = sum(1 for _ in same)
            groups.append(Group(first, texts, length, texts * length))
            first += texts
        return tuple(groups)

    @cached_property
    def alike(self) -> tuple[Group, ...]:
        """Neighbours of like length, of which at most a quarter would be padding."""
        groups: list[Group] = []
        for group in self.equal:
            joined = _joined(groups[-1], group) if groups else None
            if joined is not None and joined.tokens >= (1 - PADDED_SHARE) * joined.texts * joined.longest:
                groups[-1] = joined
            else:
                groups.append(group)
        return tuple(groups)

    def ends(self, device: torch.device) -> Tensor:
        """(n + 1,) int32: where each text begins, and the end."""
        kept = self._ends.get(device)
        if kept is None:
            lengths = torch.tensor([0, *self.lengths], dtype=torch.int32)
            kept = self._ends[device] = lengths.cumsum(0, dtype=torch.int32).to(device)
        return kept

    def in_rectangle(self, group: Group, device: torch.device) -> tuple[Tensor, Tensor]:
        """Where the tokens of a group stand, text by text, in its padded rectangle.

        (t,) places among the texts times longest ones, and (texts, longest) bool of those that are taken.
        """
        kept = self._rectangles.get((group, device))
        if kept is None:
            # What is made in inference mode cannot be kept for a gradient later.
            with torch.inference_mode(False):
                lengths = torch.tensor(self.lengths[group.start : group.start + group.texts])
                real = torch.arange(group.longest)[None] < lengths[:, None]
                places = real.flatten().nonzero().flatten()
                kept = self._rectangles[group, device] = places.to(device), real.to(device)
        return kept

    @cached_property
    def _rectangles(self) -> dict[tuple[Group, torch.device], tuple[Tensor, Tensor]]:
        return {}

    @cached_property
    def _ends(self) -> dict[torch.device, Tensor]:
        return {}


@lru_cache(maxsize=8)
def _band(length: int, reach: int | None, causal: bool, device: torch.device) -> Tensor:
    """(L, L) bool: the key is no farther from the query than ``reach``, and not after it where causal."""
    places = torch.arange(length, device=device)
    ahead = places[None] - places[:, None]
    seen = torch.ones(length, length, dtype=torch.bool, device=device)
    if reach is not None:
        seen &= ahead.abs() <= reach
    return seen & (ahead <= 0) if causal else seen


def _joined(first: Group, second: Group) -> Group:
    return Group(
        first.start,
        first.texts + second.texts,
        max(first.longest, second.longest),
        first.tokens + second.tokens,
    )
