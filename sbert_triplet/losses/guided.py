"""Guided ranking (GIST): a second encoder rejects candidates that look like positives."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from sbert_triplet.distances.options import NOT_NEGATIVE, POSITIVE, check_choice
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, LossOutput, Needs
from sbert_triplet.losses.candidates import (
    column_ids,
    forbidden_negatives,
    hard_negatives,
    pair_columns,
)
from sbert_triplet.losses.masks import blocked_pairs
from sbert_triplet.losses.ranking import weighted_rows
from sbert_triplet.losses.softmax import Group, Similarity, cross_entropy_rows, similarities
from sbert_triplet.losses.views import TemperatureLoss


class GuidedRankingLoss(TemperatureLoss):
    """Multiple negatives ranking without the candidates that a guide finds as near as the positive.

    GISTEmbed (Solatorio, 2024, arXiv 2402.16829). To the positives and hard negatives of the batch
    come anchors against anchors and positives against positives. A candidate j of row i is
    rejected where the guide's cosine g_ij exceeds g_ii - margin (``absolute``) or
    g_ii - margin |g_ii| (``relative``). The own positive always stays, self entries and texts
    masked by id never do. ``guide`` names the encoder that the training embeds the batch with: a
    folder, a Hub id, or ``base`` for the trained encoder as it was before; its vocabulary is its own.
    """

    def __init__(
        self,
        *,
        temperature: Annotated[float, POSITIVE] = 0.01,
        learn_temperature: bool = False,
        margin: Annotated[float, NOT_NEGATIVE] = 0.0,
        margin_kind: Literal["absolute", "relative"] = "absolute",
        contrast_anchors: bool = True,
        contrast_positives: bool = True,
        similarity: Similarity = "cosine",
        guide: str = "base",
    ) -> None:
        super().__init__(temperature, learn_temperature, similarity)
        self.needs = Needs(columns=2, guide=guide)
        NOT_NEGATIVE.check("margin", margin)
        check_choice("margin_kind", margin_kind, ("absolute", "relative"))
        self.margin, self.margin_kind = margin, margin_kind
        self.contrast_anchors, self.contrast_positives = contrast_anchors, contrast_positives

    def forward(self, batch: Embedded) -> LossOutput:
        blocks, seen = self._blocks(batch), self._blocks(self._guide(batch))
        forbidden = self._forbidden(batch)
        limit = self._limit(seen[0])
        own = torch.arange(batch.rows, device=limit.device)
        groups, rejected = [], 0
        for place, ((rows, candidates), guide, never) in enumerate(zip(blocks, seen, forbidden, strict=True)):
            near = similarities(*guide, "cosine") > limit[:, None]
            rejected += int((near & ~never).sum())
            allowed = ~(near | never)
            if place == 0:
                allowed[own, own] = True
            groups.append(Group(rows, candidates, allowed))
        losses, first = cross_entropy_rows(groups, own, self.scale(), self.similarity)
        kept = sum(group.allowed.sum(1) for group in groups)
        masked = sum(int(never.sum()) for never in forbidden) - batch.rows * len(blocks)
        if hard_negatives(batch) is not None:
            masked += batch.rows
        stats = {"masked": masked, "rejected": rejected, "scale": self.scale.number()}
        return weighted_rows(batch, losses, torch.as_tensor(kept) > 1, first, stats)

    def _blocks(self, batch: Embedded) -> list[tuple[Tensor, Tensor]]:
        anchor, positive = pair_columns(batch)
        blocks = [(anchor, positive)]
        extra = hard_negatives(batch)
        if extra is not None:
            blocks.append((anchor, extra[0]))
        if self.contrast_anchors:
            blocks.append((anchor, anchor))
        if self.contrast_positives:
            blocks.append((positive, positive))
        return blocks

    def _forbidden(self, batch: Embedded) -> list[Tensor]:
        forbidden = forbidden_negatives(batch)
        across, extra = forbidden[:, : batch.rows], forbidden[:, batch.rows :]
        blocks = [across]
        if extra.shape[1]:
            blocks.append(extra)
        # Row i against row j: no negatives of each other across columns, none within them.
        among = across | across.T
        anchor_ids, positive_ids = column_ids(batch)
        if self.contrast_anchors:
            blocks.append(among | blocked_pairs(anchor_ids, anchor_ids, batch.blocked))
        if self.contrast_positives:
            blocks.append(among | blocked_pairs(positive_ids, positive_ids, batch.blocked))
        return blocks

    def _limit(self, pair: tuple[Tensor, Tensor]) -> Tensor:
        own = similarities(*pair, "cosine").diagonal()
        return own - (self.margin if self.margin_kind == "absolute" else self.margin * own.abs())

    def _guide(self, batch: Embedded) -> Embedded:
        guide = batch.guide
        if guide is None:
            raise InputError("guided_ranking wants the batch embedded by a guide")
        shapes = (len(guide.columns), guide.rows)
        count = 0 if guide.negatives is None else guide.negatives.shape[0]
        expected = 0 if batch.negatives is None else batch.negatives.shape[0]
        if shapes != (len(batch.columns), batch.rows) or count != expected:
            raise InputError(
                f"guided_ranking: the guide embeds {shapes[0]} columns of {shapes[1]} rows and {count} hard "
                f"negatives, the batch has {len(batch.columns)} of {batch.rows} and {expected}"
            )
        return replace(guide, negative_rows=batch.negative_rows)
