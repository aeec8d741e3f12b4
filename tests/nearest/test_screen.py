"""Search by products of low precision: the answers of brute force in float64, to the last tie."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.errors import InputError
from sbert_triplet.nearest import screen as module
from sbert_triplet.nearest import top_k
from sbert_triplet.nearest.screen import Screen
from sbert_triplet.nearest.similarities import Table

PRECISIONS = [torch.bfloat16, torch.float32]


@pytest.fixture(params=PRECISIONS, ids=str)
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is screened, in small tiles."""
    shrink(monkeypatch, request.param)


def shrink(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setattr(module, "FEWEST_PRODUCTS", 0)
    monkeypatch.setattr(module, "TILE", 256)
    monkeypatch.setattr(module, "ROWS", 16)
    monkeypatch.setattr(module, "LARGEST_GROUP", 8)
    monkeypatch.setattr(module, "coarse_precision", lambda device: dtype)


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many queries were left to a scan, each time."""
    counts: list[int] = []
    scan = module.scan

    def counted(queries: Table, *args: Any) -> Any:
        counts.append(len(queries))
        return scan(queries, *args)

    monkeypatch.setattr(module, "scan", counted)
    return counts


def expected(
    queries: np.ndarray, documents: np.ndarray, k: int, similarity: str
) -> tuple[np.ndarray, np.ndarray]:
    """By products of all pairs in float64, told in float32; equal ones by position."""
    one, two = queries.astype(np.float64), documents.astype(np.float64)
    scores = one @ two.T
    if similarity == "cosine":
        lengths = np.linalg.norm(one, axis=1)[:, None] * np.linalg.norm(two, axis=1)
        scores = np.divide(scores, lengths, out=np.zeros_like(scores), where=lengths > 0)
    scores = scores.astype(np.float32)
    positions = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return positions, np.take_along_axis(scores, positions, axis=1)


def normal(rows: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def assert_exact(queries: np.ndarray, documents: np.ndarray, k: int, similarity: str) -> None:
    positions, scores = top_k(queries, documents, k, similarity=similarity)
    wanted, values = expected(queries, documents, k, similarity)
    np.testing.assert_array_equal(positions, wanted)
    np.testing.assert_array_equal(scores, values)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_equals_brute_force(small: None, scanned: list[int], similarity: str, k: int) -> None:
    assert_exact(normal(50, 24, 0), normal(1_501, 24, 1), k, similarity)
    assert not scanned


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_documents_of_lengths_far_apart(small: None, similarity: str) -> None:
    documents = normal(900, 16, 2) * np.geomspace(1e-6, 1e6, 900, dtype=np.float32)[:, None]
    assert_exact(normal(20, 16, 3) * np.float32(1e3), documents, 12, similarity)


def test_lengths_that_float32_cannot_square_do_not_matter_under_cosine(small: None) -> None:
    documents = normal(900, 16, 20) * np.float32(1e-25)
    documents[::3] *= np.float32(1e20)
    assert_exact(normal(20, 16, 21), documents, 12, "cosine")


def test_near_duplicates_are_told_apart_far_below_the_low_precision(small: None) -> None:
    """Every document has nine others within 1e-5, a hundredth of what bf16 resolves."""
    documents = np.repeat(normal(120, 32, 4), 10, axis=0)
    documents += 1e-5 * normal(1_200, 32, 5)
    assert_exact(normal(40, 32, 6), documents, 15, "cosine")


def test_ties_are_ordered_by_position(small: None, whole_numbers: Any) -> None:
    queries, documents = whole_numbers(30, 6, 1), whole_numbers(2_000, 6, 2)
    for k in (1, 9, 40):
        positions, scores = top_k(queries, documents, k, similarity="dot")
        wanted, values = expected(queries, documents, k, "dot")
        assert (positions == wanted).all()
        assert (scores == values).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(40, 700), st.integers(1, 30), st.booleans(), st.integers(0, 2**32 - 1))
def test_any_shape(whole_numbers: Any, q: int, n: int, k: int, half: bool, seed: int) -> None:
    queries, documents = whole_numbers(q, 5, seed), whole_numbers(n, 5, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        shrink(patch, PRECISIONS[half])
        positions, scores = top_k(queries, documents, k, similarity="dot")
    wanted, values = expected(queries, documents, k, "dot")
    assert (positions == wanted).all()
    assert (scores == values).all()


def test_embeddings_that_have_collapsed_are_scanned(small: None, scanned: list[int]) -> None:
    """All lie within 1e-6 of each other: nothing can be left out."""
    centre = normal(1, 24, 7)
    queries, documents = centre + 1e-6 * normal(20, 24, 8), centre + 1e-6 * normal(3_000, 24, 9)
    positions, scores = top_k(queries, documents, 5)
    wanted, values = expected(queries, documents, 5, "cosine")
    assert scanned == [20]
    np.testing.assert_array_equal(positions, wanted)
    np.testing.assert_array_equal(scores, values)


def test_only_queries_that_cannot_be_screened_are_scanned(small: None, scanned: list[int]) -> None:
    """A zero vector ties with everything."""
    queries, documents = normal(20, 24, 10), normal(3_000, 24, 11)
    queries[7] = 0
    positions, scores = top_k(queries, documents, 5)
    assert scanned == [1]
    assert positions[7].tolist() == [0, 1, 2, 3, 4]
    assert (scores[7] == 0).all()
    wanted, _ = expected(queries, documents, 5, "cosine")
    assert (np.delete(positions, 7, axis=0) == np.delete(wanted, 7, axis=0)).all()


@pytest.mark.parametrize(
    ("queries_times", "documents_times"),
    [(1e35, 1e5), (1e20, 1.0), (1.0, 1e20), (1e-20, 1e-22), (1e18, 1e-24)],
)
def test_lengths_near_the_ends_of_float32(small: None, queries_times: float, documents_times: float) -> None:
    """Where products leave float32, where squares do, and where products are all but 0."""
    queries, documents = normal(20, 8, 12), normal(600, 8, 13)
    queries[3] *= np.float32(queries_times)
    documents *= np.float32(documents_times)
    with np.errstate(over="ignore"):
        wanted, values = expected(queries, documents, 4, "dot")
    positions, scores = top_k(queries, documents, 4, similarity="dot")
    np.testing.assert_array_equal(positions, wanted)
    np.testing.assert_array_equal(scores, values)


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_float64_is_not_rounded(small: None, similarity: str) -> None:
    """Documents that float32 cannot tell apart."""
    rng = np.random.default_rng(22)
    queries = rng.normal(size=(30, 16))
    documents = np.repeat(rng.normal(size=(200, 16)), 5, axis=0) * (1 + 1e-9 * rng.normal(size=(1_000, 16)))
    documents[:, 0] += 1e-3 * rng.normal(size=1_000)
    assert_exact(queries, documents, 12, similarity)


def test_documents_and_queries_held_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, torch.bfloat16)
    monkeypatch.setattr(module, "RANKING_BYTES", 1)
    queries, documents = normal(300, 24, 23), normal(9_000, 24, 24)
    queries[[70, 260]] = 0
    budget = 1_200_000
    tables = (Table(each, "cosine", torch.device("cpu"), "") for each in (queries, documents))
    plan = Screen.fit(*tables, 10, budget)
    assert plan is not None
    assert plan.documents < 9_000
    assert plan.queries < 300
    positions, scores = top_k(queries, documents, 10, memory_bytes=budget)
    wanted, values = expected(queries, documents, 10, "cosine")
    np.testing.assert_array_equal(positions, wanted)
    np.testing.assert_array_equal(scores, values)


@pytest.mark.parametrize("crowd", [100, 3_000])
def test_a_query_with_a_crowd_of_candidates_is_scanned(small: None, scanned: list[int], crowd: int) -> None:
    """Some documents nearly equal to one query: no more than 256 are left of it."""
    queries, documents = normal(20, 24, 25), normal(6_000, 24, 26)
    documents[::2][:crowd] = queries[5] + 1e-6 * normal(crowd, 24, 27)
    assert_exact(queries, documents, 4, "cosine")
    assert scanned == ([1] if crowd > 256 else [])


def test_the_precision_of_the_process_does_not_reach_the_products(monkeypatch: pytest.MonkeyPatch) -> None:
    shrink(monkeypatch, torch.float32)
    queries, documents = normal(40, 64, 28), normal(1_500, 64, 29)
    wanted = top_k(queries, documents, 10)
    rounded = []
    scores = module._Block._scores

    def checked(self: Any, documents: Any, buffer: torch.Tensor) -> torch.Tensor:
        found = scores(self, documents, buffer)
        exact = documents.vectors.double() @ self.queries.vectors.double().T
        rounded.append(float((found[: len(exact)].double() - exact).abs().max()))
        return found

    monkeypatch.setattr(module._Block, "_scores", checked)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = top_k(queries, documents, 10)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    assert rounded
    assert max(rounded) < 1e-6
    for one, other in zip(wanted, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_defaults_of_the_process_do_not_reach_the_answer(small: None) -> None:
    torch.set_default_dtype(torch.float64)
    try:
        assert_exact(normal(20, 16, 30), normal(900, 16, 31), 5, "cosine")
        assert top_k(normal(2, 3, 0), normal(4, 3, 1), 2)[1].dtype == np.float32
    finally:
        torch.set_default_dtype(torch.float32)


def test_threads_and_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queries, documents = normal(300, 48, 14), normal(9_000, 48, 15)
    whole = top_k(queries, documents, 20, memory_bytes=1 << 20)
    shrink(monkeypatch, torch.bfloat16)
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            found = top_k(queries, documents, 20)
        finally:
            torch.set_num_threads(before)
        for one, other in zip(whole, found, strict=True):
            assert (one == other).all()


def fits(queries: int, documents: int, k: int, memory: int, similarity: str = "cosine") -> Screen | None:
    device = torch.device("cpu")
    asked = Table(np.broadcast_to(np.float32(1), (queries, 384)), similarity, device, "queries")
    among = Table(np.broadcast_to(np.float32(1), (documents, 384)), similarity, device, "documents")
    return Screen.fit(asked, among, k, memory)


def test_what_is_screened() -> None:
    assert fits(1_000, 20_000, 100, 1 << 30) is not None
    assert fits(20_000, 100_000, 250, 1 << 28) is not None
    assert fits(1_000, 20_000, 100, 1 << 30, "euclidean") is None
    assert fits(10, 1_000, 100, 1 << 30) is None
    assert fits(1_000, 20_000, 100, 1 << 22) is None
    assert fits(1_000, 20_000, 8_000, 1 << 30) is None


def test_memory_stays_within_the_budget(tensor_bytes: Any) -> None:
    """All scores would be 600 MB, and all documents 123 MB."""
    budget = 100 << 20
    queries, documents = normal(1_500, 307, 16), normal(100_000, 307, 17)
    assert Screen.fit(
        *(Table(each, "dot", torch.device("cpu"), "") for each in (queries, documents)), 10, budget
    )
    with tensor_bytes() as found:
        top_k(queries, documents, 10, similarity="dot", memory_bytes=budget)
    assert 1 << 20 < max(found.seen) <= budget // 3


def test_values_that_are_not_finite_are_refused_by_row(small: None) -> None:
    queries, documents = normal(20, 8, 18), normal(600, 8, 19)
    documents[517, 2] = np.nan
    with pytest.raises(InputError, match="row 517 of the documents"):
        top_k(queries, documents, 3)
