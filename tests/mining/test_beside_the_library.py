"""The same negatives as sentence-transformers where the definitions agree, on a real encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import mine_hard_negatives

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.texts import TextTable
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.loading import EMBEDDED_MODEL, load_model
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.mining.approximate import ApproximateSearch
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.rules import Rules
from sbert_triplet.mining.search import DenseSearch, LexicalSearch, MixedSearch
from sbert_triplet.mining.space import Space

THINGS = (
    "horse",
    "bicycle",
    "violin",
    "kettle",
    "glacier",
    "contract",
    "vaccine",
    "bridge",
    "sonnet",
    "modem",
)
TOPICS = ("buy", "repair", "paint", "describe", "insure")
QUERIES = [f"how do I {topic} a {thing}" for thing in THINGS for topic in TOPICS]
ANSWERS = [f"To {topic} it you first look at the {thing} closely." for thing in THINGS for topic in TOPICS]
OTHERS = [
    f"A {thing} was seen in the {place}." for thing in THINGS for place in ("garden", "museum", "harbour")
]


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return load_model(EMBEDDED_MODEL, device="cpu")


@pytest.fixture(scope="module")
def given(pairs: Callable[..., Examples]) -> tuple[Examples, TextTable]:
    """Every query with its answer, every fifth with a second one."""
    texts = TextTable()
    queries, answers = texts.add(QUERIES), texts.add(ANSWERS)
    texts.add(OTHERS)
    rows = [(int(q), int(a)) for q, a in zip(queries, answers, strict=True)]
    rows += [(int(queries[i]), int(answers[i + 1])) for i in range(0, len(queries), 5)]
    return pairs(*sorted(rows)), texts


@pytest.fixture(scope="module")
def search(model: SentenceTransformer, given: tuple[Examples, TextTable]) -> DenseSearch:
    _, texts = given
    embedder = Embedder(model, TokenTable(model, texts.texts))
    return DenseSearch(Space(embedder, embedder.similarity), np.arange(len(QUERIES), len(texts)))


def library(
    model: SentenceTransformer, given: tuple[Examples, TextTable], **options: Any
) -> set[tuple[str, str, str]]:
    examples, texts = given
    assert examples.positives is not None
    rows = datasets.Dataset.from_dict(
        {"anchor": texts.texts(examples.anchors), "positive": texts.texts(examples.positives)}
    )
    found = mine_hard_negatives(rows, model, corpus=ANSWERS + OTHERS, range_max=75, verbose=False, **options)
    return {(row["anchor"], row["positive"], row["negative"]) for row in found}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_score": 0.5},
        {"min_score": 0.4},
        {"absolute_margin": 0.1},
        {"relative_margin": 0.05},
        {"relative_margin": 0.2, "max_score": 0.6, "min_score": 0.2},
    ],
    ids=str,
)
def test_top_negatives_agree(
    model: SentenceTransformer,
    given: tuple[Examples, TextTable],
    search: DenseSearch,
    options: dict[str, float],
) -> None:
    examples, texts = given
    rules = Rules(negatives=3, range_max=75, near_equal=None, transitive_hops=0, **options)  # type: ignore[arg-type]
    mined = mine(examples, search, texts, rules)
    owners = np.repeat(np.arange(len(mined)), np.diff(mined.negatives.offsets))
    ours = set(
        zip(
            texts.texts(mined.queries[owners]),
            texts.texts(mined.positives[owners]),
            texts.texts(mined.negatives.values),
            strict=True,
        )
    )
    assert ours == library(model, given, num_negatives=3, **options)
    assert len(ours) > 50


def test_every_kind_of_search_mines_on_real_embeddings(
    given: tuple[Examples, TextTable], search: DenseSearch
) -> None:
    examples, texts = given
    rules = Rules(negatives=2, relative_margin=0.05)
    exact = mine(examples, search, texts, rules)
    assert exact.counts.chosen > 0
    words = LexicalSearch(search.space, search.documents, texts.texts)
    assert mine(examples, words, texts, rules).counts.chosen > 0
    assert mine(examples, MixedSearch(search, words), texts, rules).counts.chosen > 0
    pytest.importorskip("faiss")
    near = ApproximateSearch(search.space, search.documents, "hnsw")
    assert near.recall(examples.anchors, 20) > 0.99
    assert np.array_equal(mine(examples, near, texts, rules).negatives.values, exact.negatives.values)
