"""Similarities of paired rows against brute force."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbert_triplet.errors import InputError
from sbert_triplet.nearest import SIMILARITIES, row_similarities
from sbert_triplet.nearest import pairs as module


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


@pytest.mark.parametrize("held", [0, 1 << 30])
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_tables_as_they_lie(
    similarity: str, held: int, brute_force: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read-only, cut, reversed, of another byte order, on disk: nothing is warned of or written to."""
    monkeypatch.setattr(module, "_HELD_BYTES", held)
    rng = np.random.default_rng(4)
    left, wide = rng.normal(size=(40, 6)), rng.normal(size=(40, 9))
    fixed = left.copy()
    fixed.flags.writeable = False
    np.save(tmp_path / "left.npy", left.astype(np.float32))
    mapped = np.load(tmp_path / "left.npy", mmap_mode="r")
    tables = [fixed, left[::-1], left.astype(">f8"), mapped, left.astype(np.float16), wide[:, ::-1][:, :6]]
    for table in tables:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = row_similarities(table, wide[:, :6], similarity=similarity)
        expected = np.diag(brute_force(np.asarray(table, dtype=np.float64), wide[:, :6], similarity))
        np.testing.assert_allclose(found, expected, atol=1e-12)
