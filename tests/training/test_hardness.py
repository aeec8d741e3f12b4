"""Given negatives over training: which class when, and that every row keeps some."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.training.hardness import EASY, HARD, SEMI_HARD, PhasedBatches, hardness_of, phased
from sbert_triplet.training.samplers import RowBatches

Rows = Callable[..., Examples]


def test_classes_by_the_gap() -> None:
    """Easy up to -m, hard from 0 on: the margin itself is easy, equal distances are hard."""
    gaps = np.array([-0.5, -0.2, -0.1999, -1e-9, 0.0, 0.3])
    assert hardness_of(gaps, 0.2).tolist() == [EASY, EASY, SEMI_HARD, SEMI_HARD, HARD, HARD]


def test_each_phase_takes_its_class_and_the_nearest_other_where_there_is_none(rows: Rows) -> None:
    examples = rows(
        Kind.TRIPLETS,
        [0, 1, 2, 3, 4],
        positives=[5, 6, 7, 8, 9],
        negatives=[[20, 21, 22, 23], [24], [], [25, 26], [27, 28]],
        weights=[1, 2, 3, 4, 5],
    )
    classes = np.array([HARD, EASY, SEMI_HARD, EASY, HARD, EASY, HARD, SEMI_HARD, HARD])
    found = phased(examples, classes)
    assert found.negatives is not None
    by_row = [found.negatives[row].tolist() for row in range(15)]
    assert by_row[0:5] == [[21, 23], [24], [], [25], [27]]
    assert by_row[5:10] == [[22], [24], [], [25], [27]]
    assert by_row[10:15] == [[20], [24], [], [26], [28]]
    for phase in range(3):
        part = found.select(np.arange(5) + 5 * phase)
        assert part.anchors.tolist() == [0, 1, 2, 3, 4]
        assert part.positives is not None
        assert part.positives.tolist() == [5, 6, 7, 8, 9]
        assert part.weights is not None
        assert part.weights.tolist() == [1, 2, 3, 4, 5]
        assert part.row_numbers.tolist() == examples.row_numbers.tolist()


RAGGED = st.lists(st.lists(st.integers(0, 2), max_size=5), min_size=1, max_size=12)


@given(RAGGED)
def test_negatives_come_in_the_order_of_their_difficulty(given_classes: list[list[int]]) -> None:
    """No row is left without negatives that has some, none appears from nowhere, and none gets easier."""
    rows = len(given_classes)
    flat = [each for row in given_classes for each in row]
    numbered = np.split(np.arange(len(flat)), np.cumsum([len(row) for row in given_classes])[:-1])
    examples = Examples(
        Kind.TRIPLETS,
        np.arange(rows),
        np.arange(rows),
        positives=np.arange(rows),
        negatives=Ragged.from_lists([part.tolist() for part in numbered]),
        kept=pa.table({"text": ["x"] * rows}),
    )
    found = phased(examples, np.array(flat, dtype=np.int64))
    assert found.negatives is not None
    assert len(found) == len(found.negatives) == 3 * rows
    for row, own in enumerate(given_classes):
        taken = [found.negatives[phase * rows + row].tolist() for phase in range(3)]
        classes = [{flat[number] for number in part} for part in taken]
        assert all(set(part) <= set(numbered[row].tolist()) for part in taken)
        assert all(len(part) == (1 if own else 0) for part in classes)
        steps = [max(part, default=0) for part in classes]
        assert steps == sorted(steps)
        for phase in set(own):
            assert classes[phase] == {phase}
            assert len(taken[phase]) == own.count(phase)


def test_without_negatives_there_is_nothing_to_phase(rows: Rows) -> None:
    with pytest.raises(ValueError, match="own negatives"):
        phased(rows(Kind.PAIRS, [0, 1], positives=[2, 3]), np.zeros(0, dtype=np.int64))


def test_each_third_of_the_steps_has_its_phase() -> None:
    plain = RowBatches(20, 4, seed=1)
    batches = PhasedBatches(plain, 20, steps=9)
    assert len(batches) == 5
    assert [batches.phase(step) for step in range(12)] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    first, second = ([batch.tolist() for batch in batches.epoch_batches(epoch)] for epoch in range(2))
    plain_first, plain_second = (plain.epoch_batches(epoch) for epoch in range(2))
    assert first == [
        (batch + 20 * phase).tolist() for batch, phase in zip(plain_first, (0, 0, 0, 1, 1), strict=True)
    ]
    assert second == [
        (batch + 20 * phase).tolist() for batch, phase in zip(plain_second, (1, 2, 2, 2, 2), strict=True)
    ]
    assert [batches.state(step) for step in (0, 3, 8)] == [{"hardness": level} for level in (1.0, 2.0, 3.0)]
