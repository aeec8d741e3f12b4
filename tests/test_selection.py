"""In-batch selection against loops over triplets."""

from __future__ import annotations

import math

import pytest
import pytorch_metric_learning
import torch
from pytorch_metric_learning import miners
from torch import Tensor

from sbert_triplet.selection import (
    distance_weighted,
    distance_weights,
    easy_positive,
    hard,
    padded_columns,
    semi_hard,
)

SEEDS = range(25)


def random_case(seed: int, rows: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, generator=generator, dtype=torch.float64)
    if seed % 3 == 0:
        x = x.round()
    labels = torch.randint(0, 4, (rows,), generator=generator)
    same = labels[:, None] == labels[None]
    return torch.cdist(x, x), same & ~torch.eye(rows, dtype=torch.bool), ~same


def listed(mask: Tensor) -> list[int]:
    return [int(place) for place in mask.nonzero().flatten()]


def test_padded_columns() -> None:
    mask = torch.tensor([[True, False, True], [False, False, False], [False, True, False]])
    index, real = padded_columns(mask)
    assert real.tolist() == [[True, True], [False, False], [True, False]]
    assert index[0].tolist() == [0, 2]
    assert index[2, 0] == 1
    assert padded_columns(torch.zeros(2, 3, dtype=torch.bool))[0].shape == (2, 0)


@pytest.mark.parametrize("seed", SEEDS)
def test_hard_and_easy_positive(seed: int) -> None:
    distances, positives, negatives = random_case(seed)
    worst, easy = hard(distances, positives, negatives), easy_positive(distances, positives, negatives)
    for a in range(len(distances)):
        p, n = listed(positives[a]), listed(negatives[a])
        assert worst.valid[a, 0] == easy.valid[a, 0] == bool(p and n)
        if p and n:
            nearest = min(distances[a, j] for j in n)
            assert worst.positive[a, 0] == max(distances[a, j] for j in p)
            assert easy.positive[a, 0] == min(distances[a, j] for j in p)
            assert worst.negative[a, 0] == easy.negative[a, 0] == nearest


@pytest.mark.parametrize("fallback", ["skip", "easiest", "hardest"])
@pytest.mark.parametrize("seed", SEEDS)
def test_semi_hard_against_a_loop(seed: int, fallback: str) -> None:
    distances, positives, negatives = random_case(seed)
    margin = 1.0
    expected = []
    for a in range(len(distances)):
        far = [float(distances[a, n]) for n in listed(negatives[a])]
        for p in listed(positives[a]):
            d = float(distances[a, p])
            beyond = [v for v in far if v > d]
            if fallback == "skip":
                beyond = [v for v in beyond if v < d + margin]
                expected += [(a, d, min(beyond))] if beyond else []
            elif far:
                other = max(far) if fallback == "easiest" else min(far)
                expected.append((a, d, min(beyond) if beyond else other))
    chosen = semi_hard(distances, positives, negatives, margin, fallback)  # type: ignore[arg-type]
    rows, places = chosen.valid.nonzero(as_tuple=True)
    found = [
        (int(a), float(chosen.positive[a, k]), float(chosen.negative[a, k]))
        for a, k in zip(rows, places, strict=True)
    ]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_easy_positive_with_a_semi_hard_negative(seed: int) -> None:
    distances, positives, negatives = random_case(seed)
    chosen = easy_positive(distances, positives, negatives, semi_hard_margin=1.0)
    for a in range(len(distances)):
        p = [float(distances[a, j]) for j in listed(positives[a])]
        n = [float(distances[a, j]) for j in listed(negatives[a])]
        inside = [v for v in n if p and min(p) < v < min(p) + 1.0]
        assert int(chosen.valid[a].sum() if chosen.valid.shape[1] else 0) == bool(inside)
        if inside:
            assert float(chosen.positive[a][chosen.valid[a]]) == min(p)
            assert float(chosen.negative[a][chosen.valid[a]]) == min(inside)


