"""Embeddings laid out in a plane, and two such planes turned so that they can be compared."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from sbert_triplet.evaluation.results import FloatArray
from sbert_triplet.nearest import Embeddings

FEWEST_FOR_NEIGHBOURS = 16
"""Texts below which a layout by neighbours says nothing."""


@dataclass(frozen=True)
class Plane:
    """``points`` (N, 2) around 0, and the ``share`` of the spread of all dimensions that they show."""

    points: FloatArray
    share: float


def principal_plane(rows: Embeddings, *, unit: bool) -> Plane:
    """The first two principal components of N embeddings (N, D); ``unit``: of their directions.

    Deterministic: of each component the largest loading is positive. ``share`` is NaN where all coincide.
    """
    centred = _rows(rows, unit)
    centred = centred - centred.mean(axis=0)
    _, values, axes = np.linalg.svd(centred, full_matrices=False)
    axes = axes[:2]
    largest = np.abs(axes).argmax(axis=1)
    axes = axes * np.where(np.take_along_axis(axes, largest[:, None], axis=1) < 0, -1.0, 1.0)
    points = np.zeros((len(rows), 2))
    points[:, : len(axes)] = centred @ axes.T
    spread = float((values**2).sum())
    return Plane(points, float((values[:2] ** 2).sum()) / spread if spread > 0 else float("nan"))


def turned(points: FloatArray, onto: FloatArray) -> FloatArray:
    """``points`` (N, 2) turned, and mirrored where that fits better, to lie near ``onto`` (N, 2).

    Orthogonal Procrustes (Schönemann 1966, doi:10.1007/BF02289451); distances stay as they are.
    """
    left, _, right = np.linalg.svd((points - points.mean(axis=0)).T @ (onto - onto.mean(axis=0)))
    result: FloatArray = (points - points.mean(axis=0)) @ (left @ right)
    return result


def neighbour_plane(rows: Embeddings, *, unit: bool, seed: int) -> FloatArray | None:
    """(N, 2) points by UMAP (McInnes et al. 2018, arXiv 1802.03426); None where umap-learn is not installed.

    None as well for fewer than 16 rows. The same for the same seed, on one thread.
    """
    if len(rows) < FEWEST_FOR_NEIGHBOURS or not umap_installed():
        return None
    import umap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = umap.UMAP(
            n_components=2,
            n_neighbors=min(15, len(rows) - 1),
            metric="euclidean",
            random_state=seed,
            n_jobs=1,
        )
        points = np.asarray(made.fit_transform(_rows(rows, unit)), dtype=np.float64)
    centred: FloatArray = points - points.mean(axis=0)
    return centred


def umap_installed() -> bool:
    """By its distribution: a folder of that name beside the person's data is none."""
    try:
        version("umap-learn")
    except PackageNotFoundError:
        return False
    return True


def _rows(rows: Embeddings, unit: bool) -> FloatArray:
    wide = np.asarray(rows, dtype=np.float64)
    if not unit:
        return wide
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    directions: FloatArray = wide / np.where(lengths == 0, 1.0, lengths)
    return directions
