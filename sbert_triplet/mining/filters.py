"""Which candidates must not, or should not, be negatives.

Every filter is a function of the candidates (Q, K) and of which of them are still in, ``keep`` (Q, K);
it gives back which are left and how many it took. Filters that exclude come first, since what can
never be a negative has no rank; then the filters on scores, the window of ranks, and the choice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sbert_triplet.data.examples import FloatArray, IntArray, Ragged
from sbert_triplet.data.keys import keys, mixed
from sbert_triplet.mining.candidates import BoolArray, Candidates
from sbert_triplet.mining.forms import TextForms
from sbert_triplet.mining.links import PositiveLinks
from sbert_triplet.mining.positives import Positives

_CHOICE_PURPOSE = 42
_PAIRS_AT_ONCE = 1 << 20


class Kept(NamedTuple):
    """``mask``: (Q, K) what is left. ``removed``: how many were taken away."""

    mask: BoolArray
    removed: int


def without_self(candidates: Candidates, keep: BoolArray) -> Kept:
    """Without the query's own text."""
    return _kept(keep, candidates.documents != candidates.queries[:, None])


def without_equal(candidates: Candidates, keep: BoolArray, positives: Positives, forms: TextForms) -> Kept:
    """Without texts that equal, in normal form, the query, one of its positives, or a better candidate.

    A positive itself is left to ``without_pairs``. ``positives``: of the Q queries, in their order.
    """
    numbers = forms.number(candidates.documents)
    own = numbers == forms.number(candidates.queries)[:, None]
    pairs = positives.pairs
    rows = np.repeat(np.arange(len(positives)), positives.counts)
    forms_of_positives = np.stack([rows, forms.number(positives.texts.values)], axis=1)
    as_positive = among(np.arange(len(candidates)), numbers, forms_of_positives)
    as_positive &= ~among(candidates.queries, candidates.documents, pairs)
    equal = own | as_positive
    return _kept(keep, ~(equal | _repeats(numbers, keep & ~equal)))


def without_near_equal(
    candidates: Candidates,
    keep: BoolArray,
    positives: Positives,
    known: IntArray,
    forms: TextForms,
    threshold: float,
) -> Kept:
    """Without texts whose token Jaccard similarity with the query or a positive reaches ``threshold``.

    Pairs that are ``known`` (n, 2) to belong together are left to ``without_pairs``. ``positives``: of the Q
    queries, in their order.
    """
    queries = Positives(positives.queries, Ragged(positives.queries, np.arange(len(positives) + 1)))
    near = near_equal(candidates, keep, queries, forms, threshold)
    near |= near_equal(candidates, keep & ~near, positives, forms, threshold)
    return _kept(keep, ~near | paired(candidates, known))


def near_equal(
    candidates: Candidates, keep: BoolArray, positives: Positives, forms: TextForms, threshold: float
) -> BoolArray:
    """(Q, K) which of those kept are nearly equal to one of the query's positives, and are not it."""
    near = np.zeros_like(keep)
    rows, columns = np.nonzero(keep & candidates.there)
    pairs = positives.counts[rows]
    ends = np.cumsum(pairs)
    first = 0
    while first < len(rows):
        done = ends[first - 1] if first else 0
        last = max(first + 1, int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, side="right")))
        some, counts = rows[first:last], pairs[first:last]
        left = np.repeat(candidates.documents[some, columns[first:last]], counts)
        right = positives.texts.select(some).values
        reached = forms.jaccard(left, right, at_least=threshold) >= threshold
        hit = np.repeat(np.arange(last - first), counts)[reached & (left != right)]
        near[some[hit], columns[first:last][hit]] = True
        first = last
    return near


def without_pairs(candidates: Candidates, keep: BoolArray, pairs: IntArray) -> Kept:
    """Without documents that stand with the query in ``pairs`` (n, 2) text ids, in either order.

    Known positives, and pairs that a person marked.
    """
    return _kept(keep, ~paired(candidates, pairs))


def paired(candidates: Candidates, pairs: IntArray) -> BoolArray:
    """(Q, K) which documents stand with their query in ``pairs`` (n, 2), in either order."""
    found = among(candidates.queries, candidates.documents, pairs)
    found |= among(candidates.queries, candidates.documents, pairs[:, ::-1])
    return found


def without_transitive(candidates: Candidates, keep: BoolArray, links: PositiveLinks) -> Kept:
    """Without documents that a chain of positive links joins with the query."""
    return _kept(keep, ~links.joined(candidates.queries, candidates.documents))


