"""Where texts lie in a pack, and which tokens of its text a token sees."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.encoding.borders import PADDED_SHARE, Borders, Group, Scope

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=30).map(tuple)
CPU = torch.device("cpu")


def seen_by_hand(length: int, causal: bool, reach: int | None) -> list[list[bool]]:
    return [
        [
            (not causal or key <= query) and (reach is None or abs(query - key) <= reach)
            for key in range(length)
        ]
        for query in range(length)
    ]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("reach", [None, 0, 1, 2, 4, 5, 9])
@pytest.mark.parametrize("length", [1, 2, 6])
def test_the_mask_is_what_a_token_sees(length: int, reach: int | None, causal: bool) -> None:
    mask = Scope(causal, reach).mask(length, CPU)
    assert mask.tolist() == seen_by_hand(length, causal, reach)


def test_places_in_a_padded_rectangle() -> None:
    borders = Borders((9, 2, 3, 3))
    places, real = borders.in_rectangle(Group(1, 3, 3, 8), CPU)
    assert places.tolist() == [0, 1, 3, 4, 5, 6, 7, 8]
    assert real.tolist() == [[True, True, False], [True] * 3, [True] * 3]
    assert borders.in_rectangle(Group(1, 3, 3, 8), CPU)[0] is places


@pytest.mark.parametrize(("reach", "length", "limits"), [(None, 9, False), (3, 4, False), (3, 5, True)])
def test_a_reach_limits_texts_that_end_beyond_it(reach: int | None, length: int, limits: bool) -> None:
    assert Scope(reach=reach).limits(length) is limits
    assert bool(Scope(reach=reach).mask(length, CPU).all()) is not limits


def test_a_mask_made_without_gradients_serves_with_them() -> None:
    with torch.inference_mode():
        made = Scope(True, 3).mask(11, CPU)
    assert torch.equal(Scope(True, 3).mask(11, CPU), made)
    values = torch.zeros(11, 11, requires_grad=True)
    (values * values).masked_fill(~Scope(True, 3).mask(11, CPU), 1.0).sum().backward()


def test_groups_by_hand() -> None:
    borders = Borders((8, 8, 7, 3, 3, 1))
    assert borders.tokens == 30
    assert borders.equal == (Group(0, 2, 8, 16), Group(2, 1, 7, 7), Group(3, 2, 3, 6), Group(5, 1, 1, 1))
    # 23 of 24 places are filled and 7 of 9; with the texts of 3 the first would have 29 of 40.
    assert borders.alike == (Group(0, 3, 8, 23), Group(3, 3, 3, 7))


@given(LENGTHS)
def test_groups_hold_every_text_once_and_in_order(lengths: tuple[int, ...]) -> None:
    borders = Borders(lengths)
    for groups in (borders.equal, borders.alike):
        assert [group.start for group in groups] == np.cumsum([0, *(g.texts for g in groups)])[:-1].tolist()
        assert sum(group.texts for group in groups) == len(lengths)
        for group in groups:
            own = lengths[group.start : group.start + group.texts]
            assert (group.longest, group.tokens) == (max(own), sum(own))


@given(LENGTHS)
def test_equal_groups_are_as_long_as_they_can_be(lengths: tuple[int, ...]) -> None:
    groups = Borders(lengths).equal
    for group in groups:
        assert len(set(lengths[group.start : group.start + group.texts])) == 1
    assert all(first.longest != second.longest for first, second in itertools.pairwise(groups))


@given(LENGTHS)
def test_at_most_a_quarter_of_a_group_of_like_length_is_padding(lengths: tuple[int, ...]) -> None:
    borders = Borders(lengths)
    for group in borders.alike:
        assert group.tokens >= (1 - PADDED_SHARE) * group.texts * group.longest
    assert len(borders.alike) <= len(borders.equal)


def test_ends_are_counted_once_for_a_device() -> None:
    borders = Borders((3, 1, 4))
    ends = borders.ends(CPU)
    assert (ends.tolist(), ends.dtype) == ([0, 3, 4, 8], torch.int32)
    assert borders.ends(CPU) is ends
