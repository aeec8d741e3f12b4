"""Pair losses, CoSENT and the two objectives of SBERT."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sbert_triplet.distances import Cosine, Euclidean
from sbert_triplet.errors import InputError
from sbert_triplet.losses.batch import Embedded, Needs
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.pairs import ContrastiveLoss, OnlineContrastiveLoss
from sbert_triplet.losses.siamese import CosineRegressionLoss, SoftmaxClassificationLoss


def rows(count: int, seed: int = 0, dimensions: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64)


def scored(scores: list[float], **extra: Any) -> Embedded:
    return Embedded((rows(len(scores), 0), rows(len(scores), 1)), scores=torch.tensor(scores), **extra)


def test_contrastive_of_soft_scores_with_weights() -> None:
    scores, weights = [1.0, 0.0, 0.25, 0.0], torch.tensor([1.0, 2.0, 0.5, 3.0])
    batch = scored(scores, weights=weights)
    d = Euclidean().rowwise(*batch.columns)
    y = torch.tensor(scores)
    terms = y * d**2 / 2 + (1 - y) * (4.0 - d).clamp(min=0) ** 2 / 2
    output = ContrastiveLoss(distance="euclidean", margin=4.0)(batch)
    torch.testing.assert_close(output.value, (weights * terms).sum() / weights.sum())
    assert output.stats["n_valid"] == 4


def test_pairs_of_triplets_and_of_labels() -> None:
    a, p, n = rows(3, 0), rows(3, 1), rows(2, 2)
    batch = Embedded(
        (a, p), negatives=n, negative_rows=torch.tensor([0, 0, 1, 2]), scores=torch.tensor([2.0, 1.0, 1.0])
    )
    near, far = Cosine().rowwise(a, p), Cosine().rowwise(a[1:], n)
    terms = torch.cat([near**2 / 2, (0.9 - far).clamp(min=0) ** 2 / 2])
    torch.testing.assert_close(ContrastiveLoss(margin=0.9)(batch).value, terms.mean())
    x, labels, ids = rows(5), torch.tensor([0, 0, 1, 1, 2]), torch.tensor([1, 2, 3, 4, 1])
    d = Cosine().pairwise(x, x)
    terms = torch.stack(
        [
            d[i, j] ** 2 / 2 if labels[i] == labels[j] else (0.9 - d[i, j]).clamp(min=0) ** 2 / 2
            for i in range(5)
            for j in range(i + 1, 5)
            if (i, j) != (0, 4)
        ]
    )
    output = ContrastiveLoss(margin=0.9)(Embedded((x,), ids=(ids,), labels=labels))
    torch.testing.assert_close(output.value, terms.mean())
    assert output.stats["n_valid"] == 9
    with pytest.raises(InputError, match="dissimilar pairs too"):
        ContrastiveLoss(margin=0.9)(Embedded((a, p)))


@pytest.mark.parametrize("seed", range(8))
def test_online_contrastive_keeps_the_overlap(seed: int) -> None:
    left, right = rows(10, seed), rows(10, seed + 50)
    y = torch.tensor([1.0, 0, 1, 0, 1, 0, 1, 0, 1, 0])
    d = Euclidean().rowwise(left, right)
    low, high = d[y == 0].min(), d[y == 1].max()
    expected = sum(v**2 for v in d[y == 1] if v >= low) + sum(
        (3.0 - v).clamp(min=0) ** 2 for v in d[y == 0] if v <= high
    )
    output = OnlineContrastiveLoss(distance="euclidean", margin=3.0)(Embedded((left, right), scores=y))
    torch.testing.assert_close(output.value, torch.as_tensor(expected, dtype=torch.float64))


def test_pairs_at_collapse() -> None:
    x = torch.ones(4, 3, dtype=torch.float64, requires_grad=True)
    batch = Embedded((x, x), scores=torch.tensor([1.0, 0.0, 0.0, 0.0]))
    assert float(ContrastiveLoss(margin=0.8)(batch).value.detach()) == pytest.approx(0.75 * 0.8**2 / 2)
    assert float(OnlineContrastiveLoss(margin=0.8)(batch).value.detach()) == pytest.approx(3 * 0.8**2)
    regression = Embedded((x, x), scores=torch.tensor([1.0, 0.5, -1.0, 0.0]))
    assert float(CosineRegressionLoss()(regression).value.detach()) == pytest.approx((0 + 0.25 + 4 + 1) / 4)
    cosent = Embedded((x, x), scores=torch.tensor([3.0, 1.0, 1.0, 0.0]))
    assert float(CoSENTLoss()(cosent).value.detach()) == pytest.approx(math.log(1 + 5))


def test_batches_of_one_kind_of_pair() -> None:
    batch = scored([1.0, 1.0])
    d = Cosine().rowwise(*batch.columns)
    torch.testing.assert_close(OnlineContrastiveLoss(margin=0.5)(batch).value, d.square().sum())
    far = OnlineContrastiveLoss(margin=1.9)(scored([0.0, 0.0])).value
    torch.testing.assert_close(far, (1.9 - d).clamp(min=0).square().sum())


@pytest.mark.parametrize(
    ("ends", "scores"),
    [
        ((1.0, 5.0), [1.0, 2.0, 3.0, 5.0]),
        ((0.0, 100.0), [0.0, 25.0, 50.0, 100.0]),
        ((9.0, 1.0), [9, 7, 5, 1]),
    ],
)
def test_regression_on_any_scale(ends: tuple[float, float], scores: list[float]) -> None:
    """The same grades of 0, 1/4, 1/2 and 1, on the scale from 0 to 1 and on others."""
    columns = (rows(4, seed=1), rows(4, seed=2))
    grades = Embedded(columns, scores=torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=torch.float64))
    given = Embedded(columns, scores=torch.tensor(scores, dtype=torch.float64))
    own = CosineRegressionLoss(score_at_zero=ends[0], score_at_one=ends[1])
    torch.testing.assert_close(own(given).value, CosineRegressionLoss()(grades).value)
    beyond = 2 * max(ends)
    with pytest.raises(InputError, match=f"score {beyond:g} in row 0"):
        own(Embedded(columns, scores=torch.full((4,), beyond, dtype=torch.float64)))


def test_a_scale_has_two_ends() -> None:
    with pytest.raises(ValueError, match="score_at_zero and score_at_one are both 3; they must differ"):
        CosineRegressionLoss(score_at_zero=3, score_at_one=3)
    with pytest.raises(ValueError, match="score_at_one is nan"):
        CosineRegressionLoss(score_at_one=math.nan)


def test_bad_scores_name_the_row() -> None:
    with pytest.raises(InputError, match=r"score 1.5 in row 1 of the batch: it must be between 0 and 1"):
        ContrastiveLoss(margin=0.5)(scored([0.0, 1.5]))
    with pytest.raises(InputError, match="0 or 1"):
        OnlineContrastiveLoss(margin=0.5)(scored([0.0, 0.5]))
    with pytest.raises(InputError, match="between -1 and 1"):
        CosineRegressionLoss()(scored([0.0, -1.5]))
    with pytest.raises(InputError, match="score nan in row 0"):
        CoSENTLoss()(scored([math.nan, 1.0]))
    with pytest.raises(InputError, match="wants one score a row"):
        CoSENTLoss()(Embedded((rows(2), rows(2))))
    with pytest.raises(InputError, match="2 rows with scores"):
        CoSENTLoss()(Embedded((rows(2), rows(2)), scores=torch.zeros(3)))
    with pytest.raises(ValueError, match="is a similarity"):
        ContrastiveLoss(margin=0.5, distance="dot")


def cosent_loop(values: Tensor, scores: Tensor, weights: Tensor) -> Tensor:
    terms = [
        weights[i] * weights[j] * (values[i] - values[j]).exp()
        for i in range(len(values))
        for j in range(len(values))
        if scores[i] < scores[j]
    ]
    return torch.log1p(sum(terms, start=0 * values.sum()))


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean"])
@pytest.mark.parametrize("seed", range(6))
def test_cosent_against_a_loop(seed: int, similarity: Any) -> None:
    left, right = rows(8, seed).requires_grad_(), rows(8, seed + 9)
    scores = torch.tensor([0.0, 1, 1, 2, 5, 5, 0, 3])[torch.randperm(8)]
    weights = torch.tensor([1.0, 2, 1, 0, 0.5, 1, 1, 3], dtype=torch.float64)
    s = {
        "cosine": (normalize(left, dim=1) * normalize(right, dim=1)).sum(1),
        "dot": (left * right).sum(1),
        "euclidean": -(left - right).norm(dim=1),
    }[similarity]
    loss = CoSENTLoss(scale=4.0, similarity=similarity)
    for weight in (torch.ones(8, dtype=torch.float64), weights):
        output = loss(Embedded((left, right), scores=scores, weights=weight))
        expected = cosent_loop(4 * s, scores, weight)
        torch.testing.assert_close(output.value, expected)
        ours = torch.autograd.grad(output.value, left, retain_graph=True)[0]
        torch.testing.assert_close(ours, torch.autograd.grad(expected, left, retain_graph=True)[0])


def test_cosent_in_single_precision_with_a_large_batch_and_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(500, 16, generator=generator), torch.randn(500, 16, generator=generator)
    scores = torch.randint(0, 40, (500,), generator=generator).float()
    results = []
    for dtype in (torch.float32, torch.float64):
        leaf = left.to(dtype).requires_grad_()
        value = CoSENTLoss(scale=100.0)(Embedded((leaf, right.to(dtype)), scores=scores)).value
        results.append((value.double().detach(), torch.autograd.grad(value, leaf)[0].double()))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(results[0][1], results[1][1], rtol=1e-3, atol=1e-4)


def test_cosent_depends_on_differences_and_order_only() -> None:
    batch = scored([0.1, 0.9, 0.4, 0.4])
    assert batch.scores is not None
    value = CoSENTLoss()(batch).value
    stretched = Embedded(batch.columns, scores=torch.exp(5 * batch.scores) - 40)
    torch.testing.assert_close(CoSENTLoss()(stretched).value, value)
    assert CoSENTLoss()(batch).stats["n_valid"] == 5


def test_classifier_against_cross_entropy() -> None:
    loss = SoftmaxClassificationLoss(classes=3, dimensions=5).double()
    u, v, labels = rows(4, 0), rows(4, 1), torch.tensor([0, 2, 1, 2])
    weights = torch.tensor([1.0, 0.0, 2.0, 1.0])
    logits = loss.classifier(torch.cat([u, v, (u - v).abs()], dim=1))
    terms = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    output = loss(Embedded((u, v), labels=labels, weights=weights))
    torch.testing.assert_close(output.value, (weights * terms).sum() / 4)
    with torch.no_grad():
        loss.classifier.weight.zero_()
        loss.classifier.bias.zero_()
    assert float(loss(Embedded((u, v), labels=labels)).value.detach()) == pytest.approx(math.log(3))
    assert loss.needs == Needs(columns=2, labels=True)
    assert loss.embedding_sized
    with pytest.raises(InputError, match="label 3 of 3 classes"):
        loss(Embedded((u, v), labels=torch.tensor([0, 3, 1, 2])))
    with pytest.raises(InputError, match="for 5 dimensions, got 4"):
        loss(Embedded((u[:, :4], v[:, :4]), labels=labels))
    with pytest.raises(ValueError, match="classes is 1"):
        SoftmaxClassificationLoss(classes=1, dimensions=5)


def test_equal_sides_give_the_classifier_no_gradient_through_their_difference() -> None:
    loss = SoftmaxClassificationLoss(classes=2, dimensions=5).double()
    u = rows(3).requires_grad_()
    with torch.no_grad():
        loss.classifier.weight[:, :10] = 0
    value = loss(Embedded((u, u), labels=torch.tensor([0, 1, 1]))).value
    assert not torch.autograd.grad(value, u)[0].any()
