"""All triplets of a batch: the sorted sums against a loop over every triplet, in value and gradient."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sbert_triplet.losses import batch_all
from sbert_triplet.losses.batch_all import all_triplets
from sbert_triplet.losses.links import Hinge, Link, SoftMargin, SquaredRatio

LINKS: list[Link] = [Hinge(0.7), Hinge(0.7, squared=True), SoftMargin(), SquaredRatio()]
NAMES = ["hinge", "squared", "soft", "ratio"]


def random_case(seed: int, rounded: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows = int(torch.randint(2, 13, (1,), generator=generator))
    x = torch.randn(rows, 5, generator=generator, dtype=torch.float64)
    x = x.round() if rounded else x
    labels = torch.randint(0, 4, (rows,), generator=generator)
    same = labels[:, None] == labels[None]
    return torch.cdist(x, x, p=1.0 if rounded else 2.0), same & ~torch.eye(rows, dtype=torch.bool), ~same


def loop(
    distances: Tensor, positives: Tensor, negatives: Tensor, link: Link
) -> tuple[Tensor, list[int], list[int]]:
    totals, active, valid = [], [], []
    for a in range(len(distances)):
        gaps = [
            distances[a, p] - distances[a, n]
            for p in positives[a].nonzero().flatten()
            for n in negatives[a].nonzero().flatten()
        ]
        costs = [link.value(gap) for gap in gaps]
        totals.append(sum(costs, start=0 * distances.sum()))
        active.append(sum(bool(link.active(gap)) for gap in gaps))
        valid.append(len(gaps))
    return torch.stack(totals), active, valid


@pytest.mark.parametrize("link", LINKS, ids=NAMES)
@pytest.mark.parametrize("seed", range(12))
def test_value_counts_and_gradient_equal_a_loop(seed: int, link: Link) -> None:
    distances, positives, negatives = random_case(seed)
    pull = torch.rand(len(distances), dtype=torch.float64)
    ours, theirs = distances.clone().requires_grad_(), distances.clone().requires_grad_()
    total, active, valid = all_triplets(ours, positives, negatives, link)
    expected, expected_active, expected_valid = loop(theirs, positives, negatives, link)
    torch.testing.assert_close(total, expected, rtol=1e-9, atol=1e-9)
    assert active.tolist() == expected_active
    assert valid.tolist() == expected_valid
    (gradient,) = torch.autograd.grad((pull * total).sum(), ours)
    (wanted,) = torch.autograd.grad((pull * expected).sum(), theirs)
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_ties_are_inactive(seed: int) -> None:
    """Whole-number distances and margin 1 give many arguments of exactly 0."""
    distances, positives, negatives = random_case(seed, rounded=True)
    distances = distances.requires_grad_()
    link = Hinge(1.0)
    total, active, _ = all_triplets(distances, positives, negatives, link)
    expected, expected_active, _ = loop(distances.detach(), positives, negatives, link)
    torch.testing.assert_close(total.detach(), expected, rtol=0, atol=1e-12)
    assert active.tolist() == expected_active
    (gradient,) = torch.autograd.grad(total.sum(), distances)
    assert gradient[positives].sum() == active.sum()
    assert gradient.sum() == pytest.approx(0, abs=1e-12)


def test_only_ties_give_no_loss_and_no_gradient() -> None:
    distances = torch.tensor([[0.0, 0.5, 1.5]], dtype=torch.float64, requires_grad=True)
    positives, negatives = torch.tensor([[False, True, False]]), torch.tensor([[False, False, True]])
    total, active, valid = all_triplets(distances, positives, negatives, Hinge(1.0))
    assert (float(total.detach()), int(active), int(valid)) == (0.0, 0, 1)
    (gradient,) = torch.autograd.grad(total.sum(), distances)
    assert not gradient.any()


def test_comparisons_round_as_a_loop_rounds_in_single_precision() -> None:
    generator = torch.Generator().manual_seed(0)
    distances = torch.randint(0, 8, (6, 40), generator=generator).float() * 0.1
    positives = torch.rand(6, 40, generator=generator) < 0.4
    link = Hinge(0.3)
    total, active, _ = all_triplets(distances, positives, ~positives, link)
    margin = torch.tensor(0.3)
    hinge = distances[:, :, None] + margin - distances[:, None, :]
    counted = positives[:, :, None] & ~positives[:, None, :] & (hinge > 0)
    assert active.tolist() == counted.sum((1, 2)).tolist()
    torch.testing.assert_close(total, (hinge * counted).sum((1, 2)), rtol=1e-5, atol=1e-5)


def test_reference_gradient_of_one_anchor() -> None:
    x = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64)
    distances = torch.cdist(x, x).requires_grad_()
    same = torch.tensor([[True, True, False, False]] * 2 + [[False, False, True, True]] * 2)
    total, active, _ = all_triplets(distances, same & ~torch.eye(4, dtype=torch.bool), ~same, Hinge(0.5))
    assert float(total.detach().sum()) == pytest.approx(5.820685, abs=1e-6)
    assert int(active.sum()) == 7
    (gradient,) = torch.autograd.grad(total.sum(), distances)
    assert gradient[0].tolist() == [0.0, 1.0, -1.0, 0.0]


@pytest.mark.parametrize("link", LINKS, ids=NAMES)
def test_blocks_do_not_change_anything(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    distances, positives, negatives = random_case(5)
    whole = all_triplets(distances.requires_grad_(), positives, negatives, link)
    (expected,) = torch.autograd.grad(whole[0].square().sum(), distances)
    for block in (1, 17, 40):
        monkeypatch.setattr(batch_all, "BLOCK", block)
        parts = all_triplets(distances, positives, negatives, link)
        torch.testing.assert_close(parts, whole)
        (gradient,) = torch.autograd.grad(parts[0].square().sum(), distances)
        torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("link", LINKS, ids=NAMES)
def test_gradcheck(link: Link) -> None:
    distances, positives, negatives = random_case(3)
    hinge = distances[:, :, None] - distances[:, None, :] + 0.7
    assert hinge.abs().min() > 1e-4, "finite differences must stay off the kinks"
    assert torch.autograd.gradcheck(
        lambda d: all_triplets(d, positives, negatives, link)[0], distances.requires_grad_()
    )


def test_single_precision_at_the_size_of_a_large_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    distances = 1 + 0.05 * torch.randn(60, 1200, generator=generator)
    labels = torch.arange(1200) // 40
    positives = labels[:60, None] == labels[None]
    exact = all_triplets(distances.double(), positives, ~positives, Hinge(0.2))[0]
    total = all_triplets(distances, positives, ~positives, Hinge(0.2))[0]
    assert ((total - exact) / exact).abs().max() < 1e-6


@pytest.mark.parametrize("link", LINKS, ids=NAMES)
def test_collapse(link: Link) -> None:
    expected = {"hinge": 0.7, "squared": 0.49, "soft": math.log(2), "ratio": 0.25}[NAMES[LINKS.index(link)]]
    same = torch.arange(6)[:, None] // 2 == torch.arange(6)[None] // 2
    positives = same & ~torch.eye(6, dtype=torch.bool)
    total, active, valid = all_triplets(torch.zeros(6, 6, dtype=torch.float64), positives, ~same, link)
    assert total.sum() / valid.sum() == pytest.approx(expected)
    assert active.tolist() == valid.tolist() == [4] * 6


@pytest.mark.parametrize("link", LINKS, ids=NAMES)
def test_anchors_without_a_positive_or_a_negative_count_nothing(link: Link) -> None:
    distances = torch.rand(3, 3, dtype=torch.float64, requires_grad=True)
    some = torch.tensor([[False, True, True]] * 3)
    for positives, negatives in ((some, torch.zeros_like(some)), (torch.zeros_like(some), some)):
        total, _, valid = all_triplets(distances, positives, negatives, link)
        assert not total.any()
        assert not valid.any()
        (gradient,) = torch.autograd.grad(total.sum(), distances)
        assert not gradient.any()
