"""Similarities of paired rows against brute force."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sbert_triplet.errors import InputError
from sbert_triplet.nearest import SIMILARITIES, row_similarities


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_row_similarities_equal_brute_force(similarity: str, brute_force: Any) -> None:
    rng = np.random.default_rng(3)
    left, right = rng.normal(size=(20, 6)), rng.normal(size=(30, 6))
    rows, others = rng.integers(0, 20, size=50), rng.integers(0, 30, size=50)
    found = row_similarities(left, right, left_rows=rows, right_rows=others, similarity=similarity)
    np.testing.assert_allclose(found, brute_force(left, right, similarity)[rows, others], atol=1e-12)
    paired = row_similarities(left, right[:20], similarity=similarity)
    np.testing.assert_allclose(paired, np.diag(brute_force(left, right[:20], similarity)), atol=1e-12)


def test_row_similarities_guard_zero_vectors_and_refuse_what_is_not_finite() -> None:
    assert row_similarities(np.zeros((1, 2)), np.ones((1, 2))).tolist() == [0.0]
    with pytest.raises(InputError, match="pair 1 is not finite: row 1 on the left"):
        row_similarities(np.array([[1.0, 1], [np.nan, 1]]), np.ones((2, 2)))
    with pytest.raises(ValueError, match="2 left rows and 1 right rows"):
        row_similarities(np.ones((2, 2)), np.ones((1, 2)))
