"""Known positives among the texts of a batch."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.training.known import KnownPositives

ID = st.integers(0, 12)
PAIRS = st.lists(st.tuples(ID, ID), max_size=25)


@given(PAIRS, st.lists(ID, max_size=10))
def test_the_pairs_whose_both_texts_are_there(pairs: list[tuple[int, int]], ids: list[int]) -> None:
    known = KnownPositives(np.array(pairs, dtype=np.int64).reshape(-1, 2))
    found = known.among(np.array(ids, dtype=np.int64))
    expected = {
        (min(pair), max(pair)) for pair in pairs if pair[0] != pair[1] and pair[0] in ids and pair[1] in ids
    }
    assert found.shape == (len(expected), 2)
    assert {tuple(pair) for pair in found.tolist()} == expected


def test_nothing_known_and_nothing_asked() -> None:
    none = np.zeros((0, 2), dtype=np.int64)
    assert KnownPositives(none).among(np.array([1, 2])).shape == (0, 2)
    assert KnownPositives(np.array([[1, 2]])).among(np.zeros(0, dtype=np.int64)).shape == (0, 2)
