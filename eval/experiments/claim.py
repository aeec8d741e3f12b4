"""What an experiment is: ways to train that differ in one thing, on sets, and claims about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Settings = Mapping[str, Any]
Says = Literal["better", "same", "collapses"]
SEEDS = (1, 2, 3)
"""Of the whole plan."""
LEARNING_RATE = 5e-5
OVERHEAD = 22.0
"""Seconds of a run beside its training: loading, tokens, both measurements, saving, the report."""


@dataclass(frozen=True)
class Variant:
    """One way to train. ``loss``, ``train``, ``mine``, ``curriculum``: sections of its recipe.

    ``miner``: the loss's, on labelled text; rows that bring their negatives need none. ``matched``: the
    margin is that which as many triplets violate before training as violate ``matching.COSINE_MARGIN`` under
    cosine. ``pace``: at equal time, variants of one pace cost the same a step. ``first``: the miner of a run
    over the first third of the steps, after which another one goes on with its weights. ``open``: the
    encoder without the module that brings embeddings to length 1. ``sets``: None for those of the experiment.
    """

    words: str
    loss: Settings
    miner: str | None = None
    matched: bool = False
    pace: str = ""
    first: str | None = None
    open: bool = False
    train: Settings = field(default_factory=dict)
    mine: Settings | None = None
    curriculum: Settings | None = None
    sets: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Claim:
    """A sentence that the field commonly asserts, and what it says of two variants, or of one.

    ``better``: ``one`` does better than ``other``. ``same``: they do equally well. ``collapses``: training
    ``one`` brings all embeddings together. ``sets``: None for all on which both are trained.
    """

    sentence: str
    source: str
    one: str
    other: str = ""
    says: Says = "better"
    sets: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Experiment:
    """``name`` of its file and results. All runs have as many ``steps``, by set, or train for as many
    ``seconds``, or see as many ``rows``. ``seconds_a_run``: of training, as planned.
    """

    name: str
    title: str
    sets: tuple[str, ...]
    variants: Mapping[str, Variant]
    claims: tuple[Claim, ...]
    seconds_a_run: float
    steps: Mapping[str, int] | None = None
    seconds: float | None = None
    rows: int | None = None

    def __post_init__(self) -> None:
        if sum(given is not None for given in (self.steps, self.seconds, self.rows)) != 1:
            raise ValueError(f"{self.name}: give steps, seconds or rows, and one of them")

    def sets_of(self, name: str) -> tuple[str, ...]:
        """The sets that a variant is trained on."""
        return self.variants[name].sets or self.sets

    def sets_for(self, claim: Claim) -> tuple[str, ...]:
        """The sets that a claim is tested on."""
        both = [set(self.sets_of(name)) for name in (claim.one, claim.other) if name]
        return tuple(name for name in claim.sets or self.sets if all(name in sets for sets in both))

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Every set with every variant that is trained on it."""
        return [(each, name) for each in self.sets for name in self.variants if each in self.sets_of(name)]

    @property
    def planned_runs(self) -> int:
        return len(self.cells) * len(SEEDS)

    @property
    def planned_minutes(self) -> int:
        """Of all runs together, on two cores."""
        longer = sum(1 for _, name in self.cells if self.variants[name].first) * len(SEEDS)
        return round((self.planned_runs * (self.seconds_a_run + OVERHEAD) + longer * OVERHEAD) / 60)

    def settings(self, name: str) -> dict[str, Any]:
        """What runs of a variant must have in common to be put together."""
        given = {key: value for key, value in asdict(self.variants[name]).items() if key != "words"}
        limits = {"steps": self.steps, "seconds": self.seconds, "rows": self.rows}
        return {
            **given,
            "sets": list(self.sets_of(name)),
            **{k: v for k, v in limits.items() if v is not None},
        }
