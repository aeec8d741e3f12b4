"""What a negative must satisfy, and how many candidates each rule took."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from sbert_triplet.data.wording import percent
from sbert_triplet.errors import InputError

Choice = Literal["top", "random", "spread"]
CHOICES = ("top", "random", "spread")
DEEPER = 10
"""How many candidates are looked at for each negative, where no end of the ranks is given."""


@dataclass(frozen=True)
class Rules:
    """Scores: s_n of a candidate with the query, s_p the least of the query's positives.

    ``negatives``: at most so many a query; ``choice``: the ``top`` ones, ``random`` ones, or ones that are
    ``spread`` evenly over those left. ``range_min`` and ``range_max``: ranks from 0 in [range_min, range_max)
    of what the search found, after exclusions (the query itself, equal and near-equal texts, positives,
    marks: none of them takes a rank) and before the filters on scores; without ``range_max`` 10 for
    each negative. ``max_score``, ``min_score``: bounds of s_n. ``absolute_margin`` d: s_n <= s_p - d.
    ``relative_margin`` m: s_n <= s_p - m |s_p|. ``near_equal``: token Jaccard similarity from which on
    two texts count as the same, None to look at equal texts only. ``transitive_hops`` and
    ``transitive_size``: as ``hops`` and ``largest`` of ``links.PositiveLinks``; 0 hops switches it off.

    Raises InputError for values that contradict each other or that no score can have.
    """

    negatives: int = 1
    choice: Choice = "top"
    range_min: int = 0
    range_max: int | None = None
    max_score: float | None = None
    min_score: float | None = None
    absolute_margin: float | None = None
    relative_margin: float | None = None
    near_equal: float | None = 0.9
    transitive_hops: int | None = 3
    transitive_size: int | None = 1000

    def __post_init__(self) -> None:
        if self.choice not in CHOICES:
            raise InputError(f"choice is {self.choice!r}: it is one of {', '.join(CHOICES)}")
        self._check_ranks()
        self._check_scores()
        if self.near_equal is not None and not 0 < self.near_equal <= 1:
            raise InputError(f"near_equal is {self.near_equal}: a share of words above 0 and at most 1")
        if self.transitive_hops is not None and self.transitive_hops < 0:
            raise InputError(f"transitive_hops is {self.transitive_hops}: it must be 0 or more")
        if self.transitive_size is not None and self.transitive_size < 2:
            raise InputError(f"transitive_size is {self.transitive_size}: it must be 2 or more")

    @property
    def depth(self) -> int:
        """The end of the window of ranks."""
        return self.range_min + DEEPER * self.negatives if self.range_max is None else self.range_max

    def _check_ranks(self) -> None:
        if self.negatives < 1:
            raise InputError(f"negatives is {self.negatives}: at least 1 is mined")
        if self.range_min < 0:
            raise InputError(f"range_min is {self.range_min}: ranks count from 0")
        if self.range_min >= self.depth:
            raise InputError(
                f"range_min {self.range_min} and range_max {self.range_max}: no rank lies between them; "
                "range_max must be larger"
            )
        if self.negatives > self.depth - self.range_min:
            raise InputError(
                f"negatives is {self.negatives}, and from range_min {self.range_min} to range_max "
                f"{self.range_max} there are {self.depth - self.range_min} ranks: widen the range or ask for "
                "fewer"
            )

    def _check_scores(self) -> None:
        for name in ("max_score", "min_score", "absolute_margin", "relative_margin"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise InputError(f"{name} is {value}: it must be a finite number")
        if self.relative_margin is not None and self.relative_margin < 0:
            raise InputError(
                f"relative_margin is {self.relative_margin}: it must be 0 or more; 0.05 asks for a score at "
                "most 95 % of the positive's"
            )
        if self.max_score is not None and self.min_score is not None and self.min_score > self.max_score:
            raise InputError(
                f"min_score {self.min_score} is above max_score {self.max_score}: no score lies between them"
            )


@dataclass(frozen=True)
class FilterCounts:
    """``queries``: how many. ``looked_at``: their candidates, down to the end of the window of ranks.
    ``removed``: by each filter, in the order in which they ran. ``chosen``: what was given of ``asked``.
    ``short``: queries with fewer than asked, ``empty``: queries with none.
    """

    queries: int = 0
    looked_at: int = 0
    removed: dict[str, int] = field(default_factory=dict)
    chosen: int = 0
    asked: int = 0
    short: int = 0
    empty: int = 0

    def __add__(self, other: FilterCounts) -> FilterCounts:
        names = [*self.removed, *(name for name in other.removed if name not in self.removed)]
        return FilterCounts(
            queries=self.queries + other.queries,
            looked_at=self.looked_at + other.looked_at,
            removed={name: self.removed.get(name, 0) + other.removed.get(name, 0) for name in names},
            chosen=self.chosen + other.chosen,
            asked=self.asked + other.asked,
            short=self.short + other.short,
            empty=self.empty + other.empty,
        )

    @property
    def left(self) -> int:
        """Candidates that no filter took; the negatives are chosen among them."""
        return self.looked_at - sum(self.removed.values())

    def lines(self) -> list[str]:
        """For people: one line for each filter that took something."""
        taken = [
            f"  {count:>12,} {name} ({percent(count / max(self.looked_at, 1), 1)})"
            for name, count in self.removed.items()
            if count
        ]
        lines = [f"{self.looked_at:,} candidates of {self.queries:,} queries; taken away:", *taken]
        lines += ["  nothing"] if not taken else []
        lines.append(f"{self.chosen:,} negatives chosen of {self.left:,} left; {self.asked:,} were asked for")
        if self.short:
            lines.append(f"{self.short:,} queries have fewer than asked, {self.empty:,} of them none")
        return lines

    def as_json(self) -> dict[str, Any]:
        """The same as a dictionary for JSON."""
        return {
            "queries": self.queries,
            "looked_at": self.looked_at,
            "removed": dict(self.removed),
            "left": self.left,
            "chosen": self.chosen,
            "asked": self.asked,
            "queries_with_fewer": self.short,
            "queries_with_none": self.empty,
        }
