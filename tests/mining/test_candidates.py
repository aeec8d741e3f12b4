"""Rankings merged, taken in turn and cut, against the same done with lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.mining.candidates import Candidates, Source, interleaved, merged


def ranking(rows: list[list[int]], width: int, source: Source, scale: float = 1.0) -> Candidates:
    """Rows of documents, padded to the width; the score of document d is ``scale`` times -d."""
    documents = np.array([row + [-1] * (width - len(row)) for row in rows], dtype=np.int64).reshape(-1, width)
    scores = np.where(documents >= 0, -scale * documents, -np.inf).astype(np.float32)
    return Candidates.found(np.arange(len(rows)), documents, scores, source)


def in_turn(first: list[int], second: list[int]) -> list[int]:
    order = []
    for rank in range(max(len(first), len(second))):
        order += [part[rank] for part in (first, second) if rank < len(part)]
    return list(dict.fromkeys(order))


lists = st.lists(st.integers(0, 9), unique=True, max_size=6)


@given(st.lists(st.tuples(lists, lists), min_size=1, max_size=4), st.integers(1, 12))
def test_interleaved_equals_lists_taken_in_turn(rows: list[tuple[list[int], list[int]]], k: int) -> None:
    dense = ranking([first for first, _ in rows], 6, Source.DENSE)
    words = ranking([second for _, second in rows], 6, Source.BM25, scale=10.0)
    found = interleaved(dense, words, k)
    for row, (first, second) in enumerate(rows):
        expected = in_turn(first, second)[:k]
        assert found.documents[row][found.there[row]].tolist() == expected
        assert found.there[row].tolist() == sorted(found.there[row].tolist(), reverse=True)
        for column, document in enumerate(expected):
            both = (document in first) * Source.DENSE + (document in second) * Source.BM25
            assert found.sources[row, column] == both
            assert found.scores[row, column] == (-document if document in first else -10 * document)
            assert found.ranks[row, column] == column


@given(st.lists(st.tuples(lists, lists), min_size=1, max_size=3), st.integers(1, 5))
def test_a_deeper_mix_begins_with_the_shallower(rows: list[tuple[list[int], list[int]]], k: int) -> None:
    def mix(depth: int) -> Candidates:
        return interleaved(
            ranking([first[:depth] for first, _ in rows], 6, Source.DENSE),
            ranking([second[:depth] for _, second in rows], 6, Source.BM25),
            depth,
        )

    assert (mix(k).documents == mix(2 * k).documents[:, :k]).all()


def test_rankings_of_different_width_are_interleaved() -> None:
    found = interleaved(ranking([[3]], 1, Source.DENSE), ranking([[4, 3, 5]], 3, Source.BM25), 9)
    assert found.documents.tolist() == [[3, 4, 5, -1, -1, -1]]
    assert found.sources.tolist() == [[3, 2, 2, 0, 0, 0]]


def test_merged_shares_are_ordered_by_score_then_by_share() -> None:
    first = Candidates.found(
        np.array([7]), np.array([[1, 2, -1]]), np.array([[5.0, 3, -np.inf]], dtype=np.float32), Source.DENSE
    )
    second = Candidates.found(
        np.array([7]), np.array([[8, 9, 10]]), np.array([[5.0, 4, 3]], dtype=np.float32), Source.DENSE
    )
    found = merged([first, second], 5)
    assert found.documents.tolist() == [[1, 8, 9, 2, 10]]
    assert found.scores.tolist() == [[5, 5, 4, 3, 3]]
    assert found.ranks.tolist() == [[0, 1, 2, 3, 4]]
    assert merged([first, first.select(np.array([0]))], 9).documents.tolist() == [[1, 1, 2, 2, -1, -1]]


def test_different_queries_are_not_put_together() -> None:
    one, other = ranking([[1]], 1, Source.DENSE), ranking([[1], [2]], 1, Source.DENSE)
    with pytest.raises(ValueError, match="different queries"):
        merged([one, other], 1)
    with pytest.raises(ValueError, match="different queries"):
        interleaved(one, other, 1)


def test_compacted_ranks_anew_and_pads() -> None:
    found = ranking([[4, 5, 6, 7], [1, 2]], 4, Source.DENSE)
    keep = np.array([[False, True, False, True], [True, False, False, False]])
    left = found.compacted(keep, 3)
    assert left.documents.tolist() == [[5, 7, -1], [1, -1, -1]]
    assert left.scores.tolist() == [[-5, -7, -np.inf], [-1, -np.inf, -np.inf]]
    assert left.ranks.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert left.sources.tolist() == [[1, 1, 0], [1, 0, 0]]


def test_ranks_stay_with_their_documents_in_another_order() -> None:
    found = ranking([[4, 5, 6]], 3, Source.DENSE).reordered(np.array([[2, 0]]))
    assert found.documents.tolist() == [[6, 4]]
    assert found.ranks.tolist() == [[2, 0]]
