"""From a batch to the costs of its triplets, summed by anchor: what every triplet loss shares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sbert_triplet.distances import Distance, Minkowski
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, LossOutput, Needs, connected_zero
from sbert_triplet.losses.batch_all import all_triplets
from sbert_triplet.losses.candidates import candidates_of, given_negatives, pair_columns, weights_of
from sbert_triplet.losses.links import Link
from sbert_triplet.losses.reach import is_unit
from sbert_triplet.selection import (
    Chosen,
    EmptyRow,
    Fallback,
    distance_weighted,
    easy_positive,
    hard,
    semi_hard,
)

MinerName = Literal["none", "all", "hard", "semi_hard", "easy_positive", "distance_weighted"]
Average = Literal["all", "active"]
Negative = Literal["hard", "semi_hard"]


@dataclass(frozen=True)
class Miner:
    """Which triplets of a batch count. ``margin`` bounds the semi-hard ones, from above."""

    name: MinerName = "none"
    margin: float | None = None
    fallback: Fallback = "skip"
    negative: Negative = "hard"
    empty: EmptyRow = "uniform"


@dataclass(frozen=True)
class TripletTerms:
    """(B,) sums over each anchor's triplets, how many are active and valid; ``masked`` as in Candidates."""

    total: Tensor
    active: Tensor
    valid: Tensor
    masked: int = 0


def triplet_needs(miner: MinerName, kind: str | None = None) -> Needs:
    """Needs of a loss over triplets: those given, or classes, or pairs with in-batch negatives."""
    if miner == "none":
        return Needs(columns=2, negatives=True)
    return Needs(columns=1, labels=True) if kind in (None, "labelled") else Needs(columns=2)


def triplet_terms(
    batch: Embedded,
    distance: Distance,
    link: Link,
    miner: Miner,
    generator: torch.Generator | None = None,
) -> TripletTerms:
    """The triplets that ``miner`` picks from ``batch``, through ``link``."""
    if miner.name == "none":
        return _given(batch, distance, link)
    found = candidates_of(batch)
    values = distance.oriented(distance.pairwise(found.anchors, found.candidates))
    if miner.name == "all":
        total, active, valid = all_triplets(values, found.positives, found.negatives, link)
        return TripletTerms(total, active, valid, found.masked)
    if miner.name == "distance_weighted":
        check_unit_euclidean(distance, found.anchors, found.candidates)
    chosen = _choose(values, found.positives, found.negatives, miner, found.anchors.shape[1], generator)
    gap = chosen.positive - chosen.negative
    total = torch.where(chosen.valid, link.value(gap), 0.0).sum(1)
    active = (chosen.valid & link.active(gap.detach())).sum(1)
    return TripletTerms(total, active, chosen.valid.sum(1), found.masked)


def reduce_terms(batch: Embedded, terms: TripletTerms, average: Average | Literal["sum"]) -> LossOutput:
    """Weighted mean over all or over active triplets, or the weighted sum; 0 where there is none."""
    weights = weights_of(batch, terms.total)
    counted_rows = weights > 0
    valid, active = int(terms.valid[counted_rows].sum()), int(terms.active[counted_rows].sum())
    stats = {
        "n_valid": float(valid),
        "active_share": active / max(valid, 1),
        "anchors": float((counted_rows & (terms.valid > 0)).sum()),
        "masked": float(terms.masked),
    }
    if valid == 0:
        return LossOutput(connected_zero(*_tensors(batch)), stats)
    total = (weights * terms.total).sum()
    if average == "sum":
        return LossOutput(total, stats)
    counted = (weights * (terms.active if average == "active" else terms.valid)).sum()
    return LossOutput(total / torch.where(counted > 0, counted, 1.0), stats)


def check_unit_euclidean(distance: Distance, *columns: Tensor) -> None:
    """Distance-weighted sampling knows the density of Euclidean distances on the unit sphere only."""
    if not isinstance(distance, Minkowski) or distance.p != 2:
        raise InputError(
            f"distance-weighted sampling needs the euclidean distance, not {distance.name}: its density is "
            "known on the unit sphere only"
        )
    if not all(is_unit(column) for column in columns):
        raise InputError(
            "distance-weighted sampling needs embeddings of length 1: end the encoder with Normalize"
        )


def _given(batch: Embedded, distance: Distance, link: Link) -> TripletTerms:
    if len(batch.columns) == 1:
        raise InputError(
            "texts with labels hold no triplets until a miner picks them: set miner to all, hard, semi_hard, "
            "easy_positive or distance_weighted"
        )
    anchor, positive = pair_columns(batch)
    if batch.negatives is None:
        raise InputError(
            "the batch has no negatives: give a negative column, mine some, or set miner to take other rows"
        )
    none = torch.zeros(batch.rows, dtype=torch.long, device=anchor.device)
    found = given_negatives(batch)
    if found is None:
        return TripletTerms(connected_zero(*_tensors(batch)).expand(batch.rows), none, none)
    negatives, rows, masked = found
    near = distance.oriented(distance.rowwise(anchor, positive))
    gap = near[rows] - distance.oriented(distance.rowwise(anchor[rows], negatives))
    total = torch.zeros_like(near).index_add(0, rows, link.value(gap))
    active = none.index_add(0, rows, link.active(gap.detach()).long())
    return TripletTerms(total, active, none.index_add(0, rows, torch.ones_like(rows)), masked)


def _choose(
    values: Tensor,
    positives: Tensor,
    negatives: Tensor,
    miner: Miner,
    dimensions: int,
    generator: torch.Generator | None,
) -> Chosen:
    if miner.name == "hard":
        return hard(values, positives, negatives)
    if miner.name == "semi_hard":
        return semi_hard(values, positives, negatives, _margin(miner), miner.fallback)
    if miner.name == "easy_positive":
        inside = _margin(miner) if miner.negative == "semi_hard" else None
        return easy_positive(values, positives, negatives, inside)
    if generator is None:
        raise ValueError("distance-weighted sampling needs a generator")
    return distance_weighted(values, positives, negatives, dimensions, generator, miner.empty)


def _margin(miner: Miner) -> float:
    if miner.margin is None:
        raise ValueError("semi-hard negatives lie within a margin: give one")
    return miner.margin


def _tensors(batch: Embedded) -> list[Tensor]:
    return [*batch.columns, *([batch.negatives] if batch.negatives is not None else [])]
