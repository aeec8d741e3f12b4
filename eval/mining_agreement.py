"""Whether two ways of mining gave the same negatives, and for how many queries not, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from mining_cases import NEGATIVES
from mining_search import Answer
from numpy.typing import NDArray

ROUNDING = 2e-6
"""Scores that differ by so little are equal: both are float32 products, made in another order."""
REASONS = ("rounding", "window", "other")


@dataclass(frozen=True)
class _Lists:
    """Of one query, the scores of what only one of two ways chose, and whether each could have given more."""

    ours: list[float]
    theirs: list[float]
    ours_short: bool
    bound: float | None

    def reason(self) -> str:
        """Why they differ.

        ``rounding``: what was swapped scores the same, or lies on the bound of the margin. ``window``: ours
        has come to the end of its ranks, which are counted without the query's positive, where
        sentence-transformers looks at one more if the positive is not among them. ``other``: neither.
        """
        ours, theirs = _without_pairs(self.ours, self.theirs)
        if not ours and not theirs:
            return "rounding"
        bound = self.bound
        if bound is not None and any(abs(score - bound) <= ROUNDING for score in [*ours, *theirs]):
            return "rounding"
        return "window" if not ours and self.ours_short else "other"


def _without_pairs(first: list[float], second: list[float]) -> tuple[list[float], list[float]]:
    """Without scores that stand, but for rounding, in both lists."""
    left, right = [], sorted(second)
    for score in sorted(first):
        place = next((at for at, other in enumerate(right) if abs(other - score) <= ROUNDING), None)
        if place is None:
            left.append(score)
        else:
            right.pop(place)
    return left, right


def agreement(ours: Answer, theirs: Answer, margin: float | None) -> dict[str, int]:
    """How many ``queries`` have the ``same`` negatives in any order, and of the others how many for which
    reason. ``margin``: the relative margin that both were given.
    """
    different = differing(ours, theirs)
    found = {"queries": len(ours.documents), "same": int((~different).sum()), **dict.fromkeys(REASONS, 0)}
    for query in np.flatnonzero(different).tolist():
        positive = float(ours.positives[query])
        lists = _Lists(
            _only(ours, theirs, query),
            _only(theirs, ours, query),
            bool((ours.documents[query] >= 0).sum() < NEGATIVES),
            None if margin is None else positive - margin * abs(positive),
        )
        found[lists.reason()] += 1
    return found


def differing(first: Answer, second: Answer) -> NDArray[np.bool_]:
    """(Q,) whether a query has other negatives."""
    one, two = np.sort(first.documents, axis=1), np.sort(second.documents, axis=1)
    different: NDArray[np.bool_] = (one != two).any(axis=1)
    return different


def _only(first: Answer, second: Answer, query: int) -> list[float]:
    """The scores of what only the first chose for a query."""
    mine = (first.documents[query] >= 0) & ~np.isin(first.documents[query], second.documents[query])
    scores: list[float] = first.scores[query][mine].tolist()
    return scores
