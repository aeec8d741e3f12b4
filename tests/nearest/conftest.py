"""All pairs at once, in float64, and tables that are full of ties."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.distance import cdist


def _brute_force(queries: np.ndarray, documents: np.ndarray, similarity: str) -> np.ndarray:
    """All similarities (Q, N) in float64, by SciPy where it has them."""
    queries, documents = queries.astype(np.float64), documents.astype(np.float64)
    if similarity == "dot":
        return queries @ documents.T
    if similarity == "cosine":
        return 1 - cdist(queries, documents, "cosine")
    return -cdist(queries, documents, "euclidean" if similarity == "euclidean" else "cityblock")


def _ordered(scores: np.ndarray, k: int) -> np.ndarray:
    """Positions (Q, k) by score, then by position."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def _whole_numbers(rows: int, dimensions: int, seed: int) -> np.ndarray:
    """Small integers: products and distances are exact in float32, so ties are true ties."""
    return np.random.default_rng(seed).integers(-2, 3, size=(rows, dimensions)).astype(np.float32)


@pytest.fixture(scope="session")
def brute_force() -> Callable[[np.ndarray, np.ndarray, str], np.ndarray]:
    return _brute_force


@pytest.fixture(scope="session")
def ordered() -> Callable[[np.ndarray, int], np.ndarray]:
    return _ordered


@pytest.fixture(scope="session")
def whole_numbers() -> Callable[[int, int, int], np.ndarray]:
    return _whole_numbers
