"""Groups of texts under a token budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.encoding.groups import plan_groups

LENGTHS = st.lists(st.integers(0, 300), max_size=60).map(lambda lengths: np.array(lengths, dtype=np.int64))


def test_longest_first_in_groups_whose_padded_size_fits() -> None:
    groups = plan_groups(np.array([3, 10, 5, 2, 10]), 20)
    assert [group.tolist() for group in groups] == [[1, 4], [2, 0, 3]]


def test_a_text_beyond_the_budget_is_a_group_of_its_own() -> None:
    assert [group.tolist() for group in plan_groups(np.array([4, 500, 4]), 8)] == [[1], [0, 2]]


def test_no_texts_make_no_groups() -> None:
    assert plan_groups(np.zeros(0, dtype=np.int64), 100) == []


@given(LENGTHS, st.integers(1, 1000))
def test_every_position_is_in_one_group_within_the_budget(lengths: np.ndarray, budget: int) -> None:
    groups = plan_groups(lengths, budget)
    assert sorted(np.concatenate([[], *groups]).tolist()) == list(range(len(lengths)))
    for group in groups:
        padded = len(group) * max(int(lengths[group].max()), 1)
        assert padded <= budget or len(group) == 1


@given(LENGTHS, st.integers(1, 1000))
def test_groups_are_filled_as_far_as_the_budget_goes(lengths: np.ndarray, budget: int) -> None:
    groups = plan_groups(lengths, budget)
    for group in groups[:-1]:
        assert (len(group) + 1) * max(int(lengths[group].max()), 1) > budget


@given(LENGTHS, st.integers(1, 1000))
def test_lengths_fall_and_equal_lengths_keep_their_order(lengths: np.ndarray, budget: int) -> None:
    order = [int(position) for group in plan_groups(lengths, budget) for position in group]
    assert order == sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))
