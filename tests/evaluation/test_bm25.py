"""BM25 against the formula worked out here, and its place in a retrieval table."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sbert_triplet.data.bm25 import bm25_rank
from sbert_triplet.evaluation.bm25 import evaluate_bm25
from sbert_triplet.evaluation.metrics import parse_metric
from sbert_triplet.evaluation.retrieval import RetrievalTask

DOCUMENTS = ["red apples grow", "green apples rot rot", "dogs bark loudly nightly", "The red dog"]


def lucene(query: list[str], documents: list[list[str]], k1: float = 1.5, b: float = 0.75) -> list[float]:
    mean = sum(map(len, documents)) / len(documents)
    totals = [0.0] * len(documents)
    for word in query:
        holding = sum(word in document for document in documents)
        idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
        for i, document in enumerate(documents):
            count = document.count(word)
            totals[i] += idf * count / (count + k1 * (1 - b + b * len(document) / mean))
    return totals


def test_scores_equal_the_formula_without_stop_words() -> None:
    words = [[word for word in text.lower().split() if word != "the"] for text in DOCUMENTS]
    positions, scores = bm25_rank(["The red apples"], DOCUMENTS, 4)
    expected = lucene(["red", "apples"], words)
    order = sorted(range(4), key=lambda i: (-expected[i], i))
    assert positions[0, :3].tolist() == order[:3]
    np.testing.assert_allclose(scores[0, :3], [expected[i] for i in order[:3]], rtol=1e-5)


def test_what_shares_no_word_is_not_retrieved() -> None:
    positions, scores = bm25_rank(["rot", "zebra", "", "the of and"], DOCUMENTS, 10)
    assert positions.shape == scores.shape == (4, 4)
    assert positions[0, 0] == 1
    assert np.isneginf(scores[0, 1:]).all()
    assert np.isneginf(scores[1:]).all()


def test_ties_are_ordered_by_position_and_runs_are_equal() -> None:
    documents = ["plain words"] * 30 + ["other text"] + ["plain words"] * 30
    positions, scores = bm25_rank(["plain"] * 3, documents, 50)
    assert positions[0].tolist() == [i for i in range(61) if i != 30][:50]
    again, _ = bm25_rank(["plain"] * 3, documents, 50)
    assert (positions == again).all()
    assert len(np.unique(scores)) == 1


@pytest.mark.parametrize("documents", [[], ["", "  "], ["the", "of"]])
def test_a_pool_without_words_retrieves_nothing(documents: list[str]) -> None:
    positions, scores = bm25_rank(["red"], documents, 3)
    assert positions.shape == (1, len(documents))
    assert np.isneginf(scores).all()


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    bm25_rank(["red"], DOCUMENTS, 2)
    assert capfd.readouterr() == ("", "")


def test_a_row_of_the_retrieval_table() -> None:
    task = RetrievalTask(np.array([9, 8]), np.arange(4), {9: {3: 1}, 8: {2: 1}}, excluded={9: {0}, 8: set()})
    metrics = [parse_metric("RR@10"), parse_metric("Success@1")]
    result = evaluate_bm25(task, ["red", "bark at the apples"], DOCUMENTS, metrics)
    per_item = result.values["RR@10"].per_item
    assert per_item is not None
    assert per_item.tolist() == [1.0, 1.0]
    assert result.top_ids[0, :2].tolist() == [3, -1]
