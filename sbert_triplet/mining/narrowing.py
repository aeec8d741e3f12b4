"""Of the candidates that may be negatives, those that should be."""

from __future__ import annotations

from sbert_triplet.data.examples import FloatArray
from sbert_triplet.mining import filters
from sbert_triplet.mining.candidates import BoolArray, Candidates
from sbert_triplet.mining.rules import Rules


def narrowed(
    candidates: Candidates, keep: BoolArray, least: FloatArray, rules: Rules, spared: BoolArray
) -> tuple[BoolArray, dict[str, int]]:
    """(Q, K) what the filters on scores and the window of ranks leave, and how many each took.

    ``least``: (Q,) the least score of each query's positives. ``spared``: (Q, K) what no filter takes.
    """
    removed: dict[str, int] = {}

    def after(name: str, kept: filters.Kept) -> BoolArray:
        left = kept.mask | (keep & spared)
        removed[name] = int(keep.sum()) - int(left.sum())
        return left

    if rules.max_score is not None:
        keep = after("max_score", filters.at_most(candidates, keep, rules.max_score))
    if rules.min_score is not None:
        keep = after("min_score", filters.at_least(candidates, keep, rules.min_score))
    if rules.absolute_margin is not None:
        margin = rules.absolute_margin
        keep = after("absolute_margin", filters.by_absolute_margin(candidates, keep, least, margin))
    if rules.relative_margin is not None:
        margin = rules.relative_margin
        keep = after("relative_margin", filters.by_relative_margin(candidates, keep, least, margin))
    keep = after("rank_window", filters.within_ranks(candidates, keep, rules.range_min, rules.depth))
    return keep, removed


def chosen(candidates: Candidates, keep: BoolArray, rules: Rules, salt: tuple[int, ...]) -> BoolArray:
    """(Q, K) at most ``rules.negatives`` of each query, chosen as ``rules.choice`` says."""
    if rules.choice == "random":
        return filters.at_random(candidates, keep, rules.negatives, *salt).mask
    if rules.choice == "spread":
        return filters.spread(candidates, keep, rules.negatives).mask
    return filters.top(candidates, keep, rules.negatives).mask
