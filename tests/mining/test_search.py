"""The searches against brute force with ties, and what they cost before and while they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data.bm25 import bm25_rank
from sbert_triplet.mining.candidates import Source, merged
from sbert_triplet.mining.search import DenseSearch, LexicalSearch, MixedSearch
from sbert_triplet.mining.space import Space

WORDS = ("red", "green", "apple", "pear", "dog", "cat")


def by_score(scores: np.ndarray, documents: np.ndarray, k: int) -> np.ndarray:
    return documents[np.lexsort((np.broadcast_to(documents, scores.shape), -scores), axis=1)[:, :k]]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(1, 6), st.integers(1, 30), st.integers(1, 40), st.integers(0, 2**31), st.integers(1, 9_000)
)
def test_dense_search_equals_brute_force_with_ties(q: int, n: int, k: int, seed: int, budget: int) -> None:
    # Small integers: their products are exact, so ties are true ties.
    vectors = np.random.default_rng(seed).integers(-2, 3, size=(100, 2)).astype(np.float32)
    documents = np.sort(np.random.default_rng(seed).choice(100, n, replace=False))
    queries = np.arange(q)
    space = Space(lambda _, ids: vectors[ids], "dot")
    found = DenseSearch(space, documents, memory_bytes=budget)(queries, k)
    scores = vectors[queries] @ vectors[documents].T
    assert (found.documents == by_score(scores, documents, k)).all()
    assert (found.scores == np.sort(scores, axis=1)[:, ::-1][:, :k]).all()
    assert (found.sources == Source.DENSE).all()


@pytest.mark.parametrize("shares", [1, 2, 3, 7])
def test_shares_of_the_documents_merge_to_the_whole(world: Callable[..., Any], shares: int) -> None:
    here = world(count=60)
    queries, documents = np.arange(10), np.arange(5, 60)
    parts = [here.search(share)(queries, 12) for share in np.array_split(documents, shares)]
    whole, found = here.search(documents)(queries, 12), merged(parts, 12)
    assert (found.documents == whole.documents).all()
    assert (found.scores == whole.scores).all()


@pytest.fixture
def wordy(world: Callable[..., Any]) -> Any:
    """Fifty texts of three words of six and one of their own, and one text of other words."""
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, 3)) + f" {'x' * (i + 2)}" for i in range(50)]
    return world([*texts, "zebra unseen"], rng.normal(size=(51, 6)))


def test_lexical_search_keeps_the_order_of_bm25_and_the_scale_of_the_embeddings(wordy: Any) -> None:
    here, documents = wordy, np.arange(10, 50)
    space = Space(here.embed, "cosine")
    queries = np.array([3, 50, 0])
    found = LexicalSearch(space, documents, here.texts.texts)(queries, 7)
    positions, weights = bm25_rank(here.texts.texts(queries), here.texts.texts(documents), 7)
    assert (found.documents == np.where(weights > -np.inf, documents[positions], -1)).all()
    assert (found.documents[1] == -1).all()
    unit = here.vectors / np.linalg.norm(here.vectors, axis=1, keepdims=True)
    for row in (0, 2):
        np.testing.assert_allclose(
            found.scores[row], unit[found.documents[row]] @ unit[queries[row]], rtol=1e-5, atol=1e-6
        )
    assert (np.diff(found.scores[0]) > 0).any()
    assert (found.scores[1] == -np.inf).all()


def test_equal_words_are_ordered_by_the_lower_id(world: Callable[..., Any]) -> None:
    here = world(["same words a1", "same words a2", "same words a3", "other"], np.ones((4, 2)))
    found = LexicalSearch(here.space, np.arange(4), here.texts.texts)(np.array([1]), 4)
    assert found.documents.tolist() == [[1, 0, 2, -1]]


def test_mixed_search_has_one_scale_of_scores(wordy: Any) -> None:
    here, documents = wordy, np.arange(10, 50)
    space = Space(here.embed, "cosine")
    dense, words = DenseSearch(space, documents), LexicalSearch(space, documents, here.texts.texts)
    mixed = MixedSearch(dense, words)
    found = mixed(np.arange(8), 10)
    assert (mixed.documents == documents).all()
    unit = here.vectors / np.linalg.norm(here.vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(
        found.scores, np.einsum("qd,qkd->qk", unit[:8], unit[found.documents]), rtol=1e-5, atol=1e-6
    )
    assert set(np.unique(found.sources)) == {1, 2, 3}
    assert (found.documents[:, 0] == dense(np.arange(8), 1).documents[:, 0]).all()


def test_a_mix_is_over_one_collection(wordy: Any) -> None:
    with pytest.raises(ValueError, match="same documents"):
        MixedSearch(wordy.search(range(10)), wordy.search(range(9)))


def test_nothing_is_encoded_before_the_first_search_and_documents_once(world: Callable[..., Any]) -> None:
    here = world()
    search = here.search(range(5, 40))
    assert here.encoded == []
    search(np.arange(3), 2)
    search(np.arange(3), 4)
    assert here.encoded == ["query", "document", "query"]


def test_no_tensor_takes_more_than_a_fifth_of_the_budget(tensor_bytes: Any) -> None:
    """All scores together would be 6 MB here."""
    vectors = np.random.default_rng(9).normal(size=(5_300, 16))
    space = Space(lambda _, ids: vectors[ids])
    with tensor_bytes() as found:
        DenseSearch(space, np.arange(300, 5_300), memory_bytes=100_000)(np.arange(300), 3)
    assert 1_000 < max(found.seen) <= 20_000
