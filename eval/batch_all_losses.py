"""Batch-all triplet losses of three libraries as functions of embeddings and classes, and their batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

DIMENSIONS, MARGIN, TEXTS = 384, 0.2, 32
FACENET = (1800, 40)
WHO = {"ours": "this package", "st": "sentence-transformers", "pml": "pytorch-metric-learning"}
Run = Callable[["Tensor", "Tensor"], "Tensor"]


def texts_a_class(rows: int) -> int:
    return FACENET[1] if rows == FACENET[0] else TEXTS


def ours() -> Run:
    from sbert_triplet.losses.batch import Embedded
    from sbert_triplet.losses.names import build_loss

    loss = build_loss("triplet", distance="euclidean", margin=MARGIN, miner="all")
    return lambda x, labels: loss(Embedded((x,), labels=labels)).value


def sentence_transformers() -> Run:
    from sentence_transformers.sentence_transformer import losses

    metric = losses.BatchHardTripletLossDistanceFunction.euclidean_distance
    loss = losses.BatchAllTripletLoss(None, metric, MARGIN)  # type: ignore[arg-type]
    return lambda x, labels: loss.compute_loss_from_embeddings([x], labels)


def pytorch_metric_learning() -> Run:
    from pytorch_metric_learning import distances, losses, reducers

    loss = losses.TripletMarginLoss(
        margin=MARGIN,
        distance=distances.LpDistance(normalize_embeddings=False),
        reducer=reducers.AvgNonZeroReducer(),
        triplets_per_anchor="all",
    )
    return lambda x, labels: loss(x, labels)


LOSSES: dict[str, Callable[[], Run]] = {
    "ours": ours,
    "st": sentence_transformers,
    "pml": pytorch_metric_learning,
}


def batch(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(rows, 384) unit embeddings that want a gradient, and their classes."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    x = torch.nn.functional.normalize(torch.randn(rows, DIMENSIONS, generator=generator), dim=1)
    return x.requires_grad_(), torch.arange(rows) // texts_a_class(rows)
