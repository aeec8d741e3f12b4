"""Supervised contrastive loss: every text of the same class is a positive."""

from __future__ import annotations

from typing import Annotated

import torch

from sbert_triplet.distances.options import POSITIVE
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, LossOutput, Needs
from sbert_triplet.losses.candidates import candidates_of
from sbert_triplet.losses.ranking import weighted_rows
from sbert_triplet.losses.softmax import Similarity, similarities
from sbert_triplet.losses.views import TemperatureLoss


class SupervisedContrastiveLoss(TemperatureLoss):
    """-1/|P_i| sum over p in P_i of [s_ip - ln sum over j != i of e^(s_ij)], s = similarity / temperature.

    L_out of Khosla et al. (2020, arXiv 2004.11362), mean over anchors with a positive. P_i are
    the other texts of i's class. Equal texts are neither positives nor candidates; blocked pairs
    are no candidates.
    """

    needs = Needs(columns=1, labels=True)

    def __init__(
        self,
        *,
        temperature: Annotated[float, POSITIVE] = 0.1,
        learn_temperature: bool = False,
        similarity: Similarity = "cosine",
    ) -> None:
        super().__init__(temperature, learn_temperature, similarity)

    def forward(self, batch: Embedded) -> LossOutput:
        if len(batch.columns) != 1:
            raise InputError(f"supervised_contrastive wants one column with labels, got {len(batch.columns)}")
        found = candidates_of(batch)
        allowed = found.positives | found.negatives
        logits = self.scale() * similarities(found.anchors, found.candidates, self.similarity)
        # A row without candidates would have a log-sum-exp of nothing, whose gradient is NaN.
        counted = allowed | ~allowed.any(1, keepdim=True)
        normaliser = torch.logsumexp(logits.masked_fill(~counted, -torch.inf), dim=1)
        number = found.positives.sum(1)
        pull = torch.where(found.positives, logits, 0.0).sum(1) / number.clamp(min=1)
        with torch.no_grad():
            best = logits.masked_fill(~counted, -torch.inf).argmax(1)
            first = found.positives.gather(1, best[:, None]).squeeze(1)
        valid = (number > 0) & (allowed.sum(1) > 1)
        stats = {"masked": float(found.masked), "scale": self.scale.number()}
        return weighted_rows(batch, normaliser - pull, valid, first, stats)
