"""Shares of the groups of texts: every group is made once, and nobody waits for long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.encoding.sharing import GROUPS_AT_ONCE, ROWS_AT_ONCE, Team


@given(
    st.lists(st.integers(0, 9_000), max_size=200),
    st.integers(2, 5),
    st.lists(st.booleans(), min_size=200, max_size=200),
)
def test_rounds_hold_every_group_once_in_order_and_are_bounded(
    sizes: list[int], processes: int, chosen: list[bool]
) -> None:
    counts = np.array(sizes, dtype=np.int64)
    left = np.flatnonzero(np.array(chosen[: len(sizes)], dtype=bool))
    rounds = list(Team(0, processes).rounds(left, counts))
    assert [number for some in rounds for number in some.tolist()] == left.tolist()
    for some in rounds:
        assert 1 <= len(some) <= GROUPS_AT_ONCE * processes
        assert len(some) <= processes or counts[some].sum() <= ROWS_AT_ONCE * processes
    # All have something to do in every round but the last.
    assert all(len(some) >= processes for some in rounds[:-1])


def test_alone_each_group_is_known_at_once() -> None:
    made: list[int] = []

    def embed(number: int) -> np.ndarray:
        made.append(number)
        return np.full((1, 2), number, dtype=np.float32)

    team = Team.of_the_run()
    rounds = list(team.rounds(np.array([0, 2, 3]), np.array([1, 1, 1, 1])))
    assert [some.tolist() for some in rounds] == [[0], [2], [3]]
    for some in rounds:
        ((number, rows),) = team.each(some, embed)
        assert made[-1] == number == rows[0, 0]
    assert team.left(np.array([1]), 4).tolist() == [1]


@pytest.mark.parametrize("groups", [0, 1])
def test_nothing_left_makes_no_round(groups: int) -> None:
    assert not list(Team(0, 2).rounds(np.zeros(0, dtype=np.int64), np.ones(groups, dtype=np.int64)))
