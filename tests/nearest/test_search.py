"""Exact top-k against brute force: every similarity, ties, and budgets down to one byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from sbert_triplet.distances import Chebyshev, Distance, Dot, Minkowski, Ruzicka, Tanimoto
from sbert_triplet.errors import InputError
from sbert_triplet.nearest import SIMILARITIES, row_similarities, top_k


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("k", [1, 7, 60])
def test_equals_brute_force(similarity: str, k: int, brute_force: Any, ordered: Any) -> None:
    rng = np.random.default_rng(0)
    queries = rng.normal(size=(33, 24)).astype(np.float32)
    documents = rng.normal(size=(211, 24)).astype(np.float32)
    expected = brute_force(queries, documents, similarity)
    positions, scores = top_k(queries, documents, k, similarity=similarity)
    assert positions.dtype == np.int64
    assert scores.dtype == np.float32
    assert (positions == ordered(expected, k)).all()
    np.testing.assert_allclose(scores, np.take_along_axis(expected, positions, axis=1), rtol=5e-7, atol=5e-7)


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "manhattan"])
@pytest.mark.parametrize("budget", [1, 100, 700, 3_000, 20_000, 1 << 30])
def test_any_budget_gives_the_same_ties_and_scores(
    similarity: str, budget: int, brute_force: Any, ordered: Any, whole_numbers: Any
) -> None:
    queries, documents = whole_numbers(13, 3, 1), whole_numbers(57, 3, 2)
    expected = brute_force(queries, documents, similarity)
    assert len(np.unique(expected)) < expected.size / 10
    for k in (1, 5, 56, 57):
        positions, scores = top_k(queries, documents, k, similarity=similarity, memory_bytes=budget)
        assert (positions == ordered(expected, k)).all()
        wanted = np.take_along_axis(expected, positions, axis=1).astype(np.float32)
        np.testing.assert_allclose(scores, wanted, rtol=1e-6)


@pytest.mark.parametrize("budget", [1, 5_000, 1 << 30])
def test_equal_documents_under_cosine_are_ordered_by_position(budget: int) -> None:
    document = np.array([[0.6, 0.8]], dtype=np.float32)
    documents = np.concatenate([np.tile(document, (40, 1)), np.eye(2, dtype=np.float32)])
    positions, scores = top_k(document * 3, documents, 12, similarity="cosine", memory_bytes=budget)
    assert positions.tolist() == [list(range(12))]
    np.testing.assert_allclose(scores, 1.0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 6),
    st.integers(1, 30),
    st.integers(1, 40),
    st.integers(1, 4_000),
    st.integers(0, 2**32 - 1),
)
def test_tiles_of_any_size_agree_with_brute_force(
    brute_force: Any, ordered: Any, whole_numbers: Any, q: int, n: int, k: int, budget: int, seed: int
) -> None:
    queries, documents = whole_numbers(q, 2, seed), whole_numbers(n, 2, seed + 1)
    positions, _ = top_k(queries, documents, k, similarity="dot", memory_bytes=budget)
    assert positions.shape == (q, min(k, n))
    assert (positions == ordered(brute_force(queries, documents, "dot"), k)).all()


def test_more_neighbours_than_documents_gives_every_document() -> None:
    positions, scores = top_k(np.ones((2, 3)), np.eye(3), 10)
    assert positions.tolist() == [[0, 1, 2]] * 2
    assert scores.shape == (2, 3)


@pytest.mark.parametrize(("q", "n", "k", "shape"), [(0, 4, 2, (0, 2)), (3, 0, 2, (3, 0)), (3, 4, 0, (3, 0))])
def test_nothing_to_find(q: int, n: int, k: int, shape: tuple[int, int]) -> None:
    positions, scores = top_k(np.ones((q, 2)), np.ones((n, 2)), k)
    assert positions.shape == scores.shape == shape


def test_memory_maps_and_half_precision_are_read_as_they_are(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    documents = rng.normal(size=(50, 8)).astype(np.float16)
    documents.tofile(tmp_path / "documents.bin")
    mapped = np.memmap(tmp_path / "documents.bin", dtype=np.float16, mode="r", shape=(50, 8))
    queries = rng.normal(size=(4, 8)).astype(np.float32)
    found, _ = top_k(queries, mapped, 5, memory_bytes=2_000)
    expected, _ = top_k(queries, documents.astype(np.float32), 5)
    assert (found == expected).all()


def test_a_zero_vector_is_similar_to_nothing_under_cosine() -> None:
    _, scores = top_k(np.zeros((1, 2)), np.eye(2), 2, similarity="cosine")
    assert scores.tolist() == [[0.0, 0.0]]


def test_euclidean_keeps_near_duplicates_apart() -> None:
    """On unit vectors at distances of 1e-4 the Gram identity in float32 gives 0 for all of them."""
    rng = np.random.default_rng(7)
    query = rng.normal(size=(1, 384))
    query /= np.linalg.norm(query)
    steps = np.array([3e-4, 1e-4, 2e-4, 4e-4, 0.0])
    directions = rng.normal(size=(5, 384))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    documents = (query + steps[:, None] * directions).astype(np.float32)
    positions, scores = top_k(query.astype(np.float32), documents, 5, similarity="euclidean")
    assert positions.tolist() == [[4, 1, 2, 0, 3]]
    np.testing.assert_allclose(-scores[0], np.sort(steps), atol=2e-7)


def test_precision_chosen_for_training_does_not_reach_the_search() -> None:
    exact = {"cosine": 1, "dot": 64 / 3, "euclidean": -np.sqrt(64 * 4 / 9), "manhattan": -64 * 2 / 3}
    seen: list[str] = []

    class Recorder(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            if function is torch.matmul:
                seen.append(torch.backends.mkldnn.matmul.fp32_precision)
            return function(*args, **(kwargs or {}))

    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with Recorder(), torch.autocast("cpu", dtype=torch.bfloat16):
            found = {
                name: top_k(np.ones((2, 64)), np.ones((3, 64)) / 3, 3, similarity=name) for name in exact
            }
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(seen) == {"ieee"}
    for name, value in exact.items():
        np.testing.assert_allclose(found[name][1], value, rtol=1e-6, err_msg=name)


def test_no_tensor_takes_more_than_a_fifth_of_the_budget(tensor_bytes: Any) -> None:
    """All scores together would be 6 MB here, all documents 320 kB."""
    rng = np.random.default_rng(9)
    queries, documents = rng.normal(size=(300, 16)), rng.normal(size=(5_000, 16))
    for similarity in SIMILARITIES:
        with tensor_bytes() as found:
            top_k(queries, documents, 3, similarity=similarity, memory_bytes=100_000)
        assert 1_000 < max(found.seen) <= 20_000


@pytest.mark.parametrize("where", ["queries", "documents"])
def test_values_that_are_not_finite_are_refused_by_row(where: str) -> None:
    arrays = {"queries": np.ones((3, 2)), "documents": np.ones((9, 2))}
    arrays[where][2, 1] = np.nan
    with pytest.raises(InputError, match=f"row 2 of the {where}"):
        top_k(arrays["queries"], arrays["documents"], 1, memory_bytes=40)


def test_arguments_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown similarity 'cos'.*cosine, dot"):
        top_k(np.ones((1, 2)), np.ones((1, 2)), 1, similarity="cos")
    with pytest.raises(ValueError, match="2 and of 3 dimensions"):
        top_k(np.ones((1, 2)), np.ones((1, 3)), 1)
    with pytest.raises(ValueError, match="table"):
        top_k(np.ones(2), np.ones((1, 2)), 1)
    with pytest.raises(ValueError, match="k is -1"):
        top_k(np.ones((1, 2)), np.ones((1, 2)), -1)
    with pytest.raises(ValueError, match="memory_bytes is 0"):
        top_k(np.ones((1, 2)), np.ones((1, 2)), 1, memory_bytes=0)


def jaccard_distance(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """1 - sum min / sum max of positive and negative parts side by side, pair by pair."""
    one, two = (np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1) for x in (left, right))
    smaller = np.minimum(one[:, None], two[None]).sum(-1)
    return 1 - smaller / np.maximum(one[:, None], two[None]).sum(-1)


OBJECTS = {
    "minkowski": (Minkowski(3.0), lambda one, two: -cdist(one, two, "minkowski", p=3)),
    "chebyshev": (Chebyshev(), lambda one, two: -cdist(one, two, "chebyshev")),
    "jaccard": (Ruzicka(), lambda one, two: -jaccard_distance(one, two)),
    "dot": (Dot(), lambda one, two: one @ two.T),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_distance_given_as_an_object(name: str, ordered: Any) -> None:
    distance, expected_of = OBJECTS[name]
    rng = np.random.default_rng(5)
    queries, documents = rng.normal(size=(17, 12)), rng.normal(size=(90, 12))
    expected = expected_of(queries, documents)
    for budget in (1, 5_000, 1 << 30):
        positions, scores = top_k(queries, documents, 7, similarity=distance, memory_bytes=budget)
        assert (positions == ordered(expected, 7)).all()
        assert (positions.dtype, scores.dtype) == (np.int64, np.float32)
        np.testing.assert_allclose(scores, np.take_along_axis(expected, positions, 1), rtol=2e-6, atol=2e-6)
    rows, others = rng.integers(0, 17, size=50), rng.integers(0, 90, size=50)
    found = row_similarities(queries, documents, left_rows=rows, right_rows=others, similarity=distance)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected[rows, others], atol=1e-12)


@pytest.mark.parametrize("distance", [Minkowski(3.0), Chebyshev(), Ruzicka()])
def test_ties_of_a_distance_given_as_an_object(distance: Distance, whole_numbers: Any) -> None:
    queries, documents = whole_numbers(5, 3, 1), np.tile(whole_numbers(9, 3, 2), (4, 1))
    for budget in (1, 700, 1 << 30):
        positions, scores = top_k(queries, documents, 36, similarity=distance, memory_bytes=budget)
        assert (scores == np.sort(scores, axis=1)[:, ::-1]).all()
        for row, values in zip(positions, scores, strict=True):
            assert all(
                a < b for a, b, tied in zip(row[:-1], row[1:], values[1:] == values[:-1], strict=True) if tied
            )
        assert np.array_equal(np.sort(positions, axis=1), np.tile(np.arange(36), (5, 1)))


def test_memory_of_a_distance_given_as_an_object() -> None:
    """All scores together would be 6 MB here."""
    seen: list[int] = []

    class Recorder(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                seen.append(result.numel() * result.element_size())
            return result

    rng = np.random.default_rng(9)
    with Recorder():
        top_k(
            rng.normal(size=(300, 16)),
            rng.normal(size=(5_000, 16)),
            3,
            similarity=Tanimoto(),
            memory_bytes=100_000,
        )
    assert 1_000 < max(seen) <= 20_000


def test_what_is_not_finite_is_refused_under_a_distance_given_as_an_object() -> None:
    broken = np.array([[1.0, 1], [np.nan, 1]])
    for distance in (Minkowski(3.0), Ruzicka(), Tanimoto()):
        with pytest.raises(InputError, match="row 1 of the documents"):
            top_k(np.ones((1, 2)), broken, 1, similarity=distance)
        with pytest.raises(InputError, match="pair 1 is not finite"):
            row_similarities(broken, np.ones((2, 2)), similarity=distance)


def test_scores_are_those_of_the_pairs_and_near_duplicates_are_ordered_by_them() -> None:
    """Distances of 1e-7 between unit vectors: the Gram identity in float64 gets their last digits wrong."""
    rng = np.random.default_rng(8)
    queries = rng.normal(size=(40, 64)) / 8
    documents = np.repeat(queries, 5, axis=0) + 1e-8 * rng.normal(size=(200, 64))
    for similarity in ("euclidean", "cosine", "dot"):
        positions, scores = top_k(queries, documents, 5, similarity=similarity)
        pairs = row_similarities(
            queries,
            documents,
            left_rows=np.repeat(np.arange(40), 5),
            right_rows=positions.ravel(),
            similarity=similarity,
        )
        np.testing.assert_array_equal(scores.ravel(), pairs.astype(np.float32))
        assert (np.diff(scores, axis=1) <= 0).all()


def test_precision_set_for_a_part_of_the_process_is_left_as_it_was() -> None:
    backend = torch.backends.mkldnn.matmul
    before = backend.fp32_precision
    backend.fp32_precision = "bf16"
    try:
        top_k(np.eye(3), np.eye(3), 2)
        assert backend.fp32_precision == "bf16"
    finally:
        backend.fp32_precision = before
