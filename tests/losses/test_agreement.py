"""Other libraries: equal where they implement the same definition, and where they part from it, how."""

from __future__ import annotations

import math
from typing import Any

import pytest
import pytorch_metric_learning
import sentence_transformers
import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml_losses
from pytorch_metric_learning import miners as pml_miners
from pytorch_metric_learning import reducers as pml_reducers
from sentence_transformers.sentence_transformer import losses as st_losses
from sentence_transformers.sentence_transformer.losses.batch_hard_triplet import (
    BatchHardTripletLossDistanceFunction,
)
from torch import Tensor, nn

from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.names import build_loss

ST_AS_SEEN = sentence_transformers.__version__.startswith("6.2.")
PML_AS_SEEN = pytorch_metric_learning.__version__.startswith("2.8.")
"""What another library does wrong is looked at in the version where it was seen; ours is tested with any."""

X = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64)
EUCLID = BatchHardTripletLossDistanceFunction.eucledian_distance


class Encoder(nn.Module):
    """Stands where sentence-transformers wants a model; its losses only keep it."""

    similarity_fn_name = "cosine"


def rows(count: int, seed: int = 0, dimensions: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64)


def unit_rows(count: int, seed: int = 0) -> Tensor:
    return torch.nn.functional.normalize(rows(count, seed), dim=1)


def same_with_gradients(ours: Tensor, theirs: Tensor, leaf: Tensor, tolerance: float = 1e-7) -> None:
    torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)
    left = torch.autograd.grad(ours, leaf, retain_graph=True)[0]
    right = torch.autograd.grad(theirs, leaf, retain_graph=True)[0]
    torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 3, 3])


@pytest.mark.parametrize("margin", [0.3, 2.0])
def test_batch_losses_of_sentence_transformers(margin: float) -> None:
    x = rows(10).requires_grad_()
    batch = Embedded((x,), labels=LABELS)
    options: dict[str, Any] = {"distance": "euclidean", "margin": margin}
    every = st_losses.BatchAllTripletLoss(Encoder(), EUCLID, margin)
    same_with_gradients(
        build_loss("triplet", miner="all", **options)(batch).value, every.batch_all_triplet_loss(LABELS, x), x
    )
    hard = st_losses.BatchHardTripletLoss(Encoder(), EUCLID, margin)
    same_with_gradients(
        build_loss("triplet", miner="hard", **options)(batch).value,
        hard.batch_hard_triplet_loss(LABELS, x),
        x,
    )
    soft = st_losses.BatchHardSoftMarginTripletLoss(Encoder(), EUCLID)
    ours = build_loss("triplet", miner="hard", soft=True, distance="euclidean")(batch).value
    same_with_gradients(ours, soft.batch_hard_triplet_soft_margin_loss(LABELS, x), x)
    semi = st_losses.BatchSemiHardTripletLoss(Encoder(), EUCLID, margin)
    ours = build_loss("triplet", miner="semi_hard", fallback="easiest", **options)(batch).value
    same_with_gradients(ours, semi.batch_semi_hard_triplet_loss(LABELS, x).squeeze(), x)


