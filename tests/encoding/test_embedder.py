"""Embeddings kept by id."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.tokens import TokenTable

Table = Callable[..., TokenTable]
Read = Callable[..., list[list[int]]]


def counted(model: SentenceTransformer, token_rows: Read) -> list[int]:
    """The number of texts of each call of the encoder."""
    passed: list[int] = []
    model[0].register_forward_pre_hook(lambda _, inputs: passed.append(len(token_rows(inputs[0]))))
    return passed


def test_rows_in_the_order_asked_for(encoder: SentenceTransformer, texts: list[str], table: Table) -> None:
    embedder = Embedder(encoder, table(encoder))
    for ids in ([7, 1, 1, 3], [0, 9, 3], [2], [9, 8, 7, 6, 5, 4]):
        found = embedder("text", np.array(ids))
        np.testing.assert_allclose(found, encoder.encode([texts[number] for number in ids]), atol=1e-6)


def test_a_text_is_encoded_once_over_all_calls(
    encoder: SentenceTransformer, table: Table, token_rows: Read
) -> None:
    tokens = table(encoder)
    assert not tokens.why_not_packed
    passed = counted(encoder, token_rows)
    embedder = Embedder(encoder, tokens)
    embedder.prepare([("query", np.array([0, 1])), ("document", np.array([1, 2])), ("text", np.array([0]))])
    embedder("query", np.array([2, 1]))
    embedder("document", np.array([3, 0]))
    assert sum(passed) == 4


def test_forms_are_kept_apart(encoder: SentenceTransformer, texts: list[str], table: Table) -> None:
    encoder.prompts = {"query": "question: "}
    embedder = Embedder(encoder, table(encoder))
    embedder.prepare([("query", np.array([3, 0])), ("document", np.array([0, 4]))])
    asked = [texts[0], texts[3]]
    np.testing.assert_allclose(embedder("query", np.array([0, 3])), encoder.encode_query(asked), atol=1e-6)
    np.testing.assert_allclose(
        embedder("document", np.array([0, 3])), encoder.encode_document(asked), atol=1e-6
    )


def test_no_ids_give_no_rows(encoder: SentenceTransformer, table: Table) -> None:
    embedder = Embedder(encoder, table(encoder))
    none = np.zeros(0, dtype=np.int64)
    assert embedder("text", none).shape == (0, 32)
    assert embedder("text", np.array([1])).shape == (1, 32)
    assert embedder("text", none).shape == (0, 32)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
def test_it_names_the_similarity_of_the_model(
    encoder: SentenceTransformer, table: Table, similarity: str
) -> None:
    encoder.similarity_fn_name = similarity
    assert Embedder(encoder, table(encoder)).similarity == similarity


def test_a_table_for_other_prompts_is_refused(encoder: SentenceTransformer, table: Table) -> None:
    tokens = table(encoder)
    encoder.prompts = {"query": "question: "}
    with pytest.raises(ValueError, match="other prompts or routes"):
        Embedder(encoder, tokens)


def test_views_share_the_embeddings(encoder: SentenceTransformer, table: Table, token_rows: Read) -> None:
    tokens = table(encoder)
    assert not tokens.why_not_packed
    passed, ids = counted(encoder, token_rows), np.array([4, 0, 4])
    embedder = Embedder(encoder, tokens)
    cut, other = embedder.cut(5), embedder.compared_by("manhattan")
    np.testing.assert_array_equal(cut("text", ids), embedder("text", ids)[:, :5])
    np.testing.assert_array_equal(other("left", ids), embedder("right", ids))
    assert (cut.similarity, other.similarity, embedder.similarity) == ("cosine", "manhattan", "cosine")
    assert sum(passed) == 2
