"""Triplet accuracy: strict, one triplet for each negative, and 0 for a collapsed model."""

from __future__ import annotations

import numpy as np
import pytest

from sbert_triplet.data.examples import Ragged
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.triplets import evaluate_triplets, list_triplets
from sbert_triplet.nearest import row_similarities


def test_a_tie_is_an_error() -> None:
    result = evaluate_triplets(np.array([0.9, 0.5, 0.5, 0.1]), np.array([0.8, 0.5, 0.6, 0.0]))
    assert result.per_item is not None
    assert result.per_item.tolist() == [1, 0, 0, 1]
    assert result.value == 0.5


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_a_collapsed_model_scores_0(similarity: str) -> None:
    collapsed = np.tile(np.random.default_rng(0).normal(size=384).astype(np.float32), (50, 1))
    near = row_similarities(collapsed, collapsed, similarity=similarity)
    far = row_similarities(collapsed, collapsed[::-1], similarity=similarity)
    assert evaluate_triplets(near, far).value == 0.0


def test_every_negative_of_a_row_makes_a_triplet() -> None:
    negatives = Ragged.from_lists([[7, 8], [], [9]])
    triplets, rows = list_triplets(np.array([1, 2, 3]), np.array([4, 5, 6]), negatives)
    assert triplets.tolist() == [[1, 4, 7], [1, 4, 8], [3, 6, 9]]
    assert rows.tolist() == [0, 0, 2]
    chosen, _ = list_triplets(np.array([3, 1]), np.array([6, 4]), negatives.select(np.array([2, 0])))
    assert chosen.tolist() == [[3, 6, 9], [1, 4, 7], [1, 4, 8]]


def test_no_triplets_are_undefined_with_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match="no triplets"):
        assert np.isnan(evaluate_triplets(np.zeros(0), np.zeros(0)).value)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="triplet 1"):
        evaluate_triplets(np.array([0.1, 0.2]), np.array([0.1, np.nan]))
    with pytest.raises(ValueError, match="cannot be paired"):
        evaluate_triplets(np.array([0.1, 0.2]), np.array([0.1]))
    with pytest.raises(ValueError, match="1 anchors, 1 positives, 0 negative lists"):
        list_triplets(np.array([1]), np.array([1]), Ragged.from_lists([]))