def test_column_losses_of_sentence_transformers() -> None:
    a, p, n = rows(6, 0).requires_grad_(), rows(6, 1), rows(6, 2)
    triplets = Embedded((a, p), negatives=n, negative_rows=torch.arange(7))
    theirs = st_losses.TripletLoss(Encoder(), triplet_margin=2.0)
    # Their Euclidean distance adds 1e-6 to every coordinate.
    same_with_gradients(
        build_loss("triplet", distance="euclidean", margin=2.0)(triplets).value,
        theirs.compute_loss_from_embeddings([a, p, n], None),
        a,
        1e-5,
    )
    ranking = st_losses.MultipleNegativesRankingLoss(Encoder())
    ours = build_loss("multiple_negatives_ranking")(triplets).value
    same_with_gradients(ours, ranking.compute_loss_from_embeddings([a, p, n], None), a)
    scores = torch.tensor([0.0, 0.2, 0.2, 0.7, 1.0, 0.4], dtype=torch.float64)
    pairs = Embedded((a, p), scores=scores)
    same_with_gradients(
        build_loss("cosent")(pairs).value,
        st_losses.CoSENTLoss(Encoder()).compute_loss_from_embeddings([a, p], scores),
        a,
    )
    regression = st_losses.CosineSimilarityLoss(Encoder()).compute_loss_from_embeddings([a, p], scores)
    same_with_gradients(build_loss("cosine_regression")(pairs).value, regression, a)
    yes = torch.tensor([1, 0, 0, 1, 1, 0])
    binary = Embedded((a, p), scores=yes.double())
    contrastive = st_losses.ContrastiveLoss(Encoder()).compute_loss_from_embeddings([a, p], yes)
    same_with_gradients(build_loss("contrastive", margin=0.5)(binary).value, contrastive, a)
    online = st_losses.OnlineContrastiveLoss(Encoder(), margin=1.3).compute_loss_from_embeddings([a, p], yes)
    same_with_gradients(build_loss("online_contrastive", margin=1.3)(binary).value, online, a)


def test_triplet_losses_of_pytorch_metric_learning() -> None:
    x = unit_rows(10).requires_grad_()
    batch = Embedded((x,), labels=LABELS)
    euclid = pml_distances.LpDistance(normalize_embeddings=False)
    theirs = pml_losses.TripletMarginLoss(
        margin=0.4, distance=euclid, reducer=pml_reducers.AvgNonZeroReducer()
    )
    same_with_gradients(
        build_loss("triplet", distance="euclidean", margin=0.4, miner="all")(batch).value,
        theirs(x, LABELS),
        x,
    )
    mined = pml_miners.BatchHardMiner(distance=euclid)(x, LABELS)
    mean = pml_losses.TripletMarginLoss(margin=0.4, distance=euclid, reducer=pml_reducers.MeanReducer())
    same_with_gradients(
        build_loss("triplet", distance="euclidean", margin=0.4, miner="hard")(batch).value,
        mean(x, LABELS, mined),
        x,
    )
    easy = pml_miners.BatchEasyHardMiner("easy", "hard", distance=euclid)(x, LABELS)
    same_with_gradients(
        build_loss("triplet", distance="euclidean", margin=0.4, miner="easy_positive")(batch).value,
        mean(x, LABELS, easy),
        x,
    )


def test_softmax_losses_of_pytorch_metric_learning() -> None:
    x = unit_rows(10).requires_grad_()
    theirs = pml_losses.SupConLoss(temperature=0.2, reducer=pml_reducers.MeanReducer())
    ours = build_loss("supervised_contrastive", temperature=0.2)
    same_with_gradients(ours(Embedded((x,), labels=LABELS)).value, theirs(x, LABELS), x, 1e-6)
    left, right = rows(5, 0).requires_grad_(), rows(5, 1)
    nt_xent = pml_losses.NTXentLoss(temperature=0.3)(torch.cat([left, right]), torch.arange(5).repeat(2))
    same_with_gradients(
        build_loss("nt_xent", temperature=0.3)(Embedded((left, right))).value, nt_xent, left, 1e-6
    )


def test_margin_loss_of_pytorch_metric_learning() -> None:
    x = unit_rows(10).requires_grad_()
    d = torch.cdist(x, x).detach()
    same = LABELS[:, None] == LABELS[None]
    theirs = pml_losses.MarginLoss(
        margin=0.2, beta=1.2, distance=pml_distances.LpDistance(normalize_embeddings=False)
    )
    # It sums positives and negatives of triplets; with one positive and one negative that is our pair mean.
    three = x[[0, 1, 3]]
    labels = torch.tensor([0, 0, 1])
    triplet = (torch.tensor([0]), torch.tensor([1]), torch.tensor([2]))
    value = theirs(three, labels, triplet)
    pairs = [0.2 + d[0, 1] - 1.2, 0.2 + 1.2 - d[0, 3]]
    active = [float(term) for term in pairs if term > 0]
    assert float(value.detach()) == pytest.approx(sum(active) / len(active))
    terms = [0.2 + (d[i, j] - 1.2) * (1 if same[i, j] else -1) for i in range(10) for j in range(i)]
    active = [float(term) for term in terms if term > 0]
    ours = build_loss("margin_based")(Embedded((x,), labels=LABELS)).value
    assert float(ours.detach()) == pytest.approx(sum(active) / len(active))


