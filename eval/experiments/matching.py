"""Margins of different distances that ask as much of an encoder, and the encoder without unit length."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import beside  # noqa: F401
import numpy as np
import pyarrow.parquet as pq
import torch
from mining_data import SEED
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize
from sets import LABELS, Cut
from torch import Tensor

from sbert_triplet.distances import build_distance
from sbert_triplet.encoding.loading import load_model
from sbert_triplet.errors import DataError

COSINE_MARGIN = 0.2
"""Of the distance that all others are matched to."""
SAMPLE = 500
"""Rows that are looked at."""
DRAWS = 8
"""Triplets of classes that each of their texts is the anchor of."""
DIGITS = 3
STARTS_AS = {"mahalanobis": "euclidean"}
"""Learned distances, which cannot be asked before they have learned."""


def open_ended(model: str, folder: Path) -> str:
    """The encoder without its Normalize, in ``folder``: embeddings are as long as they come."""
    if not (folder / "modules.json").is_file():
        encoder = load_model(model)
        modules = [part for part in encoder.children() if not isinstance(part, Normalize)]
        if len(modules) == len(list(encoder.children())):
            raise DataError(f"{model}: has no Normalize that could be left out")
        SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return str(folder)


def matched_margin(model: str, cut: Cut, distance: str | Mapping[str, Any]) -> float:
    """The margin that as many training triplets violate as violate ``COSINE_MARGIN`` under cosine.

    Before training, on a sample. Raises DataError where more are in the wrong order than that.
    """
    encoder = load_model(model, max_length=cut.shape.max_length)
    triplets = triplets_of(encoder, cut)
    target = float((gaps(triplets, "cosine") + COSINE_MARGIN > 0).mean())
    found = gaps(triplets, distance)
    margin = -float(np.quantile(found, 1 - target))
    if margin <= 0:
        raise DataError(
            f"{cut.name}, {distance}: no margin is violated by as few triplets as cosine's {COSINE_MARGIN}"
        )
    return float(f"{margin:.{DIGITS}g}")


def gaps(triplets: tuple[Tensor, Tensor, Tensor], distance: str | Mapping[str, Any]) -> NDArray[np.float64]:
    """d(a, p) - d(a, n) of embedded triplets."""
    options = {"name": distance} if isinstance(distance, str) else dict(distance)
    name = str(options["name"])
    if name in STARTS_AS:
        options = {"name": STARTS_AS[name]}
    measure = build_distance(options)
    anchor, positive, negative = triplets
    found = measure.rowwise(anchor, positive) - measure.rowwise(anchor, negative)
    values: NDArray[np.float64] = found.numpy().astype(np.float64)
    return values


def triplets_of(encoder: SentenceTransformer, cut: Cut) -> tuple[Tensor, Tensor, Tensor]:
    """Triplets of the first training rows, embedded: the given ones, or drawn ones of classes."""
    rows = pq.read_table(cut.folder / "train.parquet").slice(0, SAMPLE).to_pydict()

    def embedded(texts: list[str]) -> Tensor:
        return torch.from_numpy(encoder.encode(texts, batch_size=64, show_progress_bar=False)).double()

    if cut.shape.kind != LABELS:
        return embedded(rows["anchor"]), embedded(rows["positive"]), embedded(rows["negative"])
    places = drawn_triplets(np.unique(rows["label"], return_inverse=True)[1])
    texts = embedded(rows["text"])
    anchor, positive, negative = (texts[torch.from_numpy(column)] for column in places.T)
    return anchor, positive, negative


def drawn_triplets(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(T, 3) row numbers: each row as anchor ``DRAWS`` times, where its class has another row."""
    generator, rows = np.random.default_rng(SEED), np.arange(len(labels))
    found = []
    for row in rows:
        same = rows[(labels == labels[row]) & (rows != row)]
        others = rows[labels != labels[row]]
        if len(same) and len(others):
            found += [(row, generator.choice(same), generator.choice(others)) for _ in range(DRAWS)]
    return np.array(found, dtype=np.int64)
