"""Compressed documents: codes, Hamming distance and rescoring against loops over every pair."""

from __future__ import annotations

import numpy as np
import pytest
from sentence_transformers.util.quantization import quantize_embeddings

from sbert_triplet.evaluation.compressed import (
    BINARY,
    BOTH,
    INT8,
    bytes_of_a_text,
    evaluate_compressed,
    from_int8,
    hamming_nearest,
    rescored,
    signs,
)
from sbert_triplet.evaluation.metrics import parse_metric
from sbert_triplet.evaluation.retrieval import RetrievalTask, evaluate_retrieval, evaluate_run

RNG = np.random.default_rng(7)
QUERIES = RNG.normal(size=(12, 20)).astype(np.float32)
DOCUMENTS = RNG.normal(size=(150, 20)).astype(np.float32)
METRIC = parse_metric("nDCG@5")


def unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def judged(excluded: dict[int, list[int]] | None = None) -> RetrievalTask:
    """Each query is near one document, as far as its embeddings say so."""
    return RetrievalTask(
        np.arange(1000, 1012), np.arange(150), {1000 + n: {n: 1} for n in range(12)}, excluded or {}
    )


def near_pairs() -> tuple[np.ndarray, np.ndarray]:
    documents = unit(DOCUMENTS)
    return unit(documents[:12] + 0.25 * QUERIES), documents


def hamming(one: np.ndarray, two: np.ndarray) -> int:
    bits = [np.unpackbits(quantize_embeddings(row[None], "ubinary"))[:20] for row in (one, two)]
    return int((bits[0] != bits[1]).sum())


def test_bytes() -> None:
    assert bytes_of_a_text(384) == {"fp32": 1536, "fp16": 768, "int8": 384, "binary": 48}
    assert bytes_of_a_text(20)["binary"] == 3


def test_int8_is_right_to_half_a_step() -> None:
    rounded = from_int8(DOCUMENTS)
    steps = (DOCUMENTS.max(axis=0) - DOCUMENTS.min(axis=0)) / 255
    assert (np.abs(rounded - DOCUMENTS) <= steps * 0.501).all()
    assert len(np.unique(rounded[:, 0])) <= 256
    assert np.abs(rounded - DOCUMENTS).max() > 0


def test_int8_of_a_constant_dimension_and_of_nothing() -> None:
    constant = np.full((3, 2), 0.5, dtype=np.float32)
    np.testing.assert_array_equal(from_int8(constant), constant)
    assert from_int8(np.zeros((0, 4), dtype=np.float32)).shape == (0, 4)


def test_signs_are_the_bits_of_the_library() -> None:
    rows = np.array([[0.5, -0.5, 0.0, 2.0]], dtype=np.float32)
    assert signs(rows).tolist() == [[1, -1, -1, 1]]
    bits = np.unpackbits(quantize_embeddings(DOCUMENTS, "ubinary"), axis=1)[:, :20]
    np.testing.assert_array_equal(signs(DOCUMENTS) > 0, bits == 1)


def test_nearest_by_hamming_distance_is_brute_force() -> None:
    found = hamming_nearest(QUERIES, DOCUMENTS, 30)
    for query, row in zip(QUERIES, found, strict=True):
        distances = [hamming(query, document) for document in DOCUMENTS]
        expected = sorted(range(150), key=lambda place: (distances[place], place))[:30]
        assert row.tolist() == expected


def test_rescoring_is_brute_force() -> None:
    near = hamming_nearest(QUERIES, DOCUMENTS, 40)
    places, scores = rescored(QUERIES, signs(DOCUMENTS), near, 7)
    for number, query in enumerate(QUERIES):
        products = {int(place): float(query @ signs(DOCUMENTS)[place]) for place in near[number]}
        expected = sorted(products, key=lambda place: -products[place])[:7]
        assert places[number].tolist() == expected
        np.testing.assert_allclose(scores[number], [products[place] for place in expected], rtol=1e-5)


def test_equal_products_by_the_lower_position() -> None:
    documents = np.ones((5, 2), dtype=np.float32)
    places, _ = rescored(np.ones((1, 2), dtype=np.float32), documents, np.array([[4, 1, 3]]), 2)
    assert places.tolist() == [[1, 3]]


def test_every_form_against_a_loop() -> None:
    """10 x 5 candidates of 150 documents; the order of each form worked out pair by pair."""
    queries, documents = near_pairs()
    task = judged()
    found = evaluate_compressed(task, queries, documents, METRIC, similarity="cosine")
    assert list(found) == [INT8, BINARY, BOTH]
    rounded = unit(from_int8(documents))
    for form in found:
        ranked = []
        for query in queries:
            among = list(range(150))
            if form != INT8:
                distances = [hamming(query, document) for document in documents]
                among = sorted(among, key=lambda place: (distances[place], place))[:50]
            against = signs(documents) if form == BINARY else rounded
            products = {place: float(query @ against[place]) for place in among}
            ranked.append(sorted(among, key=lambda place: (-products[place], place))[:5])
        falling = np.tile(-np.arange(5, dtype=np.float32), (12, 1))
        expected = evaluate_run(task, np.array(ranked), falling, [METRIC]).values[METRIC.name]
        np.testing.assert_allclose(found[form].per_item, expected.per_item)
    assert found[BINARY].value < 1


def test_int8_loses_next_to_nothing_and_binary_something() -> None:
    queries, documents = near_pairs()
    full = evaluate_retrieval(judged(), queries, documents, [METRIC], similarity="cosine")
    found = evaluate_compressed(judged(), queries, documents, METRIC, similarity="cosine")
    assert found[INT8].value == pytest.approx(full.values[METRIC.name].value, abs=0.02)
    assert found[BINARY].value <= full.values[METRIC.name].value


def test_lengths_do_not_matter_under_cosine() -> None:
    queries, documents = near_pairs()
    factors = np.linspace(1, 9, 150, dtype=np.float32)[:, None]
    one = evaluate_compressed(judged(), queries, documents, METRIC, similarity="cosine")
    two = evaluate_compressed(judged(), 3 * queries, factors * documents, METRIC, similarity="cosine")
    assert {form: values.value for form, values in one.items()} == pytest.approx(
        {form: values.value for form, values in two.items()}
    )


def test_the_excluded_are_never_found() -> None:
    """With the only relevant document hidden from a query there is nothing to measure it by."""
    queries, documents = near_pairs()
    hidden = {1000 + n: [n] for n in range(6)}
    task = RetrievalTask(
        np.arange(1000, 1012), np.arange(150), {1000 + n: {n: 1, n + 12: 1} for n in range(12)}, hidden
    )
    found = evaluate_compressed(task, queries, documents, METRIC, similarity="cosine")
    per_item = found[BOTH].per_item
    assert per_item is not None
    assert (per_item[:6] < 0.5).all()
    assert (per_item[6:] > 0.5).any()


def test_other_similarities_have_int8_alone() -> None:
    found = evaluate_compressed(judged(), QUERIES, DOCUMENTS, METRIC, similarity="euclidean")
    assert list(found) == [INT8]
