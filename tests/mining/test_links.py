"""Chains of positive links, against a walk from each text."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.mining import links as module
from sbert_triplet.mining.links import PositiveLinks


def walked(pairs: list[tuple[int, int]], start: int) -> dict[int, int]:
    """Hops to everything that is joined with ``start``."""
    beside = defaultdict(set)
    for a, b in pairs:
        beside[a].add(b)
        beside[b].add(a)
    hops, frontier = {start: 0}, [start]
    while frontier:
        frontier = [b for a in frontier for b in beside[a] if hops.setdefault(b, hops[a] + 1) == hops[a] + 1]
        frontier = list(dict.fromkeys(frontier))
    return hops if beside[start] else {}


pair_lists = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=14)


@settings(deadline=None)
@given(pair_lists, st.one_of(st.none(), st.integers(1, 5)), st.one_of(st.none(), st.integers(2, 8)))
def test_joined_equals_a_walk(pairs: list[tuple[int, int]], hops: int | None, largest: int | None) -> None:
    queries = np.arange(11)
    documents = np.tile(np.arange(-1, 12), (11, 1))
    links = PositiveLinks(np.array(pairs, dtype=np.int64).reshape(-1, 2), hops=hops, largest=largest)
    found = links.joined(queries, documents)
    for query in range(11):
        reached = walked(pairs, query)
        if largest is not None and len(reached) > largest:
            reached = {}
        expected = {text for text, far in reached.items() if hops is None or far <= hops}
        assert set(documents[query][found[query]].tolist()) == expected


def test_a_chain_ends_after_three_hops() -> None:
    """Query 0 has positive 10, which query 1 shares, whose other positive 11 is query 2's as well."""
    pairs = np.array([[0, 10], [1, 10], [1, 11], [2, 11], [2, 12]])
    documents = np.array([[10, 11, 12, 1, 99]])
    near = PositiveLinks(pairs).joined(np.array([0]), documents)
    assert near.tolist() == [[True, True, False, True, False]]
    far = PositiveLinks(pairs, hops=None).joined(np.array([0]), documents)
    assert far.tolist() == [[True, True, True, True, False]]


def test_components_that_are_too_large_are_not_used_and_counted() -> None:
    pairs = np.array([[0, 10], [1, 10], [2, 10], [5, 15]])
    links = PositiveLinks(pairs, largest=3)
    assert links.too_large == 1
    assert links.joined(np.array([0, 5]), np.array([[10, 1], [15, 0]])).tolist() == [
        [False, False],
        [True, False],
    ]


def test_many_queries_are_walked_from_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 60, size=(40, 2))
    documents = np.tile(np.arange(60), (60, 1))
    whole = PositiveLinks(pairs, hops=2).joined(np.arange(60), documents)
    monkeypatch.setattr(module, "_QUERIES_AT_ONCE", 7)
    assert (PositiveLinks(pairs, hops=2).joined(np.arange(60), documents) == whole).all()
    assert 0 < whole.sum() < whole.size
