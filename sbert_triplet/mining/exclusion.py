"""What can never be a negative of a query, whatever its score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbert_triplet.data.examples import IntArray
from sbert_triplet.mining import filters
from sbert_triplet.mining.candidates import BoolArray, Candidates
from sbert_triplet.mining.forms import TextForms
from sbert_triplet.mining.links import PositiveLinks
from sbert_triplet.mining.marks import Marks
from sbert_triplet.mining.positives import Positives


@dataclass(frozen=True)
class Excluded:
    """``keep``: (Q, K) what is left. ``removed``: by filter, in the order they ran, (Q, K) what it took."""

    keep: BoolArray
    removed: dict[str, BoolArray]


@dataclass(frozen=True)
class Exclusion:
    """``positives``: of all queries. ``known``: (n, 2) pairs that are no negatives. ``links``: None without
    transitive positives; ``near_equal``: None without near-equal texts.
    """

    positives: Positives
    forms: TextForms
    known: IntArray
    marks: Marks
    links: PositiveLinks | None
    near_equal: float | None

    def __call__(self, candidates: Candidates, rows: IntArray) -> Excluded:
        """``rows``: (Q,) which of all queries the candidates are of."""
        positives = self.positives.select(rows)
        judged = filters.among(candidates.queries, candidates.documents, self.marks.negatives)
        keep, removed = candidates.there, dict[str, BoolArray]()

        def after(name: str, kept: filters.Kept, spared: BoolArray | None = None) -> BoolArray:
            left = kept.mask if spared is None else kept.mask | (keep & spared)
            removed[name] = keep & ~left
            return left

        keep = after("self", filters.without_self(candidates, keep))
        keep = after("equal", filters.without_equal(candidates, keep, positives, self.forms))
        if self.near_equal is not None:
            kept = filters.without_near_equal(
                candidates, keep, positives, self.known, self.forms, self.near_equal
            )
            keep = after("near_equal", kept, judged)
        keep = after("known_positive", filters.without_pairs(candidates, keep, self.known))
        if len(self.marks.blocked):
            keep = after("marked", filters.without_pairs(candidates, keep, self.marks.blocked))
        if self.links is not None:
            keep = after("transitive", filters.without_transitive(candidates, keep, self.links), judged)
        return Excluded(keep, removed)


def typical_exclusions(positives: Positives) -> int:
    """How many documents are excluded for most queries: how much deeper than needed a search looks first."""
    return 1 + int(np.quantile(positives.counts, 0.95)) if len(positives) else 1
