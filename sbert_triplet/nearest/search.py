"""The k nearest documents of every query."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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

    Similarities of what is found are those of ``row_similarities``, rounded to float32; they and their order
    depend neither on tiles nor on threads. Which documents are found depends on these only where more than
    k are nearer to each other than float64 tells them apart (float32 for Manhattan, and on a device
    without float64). A distance given as an object is asked for its values in float32. Under cosine a zero
    vector has similarity 0 to everything.

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
    with torch.inference_mode(), _full_precision(where):
        screen = Screen.fit(asked, among, k, memory_bytes)
        if screen is None:
            scores, positions = scan(asked, among, k, memory_bytes)
        else:
            scores, positions = screened(asked, among, k, screen, memory_bytes)
    return positions.numpy(), scores.numpy()


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Float32 products in float32, whatever the process chose for training."""
    kinds: list[Any] = [
        getattr(library, "matmul", None) for library in (torch.backends.cuda, torch.backends.mkldnn)
    ]
    before = [(kind, kind.fp32_precision) for kind in kinds if hasattr(kind, "fp32_precision")]
    with torch.autocast(device.type, enabled=False):
        # Torch before 2.9 knows the precision of the whole process only, and later ones refuse to tell it
        # where it was set for a part.
        if not before:
            with _legacy_full_precision():
                yield
            return
        try:
            for kind, _ in before:
                kind.fp32_precision = "ieee"
            yield
        finally:
            for kind, precision in before:
                kind.fp32_precision = precision


@contextmanager
def _legacy_full_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
