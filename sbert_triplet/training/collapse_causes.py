"""Which knob usually makes a run collapse, for the loss at hand."""

from __future__ import annotations

from collections.abc import Iterator

from sbert_triplet.data.wording import percent
from sbert_triplet.distances import Distance
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.ladder import LadderLoss
from sbert_triplet.losses.links import Hinge
from sbert_triplet.losses.margin_based import MarginBasedLoss
from sbert_triplet.losses.matryoshka import MatryoshkaLoss
from sbert_triplet.losses.pairs import PairLoss
from sbert_triplet.losses.several import SeveralLosses
from sbert_triplet.losses.siamese import CosineRegressionLoss
from sbert_triplet.losses.triplet_terms import Miner
from sbert_triplet.training.library_losses import LibraryLoss

HIGH_RATE = 2e-4
"""Encoders are rarely trained with more."""
NO_NEARER = 0.9
"""Texts that belong together differ by no less than this, for an encoder that sees nothing in it."""
LARGE_MARGIN = 0.25
"""Of what the distance spans on texts of length 1."""
_HARDEST = ("st.BatchHardTripletLoss", "st.BatchHardSoftMarginTripletLoss", "st.OnlineContrastiveLoss")
Cause = tuple[float, str]
"""How likely it is, in comparison with the others, and what to do."""


def likely_causes(
    loss: Loss, *, learning_rate: float, dimensions: int, unit_length: bool, nearness: float = float("nan")
) -> list[str]:
    """What usually brings the embeddings of this loss together, the likeliest first, with what to change.

    ``learning_rate``: the highest of the run. ``dimensions`` of the embeddings, and ``unit_length``: whether
    they have length 1. ``nearness``: at the start, as of ``crowding.Crowding``.
    """
    found = [_rate(learning_rate)]
    if nearness > NO_NEARER:
        found.append(
            (
                0.85,
                "labels or columns that the texts do not bear out: before training, texts that belong "
                f"together lay at {nearness:.2f} of the squared distance of others; look at some rows",
            )
        )
    for part in _parts(loss):
        found += _margin(part, dimensions)
        for cause in (_hardest, _one_sided, _scores):
            found += cause(part)
        if not unit_length:
            found += _lengths(part)
    ranked = sorted(dict.fromkeys(found), key=lambda cause: -cause[0])
    return [words for _, words in ranked]


def _parts(loss: Loss) -> Iterator[Loss]:
    if isinstance(loss, MatryoshkaLoss):
        yield from _parts(loss.loss)
    elif isinstance(loss, SeveralLosses):
        for part in loss.each():
            yield from _parts(part)
    else:
        yield loss


def _rate(learning_rate: float) -> Cause:
    return (
        0.95 if learning_rate > HIGH_RATE else 0.4,
        f"the learning rate: train.learning_rate is {learning_rate:g}; take a tenth of it, or a longer "
        "train.warmup",
    )


def _margin(loss: Loss, dimensions: int) -> list[Cause]:
    margin, distance = margin_of(loss), loss.compares_by
    if margin is None:
        return []
    words = f"the margin of {margin:g}: lower it"
    if not isinstance(distance, Distance):
        return [(0.5, words)]
    share = margin / distance.unit_range(dimensions)
    if share < LARGE_MARGIN:
        return [(0.3, f"{words}, though it is no more than {percent(share)} of what {distance.name} spans")]
    return [
        (
            0.9,
            f"the margin is too large: {margin:g} is {percent(share)} of what the distance {distance.name} "
            "spans on texts of length 1, and where few triplets can meet it all are drawn together; lower it "
            "to a tenth of that span or less",
        )
    ]


def margin_of(loss: Loss) -> float | None:
    """The margin of a loss, in units of its distance; None for one that has none."""
    link = getattr(loss, "link", None)
    if isinstance(link, Hinge):
        return link.margin
    if isinstance(loss, MarginBasedLoss):
        return loss.alpha
    if isinstance(loss, PairLoss):
        return loss.margin
    if isinstance(loss, LibraryLoss):
        for name in ("triplet_margin", "margin"):
            if isinstance(value := getattr(loss.loss, name, None), int | float):
                return float(value)
    return None


def _hardest(loss: Loss) -> list[Cause]:
    miner = getattr(loss, "miner", None)
    if isinstance(loss, LibraryLoss):
        if loss.name not in _HARDEST:
            return []
    elif not isinstance(miner, Miner) or not (
        miner.name == "hard" or (miner.name == "easy_positive" and miner.negative == "hard")
    ):
        return []
    return [
        (
            0.92,
            "the hardest negatives from the first step: while many of them are nearer than the positive, the "
            "cheapest way down is to draw all texts together; set loss.miner to semi_hard or all, or begin "
            "with those and take hard in a second run, or set loss.soft",
        )
    ]


def _one_sided(loss: Loss) -> list[Cause]:
    if not isinstance(loss, PairLoss):
        return []
    return [
        (
            0.6,
            "too few pairs that do not belong together, or a margin that they meet at once: nothing holds "
            "the texts apart then; add such pairs, or mine some",
        )
    ]


def _scores(loss: Loss) -> list[Cause]:
    if isinstance(loss, CosineRegressionLoss):
        return [(0.8, "scores that are nearly all high: add pairs with low ones, or take the loss cosent")]
    if isinstance(loss, CoSENTLoss | LadderLoss):
        return [(0.5, "scores that are nearly all the same: add pairs with others")]
    return []


def _lengths(loss: Loss) -> list[Cause]:
    distance = loss.compares_by
    if not isinstance(distance, Distance) or distance.bounded:
        return []
    return [
        (
            0.7,
            f"embeddings of any length under the distance {distance.name}: shrinking all of them lowers "
            "the loss wherever a negative is nearer than the positive; end the encoder with Normalize, or "
            "take the distance cosine",
        )
    ]
