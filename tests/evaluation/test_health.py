"""Health of embeddings: values by hand, by brute force over all pairs, and by scipy's singular values."""

from __future__ import annotations

import itertools
import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import svdvals

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.health import (
    Health,
    alignment,
    anisotropy,
    effective_rank,
    health,
    triplet_shares,
    uniformity,
)

X = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [-0.6, 0.8]])
PAIRS = np.array([[0, 1], [2, 3]])


def rows(count: int, dimensions: int, seed: int = 1) -> np.ndarray:
    """Directions that lean to one side, of different lengths."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dimensions)) * rng.uniform(0.5, 3, size=(count, 1)) + 0.4


def unit(table: np.ndarray) -> np.ndarray:
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def test_reference_values() -> None:
    """The four vectors of the plane: distances .8 and 2 of the pairs, six cosines of sum 2.04."""
    assert alignment(X, PAIRS) == pytest.approx((0.8 + 2.0) / 2, abs=1e-12)
    assert uniformity(X) == pytest.approx(-1.334663, abs=1e-6)
    assert anisotropy(X) == pytest.approx(0.34, abs=1e-12)
    assert effective_rank(X, centred=False) == pytest.approx(1.976473, abs=1e-6)


def test_against_all_pairs() -> None:
    table = rows(60, 7)
    directions = unit(table)
    pairs = list(itertools.combinations(range(60), 2))
    squared = [float(np.square(directions[i] - directions[j]).sum()) for i, j in pairs]
    cosines = [float(directions[i] @ directions[j]) for i, j in pairs]
    assert uniformity(table) == pytest.approx(math.log(np.mean(np.exp(-2 * np.array(squared)))), abs=1e-12)
    assert anisotropy(table) == pytest.approx(np.mean(cosines), abs=1e-12)
    chosen = np.array(pairs[::7])
    assert alignment(table, chosen) == pytest.approx(np.mean(squared[::7]), abs=1e-12)


@pytest.mark.parametrize(("count", "dimensions"), [(60, 7), (5, 9), (8, 8), (1, 4)])
@pytest.mark.parametrize("centred", [False, True])
def test_effective_rank_by_scipy(count: int, dimensions: int, centred: bool) -> None:
    table = unit(rows(count, dimensions))
    values = svdvals(table - table.mean(axis=0) if centred else table)
    values = values[values > 1e-7]
    shares = values / values.sum()
    expected = np.exp(-(shares * np.log(shares)).sum()) if len(values) else 0.0
    assert effective_rank(table * 3.0, centred=centred) == pytest.approx(expected, abs=1e-9)


def test_the_ends_of_the_scales() -> None:
    collapsed = np.tile([[0.3, -0.4, 1.2]], (50, 1)).astype(np.float32)
    assert uniformity(collapsed) == pytest.approx(0, abs=1e-12)
    assert anisotropy(collapsed) == pytest.approx(1, abs=1e-12)
    assert effective_rank(collapsed, centred=False) == pytest.approx(1, abs=1e-12)
    assert effective_rank(collapsed, centred=True) == 0
    assert alignment(collapsed, np.array([[0, 1]])) == 0
    axes = np.eye(16)
    assert anisotropy(axes) == pytest.approx(0, abs=1e-12)
    assert effective_rank(axes, centred=False) == pytest.approx(16)
    # On the sphere of D dimensions it approaches -4 + 8 / D.
    sphere = np.random.default_rng(0).normal(size=(2000, 128))
    assert uniformity(sphere) == pytest.approx(-4 + 8 / 128, abs=0.01)


def test_rounding_to_float32_is_no_direction() -> None:
    """Rows of float32 that differ in their last digits only."""
    rng = np.random.default_rng(3)
    table = (np.ones((400, 48)) + 1e-7 * rng.normal(size=(400, 48))).astype(np.float32)
    assert len(np.unique(table)) > 2
    assert effective_rank(table, centred=True) == 0
    assert effective_rank(table, centred=False) == 1


@pytest.mark.parametrize("memory_bytes", [1, 4000, 1 << 26])
def test_tiles_change_nothing(memory_bytes: int) -> None:
    table = rows(83, 5)
    whole = uniformity(table, memory_bytes=1 << 30)
    assert uniformity(table, memory_bytes=memory_bytes) == pytest.approx(whole, abs=1e-13)
    pairs = np.random.default_rng(1).integers(0, 83, size=(200, 2))
    assert alignment(table, pairs, memory_bytes=memory_bytes) == pytest.approx(
        alignment(table, pairs), abs=1e-13
    )


def test_memory_is_bounded() -> None:
    """All pairs at once would be 128 MB."""
    table = rows(4000, 8).astype(np.float32)
    tracemalloc.start()
    uniformity(table, memory_bytes=1 << 22)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20


def test_a_sample_is_seeded_and_near_to_all() -> None:
    table = rows(3000, 6)
    whole = uniformity(table)
    some = uniformity(table, texts=1000, seed=5)
    assert some == uniformity(table, texts=1000, seed=5)
    assert some != uniformity(table, texts=1000, seed=6)
    assert some == pytest.approx(whole, abs=0.03)
    assert uniformity(table, texts=3000) == whole


def test_a_memory_map_of_half_precision(tmp_path: Path) -> None:
    table = rows(200, 6).astype(np.float16)
    np.save(tmp_path / "table.npy", table)
    mapped = np.load(tmp_path / "table.npy", mmap_mode="r")
    found, expected = health(mapped, PAIRS), health(table.astype(np.float64), PAIRS)
    assert found.as_json() == expected.as_json()


def test_health_gathers_all_of_it() -> None:
    shares = triplet_shares(np.array([-1.0, 0.5]), 0.2)
    found = health(rows(40, 6), np.array([[0, 1], [5, 9]]), triplets=shares, texts=30, seed=2)
    assert found == Health(
        texts=40,
        dimensions=6,
        positives=2,
        alignment=alignment(rows(40, 6), np.array([[0, 1], [5, 9]])),
        uniformity=uniformity(rows(40, 6), texts=30, seed=2),
        uniformity_texts=30,
        anisotropy=anisotropy(rows(40, 6)),
        effective_rank=effective_rank(rows(40, 6), centred=False),
        effective_rank_centred=effective_rank(rows(40, 6), centred=True),
        triplets=shares,
    )
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["triplets"]["active"] == 0.5


def test_what_is_undefined_is_null_in_json() -> None:
    found = health(X[:1]).as_json()
    assert found["alignment"] is found["uniformity"] is found["anisotropy"] is None
    assert found["effective_rank"] == 1
    assert found["positives"] == 0
    assert found["triplets"] is None
    empty = health(np.zeros((0, 3)), triplets=triplet_shares(np.zeros(0), 1.0)).as_json()
    assert empty["effective_rank"] is None
    assert empty["triplets"]["easy"] is None


def test_a_zero_row_has_no_direction() -> None:
    """It stays 0: cosine 0 to all, squared distance 1."""
    table = np.array([[2.0, 0.0], [0.0, 0.0]])
    assert anisotropy(table) == 0
    assert alignment(table, np.array([[0, 1]])) == 1
    assert uniformity(table) == pytest.approx(-2)


def test_shares_by_the_edges() -> None:
    """Margin .5: easy up to -.5, which is not active; hard from 0 on."""
    found = triplet_shares(np.array([-2.0, -0.5, -0.49, -0.1, 0.0, 0.3, 1.0, -0.5]), 0.5)
    assert (found.easy, found.semi_hard, found.hard) == (3 / 8, 2 / 8, 3 / 8)
    assert found.active == 5 / 8
    assert found.triplets == 8
    assert math.isnan(triplet_shares(np.zeros(0), 0.5).hard)


def test_shares_are_those_of_the_training() -> None:
    from sbert_triplet.training.hardness import hardness_of

    gaps = np.random.default_rng(0).normal(size=500)
    classes = hardness_of(gaps, 0.7)
    found = triplet_shares(gaps, 0.7)
    assert [found.easy, found.semi_hard, found.hard] == [(classes == kind).mean() for kind in range(3)]


def test_what_cannot_be_measured_is_refused() -> None:
    broken = rows(30, 4)
    broken[17, 2] = np.nan
    for measure in (uniformity, anisotropy, lambda table: effective_rank(table, centred=True)):
        with pytest.raises(InputError, match="row 17 of the embeddings holds NaN"):
            measure(broken)
    with pytest.raises(InputError, match="row 17"):
        alignment(broken, np.array([[3, 17]]))
    with pytest.raises(ValueError, match=r"\(rows, D\); got shape \(4,\)"):
        anisotropy(np.ones(4))
    with pytest.raises(ValueError, match="name row 4, and there are 4 rows"):
        alignment(X, np.array([[0, 4]]))
    with pytest.raises(ValueError, match="pairs of rows"):
        alignment(X, np.array([0, 1]))
    with pytest.raises(ValueError, match="margin is 0"):
        triplet_shares(np.zeros(2), 0.0)
    with pytest.raises(InputError, match="triplet 1 is not finite"):
        triplet_shares(np.array([0.0, np.inf]), 1.0)