def at_most(candidates: Candidates, keep: BoolArray, maximum: float) -> Kept:
    """Scores s_n <= ``maximum``."""
    return _kept(keep, candidates.scores <= maximum)


def at_least(candidates: Candidates, keep: BoolArray, minimum: float) -> Kept:
    """Scores s_n >= ``minimum``."""
    return _kept(keep, candidates.scores >= minimum)


def by_absolute_margin(candidates: Candidates, keep: BoolArray, least: FloatArray, margin: float) -> Kept:
    """s_n <= s_p - ``margin``, with s_p the ``least`` (Q,) score of the query's positives."""
    return _kept(keep, candidates.scores <= (least - margin)[:, None])


def by_relative_margin(candidates: Candidates, keep: BoolArray, least: FloatArray, margin: float) -> Kept:
    """s_n <= s_p - ``margin`` |s_p|, with s_p the ``least`` (Q,) score of the query's positives.

    With a margin of 0.05 TopK-PercPos of Moreira et al. 2024 (arXiv 2407.15831), s_n <= 0.95 s_p, in the
    form that keeps its meaning where s_p is negative.
    """
    return _kept(keep, candidates.scores <= (least - margin * np.abs(least))[:, None])


def within_ranks(candidates: Candidates, keep: BoolArray, first: int, end: int) -> Kept:
    """Ranks in [``first``, ``end``), those that the candidates have, whatever was filtered before."""
    return _kept(keep, (candidates.ranks >= first) & (candidates.ranks < end))


def top(candidates: Candidates, keep: BoolArray, count: int) -> Kept:
    """The first ``count`` of each query, in the candidates' order."""
    return _kept(keep, _number(keep) < count)


def at_random(candidates: Candidates, keep: BoolArray, count: int, *salt: int) -> Kept:
    """``count`` of each query, drawn as a function of (``salt``, query, document) alone."""
    left = keys(candidates.queries, _CHOICE_PURPOSE, *salt)[:, None]
    drawn = mixed(left ^ keys(candidates.documents.ravel(), *salt).reshape(keep.shape))
    order = np.lexsort((candidates.documents, drawn, ~keep), axis=1)
    chosen = np.zeros_like(keep)
    np.put_along_axis(chosen, order[:, :count], True, axis=1)
    return _kept(keep, chosen)


def spread(candidates: Candidates, keep: BoolArray, count: int) -> Kept:
    """``count`` of each query, evenly over those left: the middle one of each of ``count`` equal parts."""
    total = keep.sum(axis=1)[:, None]
    places = (2 * np.arange(count) + 1) * total // (2 * count)
    chosen = np.zeros((len(keep), keep.shape[1] + 1), dtype=bool)
    np.put_along_axis(chosen, np.minimum(places, keep.shape[1]), True, axis=1)
    within = np.take_along_axis(chosen, np.minimum(_number(keep), keep.shape[1]), axis=1)
    return _kept(keep, within | (total <= count))


def among(rows: IntArray, values: IntArray, pairs: IntArray) -> BoolArray:
    """(Q, K) whether (``rows[q]``, ``values[q, k]``) is one of ``pairs`` (n, 2); never for a value below 0.

    ``rows``: (Q,).
    """
    pairs = pairs[(pairs >= 0).all(axis=1)]
    if not len(pairs) or not values.size:
        return np.zeros(values.shape, dtype=bool)
    # Keys of pairs need the product of both ranges; numbering the values that occur keeps it small.
    known, places = np.unique(pairs[:, 1], return_inverse=True)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: BoolArray = known[at] == values
    found &= np.isin(rows[:, None] * len(known) + at, pairs[:, 0] * len(known) + places)
    return found


def _kept(keep: BoolArray, passing: BoolArray) -> Kept:
    mask = keep & passing
    return Kept(mask, int(keep.sum()) - int(mask.sum()))


def _number(keep: BoolArray) -> IntArray:
    """(Q, K) how many are kept before each."""
    number: IntArray = np.cumsum(keep, axis=1) - keep
    return number


def _repeats(numbers: IntArray, keep: BoolArray) -> BoolArray:
    """(Q, K) numbers that stand further left in their row, among those kept."""
    numbers = np.where(keep, numbers, -1)
    order = np.argsort(numbers, axis=1, kind="stable")
    ordered = np.take_along_axis(numbers, order, axis=1)
    again = np.zeros_like(keep)
    again[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    repeats = np.empty_like(again)
    np.put_along_axis(repeats, order, again, axis=1)
    return repeats
