"""What is named as the likely cause of a collapse, for which loss."""

from __future__ import annotations

import pytest

from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.learned import OasisLoss
from sbert_triplet.losses.margin_based import MarginBasedLoss
from sbert_triplet.losses.matryoshka import MatryoshkaLoss
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.losses.pairs import ContrastiveLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.several import WeightedSum
from sbert_triplet.losses.siamese import CosineRegressionLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training.collapse_causes import likely_causes, margin_of
from sbert_triplet.training.library_losses import LibraryLoss, build_any_loss


def causes(loss: Loss, *, learning_rate: float = 2e-5, unit_length: bool = True, **more: float) -> list[str]:
    return likely_causes(loss, learning_rate=learning_rate, dimensions=16, unit_length=unit_length, **more)


RATE = "the learning rate"
MARGIN = "the margin is too large"
SMALL = "the margin of"
HARDEST = "the hardest negatives"
LENGTHS = "embeddings of any length"


@pytest.mark.parametrize(
    ("loss", "given", "expected"),
    [
        (TripletLoss(margin=1.0, miner="hard"), {}, [HARDEST, MARGIN, RATE]),
        (TripletLoss(margin=0.2, miner="hard"), {}, [HARDEST, RATE, SMALL]),
        (TripletLoss(margin=1.0, miner="all"), {}, [MARGIN, RATE]),
        (TripletLoss(soft=True, miner="hard"), {}, [HARDEST, RATE]),
        (TripletLoss(margin=0.2, miner="easy_positive"), {}, [HARDEST, RATE, SMALL]),
        (TripletLoss(margin=0.2, miner="easy_positive", negative="semi_hard"), {}, [RATE, SMALL]),
        (TripletLoss(margin=1.0, miner="hard"), {"learning_rate": 1e-3}, [RATE, HARDEST, MARGIN]),
        (
            TripletLoss(distance="euclidean", margin=0.2, miner="all"),
            {"unit_length": False},
            [LENGTHS, RATE, SMALL],
        ),
        (TripletLoss(margin=0.2, miner="all"), {"unit_length": False}, [RATE, SMALL]),
        (MultipleNegativesRankingLoss(), {"unit_length": False}, [RATE]),
        (MultipleNegativesRankingLoss(), {"nearness": 0.98}, ["labels or columns", RATE]),
        (MultipleNegativesRankingLoss(), {"nearness": 0.7}, [RATE]),
        (MarginBasedLoss(alpha=1.0), {}, [MARGIN, RATE]),
        (ContrastiveLoss(margin=0.3), {}, ["too few pairs that do not belong", RATE, SMALL]),
        (CosineRegressionLoss(), {}, ["scores that are nearly all high", RATE]),
        (LibraryLoss("st.BatchHardTripletLoss", margin=5.0), {}, [HARDEST, MARGIN, RATE]),
        (LibraryLoss("st.BatchAllTripletLoss", margin=5.0), {}, [MARGIN, RATE]),
    ],
)
def test_ranked_by_what_the_loss_is(loss: Loss, given: dict[str, float], expected: list[str]) -> None:
    found = causes(loss, **given)
    assert len(found) == len(expected), found
    assert all(words.startswith(start) for words, start in zip(found, expected, strict=True)), found


def test_losses_inside_of_others_are_looked_at() -> None:
    inner = TripletLoss(margin=1.0, miner="hard")
    assert causes(MatryoshkaLoss(inner, dimensions=[8, 4])) == causes(inner)
    both = WeightedSum([inner, TripletLoss(margin=1.0, miner="all")], [1, 1], ["one", "two"])
    assert causes(both) == causes(inner)


def test_the_margin_is_compared_with_what_the_distance_spans() -> None:
    """Cosine spans 2, Manhattan 2 sqrt(16) on 16 dimensions."""
    assert "1.2 is 60 % of what the distance cosine spans" in causes(TripletLoss(margin=1.2, miner="all"))[0]
    manhattan = causes(TripletLoss(distance="manhattan", margin=1.2, miner="all"))
    assert manhattan[-1].startswith(
        "the margin of 1.2: lower it, though it is no more than 15 % of what manhat"
    )


def test_margins() -> None:
    assert margin_of(TripletLoss(margin=0.7, miner="all")) == 0.7
    assert margin_of(TripletLoss(margin=0.7, miner="hard", soft=True)) is None
    assert margin_of(ContrastiveLoss(margin=0.4)) == 0.4
    assert margin_of(LibraryLoss("st.TripletLoss", triplet_margin=3.0)) == 3.0
    assert margin_of(OasisLoss(dimensions=4)) is None


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_there_is_something_to_try_for_every_loss(name: str) -> None:
    options = {
        "triplet": {"margin": 0.2},
        "contrastive": {"margin": 0.5},
        "online_contrastive": {"margin": 0.5},
        "softmax_classification": {"classes": 3},
    }.get(name, {})
    found = causes(build_any_loss(name, dimensions=16, **options))
    assert any(words.startswith(RATE) for words in found)
    assert all("\n" not in words and not words.endswith(".") for words in found)
