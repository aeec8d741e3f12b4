"""The model of an index: its fingerprint, and embeddings of queries and of passages."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding.encode import encode
from sbert_triplet.encoding.fingerprint import encoder_fingerprint
from sbert_triplet.encoding.loading import load_model, weights_fingerprint
from sbert_triplet.encoding.token_cache import FEWEST
from sbert_triplet.encoding.tokens import Side, TokenTable, form_of
from sbert_triplet.errors import InputError
from sbert_triplet.nearest.rows import finite_rows, unit_rows
from sbert_triplet.search.store import FloatMatrix

AT_ONCE = FEWEST - 1
"""Texts at a time: few enough that their tokens, which are needed once, are kept in no file."""
_FORMAT = 1


def index_fingerprint(model: SentenceTransformer) -> str:
    """SHA-256 over what the embeddings of queries and documents are made by: weights, configuration, prompts.

    Never the name of a model or a folder.
    """
    sides: tuple[Side, Side] = ("query", "document")
    parts = {
        "format": _FORMAT,
        "encoder": encoder_fingerprint(model) or weights_fingerprint(model),
        "forms": [[form.prompt, form.task] for form in (form_of(model, side) for side in sides)],
        "length": model.max_seq_length,
        "similarity": str(model.similarity_fn_name),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


class Encoder:
    """Embeds by one model, from any thread, one call at a time."""

    def __init__(self, model: SentenceTransformer, name: str, *, compute: str = "fp32") -> None:
        self.model, self.name = model, name
        self.similarity = str(model.similarity_fn_name)
        self._compute, self._lock = compute, threading.Lock()
        self.fingerprint = index_fingerprint(model)

    @classmethod
    def of(
        cls, model: str | SentenceTransformer, *, device: str | None = None, compute: str = "fp32"
    ) -> Encoder:
        """Of a loaded model, or of one by its name. Raises ModelError where there is none of that name.

        Where a loaded one lies is not known: ``name`` is that of its base model, or empty.
        """
        if isinstance(model, str):
            folder = Path(model).expanduser()
            name = str(folder.resolve()) if folder.is_dir() else model
            return cls(load_model(model, device=device), name, compute=compute)
        return cls(model, str(model.model_card_data.base_model or ""), compute=compute)

    @property
    def dimensions(self) -> int:
        """D, after truncation."""
        return int(self.model.truncate_dim or self.model.get_embedding_dimension() or 0)

    def queries(self, texts: Sequence[str]) -> FloatMatrix:
        """(Q, D) embeddings as ``encode_query`` makes them."""
        return self._embedded("query", texts)

    def passages(self, texts: Sequence[str]) -> FloatMatrix:
        """(n, D) embeddings as ``encode_document`` makes them; of length 1 under cosine."""
        return prepared(self._embedded("document", texts), self.similarity)

    def _embedded(self, side: Side, texts: Sequence[str]) -> FloatMatrix:
        if not texts:
            return np.zeros((0, self.dimensions), dtype=np.float32)
        parts = [self._some(side, texts[first : first + AT_ONCE]) for first in range(0, len(texts), AT_ONCE)]
        return np.concatenate(parts)

    def _some(self, side: Side, texts: Sequence[str]) -> FloatMatrix:
        distinct = list(dict.fromkeys(texts))
        place = {text: number for number, text in enumerate(distinct)}
        ids = np.array([place[text] for text in texts], dtype=np.int64)
        with self._lock:
            tokens = TokenTable(self.model, lambda ids: [distinct[number] for number in ids])
            return encode(self.model, tokens, side, ids, precision=self._compute)


def prepared(embeddings: FloatMatrix, similarity: str) -> FloatMatrix:
    """(n, D) float32 as stores keep and compare them: finite, of length 1 under cosine. Raises InputError."""
    if embeddings.ndim != 2:
        raise InputError(f"embeddings must be a table (rows, D); these have the shape {embeddings.shape}")
    rows = finite_rows(embeddings, "embeddings", np.float32)
    return np.asarray(unit_rows(rows) if similarity == "cosine" else rows, dtype=np.float32)
