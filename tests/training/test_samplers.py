"""Batches as a function of seed, epoch and row number."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sbert_triplet.data.keys import keys, uniforms
from sbert_triplet.training.samplers import Batches, ClassBatches, RowBatches

SIZES = st.lists(st.integers(2, 40), min_size=2, max_size=8)


def as_lists(batches: Batches, epoch: int) -> list[list[int]]:
    return [batch.tolist() for batch in batches.epoch_batches(epoch)]


def shuffled_labels(sizes: list[int]) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return labels[np.argsort(keys(np.arange(len(labels)), 99))]


def greedy_use(sizes: list[int], classes: int, texts: int) -> tuple[int, int]:
    """Batches and portions used when the classes with most portions left are always taken."""
    left = sorted((-(-size // texts) for size in sizes), reverse=True)
    batches = portions = 0
    while sum(count > 0 for count in left) >= 2:
        taken = min(classes, sum(count > 0 for count in left))
        left = sorted([count - 1 for count in left[:taken]] + left[taken:], reverse=True)
        batches, portions = batches + 1, portions + taken
    return batches, portions


def test_keys_are_splitmix64() -> None:
    # The first outputs of the reference generator from state 0; key(0) mixes 0 with the mixed salt.
    mask = 2**64 - 1

    def mixed(value: int) -> int:
        value = (value + 0x9E3779B97F4A7C15) & mask
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
        return value ^ (value >> 31)

    assert mixed(0) == 0xE220A8397B1DCDAF
    found = keys(np.array([0, 5, 2**40]), 13, 1)
    salt = mixed(mixed(mixed(0 ^ 13) ^ 1))
    assert found.tolist() == [mixed(row ^ salt) for row in (0, 5, 2**40)]


def test_keys_depend_on_row_and_salt_alone_and_differ() -> None:
    rows = np.arange(10_000)
    one = keys(rows, 13, 0)
    np.testing.assert_array_equal(keys(rows[::-1], 13, 0)[::-1], one)
    assert len(np.unique(np.concatenate([one, keys(rows, 13, 1), keys(rows, 14, 0)]))) == 30_000


def test_no_overflow_is_warned_about() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        keys(np.arange(3), 2**64 - 1, -5)


def test_uniforms_are_uniform() -> None:
    found = uniforms(np.arange(20_000), 7, 3)
    assert found.min() >= 0
    assert found.max() < 1
    assert stats.kstest(found, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 0.03


@given(st.integers(1, 200), st.integers(1, 50), st.integers(0, 2**31), st.integers(0, 5))
def test_every_row_once_in_batches_of_even_size(rows: int, size: int, seed: int, epoch: int) -> None:
    batches = RowBatches(rows, size, seed=seed)
    found = as_lists(batches, epoch)
    assert sorted(row for batch in found for row in batch) == list(range(rows))
    assert len(found) == len(batches) == -(-rows // size)
    sizes = {len(batch) for batch in found}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


def test_the_order_is_a_function_of_seed_and_epoch_only() -> None:
    batches = RowBatches(50, 8, seed=3)
    assert as_lists(batches, 4) == as_lists(RowBatches(50, 8, seed=3), 4)
    batches.set_epoch(2)
    list(batches)
    assert as_lists(batches, 4) == as_lists(RowBatches(50, 8, seed=3), 4)
    assert as_lists(batches, 4) != as_lists(batches, 5)
    assert as_lists(batches, 4) != as_lists(RowBatches(50, 8, seed=4), 4)


def test_iteration_gives_the_batches_of_the_epoch_that_was_set() -> None:
    batches = RowBatches(30, 7, seed=1)
    assert list(batches) == as_lists(batches, 0)
    batches.set_epoch(3)
    assert list(batches) == as_lists(batches, 3)


def test_every_row_comes_to_every_place_equally_often() -> None:
    batches = RowBatches(6, 6, seed=0)
    places = np.array([np.argsort(batches.epoch_batches(epoch)[0]) for epoch in range(1200)])
    for row in range(6):
        counts = np.bincount(places[:, row], minlength=6)
        assert stats.chisquare(counts).pvalue > 0.001


def test_appended_rows_leave_the_order_of_the_others() -> None:
    few, more = RowBatches(40, 40, seed=2), RowBatches(45, 45, seed=2)
    kept = [row for row in as_lists(more, 1)[0] if row < 40]
    assert kept == as_lists(few, 1)[0]


@settings(deadline=None)
@given(SIZES, st.integers(2, 5), st.integers(2, 5), st.integers(0, 100), st.integers(0, 3))
def test_batches_are_distinct_classes_with_their_texts(
    sizes: list[int], classes: int, texts: int, seed: int, epoch: int
) -> None:
    labels = shuffled_labels(sizes)
    batches = ClassBatches(labels, classes, texts, seed=seed)
    found = as_lists(batches, epoch)
    assert found == as_lists(ClassBatches(labels, classes, texts, seed=seed), epoch)
    seen: set[int] = set()
    for batch in found:
        counts = Counter(labels[batch].tolist())
        assert 2 <= len(counts) <= classes
        for label, count in counts.items():
            assert count == min(texts, sizes[label])
        assert len(set(batch)) == len(batch)
        seen |= set(batch)
    assert (len(found), sum(len(set(labels[batch])) for batch in found)) == greedy_use(sizes, classes, texts)
    assert len(batches) == len(found)


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(1, 8), st.integers(2, 4), st.integers(0, 3))
def test_classes_of_one_size_are_used_up_whole(classes: int, portions: int, texts: int, epoch: int) -> None:
    labels = shuffled_labels([portions * texts] * classes)
    found = as_lists(ClassBatches(labels, classes, texts, seed=5), epoch)
    assert sorted(row for batch in found for row in batch) == list(range(len(labels)))
    assert all(len(batch) == classes * texts for batch in found)


def test_a_class_that_does_not_divide_is_filled_up_with_its_own_texts() -> None:
    labels = np.array([0] * 5 + [1] * 5)
    batches = ClassBatches(labels, 2, 3, seed=0)
    found = as_lists(batches, 0)
    counts = Counter(row for batch in found for row in batch)
    assert set(counts) == set(range(10))
    assert sorted(counts.values()) == [1] * 8 + [2] * 2


def test_other_texts_of_a_dominant_class_in_every_epoch() -> None:
    labels = shuffled_labels([60, 4, 4])
    batches = ClassBatches(labels, 3, 4, seed=0)
    used = [set(np.concatenate(batches.epoch_batches(epoch))) for epoch in range(200)]
    assert all(len(rows) < 20 for rows in used)
    assert len(set().union(*used)) == len(labels)


def test_all_pairs_of_classes_meet() -> None:
    labels = shuffled_labels([20, 20, 20, 8, 8, 8])
    batches = ClassBatches(labels, 2, 4, seed=0)
    met = {
        tuple(sorted(set(labels[batch].tolist())))
        for epoch in range(40)
        for batch in batches.epoch_batches(epoch)
    }
    assert len(met) == 15


def test_classes_of_one_text_are_reported_and_left_out() -> None:
    labels = np.array([7, 1, 1, 2, 2, 2, 9])
    batches = ClassBatches(labels, 2, 2, seed=0)
    assert batches.too_small.tolist() == [7, 9]
    assert {row for batch in as_lists(batches, 0) for row in batch} <= {1, 2, 3, 4, 5}


@pytest.mark.parametrize(("classes", "texts"), [(1, 4), (4, 1)])
def test_fewer_than_two_by_two_is_refused(classes: int, texts: int) -> None:
    with pytest.raises(ValueError, match="at least 2 x 2"):
        ClassBatches(np.array([0, 0, 1, 1]), classes, texts, seed=0)


def test_one_usable_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two classes"):
        ClassBatches(np.array([0, 0, 0, 1, 2]), 2, 2, seed=0)


def test_a_sampler_without_batches_says_so() -> None:
    with pytest.raises(TypeError, match=r"Batches does not define epoch_batches"):
        list(Batches(0))
