"""Retrieval with documents kept in fewer bytes: int8, binary, and binary rescored by int8.

Queries stay in full precision. int8: 256 steps between the least and the greatest value of each dimension
among the documents, searched by the model's own similarity. Binary: the sign of each dimension; the
nearest by Hamming distance are candidates, ten for each result, which are put in order by the query in
full precision against the documents' signs (Yamada, Asai and Hajishirzi 2021, arXiv 2106.00882), or against
their int8 form where that is kept as well.
"""

from __future__ import annotations

import numpy as np
import torch
from sentence_transformers.util.quantization import quantize_embeddings

from sbert_triplet.data.examples import IntArray
from sbert_triplet.evaluation.metrics import Metric
from sbert_triplet.evaluation.results import MetricValues
from sbert_triplet.evaluation.retrieval import (
    DEPTH_WITHOUT_CUTOFF,
    RetrievalTask,
    evaluate_run,
    excluded_at_most,
)
from sbert_triplet.nearest import Embeddings, Float32Array, Similarity, highest, top_k
from sbert_triplet.nearest.rows import finite_rows, unit_rows

INT8, BINARY, BOTH = "int8", "binary", "binary, then int8"
CANDIDATES = 10
"""How many candidates by Hamming distance are rescored for each result."""
OF_PRODUCTS = ("cosine", "dot")
"""Similarities whose order signs keep roughly."""
_BLOCK_BYTES = 128 << 20


def bytes_of_a_text(dimensions: int) -> dict[str, int]:
    """Bytes of one embedding by the form it is kept in; what an index adds is not in them."""
    return {"fp32": 4 * dimensions, "fp16": 2 * dimensions, INT8: dimensions, "binary": -(-dimensions // 8)}


def evaluate_compressed(
    task: RetrievalTask,
    query_embeddings: Embeddings,
    document_embeddings: Embeddings,
    metric: Metric,
    *,
    similarity: Similarity,
    candidates: int = CANDIDATES,
) -> dict[str, MetricValues]:
    """One retrieval metric on documents kept in each form, by the form's name.

    ``query_embeddings`` (Q, D), ``document_embeddings`` (N, D). As many documents are ranked as the metric's
    cutoff says (1,000 without one), out of ``candidates`` times as many. Under another similarity than
    cosine and dot product signs say too little, and int8 alone is measured.
    """
    queries = finite_rows(query_embeddings, "query embeddings", np.float32)
    documents = finite_rows(document_embeddings, "document embeddings", np.float32)
    if similarity == "cosine":
        queries, documents = unit_rows(queries), unit_rows(documents)
    depth = metric.cutoff or DEPTH_WITHOUT_CUTOFF
    wanted = depth + excluded_at_most(task)
    rounded = from_int8(documents)
    runs = {INT8: top_k(queries, rounded, wanted, similarity=similarity)}
    if similarity in OF_PRODUCTS:
        near = hamming_nearest(queries, documents, candidates * wanted)
        runs[BINARY] = rescored(queries, signs(documents), near, wanted)
        rounded = unit_rows(rounded) if similarity == "cosine" else rounded
        runs[BOTH] = rescored(queries, rounded, near, wanted)
    return {
        form: evaluate_run(task, task.document_ids[places], scores, [metric], depth=depth).values[metric.name]
        for form, (places, scores) in runs.items()
    }


def from_int8(embeddings: Float32Array) -> Float32Array:
    """(N, D) float32: what int8 keeps of the embeddings, each value in the middle of its step."""
    if not len(embeddings):
        return embeddings
    ranges = np.stack([embeddings.min(axis=0), embeddings.max(axis=0)])
    codes = np.asarray(quantize_embeddings(embeddings, "int8", ranges=ranges), dtype=np.float32)
    steps = (ranges[1] - ranges[0]) / 255
    # The last code is the greatest value itself: a step beyond it does not exist.
    middles = np.minimum(ranges[0] + (codes + 128.5) * steps, ranges[1])
    rounded: Float32Array = middles.astype(np.float32)
    return rounded


def signs(embeddings: Float32Array) -> Float32Array:
    """(N, D) 1 where a value is above 0, else -1: what binary keeps."""
    found: Float32Array = np.where(embeddings > 0, 1, -1).astype(np.float32)
    return found


def hamming_nearest(queries: Float32Array, documents: Float32Array, k: int) -> IntArray:
    """Positions (Q, min(k, N)) of the documents whose signs differ from the query's in fewest dimensions.

    Equal distances are ordered by the lower position.
    """
    # Of D signs of which d differ the product is D - 2 d: the same order, and exact in float32.
    return top_k(signs(queries), signs(documents), k, similarity="dot")[0]


def rescored(
    queries: Float32Array, documents: Float32Array, near: IntArray, k: int
) -> tuple[IntArray, Float32Array]:
    """The k of the candidates ``near`` (Q, C) with the highest products: positions and products, (Q, k).

    Equal products are ordered by the lower position.
    """
    near = np.sort(near, axis=1)
    k = min(k, near.shape[1])
    positions = np.zeros((len(queries), k), dtype=np.int64)
    scores = np.zeros((len(queries), k), dtype=np.float32)
    chunk = max(1, _BLOCK_BYTES // max(4 * near.shape[1] * documents.shape[1], 1))
    for first in range(0, len(queries), chunk):
        rows = slice(first, first + chunk)
        products = np.einsum("qd,qcd->qc", queries[rows], documents[near[rows]])
        values, places = highest(torch.from_numpy(products), k)
        scores[rows] = values.numpy()
        positions[rows] = np.take_along_axis(near[rows], places.numpy(), axis=1)
    return positions, scores
