"""Matryoshka: any loss at several nested dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sbert_triplet.distances import Distance, unit
from sbert_triplet.distances.options import AT_LEAST_ONE
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs, Queue


class MatryoshkaLoss(Loss):
    """Weighted sum of ``loss`` on the first d numbers of every embedding, for each d of ``dimensions``.

    Kusupati et al. (2022, arXiv 2205.13147). ``weights`` are 1 each unless given. Embeddings are
    cut and left as they are, which is what a model with ``truncate_dim`` serves; ``normalize``
    brings the cut ones back to length 1. A guide is never cut. Raises ValueError for a loss with
    parameters of the embedding's size.
    """

    def __init__(
        self,
        loss: Loss,
        *,
        dimensions: Sequence[int],
        weights: Sequence[float] | None = None,
        normalize: bool = False,
    ) -> None:
        super().__init__()
        if loss.embedding_sized:
            raise ValueError(
                f"{type(loss).__name__} holds parameters of the embedding's size, which cannot be cut: "
                "matryoshka works with losses that have none"
            )
        if not dimensions or len(set(dimensions)) != len(dimensions):
            raise ValueError(
                f"matryoshka dimensions are {list(dimensions)}: give different ones, at least one"
            )
        for size in dimensions:
            AT_LEAST_ONE.check("a matryoshka dimension", size)
        given = [1.0] * len(dimensions) if weights is None else list(weights)
        if len(given) != len(dimensions) or min(given) < 0:
            raise ValueError(
                f"matryoshka weights are {given}: one of at least 0 for each of {list(dimensions)}"
            )
        self.loss, self.normalize = loss, normalize
        self.steps = tuple(sorted(zip(dimensions, given, strict=True), reverse=True))
        self.needs = loss.needs

    def needs_for(self, kind: str) -> Needs:
        return self.loss.needs_for(kind)

    @property
    def compares_by(self) -> Distance | str | None:
        """That of the loss, on embeddings that were cut."""
        return self.loss.compares_by

    def after_step(self) -> None:
        self.loss.after_step()

    def forward(self, batch: Embedded) -> LossOutput:
        full = batch.columns[0].shape[1]
        if self.steps[0][0] > full:
            raise InputError(f"matryoshka dimension {self.steps[0][0]} is more than the embedding's {full}")
        values: list[Tensor] = []
        stats: dict[str, float] = {}
        for size, weight in self.steps:
            output = self.loss(self._cut(batch, size))
            values.append(weight * output.value)
            stats |= {f"dim_{size}/{name}": number for name, number in output.stats.items()}
            stats[f"dim_{size}/loss"] = float(output.value.detach())
        stats["n_valid"] = min(stats[f"dim_{size}/n_valid"] for size, _ in self.steps)
        return LossOutput(torch.stack(values).sum(), stats)

    def _cut(self, batch: Embedded, size: int) -> Embedded:
        queue = batch.queue
        return replace(
            batch,
            columns=tuple(self._first(column, size) for column in batch.columns),
            negatives=None if batch.negatives is None else self._first(batch.negatives, size),
            keys=None if batch.keys is None else self._first(batch.keys, size),
            queue=None if queue is None else Queue(self._first(queue.keys, size), queue.ids),
        )

    def _first(self, embeddings: Tensor, size: int) -> Tensor:
        part = embeddings[:, :size]
        return unit(part) if self.normalize else part