# Where they part from the definitions: the numbers are theirs, and ours beside them.


def test_euclid_of_equal_vectors_is_zero_here() -> None:
    x = torch.randn(1, 384)
    assert float(torch.nn.functional.pairwise_distance(x, x)) == pytest.approx(1.96e-5, rel=1e-2)
    assert build_loss("triplet", distance="euclidean", margin=0.1).distance.rowwise(x, x) == 0


def test_a_batch_of_one_class_or_of_one_text_has_no_loss_here() -> None:
    for x, labels in ((X, torch.zeros(4, dtype=torch.long)), (X[:1], torch.zeros(1, dtype=torch.long))):
        hard = st_losses.BatchHardTripletLoss(Encoder(), EUCLID, 0.2).batch_hard_triplet_loss(labels, x)
        soft = st_losses.BatchHardSoftMarginTripletLoss(
            Encoder(), EUCLID
        ).batch_hard_triplet_soft_margin_loss(labels, x)
        if ST_AS_SEEN:
            assert float(hard) == pytest.approx(0.2)
            assert float(soft) == pytest.approx(math.log(2))
        for options in ({"margin": 0.2}, {"soft": True}):
            leaf = x.clone().requires_grad_()
            output = build_loss("triplet", distance="euclidean", miner="hard", **options)(
                Embedded((leaf,), labels=labels)
            )
            assert float(output.value.detach()) == 0
            assert output.stats["n_valid"] == 0
            assert not torch.autograd.grad(output.value, leaf)[0].any()


def test_semi_hard_of_one_class_has_no_loss_here() -> None:
    labels = torch.zeros(4, dtype=torch.long)
    theirs = st_losses.BatchSemiHardTripletLoss(Encoder(), EUCLID, 0.2).batch_semi_hard_triplet_loss(
        labels, X
    )
    assert not ST_AS_SEEN or float(theirs) == pytest.approx(1.235466, abs=1e-6)
    for fallback in ("skip", "easiest", "hardest"):
        loss = build_loss("triplet", distance="euclidean", margin=0.2, miner="semi_hard", fallback=fallback)
        assert float(loss(Embedded((X,), labels=labels)).value) == 0


def test_ties_have_no_gradient_here() -> None:
    x = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    labels = torch.tensor([0, 0, 1])
    # d(0, 1) + 1 - d(0, 2) is exactly 0; the other triplets are switched off by their labels.
    ours = x.clone().requires_grad_()
    weights = torch.tensor([1.0, 0.0, 0.0])
    output = build_loss("triplet", distance="euclidean", margin=1.0, miner="all")(
        Embedded((ours,), labels=labels, weights=weights)
    )
    assert float(output.value.detach()) == 0
    assert not torch.autograd.grad(output.value, ours)[0].any()
    tied = torch.tensor([[0.0], [0.0], [0.5], [0.5]], dtype=torch.float64).requires_grad_()
    theirs = st_losses.BatchAllTripletLoss(Encoder(), EUCLID, 0.5).batch_all_triplet_loss(
        torch.tensor([0, 0, 1, 1]), tied
    )
    assert not ST_AS_SEEN or float(torch.autograd.grad(theirs, tied)[0].abs().max()) > 1e15
    again = build_loss("triplet", distance="euclidean", margin=0.5, miner="all")
    value = again(Embedded((tied,), labels=torch.tensor([0, 0, 1, 1]))).value
    assert not torch.autograd.grad(value, tied)[0].any()


