"""The stage that makes embeddings, by this package and by sentence-transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from isolated import peak_above
from mining_data import Vectors, read_texts
from mining_process import only_cache
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.texts import TextTable
from sbert_triplet.encoding.encode import autocast, encode
from sbert_triplet.encoding.tokens import TokenTable

BATCH, WARMUP = 32, 32
"""Texts of a batch of sentence-transformers, its default; texts that are encoded before the timed ones."""


def timed(texts: str, model: str, who: str, precision: str, out: str, scratch: str) -> dict[str, float]:
    """Encode the texts of a file: seconds, tokenising among them, the peak above a loaded model, and tokens.

    ``out``: where the embeddings are written to. ``scratch``: an empty folder for what is cached.
    """
    loaded = SentenceTransformer(model, device="cpu")
    given = read_texts(Path(texts))
    encoder = (_ours if who == "ours" else _st)(loaded, precision)
    made: list[Vectors] = []
    with only_cache(Path(scratch)):
        encoder(given[:WARMUP])
        seconds, peak = peak_above(lambda: made.append(encoder(given)))
    np.save(out, made[0])
    return {"seconds": seconds, "peak": peak, "tokens": _tokens(loaded, given)}


def write_vectors(texts: str, model: str, precision: str, out: str) -> dict[str, float]:
    """Encode the texts of a file by this package, for a search that is measured elsewhere."""
    loaded = SentenceTransformer(model, device="cpu")
    vectors = _ours(loaded, precision)(read_texts(Path(texts)))
    np.save(out, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return {"texts": len(vectors)}


def _ours(model: SentenceTransformer, precision: str) -> Callable[[list[str]], Vectors]:
    def run(texts: list[str]) -> Vectors:
        table = TextTable()
        ids = table.add(texts)
        return encode(model, TokenTable(model, table.texts), "text", ids, precision=precision)

    return run


def _st(model: SentenceTransformer, precision: str) -> Callable[[list[str]], Vectors]:
    def run(texts: list[str]) -> Vectors:
        with autocast(torch.device("cpu"), precision):
            return np.asarray(model.encode(texts, batch_size=BATCH, show_progress_bar=False), np.float32)

    return run


def _tokens(model: SentenceTransformer, texts: list[str]) -> int:
    """Real tokens of the texts, padding left out."""
    rows = model.tokenizer(texts, truncation=True, max_length=model.max_seq_length)["input_ids"]
    return sum(len(row) for row in rows)
