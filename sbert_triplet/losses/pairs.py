"""Pair losses with yes-or-no targets: contrastive and online contrastive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbert_triplet.distances import Distance, build_distance
from sbert_triplet.distances.options import POSITIVE
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs, connected_zero
from sbert_triplet.losses.candidates import (
    candidates_of,
    given_negatives,
    pair_columns,
    weights_of,
)
from sbert_triplet.losses.cosent import scores_of
from sbert_triplet.losses.reach import Reach


@dataclass(frozen=True)
class Pairs:
    """P pairs of texts: their ``distances`` (P,), ``similar`` (P,) from 0 to 1, ``weights`` (P,)."""

    distances: Tensor
    similar: Tensor
    weights: Tensor


class PairLoss(Loss):
    """A loss over pairs that are similar (1) or not (0).

    Pairs come from two columns with scores from 0 to 1; where there are hard negatives, from
    anchors with their positives (1) and those (0); or from all unordered pairs of one column with
    labels (1 within a class). Equal texts and blocked pairs are never dissimilar.
    """

    needs = Needs(columns=2, scores=True)
    scores_between = (0.0, 1.0)

    def __init__(
        self,
        margin: float,
        distance: str | Mapping[str, Any] | Distance,
        dimensions: int | None,
    ) -> None:
        super().__init__()
        POSITIVE.check("margin", margin)
        self.distance = build_distance(distance, dimensions=dimensions)
        if not self.distance.smaller_is_closer:
            raise ValueError(f"a contrastive loss wants a distance, {self.distance.name} is a similarity")
        self.margin = margin
        self._reach = Reach(self.distance, margin)

    def needs_for(self, kind: str) -> Needs:
        if kind == "labelled":
            return Needs(columns=1, labels=True)
        return self.needs if kind == "scored" else Needs(columns=2, negatives=True)

    @property
    def embedding_sized(self) -> bool:
        return isinstance(self.distance, nn.Module)

    @property
    def compares_by(self) -> Distance:
        return self.distance

    def after_step(self) -> None:
        project = getattr(self.distance, "after_step", None)
        if project is not None:
            project()

    def pairs(self, batch: Embedded) -> Pairs:
        self._reach.check(batch.columns[0])
        if len(batch.columns) == 1:
            return self._of_labels(batch)
        if batch.negatives is None and batch.scores is not None:
            return self._of_scores(batch)
        return self._of_triplets(batch)

    def _of_scores(self, batch: Embedded) -> Pairs:
        left, right = pair_columns(batch)
        distances = self.distance.rowwise(left, right)
        similar = scores_of(batch, *self.scores_between).to(distances)
        return Pairs(distances, similar, weights_of(batch, distances))

    def _of_triplets(self, batch: Embedded) -> Pairs:
        anchor, positive = pair_columns(batch)
        if batch.negatives is None:
            raise InputError(
                "contrastive losses want dissimilar pairs too: scores of 0, a negative column, or "
                "mined negatives"
            )
        near = self.distance.rowwise(anchor, positive)
        found = given_negatives(batch)
        if found is None:
            return Pairs(near, torch.ones_like(near), weights_of(batch, near))
        negatives, rows, _ = found
        far = self.distance.rowwise(anchor[rows], negatives)
        weights = weights_of(batch, near)
        return Pairs(
            torch.cat([near, far]),
            torch.cat([torch.ones_like(near), torch.zeros_like(far)]),
            torch.cat([weights, weights[rows]]),
        )

    def _of_labels(self, batch: Embedded) -> Pairs:
        found = candidates_of(batch)
        rows, columns = (found.positives | found.negatives).triu(1).nonzero(as_tuple=True)
        distances = self.distance.pairwise(found.anchors, found.candidates)[rows, columns]
        weights = weights_of(batch, distances)
        return Pairs(
            distances,
            found.positives[rows, columns].to(distances.dtype),
            (weights[rows] + weights[columns]) / 2,
        )


class ContrastiveLoss(PairLoss):
    """Weighted mean of y d^2 / 2 + (1 - y) [margin - d]_+^2 / 2 (Hadsell, Chopra and LeCun, 2006).

    y is 1 for similar pairs (the paper's Y is 0 there). ``margin`` is in units of the distance.
    """

    def __init__(
        self,
        *,
        margin: Annotated[float, POSITIVE],
        distance: str | Mapping[str, Any] | Distance = "cosine",
        dimensions: int | None = None,
    ) -> None:
        super().__init__(margin, distance, dimensions)

    def forward(self, batch: Embedded) -> LossOutput:
        found = self.pairs(batch)
        short = functional.relu(self.margin - found.distances)
        value = (found.similar * found.distances.square() + (1 - found.similar) * short.square()) / 2
        stats = pair_stats(found, short)
        total = found.weights.sum()
        if float(total) == 0:
            return LossOutput(connected_zero(*batch.columns), stats)
        return LossOutput((found.weights * value).sum() / total, stats)


class OnlineContrastiveLoss(PairLoss):
    """Sum of d^2 over hard similar pairs and of [margin - d]_+^2 over hard dissimilar ones.

    Hard are similar pairs at least as far as the nearest dissimilar one, and dissimilar pairs at
    most as far as the farthest similar one, so that coinciding embeddings still have a loss. A
    batch without one of the two kinds keeps all of the other. Scores must be 0 or 1.
    """

    scores_yes_or_no = True

    def __init__(
        self,
        *,
        margin: Annotated[float, POSITIVE],
        distance: str | Mapping[str, Any] | Distance = "cosine",
        dimensions: int | None = None,
    ) -> None:
        super().__init__(margin, distance, dimensions)

    def forward(self, batch: Embedded) -> LossOutput:
        found = self.pairs(batch)
        similar = found.similar == 1
        if not bool((similar | (found.similar == 0)).all()):
            raise InputError("online_contrastive wants scores of 0 or 1: choose a threshold for the others")
        counted = found.weights > 0
        detached = found.distances.detach()
        nearest = torch.where(counted & ~similar, detached, torch.inf)
        farthest = torch.where(counted & similar, detached, -torch.inf)
        low = nearest.amin() if bool(torch.isfinite(nearest).any()) else -torch.inf
        high = farthest.amax() if bool(torch.isfinite(farthest).any()) else torch.inf
        hard = counted & torch.where(similar, detached >= low, detached <= high)
        short = functional.relu(self.margin - found.distances)
        value = torch.where(similar, found.distances.square(), short.square())
        stats = {**pair_stats(found, short), "hard_share": float(hard.float().mean()) if len(hard) else 0.0}
        if not bool(counted.any()):
            return LossOutput(connected_zero(*batch.columns), stats)
        return LossOutput((found.weights * torch.where(hard, value, 0.0)).sum(), stats)


def pair_stats(found: Pairs, short: Tensor) -> dict[str, float]:
    """Numbers of pairs, and the share that still has a loss."""
    counted = found.weights > 0
    count = max(int(counted.sum()), 1)
    with torch.no_grad():
        active = torch.where(found.similar > 0, found.distances > 0, short > 0) & counted
    return {
        "n_valid": float(counted.sum()),
        "active_share": float(active.sum()) / count,
        "similar_share": float(found.similar[counted].sum()) / count,
    }
