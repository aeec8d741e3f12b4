from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA

from sbert_triplet.evaluation import plane
from sbert_triplet.evaluation.plane import neighbour_plane, principal_plane, turned


def rows(count: int = 60, dimensions: int = 9, seed: int = 3) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, dimensions)) * np.linspace(3, 0.2, dimensions) + 1


def test_the_plane_is_that_of_the_principal_components() -> None:
    table = rows()
    found = principal_plane(table, unit=False)
    reference = PCA(2).fit(table)
    expected = reference.transform(table)
    for axis in range(2):
        sign = np.sign(found.points[:, axis] @ expected[:, axis])
        np.testing.assert_allclose(found.points[:, axis], sign * expected[:, axis], atol=1e-9)
    assert found.share == pytest.approx(reference.explained_variance_ratio_.sum())


def test_of_directions_the_lengths_do_not_count() -> None:
    table = rows()
    lengths = np.random.default_rng(1).uniform(0.1, 9, (60, 1))
    np.testing.assert_allclose(
        principal_plane(table, unit=True).points,
        principal_plane(table * lengths, unit=True).points,
        atol=1e-9,
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_few_texts_lie_somewhere(count: int) -> None:
    found = principal_plane(rows(count), unit=True)
    assert found.points.shape == (count, 2)
    assert np.isfinite(found.points).all()


def test_texts_that_coincide_have_no_spread() -> None:
    found = principal_plane(np.ones((5, 4)), unit=True)
    assert np.abs(found.points).max() < 1e-12
    assert np.isnan(found.share)


def test_a_turned_plane_comes_back_and_keeps_its_distances() -> None:
    points = rows(40, 2)
    centred = points - points.mean(axis=0)
    for mirror in (1.0, -1.0):
        turn = np.array([[np.cos(2), -np.sin(2)], [mirror * np.sin(2), mirror * np.cos(2)]])
        np.testing.assert_allclose(turned(points @ turn, points), centred, atol=1e-9)
    other = rows(40, 2, seed=8)
    np.testing.assert_allclose(pdist(turned(other, points)), pdist(other), atol=1e-9)


def test_no_turn_by_hand_lies_nearer() -> None:
    points, onto = rows(30, 2, seed=5), rows(30, 2, seed=6)
    onto = onto - onto.mean(axis=0)
    best = np.square(turned(points, onto) - onto).sum()
    centred = points - points.mean(axis=0)
    for angle in np.linspace(0, 2 * np.pi, 60):
        for mirror in (1.0, -1.0):
            turn = np.array(
                [[np.cos(angle), -np.sin(angle)], [mirror * np.sin(angle), mirror * np.cos(angle)]]
            )
            assert np.square(centred @ turn - onto).sum() >= best - 1e-9


def test_neighbours_are_laid_out_only_where_umap_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plane, "umap_installed", lambda: False)
    assert neighbour_plane(rows(), unit=True, seed=1) is None

    asked: dict[str, Any] = {}

    class Layout:
        def __init__(self, **options: Any) -> None:
            asked.update(options)

        def fit_transform(self, table: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            asked["lengths"] = np.linalg.norm(table, axis=1)
            return np.asarray(table[:, :2] + 5, dtype=np.float32)

    monkeypatch.setattr(plane, "umap_installed", lambda: True)
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Layout))
    found = neighbour_plane(rows(), unit=True, seed=7)
    assert found is not None
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(asked["lengths"], 1)
    assert (asked["random_state"], asked["n_jobs"]) == (7, 1)
    assert neighbour_plane(rows(8), unit=True, seed=7) is None


def test_a_folder_called_umap_is_no_umap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    (tmp_path / "umap").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(plane, "version", absent)
    assert neighbour_plane(rows(), unit=True, seed=1) is None
