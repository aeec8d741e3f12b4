"""Triplet losses: an anchor nearer to its positive than to its negative, by a margin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn

from sbert_triplet.distances import Distance, build_distance
from sbert_triplet.distances.options import POSITIVE, check_choice
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs
from sbert_triplet.losses.links import Hinge, Link, SoftMargin, SquaredRatio
from sbert_triplet.losses.reach import Reach
from sbert_triplet.losses.triplet_terms import (
    Average,
    Miner,
    MinerName,
    Negative,
    reduce_terms,
    triplet_needs,
    triplet_terms,
)
from sbert_triplet.selection import EmptyRow, Fallback

MINERS = ("none", "all", "hard", "semi_hard", "easy_positive", "distance_weighted")


class MinedLoss(Loss):
    """A loss over triplets that are given in columns, or picked from the batch by a miner.

    Draws of the distance-weighted miner are a function of ``seed`` and of how many were made in
    training; the count is a buffer, so a resumed run goes on where it stopped, and all ranks
    draw alike.
    """

    draws: Tensor

    def __init__(
        self,
        distance: str | Mapping[str, Any] | Distance,
        dimensions: int | None,
        miner: Miner,
        seed: int,
    ) -> None:
        super().__init__()
        self.distance = build_distance(distance, dimensions=dimensions)
        self.miner, self.seed = miner, seed
        self.register_buffer("draws", torch.zeros((), dtype=torch.long))
        self.needs = triplet_needs(miner.name)

    def needs_for(self, kind: str) -> Needs:
        return triplet_needs(self.miner.name, kind)

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

    def _generator(self) -> torch.Generator | None:
        if self.miner.name != "distance_weighted":
            return None
        drawn = int(self.draws)
        if self.training:
            self.draws += 1
        return torch.Generator().manual_seed((self.seed * 1_000_003 + drawn) % 2**63)


class TripletLoss(MinedLoss):
    """Mean of [margin + d(a, p) - d(a, n)]_+, or of ln(1 + e^(d(a, p) - d(a, n))) with ``soft``.

    Triplets: with ``miner="none"`` each row's anchor, positive and every one of its negatives.
    Other miners take one column with class labels, or anchor and positive columns whose other
    rows and hard negatives serve as negatives:

    - ``all``: every triplet of the batch (batch-all of Hermans, Beyer and Leibe, 2017, arXiv
      1703.07737), in O(B^2 log B) time and O(B^2) memory; averaged over active triplets
    - ``hard``: farthest positive and nearest negative of each anchor (batch-hard, ibid.)
    - ``semi_hard``: every positive with the nearest negative beyond it, inside the margin (Schroff
      et al., FaceNet, 2015, arXiv 1503.03832); ``fallback`` where there is none
    - ``easy_positive``: nearest positive (Xuan et al., 2020, arXiv 1904.04370) with the nearest
      or the nearest semi-hard ``negative``
    - ``distance_weighted``: negatives drawn by 1 / density of their distance (Wu et al., 2017,
      arXiv 1706.07567); Euclidean distance and unit vectors only

    ``margin`` is in units of the distance, required unless ``soft``, which ignores it except to
    bound semi-hard negatives. ``squared`` squares the hinge. ``average``: over ``all`` triplets
    that were picked or over ``active`` ones; None is active for ``all``, all otherwise.
    ``empty`` is what distance-weighted sampling does where all negatives of an anchor are too far.
    Anchors without a positive or a negative are left out; a batch without triplets gives 0.
    A margin beyond what the distance reaches on unit vectors is warned about, once.
    """

    def __init__(
        self,
        *,
        distance: str | Mapping[str, Any] | Distance = "cosine",
        margin: Annotated[float, POSITIVE] | None = None,
        soft: bool = False,
        squared: bool = False,
        miner: MinerName = "none",
        average: Average | None = None,
        fallback: Fallback = "skip",
        negative: Negative = "hard",
        empty: EmptyRow = "uniform",
        seed: int = 13,
        dimensions: int | None = None,
    ) -> None:
        check_choice("miner", miner, MINERS)
        check_choice("fallback", fallback, ("skip", "easiest", "hardest"))
        check_choice("negative", negative, ("hard", "semi_hard"))
        check_choice("empty", empty, ("uniform", "skip"))
        if average is not None:
            check_choice("average", average, ("all", "active"))
        if margin is not None:
            POSITIVE.check("margin", margin)
        picks_by_margin = miner == "semi_hard" or (miner == "easy_positive" and negative == "semi_hard")
        if margin is None and (not soft or picks_by_margin):
            raise ValueError(
                "margin is missing: give it in units of the distance (0.1 to 0.3 for cosine), or set soft"
                + (", and semi-hard negatives lie within a margin" if picks_by_margin else "")
            )
        super().__init__(distance, dimensions, Miner(miner, margin, fallback, negative, empty), seed)
        self.link: Link = SoftMargin() if soft or margin is None else Hinge(margin, squared)
        self.average: Average = average or ("active" if miner == "all" else "all")
        self._reach = None if soft or margin is None else Reach(self.distance, margin)

    def forward(self, batch: Embedded) -> LossOutput:
        if self._reach is not None:
            self._reach.check(batch.columns[0])
        terms = triplet_terms(batch, self.distance, self.link, self.miner, self._generator())
        return reduce_terms(batch, terms, self.average)


class HofferAilonLoss(MinedLoss):
    """Mean of (e^d(a, p) / (e^d(a, p) + e^d(a, n)))^2 (Hoffer and Ailon, 2014, arXiv 1412.6622).

    The squared error of their softmax against (0, 1), of which this is one of two equal halves;
    0.25 where all embeddings coincide. Miners as in ``TripletLoss``, those without a margin.
    """

    def __init__(
        self,
        *,
        distance: str | Mapping[str, Any] | Distance = "euclidean",
        miner: Literal["none", "all", "hard", "easy_positive", "distance_weighted"] = "none",
        empty: EmptyRow = "uniform",
        seed: int = 13,
        dimensions: int | None = None,
    ) -> None:
        check_choice("miner", miner, tuple(name for name in MINERS if name != "semi_hard"))
        check_choice("empty", empty, ("uniform", "skip"))
        super().__init__(distance, dimensions, Miner(miner, empty=empty), seed)
        self.link = SquaredRatio()
        if not self.distance.smaller_is_closer:
            raise ValueError(f"hoffer_ailon wants a distance, {self.distance.name} is a similarity")

    def forward(self, batch: Embedded) -> LossOutput:
        terms = triplet_terms(batch, self.distance, self.link, self.miner, self._generator())
        return reduce_terms(batch, terms, "all")
