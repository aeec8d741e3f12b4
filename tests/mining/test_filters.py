"""Every filter by a case made by hand, and all of them by what they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.mining import filters
from sbert_triplet.mining.candidates import Candidates, Source
from sbert_triplet.mining.filters import Kept
from sbert_triplet.mining.forms import TextForms
from sbert_triplet.mining.links import PositiveLinks
from sbert_triplet.mining.positives import Positives


def found(
    queries: list[int], documents: list[list[int]], scores: list[list[float]] | None = None
) -> Candidates:
    """Candidates of the queries; without scores 1.0, 0.9, 0.8, ..."""
    ids = np.array(documents, dtype=np.int64)
    values = np.array(scores) if scores else np.broadcast_to(1 - np.arange(ids.shape[1]) / 10, ids.shape)
    return Candidates.found(np.array(queries), ids, values.astype(np.float32), Source.DENSE)


def left(candidates: Candidates, kept: Kept) -> list[list[int]]:
    """The documents that are left; what was removed is the rest."""
    assert kept.removed == candidates.there.sum() - kept.mask.sum()
    return [row[mask].tolist() for row, mask in zip(candidates.documents, kept.mask, strict=True)]


def positives(*rows: tuple[int, int]) -> Positives:
    return Positives.of(np.array(rows, dtype=np.int64))


NOTHING = np.zeros((0, 2), dtype=np.int64)


@pytest.fixture
def forms() -> TextForms:
    texts = [
        "how to reset a password",  # 0, the query
        "open settings and choose reset password there",  # 1, its positive
        "  Open settings   and CHOOSE reset\tpassword there ",  # 2, a white-space variant of 1
        "open settings and choose reset password here",  # 3, 6 of 8 words of 1
        "How To Reset A Password",  # 4, the query's words
        "something else",  # 5
        "Something  Else",  # 6
        "another query",  # 7
    ]
    return TextForms(lambda ids: [texts[i] for i in ids])


def test_the_query_itself() -> None:
    candidates = found([3, 4], [[3, 4, 5], [3, 4, 5]])
    assert left(candidates, filters.without_self(candidates, candidates.there)) == [[4, 5], [3, 5]]


def test_equal_texts_of_query_positive_and_better_candidate(forms: TextForms) -> None:
    candidates = found([0, 7], [[1, 2, 3, 4, 5, 6], [1, 2, 6, 5, 4, 0]])
    kept = filters.without_equal(candidates, candidates.there, positives((0, 1), (7, 5)), forms)
    # Of the second query 6 equals the positive 5, which is left to the filter of known positives.
    assert left(candidates, kept) == [[1, 3, 5], [1, 5, 4]]


def test_what_was_removed_does_not_hide_its_equals(forms: TextForms) -> None:
    candidates = found([7], [[5, 6, 3]])
    keep = np.array([[False, True, True]])
    kept = filters.without_equal(candidates, keep, positives((7, 3)), forms)
    assert candidates.documents[kept.mask].tolist() == [6, 3]


@pytest.mark.parametrize(("threshold", "expected"), [(0.7, [1, 5]), (0.75, [1, 5]), (0.76, [1, 3, 5])])
def test_near_equal_at_the_threshold(forms: TextForms, threshold: float, expected: list[int]) -> None:
    """Six words shared of eight: 0.75."""
    candidates = found([0], [[1, 2, 3, 4, 5]])
    kept = filters.without_near_equal(
        candidates, candidates.there, positives((0, 1)), NOTHING, forms, threshold
    )
    assert left(candidates, kept) == [expected]


def test_near_equal_to_any_of_several_positives(forms: TextForms, monkeypatch: pytest.MonkeyPatch) -> None:
    candidates = found([0, 7], [[3, 5, 2], [3, 2, 0]])
    several = positives((0, 5), (0, 7), (0, 1), (7, 4))
    expected = [[False, True, False], [True, True, False]]
    assert (
        filters.without_near_equal(candidates, candidates.there, several, NOTHING, forms, 0.7).mask.tolist()
        == expected
    )
    monkeypatch.setattr(filters, "_PAIRS_AT_ONCE", 2)
    assert (
        filters.without_near_equal(candidates, candidates.there, several, NOTHING, forms, 0.7).mask.tolist()
        == expected
    )


def test_known_positives_are_not_nearly_equal_texts(forms: TextForms) -> None:
    """3 shares six of eight words with the positive 1, and is known to belong to the query itself."""
    candidates = found([0], [[1, 3, 4, 5]])
    for known in (np.array([[0, 3]]), np.array([[3, 0]])):
        kept = filters.without_near_equal(candidates, candidates.there, positives((0, 1)), known, forms, 0.7)
        assert left(candidates, kept) == [[1, 3, 5]]


def test_known_positives_in_either_order() -> None:
    candidates = found([1, 2, 3], [[10, 11, 12], [10, 11, 12], [10, 11, -1]])
    pairs = np.array([[1, 10], [12, 1], [2, 11], [99, 10], [10, 12]])
    assert left(candidates, filters.without_pairs(candidates, candidates.there, pairs)) == [
        [11],
        [10, 12],
        [10, 11],
    ]
    assert filters.without_pairs(candidates, candidates.there, NOTHING).removed == 0


def test_transitive_positives() -> None:
    candidates = found([0], [[10, 11, 12]])
    links = PositiveLinks(np.array([[0, 10], [1, 10], [1, 11]]))
    assert left(candidates, filters.without_transitive(candidates, candidates.there, links)) == [[12]]


def test_bounds_of_scores_include_their_ends() -> None:
    candidates = found([0], [[1, 2, 3, 4]], [[0.75, 0.5, -0.25, -0.5]])
    keep = candidates.there
    assert left(candidates, filters.at_most(candidates, keep, 0.5)) == [[2, 3, 4]]
    assert left(candidates, filters.at_least(candidates, keep, -0.25)) == [[1, 2, 3]]
    assert filters.at_least(candidates, np.array([[False, True, True, True]]), -0.25).removed == 1


def test_absolute_margin_against_the_positive() -> None:
    candidates = found([0, 1], [[2, 3, 4], [2, 3, 4]], [[0.75, 0.5, 0.25], [0.75, 0.5, 0.25]])
    kept = filters.by_absolute_margin(candidates, candidates.there, np.array([0.75, 0.25]), 0.25)
    assert left(candidates, kept) == [[3, 4], []]


def test_relative_margin_keeps_its_meaning_below_zero() -> None:
    """For s_p = -0.5 and m = 0.5 the bound is -0.75; multiplying by 1 - m would let -0.25 through."""
    scores = [[0.6, 0.5, 0.4], [-0.25, -0.75, -0.8]]
    candidates = found([0, 1], [[2, 3, 4], [2, 3, 4]], scores)
    kept = filters.by_relative_margin(candidates, candidates.there, np.array([1.0, -0.5]), 0.5)
    assert left(candidates, kept) == [[3, 4], [3, 4]]


def test_margins_are_measured_against_the_least_of_several_positives() -> None:
    several = positives((5, 10), (5, 11), (6, 10))
    assert several.least(np.array([0.9, 0.4, 0.7])).tolist() == [0.4, 0.7]
    assert several.greatest(np.array([0.9, 0.4, 0.7])).tolist() == [0.9, 0.7]
    assert several.least_texts(np.array([0.9, 0.4, 0.7])).tolist() == [11, 10]


def test_the_window_is_over_ranks_whatever_was_filtered_before() -> None:
    candidates = found([0], [[10, 11, 12, 13, 14]])
    keep = np.array([[False, False, True, True, True]])
    kept = filters.within_ranks(candidates, keep, 1, 4)
    assert (candidates.documents[kept.mask].tolist(), kept.removed) == ([12, 13], 1)


def test_top_takes_the_first_of_those_kept() -> None:
    candidates = found([0, 1], [[10, 11, 12], [10, 11, 12]])
    keep = np.array([[False, True, True], [False, False, True]])
    assert filters.top(candidates, keep, 1).mask.tolist() == [[False, True, False], [False, False, True]]


@pytest.mark.parametrize(
    ("total", "count", "expected"),
    [(6, 3, [1, 3, 5]), (5, 1, [2]), (5, 2, [1, 3]), (3, 3, [0, 1, 2]), (2, 5, [0, 1]), (0, 2, [])],
)
def test_spread_takes_the_middle_of_equal_parts(total: int, count: int, expected: list[int]) -> None:
    candidates = found([0], [list(range(10, 20))])
    keep = np.zeros((1, 10), dtype=bool)
    places = np.array([0, 2, 3, 5, 8, 9])[:total]
    keep[0, places] = True
    kept = filters.spread(candidates, keep, count)
    assert np.flatnonzero(kept.mask[0]).tolist() == places[expected].tolist()


def test_random_choice_is_a_function_of_the_ids_alone() -> None:
    rng = np.random.default_rng(0)
    documents = np.stack([rng.choice(1000, 30, replace=False) for _ in range(20)])
    candidates = found(list(range(20)), documents.tolist())

    def choice(which: Candidates, *salt: int) -> dict[int, set[int]]:
        mask = filters.at_random(which, which.there, 5, *salt).mask
        return {
            int(q): set(row[m].tolist())
            for q, row, m in zip(which.queries, which.documents, mask, strict=True)
        }

    plain = choice(candidates, 13)
    shuffled = candidates.reordered(np.stack([rng.permutation(30) for _ in range(20)]))
    assert choice(shuffled.select(rng.permutation(20)), 13) == plain
    assert all(len(chosen) == 5 for chosen in plain.values())
    assert choice(candidates, 14) != plain
    assert choice(candidates, 13, 1) != plain
    same_documents = found(list(range(20)), [documents[0].tolist()] * 20)
    assert len({frozenset(chosen) for chosen in choice(same_documents, 13).values()}) > 15


def test_random_choice_is_even() -> None:
    """Each of 10 documents is one of 2 chosen in a fifth of 3,000 queries; 5 standard deviations are 110."""
    candidates = found(list(range(100, 3_100)), [list(range(10))] * 3_000)
    counts = filters.at_random(candidates, candidates.there, 2, 7).mask.sum(axis=0)
    assert counts.sum() == 6_000
    assert (np.abs(counts - 600) < 110).all()


masks = st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=3, max_size=3).map(np.array)


@given(masks, st.integers(1, 6))
def test_choices_give_as_many_as_there_are_and_no_more(keep: np.ndarray, count: int) -> None:
    candidates = found([0, 1, 2], [[10, 11, 12, 13, 14]] * 3)
    choose: list[Callable[..., Any]] = [filters.top, filters.at_random, filters.spread]
    for choice in choose:
        mask, removed = choice(candidates, keep, count)
        assert not (mask & ~keep).any()
        assert mask.sum(axis=1).tolist() == np.minimum(keep.sum(axis=1), count).tolist()
        assert removed == keep.sum() - mask.sum()


@given(
    st.lists(st.tuples(st.integers(-2, 6), st.integers(-2, 6)), max_size=8),
    st.lists(st.lists(st.integers(-1, 6), min_size=3, max_size=3), min_size=2, max_size=2),
)
def test_among_equals_a_set(pairs: list[tuple[int, int]], values: list[list[int]]) -> None:
    rows = np.array([2, 5])
    mask = filters.among(rows, np.array(values), np.array(pairs, dtype=np.int64).reshape(-1, 2))
    expected = [
        [(row, value) in pairs and value >= 0 for value in line]
        for row, line in zip(rows, values, strict=True)
    ]
    assert mask.tolist() == expected
