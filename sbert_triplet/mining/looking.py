"""Searching until the window of ranks is full, however much is excluded, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sbert_triplet.data.examples import IntArray
from sbert_triplet.mining.candidates import BoolArray, Candidates
from sbert_triplet.mining.exclusion import Exclusion, typical_exclusions
from sbert_triplet.mining.search import Search

# Ids, scores, ranks, masks and the copies that ordering makes.
_BYTES_PER_CANDIDATE = 200


@dataclass(frozen=True)
class Looked:
    """``rows``: (Q,) which of all queries. ``candidates``: (Q, depth) those that may be negatives, ranked
    among themselves. ``looked_at``: how many stood down to the last of them, ``removed``: how many of these
    each exclusion took. ``found`` and ``near_equal``: (Q, K) what the search gave, and which of it, down to
    the same place, was left out because it is nearly equal to the query or a positive.
    """

    rows: IntArray
    candidates: Candidates
    looked_at: int
    removed: dict[str, int]
    found: Candidates
    near_equal: BoolArray


def look(search: Search, exclusion: Exclusion, depth: int, memory_bytes: int) -> Iterator[Looked]:
    """Candidates of all queries of ``exclusion.positives``, ``depth`` of each after exclusions.

    A query has fewer only where the search has no more. Queries come in blocks, those for which more
    had to be looked through later than the others.
    """
    queries = np.arange(len(exclusion.positives))
    return _look(
        search, exclusion, queries, depth, depth + typical_exclusions(exclusion.positives), memory_bytes
    )


def _look(
    search: Search, exclusion: Exclusion, rows: IntArray, depth: int, k: int, memory_bytes: int
) -> Iterator[Looked]:
    k = min(k, len(search.documents))
    block = max(1, memory_bytes // (_BYTES_PER_CANDIDATE * max(k, 1)))
    for first in range(0, len(rows), block):
        some = rows[first : first + block]
        found = search(exclusion.positives.queries[some], k)
        excluded = exclusion(found, some)
        full = excluded.keep.sum(axis=1) >= depth
        at_an_end = (found.there.sum(axis=1) < k) | (k >= len(search.documents))
        ready = full | at_an_end
        if ready.any():
            masks = {name: mask[ready] for name, mask in excluded.removed.items()}
            yield _looked(some[ready], found.select(ready), excluded.keep[ready], masks, depth)
        if not ready.all():
            yield from _look(search, exclusion, some[~ready], depth, 2 * k, memory_bytes)


def _looked(
    rows: IntArray, found: Candidates, keep: BoolArray, removed: dict[str, BoolArray], depth: int
) -> Looked:
    # What stands behind the last candidate that is taken was not needed and is not counted.
    within = found.there & (np.cumsum(keep, axis=1) - keep < depth)
    none = np.zeros_like(keep)
    return Looked(
        rows=rows,
        candidates=found.compacted(keep, depth),
        looked_at=int(within.sum()),
        removed={name: int((mask & within).sum()) for name, mask in removed.items()},
        found=found,
        near_equal=removed.get("near_equal", none) & within,
    )
