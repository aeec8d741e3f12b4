"""Approximate search by faiss: what it finds of the exact answer, in which order, and what it refuses."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from sbert_triplet.distances import Minkowski
from sbert_triplet.errors import InputError
from sbert_triplet.mining.approximate import ApproximateSearch
from sbert_triplet.mining.search import DenseSearch
from sbert_triplet.mining.space import Space

KINDS = ("ivf", "hnsw")


def clustered(rows: int, dimensions: int = 16, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, dimensions))
    return (centres[rng.integers(20, size=rows)] + 0.4 * rng.normal(size=(rows, dimensions))).astype(
        np.float32
    )


VECTORS = clustered(1_600)
QUERIES, DOCUMENTS = np.arange(100), np.arange(100, 1_600)


def space(similarity: str = "cosine", vectors: np.ndarray = VECTORS) -> Space:
    return Space(lambda _, ids: vectors[ids], similarity)


@pytest.fixture(autouse=True)
def _faiss() -> None:
    pytest.importorskip("faiss")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_scores_are_those_of_the_exact_search_where_it_finds_the_same(kind: str, similarity: str) -> None:
    search = ApproximateSearch(space(similarity), DOCUMENTS, kind)  # type: ignore[arg-type]
    found, exact = search(QUERIES, 10), DenseSearch(space(similarity), DOCUMENTS)(QUERIES, 10)
    shared = 0
    for row in range(len(QUERIES)):
        scores = dict(zip(exact.documents[row].tolist(), exact.scores[row].tolist(), strict=True))
        same = [column for column in range(10) if int(found.documents[row, column]) in scores]
        shared += len(same)
        np.testing.assert_allclose(
            found.scores[row, same],
            [scores[int(found.documents[row, c])] for c in same],
            rtol=1e-4,
            atol=1e-5,
        )
        assert (np.diff(found.scores[row][found.there[row]]) <= 0).all()
    assert shared / 1_000 > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_recall_is_the_share_of_the_nearest_that_is_found(kind: str) -> None:
    search = ApproximateSearch(space(), DOCUMENTS, kind, lists=20, probes=2)  # type: ignore[arg-type]
    found, exact = search(QUERIES, 10), DenseSearch(space(), DOCUMENTS)(QUERIES, 10)
    by_hand = np.mean(
        [len(set(a) & set(b)) / 10 for a, b in zip(found.documents, exact.documents, strict=True)]
    )
    assert search.recall(QUERIES, 10, sample=100) == pytest.approx(by_hand, abs=1e-9)
    assert by_hand > 0.6
    assert search.recall(np.repeat(QUERIES, 2), 10, sample=100) == pytest.approx(by_hand, abs=1e-9)
    assert np.isnan(search.recall(np.zeros(0, dtype=np.int64), 10))


def test_every_list_looked_at_is_exact_with_ties_by_the_lower_id() -> None:
    vectors = np.random.default_rng(3).integers(-2, 3, size=(400, 3)).astype(np.float32)
    here = space("dot", vectors)
    search = ApproximateSearch(here, np.arange(20, 400), lists=5, probes=5)
    found, exact = search(np.arange(20), 380), DenseSearch(here, np.arange(20, 400))(np.arange(20), 380)
    assert (found.documents == exact.documents).all()
    assert (found.scores == exact.scores).all()
    assert search.recall(np.arange(20), 7) == 1.0


def test_fewer_lists_looked_at_find_less_and_say_so() -> None:
    vectors = np.random.default_rng(1).normal(size=(1_600, 16)).astype(np.float32)
    recalls = [
        ApproximateSearch(space("cosine", vectors), DOCUMENTS, lists=30, probes=probes).recall(QUERIES, 10)
        for probes in (1, 8, 30)
    ]
    assert recalls[0] < 0.5 < recalls[1] < recalls[2] == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_find_the_same(kind: str) -> None:
    one, two = (ApproximateSearch(space(), DOCUMENTS, kind)(QUERIES, 20) for _ in range(2))  # type: ignore[arg-type]
    assert (one.documents == two.documents).all()
    assert (one.scores == two.scores).all()


@pytest.mark.parametrize("kind", KINDS)
def test_few_documents_and_none_beyond_them(kind: str) -> None:
    search = ApproximateSearch(space(), np.arange(100, 104), kind)  # type: ignore[arg-type]
    found = search(QUERIES[:3], 50)
    assert np.sort(found.documents, axis=1).tolist() == [[100, 101, 102, 103]] * 3


def test_what_is_not_finite_is_refused_by_row() -> None:
    vectors = VECTORS.copy()
    vectors[150, 3] = np.nan
    with pytest.raises(InputError, match="row 50 of the documents"):
        ApproximateSearch(space("cosine", vectors), DOCUMENTS, "hnsw")(QUERIES, 1)
    with pytest.raises(InputError, match="row 0 of the queries"):
        ApproximateSearch(space("cosine", vectors), np.arange(200, 300))(np.array([150]), 1)


def test_a_similarity_that_faiss_does_not_have_is_refused() -> None:
    with pytest.raises(InputError, match="not by manhattan: use the exact search"):
        ApproximateSearch(space("manhattan"), DOCUMENTS)
    with pytest.raises(InputError, match="not by minkowski"):
        ApproximateSearch(Space(lambda _, ids: VECTORS[ids], Minkowski(3.0)), DOCUMENTS)
    with pytest.raises(ValueError, match="unknown kind of index 'flat'"):
        ApproximateSearch(space(), DOCUMENTS, "flat")  # type: ignore[arg-type]


def test_without_faiss_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r'pip install "sbert-triplet\[faiss\]"'):
        ApproximateSearch(space(), DOCUMENTS)
