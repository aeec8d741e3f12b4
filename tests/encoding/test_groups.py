"""Groups and packs of texts under a token budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.encoding.groups import plan_groups, plan_packs

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


def test_packs_by_hand() -> None:
    lengths = np.array([3, 10, 5, 2, 10, 0])
    assert [pack.tolist() for pack in plan_packs(lengths, 1000)] == [[1, 4, 2, 0, 3], [5]]
    assert [pack.tolist() for pack in plan_packs(lengths, 20)] == [[1, 4], [2, 0, 3], [5]]
    assert [pack.tolist() for pack in plan_packs(lengths, 4)] == [[1], [4], [2], [0], [3], [5]]


def test_packs_are_about_equally_full() -> None:
    # 110 tokens under a budget of 100: two of 60 and 50 rather than of 100 and 10.
    assert [len(pack) for pack in plan_packs(np.full(11, 10), 100)] == [6, 5]


def test_no_texts_make_no_packs() -> None:
    assert plan_packs(np.zeros(0, dtype=np.int64), 100) == []
    assert [pack.tolist() for pack in plan_packs(np.zeros(3, dtype=np.int64), 100)] == [[0, 1, 2]]


@given(LENGTHS, st.integers(1, 1000))
def test_every_text_is_in_one_pack_within_the_budget(lengths: np.ndarray, budget: int) -> None:
    packs = plan_packs(lengths, budget)
    assert sorted(np.concatenate([[], *packs]).tolist()) == list(range(len(lengths)))
    for pack in packs:
        assert lengths[pack].sum() <= budget or len(pack) == 1


@given(LENGTHS, st.integers(1, 1000))
def test_texts_without_tokens_are_apart(lengths: np.ndarray, budget: int) -> None:
    packs = plan_packs(lengths, budget)
    assert all(lengths[pack].all() for pack in packs[:-1])
    assert not packs or len(set((lengths[packs[-1]] > 0).tolist())) == 1


@given(LENGTHS, st.integers(1, 1000))
def test_lengths_fall_through_packs_and_equal_lengths_keep_their_order(
    lengths: np.ndarray, budget: int
) -> None:
    order = [int(position) for pack in plan_packs(lengths, budget) for position in pack]
    assert order == sorted(range(len(lengths)), key=lambda position: (-lengths[position], position))


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60).map(np.array), st.integers(30, 400))
def test_packs_are_few_and_none_is_much_fuller_than_another(lengths: np.ndarray, budget: int) -> None:
    packs, longest = plan_packs(lengths, budget), int(lengths.max())
    least = -(-int(lengths.sum()) // budget)
    full = [int(lengths[pack].sum()) for pack in packs]
    # Each but the last holds its even share, unless one more text would have been too much for the budget.
    assert all(size >= min(lengths.sum() / least, budget - longest + 1) for size in full[:-1])
