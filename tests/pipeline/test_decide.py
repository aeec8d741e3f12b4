"""Rules of the data, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.pipeline.decide import class_batch


@pytest.mark.parametrize(
    ("batch_size", "classes", "expected"),
    [
        (64, 77, (16, 4)),
        (64, 16, (16, 4)),
        (64, 6, (6, 10)),
        (64, 2, (2, 32)),
        (16, 3, (3, 5)),
        (4, 9, (2, 4)),
        (64, 1, (2, 32)),
    ],
)
def test_classes_and_texts_of_a_batch(batch_size: int, classes: int, expected: tuple[int, int]) -> None:
    assert class_batch(batch_size, classes) == expected


@given(st.integers(8, 4096), st.integers(2, 500))
def test_a_batch_is_filled_and_not_overfull(batch_size: int, classes: int) -> None:
    chosen, texts = class_batch(batch_size, classes)
    assert 2 <= chosen <= classes
    assert texts >= 4
    assert batch_size - max(chosen, 4) < chosen * texts <= batch_size
