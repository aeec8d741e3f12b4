"""The k nearest documents of every query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from sbert_triplet.nearest.scan import scan
from sbert_triplet.nearest.screen import Screen, screened
from sbert_triplet.nearest.similarities import (
    Embeddings,
    Float32Array,
    IntArray,
    Similarity,
    Table,
    check,
)


def top_k(
    queries: Embeddings,
    documents: Embeddings,
    k: int,
    *,
    similarity: Similarity = "cosine",
    memory_bytes: int = 1 << 30,
    device: str | torch.device | None = None,
) -> tuple[IntArray, Float32Array]:
    """The k nearest documents of every query: positions (Q, k) and similarities (Q, k), best first.

    Every pair is compared (no approximation); both axes are cut into tiles, so that working memory
    stays within ``memory_bytes`` beside the answer, and a (Q, N) block never exists. Equal
    similarities are ordered by the lower document position. ``k`` above N gives N columns.

    Similarities of what is found are computed in float64 and told in float32, where the device has float64;
    Manhattan and a distance given as an object in float32. The answer depends neither on
    tiles nor on threads. Under cosine a zero vector has similarity 0 to everything.

    ``queries`` (Q, D) and ``documents`` (N, D): arrays or memory maps of any float type.
    ``device``: where products are made; by default CUDA if there is one, else the CPU.

    Raises ``InputError`` where a row holds NaN or infinity, ``ValueError`` on shapes that do not
    fit, a negative ``k`` or an unknown similarity.
    """
    check(queries, documents, similarity)
    if k < 0:
        raise ValueError(f"k is {k}; it must be 0 or more")
    if memory_bytes < 1:
        raise ValueError(f"memory_bytes is {memory_bytes}; it must be positive")
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    k = min(k, len(documents))
    if k == 0 or len(queries) == 0:
        return np.zeros((len(queries), k), dtype=np.int64), np.zeros((len(queries), k), dtype=np.float32)
    asked = Table(queries, similarity, where, "queries")
    among = Table(documents, similarity, where, "documents")
    with torch.inference_mode(), _full_precision():
        screen = Screen.fit(asked, among, k, memory_bytes)
        if screen is None:
            scores, positions = scan(asked, among, k, memory_bytes)
        else:
            scores, positions = screened(asked, among, k, screen, memory_bytes)
    return positions.numpy(), scores.numpy()


@contextmanager
def _full_precision() -> Iterator[None]:
    """Float32 products in float32, whatever the process chose for training."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
