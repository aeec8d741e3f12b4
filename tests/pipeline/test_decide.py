"""Rules of the data, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.data.kinds import Kind
from sbert_triplet.pipeline.decide import choose_loss, class_batch
from sbert_triplet.recipe.loss import LossRecipe


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


FITTED: dict[str, object] = {"name": "cosine_regression"}
ORDERED = {"name": "cosent", "scale": 20.0}


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (np.linspace(0, 1, 50), FITTED),
        (np.linspace(-1, 1, 50), FITTED),
        (np.tile([1, 2, 3, 4, 5], 10), FITTED | {"score_at_zero": 1.0, "score_at_one": 5.0}),
        (np.linspace(0, 0.01, 50), FITTED | {"score_at_zero": 0.0, "score_at_one": 0.01}),
        (np.tile([0, 1], 20), ORDERED),
        (np.append(np.tile([0, 1, 2], 40), 900), ORDERED),
        (np.append(np.ones(200), [2, 3]), ORDERED),
    ],
)
def test_the_loss_of_scored_pairs(scores: np.ndarray, expected: dict[str, object]) -> None:
    chosen = choose_loss(LossRecipe(), Kind.SCORED, scores.astype(np.float64))
    assert chosen == LossRecipe.model_validate(expected)
    named = LossRecipe.model_validate({"name": "cosent", "scale": 5})
    assert choose_loss(named, Kind.SCORED, scores.astype(np.float64)) == named
