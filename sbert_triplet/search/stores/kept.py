"""What several stores share: texts without NUL, names for passages, checks of what was kept."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.search.ingest import digest_of
from sbert_triplet.search.store import About, FloatMatrix, Record, StoreError

_ESCAPE = "\x01"
_LENGTH_TOLERANCE = 2e-3


def without_nul(text: str) -> str:
    """The text for what cannot hold U+0000; other texts stay as they are, but for U+0001.

    U+0001 begins an escape: U+0000 becomes U+0001 and "0", U+0001 itself U+0001 and "1".
    """
    if "\0" not in text and _ESCAPE not in text:
        return text
    return text.replace(_ESCAPE, f"{_ESCAPE}1").replace("\0", f"{_ESCAPE}0")


def with_nul(text: str) -> str:
    """What ``without_nul`` was given."""
    if _ESCAPE not in text:
        return text
    return text.replace(f"{_ESCAPE}0", "\0").replace(f"{_ESCAPE}1", _ESCAPE)


def point_id(id: str, number: int) -> str:
    """A UUID for a passage, always the same one: the first half of a SHA-256 over both."""
    return str(uuid.UUID(bytes=hashlib.sha256(f"{number} {id}".encode()).digest()[:16]))


def numbers_of_passages(records: Sequence[Record]) -> dict[str, int]:
    """How many passages each document has."""
    counted: dict[str, int] = {}
    for record in records:
        counted[record.id] = counted.get(record.id, 0) + 1
    return counted


def refuse_precision(url: str, about: About, precisions: Sequence[str], similarities: Sequence[str]) -> None:
    """Raise StoreError for what the store cannot keep or compare by."""
    if about.precision not in precisions:
        raise StoreError(
            f"{url}: this store keeps {', '.join(precisions)}, not {about.precision}; faiss: has them all"
        )
    if about.similarity not in similarities:
        raise StoreError(
            f"{url}: this store compares by {', '.join(similarities)}, and the model by {about.similarity}; "
            "faiss: has them all"
        )
    if about.precision == "binary" and about.similarity not in ("cosine", "dot"):
        raise StoreError(f"{url}: signs say too little under {about.similarity}; choose another precision")


def faults(kept: Iterable[tuple[Record, NDArray[np.float32]]], about: About) -> list[str]:
    """What is wrong with passages and their embeddings (D,), in words."""
    found = []
    for record, embedding in kept:
        where = f"passage {record.passage.number} of document {record.id!r}"
        if embedding.shape != (about.dimensions,):
            found.append(f"{where}: its embedding has the shape {embedding.shape}, not ({about.dimensions},)")
        elif not np.isfinite(embedding).all():
            found.append(f"{where}: its embedding holds NaN or infinity")
        elif about.similarity == "cosine" and not _unit(embedding):
            found.append(f"{where}: its embedding is not of length 1")
        whole = about.passages.tokens is None
        if whole and record.digest != digest_of(record.text, record.metadata):
            found.append(f"{where}: its text or metadata is not what was indexed")
    return found


def _unit(embedding: FloatMatrix) -> bool:
    length = float(np.linalg.norm(embedding))
    return length == 0 or abs(length - 1) < _LENGTH_TOLERANCE
