"""What the mining benchmark measures: ways of mining, sizes, and the figures aimed at."""

from __future__ import annotations

from dataclasses import dataclass

SIZES, QUERIES = (10_000, 100_000, 300_000), 20_000
NEGATIVES, WINDOW, MARGIN = 4, 40, 0.05
"""Negatives of a query, ranks that they are taken from, and the relative margin where there is one."""
MEMORY = 1 << 30
"""What a recipe gives the search by default, in bytes."""


@dataclass(frozen=True)
class Way:
    """Who mines, and how.

    ``ours``: this package, else sentence-transformers, which takes ``queries_at_once``, with ``faiss`` or
    without. ``margin``: relative margin. ``all_filters``: near-equal texts and chains of positives too.
    ``repeated``: timed in every round; the others are there for their answers.
    """

    words: str
    ours: bool = False
    faiss: bool = False
    queries_at_once: int = 16384
    margin: float | None = None
    all_filters: bool = False
    repeated: bool = True


WAYS = {
    "ours": Way("this package", ours=True),
    "st": Way("ST"),
    "ours filters": Way("this package, all filters", ours=True, margin=MARGIN, all_filters=True),
    "st blocks": Way("ST, 1,024 queries at once", queries_at_once=1024),
    "st faiss": Way("ST with faiss", faiss=True),
    "ours margin": Way("this package, margin", ours=True, margin=MARGIN, repeated=False),
    "st margin": Way("ST with faiss, margin", faiss=True, margin=MARGIN, repeated=False),
}
WITHOUT_FAISS = ("st", "st blocks")
SAME_RULES = (("ours", "st"), ("ours", "st blocks"), ("ours", "st faiss"), ("ours margin", "st margin"))
"""Ways whose negatives have to be the same."""
OTHER_RULES = ("ours filters", "st margin")
"""Ways that differ by filters which only this package has."""

AT = 100_000
"""The size for which the speeds of the search are aimed at."""
FASTER, FASTER_THAN_FAISS, PEAK, SECOND = 2.0, 1.0, 1 << 30, 0.05
"""Times as fast as ST without faiss, and with it; bytes above the embeddings; the second run's share."""