def test_distance_weights_reference() -> None:
    distances = torch.tensor([[0.3, 0.6, 1.2, 1.6]], dtype=torch.float64)
    shares = distance_weights(distances, torch.ones(1, 4, dtype=torch.bool), 8)
    expected = torch.tensor([[0.727609, 0.262503, 0.009888, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(shares, expected, rtol=0, atol=1e-6)
    masked = distance_weights(distances, torch.tensor([[False, True, True, True]]), 8)
    assert masked[0, 0] == masked[0, 3] == 0
    assert masked[0, 1] / masked[0, 2] == pytest.approx(0.262503 / 0.009888, rel=1e-3)


def test_distances_up_to_two_and_rows_without_an_eligible_negative_stay_finite() -> None:
    distances = torch.tensor([[2.0, 1.9, 0.0], [0.0, 1.0, 2.0]])
    shares = distance_weights(distances, torch.tensor([[True, True, False], [True, True, True]]), 384)
    assert shares[0].tolist() == [0.0, 0.0, 0.0]
    assert torch.isfinite(shares).all()
    assert shares[1].sum() == pytest.approx(1.0)


def test_draws_follow_the_weights() -> None:
    distances = torch.tensor([[0.1, 0.6, 0.9, 1.2, 1.6]]).repeat(4000, 1)
    positives = torch.tensor([[True, False, False, False, False]]).repeat(4000, 1)
    generator = torch.Generator().manual_seed(0)
    chosen = distance_weighted(distances, positives, ~positives, 4, generator)
    shares = distance_weights(distances[:1], ~positives[:1], 4)[0]
    for place in range(1, 5):
        drawn = float((chosen.negative == distances[0, place]).float().mean())
        assert drawn == pytest.approx(float(shares[place]), abs=4 * math.sqrt(0.25 / 4000))
    assert float((chosen.negative == distances[0, 4]).sum()) == 0


def test_rows_without_an_eligible_negative_draw_uniformly_or_are_skipped() -> None:
    distances = torch.tensor([[0.1, 1.5, 1.7]]).repeat(2000, 1)
    positives = torch.tensor([[True, False, False]]).repeat(2000, 1)
    generator = torch.Generator().manual_seed(0)
    uniform = distance_weighted(distances, positives, ~positives, 8, generator)
    assert uniform.valid.all()
    assert float((uniform.negative > 1.6).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert not distance_weighted(distances, positives, ~positives, 8, generator, "skip").valid.any()


def test_one_near_duplicate_does_not_silence_the_other_anchors() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(128, 384, generator=generator), dim=1)
    x[1] = x[0] + 1e-4 * x[2]
    x = torch.nn.functional.normalize(x, dim=1)
    labels = torch.arange(128) // 2
    labels[1] = 63
    same = labels[:, None] == labels[None]
    distances = torch.cdist(x, x)
    eligible = (~same & (distances < 1.4)).any(1)
    shares = distance_weights(distances, ~same, 384)
    assert (shares.sum(1) > 0.99)[eligible].all()
    assert int(eligible.sum()) > 100
    theirs = miners.DistanceWeightedMiner()(x, labels)[0]
    if pytorch_metric_learning.__version__.startswith("2.8."):
        assert theirs.unique().numel() < 20, "it subtracts one maximum for all rows"


def test_choosing_carries_no_gradient_but_distances_do() -> None:
    distances, positives, negatives = random_case(1)
    distances.requires_grad_()
    chosen = semi_hard(distances, positives, negatives, 1.0, "easiest")
    total = (chosen.positive - chosen.negative)[chosen.valid].sum()
    (gradient,) = torch.autograd.grad(total, distances)
    assert gradient.sum() == pytest.approx(0, abs=1e-12)
    assert (gradient[positives] >= 0).all()
    assert (gradient[negatives] <= 0).all()
