"""1-NN, centroid and logistic accuracy against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.labels import class_centres, evaluate_labels, evaluate_logistic


def clouds(seed: int, texts: int) -> tuple[np.ndarray, np.ndarray]:
    """Five overlapping classes with labels that are no positions."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(5, 12))
    labels = rng.integers(0, 5, texts)
    return (centres[labels] + rng.normal(size=(texts, 12))).astype(np.float32), labels * 10 + 3


@pytest.mark.parametrize("similarity", ["cosine", "euclidean", "manhattan"])
def test_nearest_neighbour_equals_scikit_learn(similarity: str) -> None:
    (train, train_labels), (test, test_labels) = clouds(0, 200), clouds(1, 90)
    result = evaluate_labels(train, train_labels, test, test_labels, similarity=similarity)
    model = KNeighborsClassifier(1, algorithm="brute", metric=similarity).fit(train, train_labels)
    expected = (model.predict(test) == test_labels).astype(float)
    per_item = result.values["1-NN accuracy"].per_item
    assert per_item is not None
    assert per_item.tolist() == expected.tolist()
    assert result.values["1-NN accuracy"].value == pytest.approx(expected.mean())
    assert 0.2 < expected.mean() < 1.0
    ranked = model.kneighbors(test, 10, return_distance=False)
    assert result.nearest.tolist() == ranked.tolist()


def test_fewer_training_texts_than_nearest_ones_are_kept() -> None:
    result = evaluate_labels(
        np.eye(3), np.array([4, 5, 6]), np.array([[0.1, 0.9, 0.5]]), np.array([5]), similarity="dot"
    )
    assert result.nearest.tolist() == [[1, 2, 0] + [-1] * 7]


def test_centroids_equal_scikit_learn() -> None:
    (train, train_labels), (test, test_labels) = clouds(2, 200), clouds(3, 90)
    expected = NearestCentroid().fit(train, train_labels).predict(test) == test_labels
    result = evaluate_labels(train, train_labels, test, test_labels, similarity="euclidean")
    per_item = result.values["centroid accuracy"].per_item
    assert per_item is not None
    assert per_item.tolist() == expected.astype(float).tolist()

    def unit(rows: np.ndarray) -> np.ndarray:
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    centres = NearestCentroid().fit(unit(train), train_labels)
    cosines = unit(test) @ unit(centres.centroids_).T
    by_cosine = centres.classes_[cosines.argmax(axis=1)] == test_labels
    result = evaluate_labels(train, train_labels, test, test_labels, similarity="cosine")
    assert result.values["centroid accuracy"].value == pytest.approx(by_cosine.mean())


def test_centres_are_means_of_unit_vectors_under_cosine() -> None:
    embeddings = np.array([[3.0, 0], [0, 1], [5, 5], [0, 0]])
    classes, centres = class_centres(embeddings, np.array([7, 7, 2, 2]), similarity="cosine")
    assert classes.tolist() == [2, 7]
    np.testing.assert_allclose(centres, [[np.sqrt(0.5) / 2] * 2, [0.5, 0.5]])
    _, plain = class_centres(embeddings, np.array([7, 7, 2, 2]), similarity="dot")
    np.testing.assert_allclose(plain, [[2.5, 2.5], [1.5, 0.5]])


def test_a_class_without_training_texts_is_missed() -> None:
    train, test = np.eye(2), np.array([[1.0, 0.1], [1.0, 0.0]])
    result = evaluate_labels(train, np.array([0, 1]), test, np.array([5, 0]), similarity="cosine")
    for metric in result.values.values():
        assert metric.per_item is not None
        assert metric.per_item.tolist() == [0.0, 1.0]


def test_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="2 training embeddings, but 1 training labels"):
        evaluate_labels(np.eye(2), np.array([0]), np.eye(2), np.array([0, 1]), similarity="cosine")
    with pytest.raises(ValueError, match="at least one training text"):
        evaluate_labels(np.zeros((0, 2)), np.zeros(0), np.eye(2), np.array([0, 1]), similarity="cosine")
    with pytest.warns(RuntimeWarning, match="no test texts"):
        result = evaluate_labels(
            np.eye(2), np.array([0, 1]), np.zeros((0, 2)), np.zeros(0, int), similarity="cosine"
        )
    assert np.isnan(result.values["1-NN accuracy"].value)


def test_the_logistic_probe_equals_scikit_learn_on_unit_vectors() -> None:
    (train, train_labels), (test, test_labels) = clouds(4, 200), clouds(5, 90)
    model = make_pipeline(Normalizer(), LogisticRegression(max_iter=1_000)).fit(train, train_labels)
    expected = model.predict(test) == test_labels
    found = evaluate_logistic(train, train_labels, 7 * test, test_labels, similarity="cosine")
    assert found.metric == "logistic accuracy"
    assert found.per_item is not None
    assert found.per_item.tolist() == expected.astype(float).tolist()
    assert found.value == pytest.approx(expected.mean())
    assert 0.2 < expected.mean() < 1.0


def test_the_penalty_of_the_probe_does_not_depend_on_the_scale() -> None:
    (train, train_labels), (test, test_labels) = clouds(4, 60), clouds(5, 90)
    found = [
        evaluate_logistic(scale * train, train_labels, scale * test, test_labels, similarity="dot").per_item
        for scale in (0.01, 1.0, 100.0)
    ]
    assert found[0] is not None
    assert found[1] is not None
    assert found[2] is not None
    assert found[0].tolist() == found[1].tolist() == found[2].tolist()


def test_the_probe_is_linear() -> None:
    """Two classes in opposite corners: their nearest texts are right, and no line parts them."""
    corners = np.array([[1, 1], [-1, -1], [1, -1], [-1, 1]], dtype=np.float64)
    train = np.concatenate([corners + shift for shift in (-0.1, 0.0, 0.1)])
    labels = np.tile([0, 0, 1, 1], 3)
    given = train, labels, train + 0.03, labels
    assert evaluate_labels(*given, similarity="euclidean").values["1-NN accuracy"].value == 1.0
    assert evaluate_logistic(*given, similarity="euclidean").value <= 0.75


def test_what_the_probe_cannot_learn_from() -> None:
    eye, labels = np.eye(3), np.array([4, 4, 4])
    found = evaluate_logistic(eye, labels, eye, np.array([4, 5, 4]), similarity="cosine")
    assert found.value == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="3 test embeddings, but 1 test labels"):
        evaluate_logistic(eye, labels, eye, labels[:1], similarity="cosine")
    with pytest.raises(InputError, match="row 1 of the training embeddings holds NaN"):
        evaluate_logistic(np.array([[1.0], [np.nan]]), labels[:2], eye[:, :1], labels, similarity="cosine")
    with pytest.warns(RuntimeWarning, match="no test texts"):
        found = evaluate_logistic(eye, np.arange(3), np.zeros((0, 3)), np.zeros(0, int), similarity="cosine")
    assert np.isnan(found.value)
