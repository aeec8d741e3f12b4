"""Labelled text: is the class right that the nearest training text, the nearest class centre, or a logistic
regression on the embeddings names?
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.evaluation.results import MetricValues
from sbert_triplet.nearest import Embeddings, Similarity, top_k
from sbert_triplet.nearest.rows import Rows, finite_rows, unit_rows

_ROWS_AT_ONCE = 16_384
NEAREST = 10


@dataclass(frozen=True)
class LabelsResult:
    """``nearest``: (Q, 10) places of the most similar training texts of each; -1 where there are fewer."""

    values: dict[str, MetricValues]
    nearest: IntArray


def evaluate_labels(
    train_embeddings: Embeddings,
    train_labels: IntArray,
    test_embeddings: Embeddings,
    test_labels: IntArray,
    *,
    similarity: Similarity,
    memory_bytes: int = 1 << 30,
    device: str | torch.device | None = None,
) -> LabelsResult:
    """``1-NN accuracy`` and ``centroid accuracy``, per test text 0 or 1.

    The training texts are the memory: 1-NN takes the class of the most similar one (of equals, the
    first), the centroid classifier the class whose mean embedding is most similar (of equals, the
    lower class); under cosine the mean is over unit vectors. A class that has no training text
    cannot be hit and counts as an error.

    ``train_embeddings`` (N, D), ``train_labels`` (N,), ``test_embeddings`` (Q, D), ``test_labels`` (Q,).
    """
    _check(train_embeddings, train_labels, test_embeddings, test_labels)
    classes, centres = class_centres(train_embeddings, train_labels, similarity=similarity)

    def most_similar(memory: Embeddings, most: int) -> IntArray:
        found, _ = top_k(
            test_embeddings, memory, most, similarity=similarity, memory_bytes=memory_bytes, device=device
        )
        return found

    nearest = most_similar(train_embeddings, min(NEAREST, len(train_labels)))
    predictions = {
        "1-NN accuracy": train_labels[nearest[:, 0]],
        "centroid accuracy": classes[most_similar(centres, 1)[:, 0]],
    }
    values = {name: _accuracy(name, predicted == test_labels) for name, predicted in predictions.items()}
    missing = np.full((len(nearest), NEAREST - nearest.shape[1]), -1, dtype=np.int64)
    return LabelsResult(values, np.concatenate([nearest, missing], axis=1))


def evaluate_logistic(
    train_embeddings: Embeddings,
    train_labels: IntArray,
    test_embeddings: Embeddings,
    test_labels: IntArray,
    *,
    similarity: Similarity,
) -> MetricValues:
    """``logistic accuracy``, per test text 0 or 1: the linear probe.

    A multinomial logistic regression on the embeddings of the training texts, with an L2 penalty of weight
    1 (scikit-learn's C = 1). Under cosine of unit vectors; else all are divided by the root mean square
    length of the training embeddings, so that the penalty does not depend on their scale. One class alone
    is always named. Arguments as of ``evaluate_labels``. Raises InputError for embeddings that are not
    finite.
    """
    _check(train_embeddings, train_labels, test_embeddings, test_labels)
    train = finite_rows(train_embeddings, "training embeddings")
    test = finite_rows(test_embeddings, "test embeddings")
    if similarity == "cosine":
        train, test = unit_rows(train), unit_rows(test)
    else:
        scale = float(np.sqrt(np.einsum("nd,nd->", train, train) / len(train)))
        train, test = train / (scale or 1.0), test / (scale or 1.0)
    if not len(test) or len(np.unique(train_labels)) == 1:
        return _accuracy("logistic accuracy", test_labels == train_labels[0])
    # Takes long to import, and few measurements need it.
    from sklearn.linear_model import LogisticRegression

    probe = LogisticRegression(C=1.0, max_iter=1_000).fit(train, train_labels)
    return _accuracy("logistic accuracy", probe.predict(test) == test_labels)


def _check(
    train_embeddings: Embeddings,
    train_labels: IntArray,
    test_embeddings: Embeddings,
    test_labels: IntArray,
) -> None:
    for name, rows, labels in (
        ("training", train_embeddings, train_labels),
        ("test", test_embeddings, test_labels),
    ):
        if len(rows) != len(labels):
            raise ValueError(f"{len(rows)} {name} embeddings, but {len(labels)} {name} labels")
    if len(train_labels) == 0:
        raise ValueError("labelled texts need at least one training text to be compared with")


def class_centres(
    embeddings: Embeddings, labels: IntArray, *, similarity: Similarity
) -> tuple[IntArray, FloatArray]:
    """The classes (P,) in ascending order and their mean embeddings (P, D); of unit vectors under cosine."""
    classes, members = np.unique(labels, return_inverse=True)
    sums = np.zeros((len(classes), embeddings.shape[1]))
    for start in range(0, len(labels), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        tile: Rows = np.asarray(embeddings[rows], dtype=np.float64)
        if similarity == "cosine":
            tile = unit_rows(tile)
        np.add.at(sums, members[rows], tile)
    return classes.astype(np.int64), sums / np.bincount(members)[:, None]


def _accuracy(name: str, right: NDArray[np.bool_]) -> MetricValues:
    per_item = right.astype(np.float64)
    if len(per_item) == 0:
        reason = "there are no test texts"
        warnings.warn(f"{name} is undefined: {reason}", RuntimeWarning, stacklevel=3)
        return MetricValues(name, float("nan"), per_item, reason)
    return MetricValues(name, float(per_item.mean()), per_item)
