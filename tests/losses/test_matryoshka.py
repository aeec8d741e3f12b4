"""Nested dimensions around any loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sbert_triplet.distances import unit
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Queue
from sbert_triplet.losses.learned import OasisLoss, RelativeComparisonsLoss
from sbert_triplet.losses.matryoshka import MatryoshkaLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.siamese import SoftmaxClassificationLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.losses.views import MoCoLoss


def rows(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cut(batch: Embedded, size: int, normalize: bool = False) -> Embedded:
    def part(x: Tensor) -> Tensor:
        return unit(x[:, :size]) if normalize else x[:, :size]

    assert batch.negatives is not None
    return Embedded(
        tuple(part(column) for column in batch.columns),
        negatives=part(batch.negatives),
        negative_rows=batch.negative_rows,
    )


@pytest.mark.parametrize("normalize", [False, True])
def test_weighted_sum_over_cut_embeddings(normalize: bool) -> None:
    batch = Embedded((rows(3, 0), rows(3, 1)), negatives=rows(4, 2), negative_rows=torch.tensor([0, 1, 3, 4]))
    loss = TripletLoss(distance="euclidean", margin=2.0)
    wrapped = MatryoshkaLoss(loss, dimensions=[2, 8, 4], weights=[0.5, 1.0, 2.0], normalize=normalize)
    expected = sum(
        weight * loss(cut(batch, size, normalize)).value for size, weight in ((2, 0.5), (8, 1.0), (4, 2.0))
    )
    output = wrapped(batch)
    torch.testing.assert_close(output.value, torch.as_tensor(expected))
    assert output.stats["n_valid"] == 4
    assert {"dim_8/active_share", "dim_4/loss", "dim_2/n_valid"} <= set(output.stats)
    assert wrapped.needs == loss.needs
    assert wrapped.needs_for("pairs") == loss.needs_for("pairs")


def test_keys_and_queue_are_cut_too_and_parameters_are_projected() -> None:
    query, keys, queue = rows(3).requires_grad_(), rows(3, 1), Queue(rows(5, 2), torch.arange(5) + 100)
    inner = MoCoLoss(learn_temperature=True)
    output = MatryoshkaLoss(inner, dimensions=[4])(Embedded((query, keys), keys=keys, queue=queue))
    small = Queue(queue.keys[:, :4], queue.ids)
    expected = inner(Embedded((query[:, :4], keys[:, :4]), keys=keys[:, :4], queue=small)).value
    torch.testing.assert_close(output.value, expected)
    assert not torch.autograd.grad(output.value, query)[0][:, 4:].any()
    wrapped = MatryoshkaLoss(inner, dimensions=[4])
    (parameter,) = wrapped.parameters()
    with torch.no_grad():
        parameter.fill_(50.0)
    wrapped.after_step()
    assert float(parameter.detach().exp()) == pytest.approx(100)


@pytest.mark.parametrize(
    "loss",
    [
        SoftmaxClassificationLoss(classes=3, dimensions=8),
        OasisLoss(dimensions=8),
        RelativeComparisonsLoss(dimensions=8),
        TripletLoss(margin=0.1, distance="mahalanobis", dimensions=8),
    ],
)
def test_losses_with_parameters_of_the_embeddings_size_are_refused(loss: TripletLoss) -> None:
    with pytest.raises(ValueError, match="parameters of the embedding's size"):
        MatryoshkaLoss(loss, dimensions=[4])


def test_refusals() -> None:
    loss = MultipleNegativesRankingLoss()
    for bad in ([], [4, 4], [0]):
        with pytest.raises(ValueError, match="matryoshka dimension"):
            MatryoshkaLoss(loss, dimensions=bad)
    with pytest.raises(ValueError, match="matryoshka weights"):
        MatryoshkaLoss(loss, dimensions=[4, 2], weights=[1.0])
    with pytest.raises(InputError, match="16 is more than the embedding's 8"):
        MatryoshkaLoss(loss, dimensions=[16, 4])(Embedded((rows(2), rows(2))))
