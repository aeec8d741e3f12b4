"""Labelled text: is the nearest training text, or the nearest class centre, of the right class?"""

from __future__ import annotations

import warnings

import numpy as np
import torch

from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.evaluation.results import MetricValues
from sbert_triplet.nearest import Embeddings, Similarity, top_k

_ROWS_AT_ONCE = 16_384


def evaluate_labels(
    train_embeddings: Embeddings,
    train_labels: IntArray,
    test_embeddings: Embeddings,
    test_labels: IntArray,
    *,
    similarity: Similarity,
    memory_bytes: int = 1 << 30,
    device: str | torch.device | None = None,
) -> dict[str, MetricValues]:
    """``1-NN accuracy`` and ``centroid accuracy``, per test text 0 or 1.

    The training texts are the memory: 1-NN takes the class of the most similar one (of equals, the
    first), the centroid classifier the class whose mean embedding is most similar (of equals, the
    lower class); under cosine the mean is over unit vectors. A class that has no training text
    cannot be hit and counts as an error.

    ``train_embeddings`` (N, D), ``train_labels`` (N,), ``test_embeddings`` (Q, D), ``test_labels`` (Q,).
    """
    for name, rows, labels in (
        ("training", train_embeddings, train_labels),
        ("test", test_embeddings, test_labels),
    ):
        if len(rows) != len(labels):
            raise ValueError(f"{len(rows)} {name} embeddings, but {len(labels)} {name} labels")
    if len(train_labels) == 0:
        raise ValueError("labelled texts need at least one training text to be compared with")
    classes, centres = class_centres(train_embeddings, train_labels, similarity=similarity)
    predictions = {}
    for name, memory, answers in (
        ("1-NN accuracy", train_embeddings, train_labels),
        ("centroid accuracy", centres, classes),
    ):
        nearest, _ = top_k(
            test_embeddings, memory, 1, similarity=similarity, memory_bytes=memory_bytes, device=device
        )
        predictions[name] = answers[nearest[:, 0]]
    return {name: _accuracy(name, predicted == test_labels) for name, predicted in predictions.items()}


def class_centres(
    embeddings: Embeddings, labels: IntArray, *, similarity: Similarity
) -> tuple[IntArray, FloatArray]:
    """The classes (P,) in ascending order and their mean embeddings (P, D); of unit vectors under cosine."""
    classes, members = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(classes), embeddings.shape[1]))
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        tile = np.asarray(embeddings[rows], dtype=np.float64)
        if similarity == "cosine":
            lengths = np.linalg.norm(tile, axis=1, keepdims=True)
            tile = tile / np.where(lengths == 0, 1.0, lengths)
        np.add.at(sums, members[rows], tile)
    return classes.astype(np.int64), sums / np.bincount(members)[:, None]


def _accuracy(name: str, right: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> MetricValues:
    per_item = right.astype(np.float64)
    if len(per_item) == 0:
        warnings.warn(f"{name} is undefined: there are no test texts", RuntimeWarning, stacklevel=3)
        return MetricValues(name, float("nan"), per_item)
    return MetricValues(name, float(per_item.mean()), per_item)
