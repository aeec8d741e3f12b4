"""Margin-based loss: positives inside, negatives outside a boundary that may be learned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbert_triplet.distances import Distance
from sbert_triplet.distances.options import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, check_choice
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, LossOutput, connected_zero
from sbert_triplet.losses.candidates import candidates_of, labels_of, weights_of
from sbert_triplet.losses.triplet import MinedLoss
from sbert_triplet.losses.triplet_terms import Miner, check_unit_euclidean
from sbert_triplet.selection import EmptyRow, distance_weighted

Boundary = Literal["fixed", "global", "per_class"]


class MarginBasedLoss(MinedLoss):
    """Mean over active pairs of [alpha + y (d - beta)]_+, y = 1 for positives and -1 for negatives.

    Wu, Manmatha, Smola and Krahenbuhl (2017, arXiv 1706.07567). One column with labels, or anchor
    and positive columns with in-batch negatives. ``miner``: ``all`` pairs, or negatives drawn by
    ``distance_weighted`` sampling, one for each positive pair. ``boundary``: beta ``fixed``,
    learned ``global``, or learned ``per_class`` (the anchor's, with ``classes`` of them);
    ``regularisation`` nu adds nu times the mean beta of the anchors used.
    """

    def __init__(
        self,
        *,
        alpha: Annotated[float, POSITIVE] = 0.2,
        beta: Annotated[float, POSITIVE] = 1.2,
        distance: str | Mapping[str, Any] | Distance = "euclidean",
        miner: Literal["all", "distance_weighted"] = "all",
        boundary: Boundary = "fixed",
        classes: Annotated[int, AT_LEAST_ONE] | None = None,
        regularisation: Annotated[float, NOT_NEGATIVE] = 0.0,
        empty: EmptyRow = "uniform",
        seed: int = 13,
        dimensions: int | None = None,
    ) -> None:
        POSITIVE.check("alpha", alpha)
        POSITIVE.check("beta", beta)
        NOT_NEGATIVE.check("regularisation", regularisation)
        check_choice("miner", miner, ("all", "distance_weighted"))
        check_choice("boundary", boundary, ("fixed", "global", "per_class"))
        check_choice("empty", empty, ("uniform", "skip"))
        if (boundary == "per_class") != (classes is not None):
            raise ValueError("classes belongs to boundary per_class, which needs it")
        super().__init__(distance, dimensions, Miner(miner, empty=empty), seed)
        if not self.distance.smaller_is_closer:
            raise ValueError(f"margin_based wants a distance, {self.distance.name} is a similarity")
        self.alpha, self.regularisation = alpha, regularisation
        self.beta: Tensor
        start = torch.full((classes,), beta) if classes is not None else torch.tensor(beta)
        if boundary == "fixed":
            self.register_buffer("beta", start, persistent=False)
        else:
            self.beta = nn.Parameter(start)

    def forward(self, batch: Embedded) -> LossOutput:
        found = candidates_of(batch)
        distances = self.distance.pairwise(found.anchors, found.candidates)
        positives, negatives = found.positives, found.negatives
        near, far = distances, distances
        if self.miner.name == "distance_weighted":
            check_unit_euclidean(self.distance, found.anchors, found.candidates)
            near, far, positives, negatives = self._drawn(
                distances, positives, negatives, found.anchors.shape[1]
            )
        beta = self._beta(batch)
        inner = torch.where(positives, functional.relu(self.alpha + near - beta[:, None]), 0.0)
        outer = torch.where(negatives, functional.relu(self.alpha + beta[:, None] - far), 0.0)
        weights = weights_of(batch, distances)
        counted_rows = weights > 0
        active = ((inner > 0).sum(1) + (outer > 0).sum(1)) * counted_rows
        valid = (positives.sum(1) + negatives.sum(1)) * counted_rows
        stats = {
            "n_valid": float(valid.sum()),
            "active_share": float(active.sum()) / max(float(valid.sum()), 1.0),
            "masked": float(found.masked),
            "beta": float(beta.detach().mean()),
        }
        used = weights * (valid > 0)
        if float(used.sum()) == 0:
            return LossOutput(connected_zero(*batch.columns, self.beta), stats)
        counted = (weights * active).sum()
        value = (weights * (inner.sum(1) + outer.sum(1))).sum() / torch.where(counted > 0, counted, 1.0)
        if self.regularisation:
            value = value + self.regularisation * (used * beta).sum() / used.sum()
        return LossOutput(value, stats)

    def _drawn(
        self, distances: Tensor, positives: Tensor, negatives: Tensor, dimensions: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        generator = self._generator()
        if generator is None:
            raise TypeError("the distance_weighted miner draws with a generator")
        chosen = distance_weighted(distances, positives, negatives, dimensions, generator, self.miner.empty)
        return chosen.positive, chosen.negative, chosen.valid, chosen.valid

    def _beta(self, batch: Embedded) -> Tensor:
        if self.beta.dim() == 0:
            return self.beta.expand(batch.rows)
        labels = labels_of(batch)
        if bool(((labels < 0) | (labels >= self.beta.shape[0])).any()):
            raise InputError(
                f"margin_based: labels {int(labels.min())} to {int(labels.max())} with "
                f"{self.beta.shape[0]} classes: labels run from 0"
            )
        return self.beta[labels]
