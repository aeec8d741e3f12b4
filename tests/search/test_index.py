"""The index: documents in, documents out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import DataError, InputError
from sbert_triplet.search.encoder import index_fingerprint
from sbert_triplet.search.index import Count, Cut, Document, Index, StoreError, Upserted

TEXTS = ["rain on moss", "bread and salt", "trains and maps", "chess", "glass bees", "paint"]


@pytest.fixture
def url(tmp_path: Path) -> str:
    pytest.importorskip("faiss")
    return f"faiss:{tmp_path / 'index'}"


@pytest.fixture
def index(url: str, encoder: SentenceTransformer) -> Iterator[Index]:
    with Index.create(url, encoder) as made:
        made.upsert([Document(str(n), text, {"n": n}) for n, text in enumerate(TEXTS)])
        yield made


def test_order_and_scores_are_those_of_the_library(index: Index, encoder: SentenceTransformer) -> None:
    query = "salt and bread on trains"
    similar = encoder.similarity(encoder.encode_query([query]), encoder.encode_document(TEXTS))[0].numpy()
    hits = index.search([query], k=4)[0]
    assert [int(hit.id) for hit in hits] == np.argsort(-similar)[:4].tolist()
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(similar)[::-1][:4], atol=1e-5)
    assert [hit.text for hit in hits] == [TEXTS[int(hit.id)] for hit in hits]
    embedded = index.search_embeddings(encoder.encode_query([query]), 4, {"n": {"lt": 3}})[0]
    assert [hit.id for hit in embedded] == [hit.id for hit in index.search([query], 9, {"n": {"lt": 3}})[0]]
    assert {hit.id for hit in embedded} == {"0", "1", "2"}


def test_another_model_is_refused_and_its_own_is_not(
    index: Index, url: str, encoder: SentenceTransformer, other_encoder: SentenceTransformer
) -> None:
    assert index.about.fingerprint == index_fingerprint(encoder)
    with pytest.raises(StoreError, match="another model"):
        Index.open(url, other_encoder)
    with Index.open(url, encoder) as again:
        assert again.count() == Count(6, 6)
    with pytest.raises(StoreError, match="already"):
        Index.create(url, encoder)


def test_a_prompt_makes_another_model(encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    before = index_fingerprint(encoder)
    monkeypatch.setitem(encoder.prompts, "query", "query: ")
    assert index_fingerprint(encoder) != before


def test_no_index(url: str) -> None:
    with pytest.raises(StoreError, match="no index"):
        Index.open(url)


def test_unchanged_documents_are_not_embedded_again(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    passages = index.encoder.passages
    monkeypatch.setattr(index.encoder, "passages", lambda texts: seen.extend(texts) or passages(texts))
    documents = [Document(str(n), text, {"n": n}) for n, text in enumerate(TEXTS)]
    documents[1] = Document("1", "salt", {"n": 1})
    documents[2] = Document("2", TEXTS[2], {"n": 20})
    assert index.upsert([*documents, Document("new", "maps")]) == Upserted(3, 3, 4)
    assert seen == ["salt", TEXTS[2], "maps"]
    assert index.search(["maps"], 9, {"n": 20})[0][0].id == "2"


def test_acknowledged_in_batches_and_the_last_of_a_repeated_id_counts(index: Index) -> None:
    told: list[list[str]] = []
    documents = [Document("a", "rain"), Document("a", "moss"), Document("b", "salt"), Document("a", "glass")]
    index.upsert(documents, acknowledged=lambda ids: told.append(list(ids)), batch=3)
    assert told == [["a", "b"], ["a"]]
    assert [hit.text for hit in index.search(["x"], 9)[0] if hit.id == "a"] == ["glass"]


def test_only_a_batch_is_held(index: Index) -> None:
    """When the third batch is asked for, the first two are there."""

    def documents() -> Iterator[Document]:
        for number in range(6):
            if number == 4:
                assert index.count().documents == len(TEXTS) + 4
            yield Document(f"more {number}", "rain")

    index.upsert(documents(), batch=2)


def test_long_documents_are_found_by_their_best_passage(url: str, encoder: SentenceTransformer) -> None:
    long = "rain moss rain moss rain moss. " * 5 + "glass bees glass bees glass bees " + "salt maps " * 20
    with Index.create(url, encoder, passages=Cut(8, 2)) as index:
        index.upsert(
            [Document("long", long, {"kind": "l"}), *(Document(f"s{n}", "paint chess") for n in range(9))]
        )
        counted = index.count()
        assert counted.documents == 10
        assert counted.passages > 20
        hits = index.search(["glass bees"], k=10)[0]
        assert len(hits) == len({hit.id for hit in hits}) == 10
        best = next(hit for hit in hits if hit.id == "long")
        assert "glass bees" in best.text
        assert best.text == long[best.passage.start : best.passage.end]
        scores = encoder.similarity(
            encoder.encode_query(["glass bees"]), encoder.encode_document([best.text])
        )
        assert best.score == pytest.approx(float(scores), abs=1e-5)
        assert index.delete(["long"]) == 1
        assert index.count() == Count(9, 9)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        (Document("", "text"), "id is empty"),
        (Document("a\ud800", "text"), "lone surrogate"),
        (Document("a", "text \udfff"), "lone surrogate"),
        (Document("a", "text", {"sbert_triplet:id": 1}), "cannot be a key"),
        (Document("a", "text", {"": 1}), "cannot be a key"),
        (Document("a", "text", {"k": float("nan")}), "leave it out"),
        (Document("a", "text", {"k": 2**70}), "64 bits"),
        (Document("a", "text", {"k": None}), "a value is"),  # type: ignore[dict-item]
        (Document(1, "text"), "must be a text"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_kept_is_refused_by_its_place(index: Index, document: Document, named: str) -> None:
    with pytest.raises(DataError, match=f"document 2.*{named}"):
        index.upsert([Document("fine", "text"), document])


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda index: index.search(["x"], k=0), "1 or more"),
        (lambda index: index.search_embeddings(np.ones((1, 5), np.float32)), "5 dimensions"),
        (lambda index: index.search_embeddings(np.full((1, 32), np.nan, np.float32)), "NaN"),
        (lambda index: index.search_embeddings(np.ones(32, np.float32)), "shape"),
        (lambda index: index.search(["x"], where={"n": None}), "neither text"),
    ],
)
def test_wrong_questions(index: Index, call: Callable[[Index], object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        call(index)
    assert index.search([]) == []
