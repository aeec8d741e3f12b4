from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data.assignment import DEV, TEST, TRAIN, Groups, Shares, assign
from sbert_triplet.errors import DataError

TENTHS = Shares(dev=0.1, test=0.1)


def groups(units: Any, sizes: Any = None, classes: Any = None) -> Groups:
    units = np.asarray(units, dtype=np.float64)
    sizes = np.ones(len(units), dtype=np.int64) if sizes is None else np.asarray(sizes, dtype=np.int64)
    return Groups(units, sizes, "text", "texts", None if classes is None else np.asarray(classes))


def rows_of(parts: np.ndarray, of: Groups, part: int) -> int:
    return int(of.sizes[parts == part].sum())


def test_hashes_below_test_are_test_and_the_next_are_dev() -> None:
    units = np.arange(100) / 100
    parts, notes = assign(groups(units), Shares(dev=0.25, test=0.125))
    assert (np.flatnonzero(parts == TEST).tolist(), notes) == (list(range(13)), [])
    assert np.flatnonzero(parts == DEV).tolist() == list(range(13, 38))


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 30)), min_size=1, max_size=40),
    st.sampled_from([0.0, 0.05, 0.1, 0.4]),
    st.sampled_from([0.0, 0.1, 0.5]),
    st.booleans(),
)
def test_every_wanted_part_gets_something(
    drawn: list[tuple[float, int]], dev: float, test: float, stratified: bool
) -> None:
    shares = Shares(dev, test)
    classes = [index % 4 for index in range(len(drawn))] if stratified else None
    of = groups([unit for unit, _ in drawn], [size for _, size in drawn], classes)
    if not shares.wanted():
        return
    if len(of) <= len(shares.wanted()):
        with pytest.raises(DataError, match="too few"):
            assign(of, shares)
        return
    parts, _ = assign(of, shares)
    assert (parts == TRAIN).any()
    for part, share, _ in shares.wanted():
        assert (parts == part).any()
        if np.count_nonzero(parts == part) > 1:
            largest = of.sizes[parts == part].max()
            assert rows_of(parts, of, part) <= 2 * share * of.sizes.sum() + largest


def test_a_giant_trains_whatever_its_hash() -> None:
    of = groups(np.arange(100) / 100, [40] + [1] * 99)
    parts, notes = assign(of, TENTHS)
    assert parts[0] == TRAIN
    assert "One text holds 40 of 139 rows; it stays in train as a whole." in notes


def test_what_is_left_beside_a_giant_is_shared_between_test_and_dev() -> None:
    of = groups(np.r_[0.99, 0.3 + np.arange(10) / 20], [1000] + [1] * 10)
    parts, _ = assign(of, TENTHS)
    assert [rows_of(parts, of, part) for part in (TRAIN, DEV, TEST)] == [1000, 5, 5]


def test_groups_of_like_size_are_no_giants() -> None:
    parts, _ = assign(groups([0.05, 0.15, 0.9, 0.95], [12] * 4), TENTHS)
    assert parts.tolist() == [TEST, DEV, TRAIN, TRAIN]


def test_too_much_by_chance_goes_back_highest_hashes_first() -> None:
    parts, notes = assign(groups([0.01, 0.02, 0.03, 0.04, 0.05, 0.15] + [0.5] * 10), TENTHS)
    assert np.flatnonzero(parts == TEST).tolist() == [0, 1, 2]
    assert any("Chance gave test 5 rows, more than twice its share; 2 went back" in note for note in notes)


def test_too_little_by_chance_is_filled_lowest_hashes_first() -> None:
    parts, notes = assign(groups([0.6, 0.5, 0.4, 0.7] + [0.9] * 36), TENTHS)
    assert np.flatnonzero(parts == TEST).tolist() == [1, 2]
    assert np.flatnonzero(parts == DEV).tolist() == [0, 3]
    assert any("Chance gave test 0 rows, less than half its share; 2 more" in note for note in notes)


@pytest.mark.parametrize(
    ("units", "sizes", "shares"),
    [
        ([0.1, 0.2, 0.3], [1, 1, 1], Shares(dev=0.1, test=0.6)),
        ([0.1, 0.2, 0.5, 0.6], [1, 1, 1, 1], Shares(dev=0.4, test=0.4)),
        ([0.9, 0.1, 0.8], [4, 1, 1], Shares(dev=0.1, test=0.4)),
        ([0.9, 0.8, 0.7], [1, 1, 1], Shares(dev=0.4, test=0.5)),
    ],
    ids=["all in test", "none in train", "test wants more", "all in train"],
)
def test_few_groups_fill_all_parts(units: list[float], sizes: list[int], shares: Shares) -> None:
    parts, _ = assign(groups(units, sizes), shares)
    assert set(parts.tolist()) == {TRAIN, DEV, TEST}


def test_a_class_that_chance_passed_over_is_held_out_too() -> None:
    unlucky = [0.99] * 12
    lucky = list(np.linspace(0, 1, 200, endpoint=False))
    parts, _ = assign(groups(lucky + unlucky, classes=[0] * 200 + [1] * 12), TENTHS)
    assert np.bincount(parts[200:], minlength=3).tolist() == [10, 1, 1]


def test_a_class_that_chance_held_out_trains_too() -> None:
    of = groups([0.1] * 80 + list(np.linspace(0, 1, 400, endpoint=False)), classes=[0] * 80 + [1] * 400)
    parts, _ = assign(of, Shares(dev=0.45, test=0.45))
    counts = np.bincount(parts[:80], minlength=3)
    assert counts[TRAIN] >= 6
    assert counts[TEST] <= 48
    assert counts[DEV] >= 20
    assert parts[0] == TRAIN


def test_the_first_text_of_a_class_is_not_drawn_to_fill_a_part() -> None:
    parts, _ = assign(groups([0.3, 0.9, 0.31, 0.91, 0.32, 0.92], classes=[0, 0, 1, 1, 2, 2]), TENTHS)
    assert parts.tolist() == [TRAIN, TEST, TRAIN, DEV, TRAIN, TRAIN]


def test_a_cap_keeps_the_lowest_hashes() -> None:
    parts, notes = assign(groups(np.arange(100) / 100), Shares(dev=0.1, test=0.1, max_test=4, max_dev=1))
    assert np.flatnonzero(parts == TEST).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(parts == DEV).tolist() == [10]
    assert notes[0] == "test is capped at 4 rows: of 10 drawn it keeps 4, the rest trains."


def test_a_cap_keeps_classes_in_proportion() -> None:
    units = np.r_[
        np.linspace(0, 0.05, 90), np.linspace(0.06, 0.1, 30, endpoint=False), np.linspace(0.3, 1, 1080)
    ]
    classes = np.r_[np.zeros(90), np.ones(30), np.zeros(810), np.ones(270)].astype(np.int64)
    order = np.random.default_rng(0).permutation(1200)
    of = groups(units[order], classes=classes[order])
    parts, _ = assign(of, Shares(dev=0, test=0.1, max_test=40))
    assert np.bincount(classes[order][parts == TEST]).tolist() == [30, 10]