def test_online_contrastive_does_not_vanish_at_collapse_here() -> None:
    x = torch.ones(4, 3, dtype=torch.float64)
    yes = torch.tensor([1, 0, 0, 1])
    theirs = st_losses.OnlineContrastiveLoss(Encoder()).compute_loss_from_embeddings([x, x], yes)
    assert not ST_AS_SEEN or float(theirs) == 0
    ours = build_loss("online_contrastive", margin=0.5)(Embedded((x, x), scores=yes.double()))
    assert float(ours.value) == pytest.approx(2 * 0.5**2)


def test_a_guide_that_scores_the_own_pair_one_does_not_leave_self_entries_here() -> None:
    """Row 0 is a duplicate pair to the guide; unmasked self entries would add logits of 1 / temperature."""
    a, p = rows(2, 0), rows(2, 1)
    twin = torch.eye(4, dtype=torch.float64)
    guide = Embedded((twin[:2], twin[[0, 2]]))
    s = torch.nn.functional.normalize(torch.cat([a, p]), dim=1)
    ap, aa, pp = s[:2] @ s[2:].T / 0.1, s[:2] @ s[:2].T / 0.1, s[2:] @ s[2:].T / 0.1
    logits = [torch.stack([ap[0, 0], ap[0, 1], aa[0, 1], pp[0, 1]]), torch.stack([ap[1, 1]])]
    kept = torch.logsumexp(logits[0], dim=0) - ap[0, 0]
    output = build_loss("guided_ranking", temperature=0.1)(Embedded((a, p), guide=guide))
    rejected = torch.stack([ap[1, 1], ap[1, 0], aa[1, 0], pp[1, 0]])
    second = torch.logsumexp(rejected, dim=0) - ap[1, 1]
    torch.testing.assert_close(output.value, (kept + second) / 2)


def test_duplicates_are_masked_here() -> None:
    a, p = rows(3, 0), rows(3, 1)
    p[2] = p[0]
    theirs = st_losses.MultipleNegativesRankingLoss(Encoder()).compute_loss_from_embeddings([a, p], None)
    plain = build_loss("multiple_negatives_ranking")(Embedded((a, p))).value
    if ST_AS_SEEN:
        torch.testing.assert_close(theirs, plain)
    ids = (torch.tensor([0, 1, 2]), torch.tensor([10, 11, 10]))
    masked = build_loss("multiple_negatives_ranking")(Embedded((a, p), ids=ids))
    assert float(masked.value) < float(plain)
    assert masked.stats["masked"] == 2


def test_soft_margin_has_no_margin_inside_here() -> None:
    x = torch.ones(4, 3, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    theirs = pml_losses.TripletMarginLoss(smooth_loss=True)(x, labels)
    assert not PML_AS_SEEN or float(theirs) == pytest.approx(0.718460, abs=1e-6)
    ours = build_loss("triplet", soft=True, margin=0.05, miner="all")(Embedded((x,), labels=labels))
    assert float(ours.value) == pytest.approx(math.log(2))


def test_nt_xent_keeps_the_gradient_of_the_hardest_pairs_here() -> None:
    left = torch.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True)
    right = torch.tensor([[-1.0, 0.0], [0.0, -1.0]])
    right = right + 0.05
    both = torch.cat([left, right])
    theirs = pml_losses.NTXentLoss(temperature=0.01)(both, torch.tensor([0, 1, 0, 1]))
    if PML_AS_SEEN:
        assert float(theirs.detach()) == pytest.approx(87.3365, abs=1e-3)
        assert not torch.autograd.grad(theirs, left, retain_graph=True)[0].any()
    ours = build_loss("nt_xent", temperature=0.01)(Embedded((left, right))).value
    assert float(ours.detach()) > 95
    assert torch.autograd.grad(ours, left)[0].abs().max() > 1


def test_the_usual_margin_of_sentence_transformers_is_warned_about() -> None:
    units = Embedded((X,), labels=torch.tensor([0, 0, 1, 1]))
    loss = build_loss("triplet", distance="euclidean", margin=5.0, miner="hard")
    with pytest.warns(UserWarning, match="margin 5 can never be met: euclidean spans 0 to 2"):
        loss(units)
