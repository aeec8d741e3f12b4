"""Several losses of the same rows, and of different data sets."""

from __future__ import annotations

import pytest
import torch

from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.guided import GuidedRankingLoss
from sbert_triplet.losses.learned import OasisLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss, SymmetricRankingLoss
from sbert_triplet.losses.several import LossPerDataset, WeightedSum
from sbert_triplet.losses.triplet import HofferAilonLoss, TripletLoss
from sbert_triplet.losses.views import MoCoLoss, SimCSELoss


def batch(**parts: object) -> Embedded:
    columns = torch.randn(2, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    return Embedded(columns=(columns[0], columns[1]), **parts)  # type: ignore[arg-type]


def test_a_sum_is_the_weighted_sum_in_value_and_gradient() -> None:
    one, two = MultipleNegativesRankingLoss(scale=5.0), HofferAilonLoss(miner="all")
    both = WeightedSum([one, two], [0.25, 3.0], ["ranking", "ratio"])
    given = batch()
    leaf = given.columns[0].requires_grad_()
    output = both(given)
    expected = 0.25 * one(given).value + 3.0 * two(given).value
    torch.testing.assert_close(output.value, expected)
    (found,), (wanted,) = torch.autograd.grad(output.value, leaf), torch.autograd.grad(expected, leaf)
    torch.testing.assert_close(found, wanted)
    assert output.stats["ranking/loss"] == pytest.approx(one(given).value.item())
    assert {"ranking/n_valid", "ratio/n_valid", "n_valid"} <= output.stats.keys()


def test_a_data_set_has_its_own_loss() -> None:
    ranking, order = MultipleNegativesRankingLoss(scale=5.0), CoSENTLoss()
    run = LossPerDataset([ranking, order], ["pairs", "scores"])
    scores = torch.linspace(0, 1, 6, dtype=torch.float64)
    assert torch.equal(run(batch()).value, ranking(batch()).value)
    output = run(batch(scores=scores, dataset=1))
    assert torch.equal(output.value, order(batch(scores=scores)).value)
    assert "scores/loss" in output.stats
    assert "pairs/loss" not in output.stats


def test_parameters_of_every_part_are_trained_and_kept_in_range() -> None:
    learned = MultipleNegativesRankingLoss(scale=20.0, learn_scale=True)
    run = LossPerDataset(
        [WeightedSum([learned, HofferAilonLoss()], [1.0, 1.0], ["a", "b"]), OasisLoss(dimensions=8)],
        ["x", "y"],
    )
    assert len(list(run.parameters())) == 3
    with torch.no_grad():
        learned.scale.log_scale.fill_(9.0)
    run.after_step()
    assert learned.scale.log_scale.item() == pytest.approx(torch.tensor(100.0).log().item())
    assert run.embedding_sized
    assert not WeightedSum([learned], [1.0], ["a"]).embedding_sized


def test_needs_are_joined() -> None:
    both = WeightedSum(
        [GuidedRankingLoss(guide="some/model"), MultipleNegativesRankingLoss()], [1.0, 1.0], ["a", "b"]
    )
    assert both.needs_for("pairs").guide == "some/model"
    assert LossPerDataset([CoSENTLoss(), MoCoLoss(momentum=0.9)], ["a", "b"]).needs.momentum is not None


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (SimCSELoss(), MultipleNegativesRankingLoss(), "columns"),
        (MoCoLoss(), MultipleNegativesRankingLoss(), "momentum"),
        (GuidedRankingLoss(guide="a"), GuidedRankingLoss(guide="b"), "one guide"),
    ],
)
def test_losses_that_cannot_share_a_batch(one: torch.nn.Module, other: torch.nn.Module, words: str) -> None:
    both = WeightedSum([one, other], [1.0, 1.0], ["a", "b"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=words):
        both.needs_for("pairs")


def test_refusals() -> None:
    with pytest.raises(ValueError, match="a name of its own"):
        WeightedSum([TripletLoss(margin=0.1), TripletLoss(margin=0.2)], [1.0, 1.0], ["a", "a"])
    with pytest.raises(ValueError, match="weight"):
        WeightedSum([TripletLoss(margin=0.1)], [0.0], ["a"])
    with pytest.raises(ValueError, match="1 weights for 2"):
        WeightedSum([TripletLoss(margin=0.1), SymmetricRankingLoss()], [1.0], ["a", "b"])
    with pytest.raises(ValueError, match="one momentum encoder"):
        LossPerDataset([MoCoLoss(), MoCoLoss()], ["a", "b"])
    with pytest.raises(TypeError, match="data set"):
        LossPerDataset([CoSENTLoss()], ["a"]).needs_for("pairs")
