"""Ranking losses over in-batch candidates: the own positive before all other texts of the batch."""

from __future__ import annotations

import warnings
from typing import Annotated

import torch
from torch import Tensor

from sbert_triplet.distances.options import POSITIVE
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs, connected_zero
from sbert_triplet.losses.candidates import (
    forbidden_negatives,
    hard_negatives,
    pair_columns,
    weights_of,
)
from sbert_triplet.losses.softmax import Group, Scale, Similarity, cross_entropy_rows, default_scale


class MultipleNegativesRankingLoss(Loss):
    """Cross-entropy of the own positive among all positives and hard negatives of the batch (InfoNCE).

    Henderson et al. (2017, arXiv 1705.00652), van den Oord et al. (2018, arXiv 1807.03748).
    Candidates of every anchor are the B positives and all C hard negatives. Not counted as
    negatives are known positives and equal texts, by id: the texts of the anchor and of its
    positive, positives of rows with an equal anchor, blocked pairs, and, where the batch has
    labels, rows of the same class. Anchors left without a negative are dropped.
    ``scale`` is 1 / temperature, None is 20 for cosine and 1 otherwise; ``learn_scale`` learns it.
    """

    needs = Needs(columns=2)

    def __init__(
        self,
        *,
        scale: Annotated[float, POSITIVE] | None = None,
        similarity: Similarity = "cosine",
        learn_scale: bool = False,
    ) -> None:
        super().__init__()
        usual = default_scale(similarity)
        self.similarity = similarity
        self.scale = Scale(usual if scale is None else scale, learn_scale)
        self._warned = False

    @property
    def compares_by(self) -> str:
        return self.similarity

    def after_step(self) -> None:
        self.scale.clamp()

    def needs_for(self, kind: str) -> Needs:
        """Of labelled text, pairs of one class with their labels."""
        return Needs(columns=2, labels=True) if kind == "labelled" else self.needs

    def forward(self, batch: Embedded) -> LossOutput:
        return self._to_positives(batch, forbidden_negatives(batch))

    def _to_positives(self, batch: Embedded, forbidden: Tensor) -> LossOutput:
        anchor, positive = pair_columns(batch)
        extra = hard_negatives(batch)
        candidates = positive if extra is None else torch.cat([positive, extra[0]])
        found = self._direction(batch, anchor, candidates, forbidden)
        if found.stats["n_valid"] == 0:
            self._warn_of_no_negatives()
        return found

    def _direction(self, batch: Embedded, rows: Tensor, candidates: Tensor, forbidden: Tensor) -> LossOutput:
        own = torch.arange(batch.rows, device=rows.device)
        allowed = ~forbidden
        masked = int(forbidden.sum()) - batch.rows
        allowed[own, own] = True
        losses, first = cross_entropy_rows(
            [Group(rows, candidates, allowed)], own, self.scale(), self.similarity
        )
        return weighted_rows(
            batch, losses, allowed.sum(1) > 1, first, {"masked": masked, "scale": self.scale.number()}
        )

    def _warn_of_no_negatives(self) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"{type(self).__name__}: a batch without a single negative gives loss 0 and teaches nothing; "
                "use larger batches or hard negatives",
                stacklevel=4,
            )


class SymmetricRankingLoss(MultipleNegativesRankingLoss):
    """Mean of both directions: the positive among all candidates, and the anchor among all anchors.

    CLIP (Radford et al., 2021, arXiv 2103.00020): temperature 0.07 at the start, learned as its
    logarithm, scale 100 at most. Hard negatives are candidates of the first direction only. The
    masks are those of ``MultipleNegativesRankingLoss``.
    """

    def __init__(
        self,
        *,
        temperature: Annotated[float, POSITIVE] = 0.07,
        learn_temperature: bool = True,
        similarity: Similarity = "cosine",
    ) -> None:
        POSITIVE.check("temperature", temperature)
        super().__init__(scale=1 / temperature, similarity=similarity, learn_scale=learn_temperature)

    def forward(self, batch: Embedded) -> LossOutput:
        forbidden = forbidden_negatives(batch)
        there = self._to_positives(batch, forbidden)
        anchor, positive = pair_columns(batch)
        back = self._direction(batch, positive, anchor, forbidden[:, : batch.rows].T)
        stats = {**there.stats, "accuracy_back": back.stats["accuracy"]}
        return LossOutput((there.value + back.value) / 2, stats)


def weighted_rows(
    batch: Embedded, losses: Tensor, valid: Tensor, first: Tensor, stats: dict[str, float]
) -> LossOutput:
    """Mean of the valid rows' losses by row weight; 0, connected to the graph, where there is none."""
    weights = weights_of(batch, losses)
    if weights.shape[0] != losses.shape[0]:
        weights = weights.repeat(losses.shape[0] // weights.shape[0])
    valid = valid & (weights > 0)
    weights = weights * valid
    total = weights.sum()
    count = int(valid.sum())
    hits = float((first & valid).sum()) / max(count, 1)
    stats = {"n_valid": float(count), "accuracy": hits, **stats}
    if float(total) == 0:
        extra = [] if batch.negatives is None else [batch.negatives]
        return LossOutput(connected_zero(*batch.columns, *extra), stats)
    return LossOutput((weights * torch.where(valid, losses, 0.0)).sum() / total, stats)
