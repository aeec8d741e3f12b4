"""Dropout from few random bits: shares, means, gradients, independence."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import binom, chi2
from torch import nn

from sbert_triplet.encoding.dropout import can_drop, cheap_dropout, dropout, kept, kept_scale

MANY = 1_000_000


def dropped(shape: tuple[int, ...], probability: float) -> torch.Tensor:
    """(shape) bool: what the next draws of torch's generator drop."""
    keep = kept(shape, probability)
    assert keep.dtype == torch.uint8
    return keep == 0


@pytest.mark.parametrize("probability", [0.01, 0.1, 0.15, 1 / 3, 0.5, 0.9, 0.999])
def test_the_share_of_what_is_dropped(probability: float) -> None:
    torch.manual_seed(0)
    count = int(dropped((MANY,), probability).sum())
    rounded = 1 - 1 / kept_scale(probability)
    assert abs(rounded - probability) <= 2**-17
    low, high = binom.interval(1 - 1e-6, MANY, rounded)
    assert low <= count <= high


@pytest.mark.parametrize("probability", [2**-16, 1 - 2**-16])
def test_the_least_and_the_most_that_can_be_dropped(probability: float) -> None:
    torch.manual_seed(0)
    count, expected = int(dropped((16 * MANY,), probability).sum()), 16 * MANY * probability
    assert abs(count - expected) < 5 * math.sqrt(16 * MANY * 2**-16)
    assert can_drop(probability)


@pytest.mark.parametrize("probability", [0.0, 2**-18, 1 - 2**-18, 1.0])
def test_what_rounds_to_nothing_or_all_is_not_ours(probability: float) -> None:
    assert not can_drop(probability)


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_the_mean_is_the_input(probability: float) -> None:
    torch.manual_seed(1)
    found = dropout(torch.full((MANY,), 3.0, dtype=torch.float64), probability)
    assert set(found.unique().tolist()) == {0.0, 3.0 * kept_scale(probability)}
    error = 3 * math.sqrt(probability / (1 - probability) / MANY)
    assert abs(float(found.mean()) - 3) < 5 * error


def test_the_gradient_is_what_was_kept_times_the_scale() -> None:
    torch.manual_seed(2)
    values = torch.randn(40, 33, dtype=torch.float64, requires_grad=True)
    given = torch.randn(40, 33, dtype=torch.float64)
    found = dropout(values, 0.3)
    torch.manual_seed(2)
    torch.randn(40, 33, dtype=torch.float64)
    torch.randn(40, 33, dtype=torch.float64)
    keep = ~dropped((40, 33), 0.3)
    assert torch.equal(found, values * keep * kept_scale(0.3))
    (grad,) = torch.autograd.grad(found, values, given)
    assert torch.equal(grad, given * kept_scale(0.3) * keep)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (5, 7), (2, 0, 3), (4, 4, 4)])
def test_any_shape_and_reproducible_draws(shape: tuple[int, ...]) -> None:
    torch.manual_seed(9)
    first, second = dropped(shape, 0.4), dropped((400,), 0.4)
    torch.manual_seed(9)
    assert torch.equal(dropped(shape, 0.4), first)
    assert torch.equal(dropped((400,), 0.4), second)
    assert first.shape == shape
    assert not torch.equal(dropped((400,), 0.4), second)


@pytest.mark.parametrize("apart", [1, 2, 3, 4, 5, 8, 64])
@pytest.mark.parametrize("lane", range(4))
def test_neighbours_are_independent(lane: int, apart: int) -> None:
    torch.manual_seed(3)
    drop = dropped((2 * MANY,), 0.3).numpy()
    one = drop[lane:-apart:4]
    other = drop[lane + apart :: 4][: len(one)]
    counts = np.bincount(2 * one + other, minlength=4)
    expected = len(one) * np.array([0.49, 0.21, 0.21, 0.09])
    assert float((counts - expected) ** 2 @ (1 / expected)) < chi2.isf(1e-6, 3)


def test_the_four_elements_of_a_word_are_independent_together() -> None:
    torch.manual_seed(4)
    words = dropped((MANY, 4), 0.5).numpy() @ np.array([1, 2, 4, 8])
    counts = np.bincount(words, minlength=16)
    assert float(((counts - MANY / 16) ** 2).sum() / (MANY / 16)) < chi2.isf(1e-6, 15)


@pytest.mark.parametrize("lane", range(4))
def test_every_place_of_a_word_is_dropped_alike(lane: int) -> None:
    torch.manual_seed(5)
    low, high = binom.interval(1 - 1e-6, MANY, 0.2)
    assert low - 10 <= int(dropped((MANY, 4), 0.2)[:, lane].sum()) <= high + 10


def network() -> nn.Sequential:
    return nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 4), nn.Dropout(0.25), nn.Dropout(0.0), nn.Dropout(1.0))


def test_layers_draw_cheaply_inside_and_as_before_outside() -> None:
    layers, values = network(), torch.ones(5000)
    with cheap_dropout(layers):
        torch.manual_seed(0)
        inside = layers[0](values), layers[2](values), layers[3](values), layers[4](values)
        torch.manual_seed(0)
        assert torch.equal(inside[0], dropout(values, 0.5))
        assert torch.equal(inside[1], dropout(values, 0.25))
        assert torch.equal(inside[2], values)
        assert not inside[3].any()
    torch.manual_seed(0)
    outside = layers[0](values)
    torch.manual_seed(0)
    assert torch.equal(outside, nn.functional.dropout(values, 0.5))
    assert not torch.equal(outside, inside[0])
    assert all("forward" not in vars(layer) for layer in layers)


def test_layers_are_as_before_after_an_error() -> None:
    layers = network()
    before = [dict(vars(layer)) for layer in layers]
    with pytest.raises(KeyError), cheap_dropout(layers):
        raise KeyError
    assert [dict(vars(layer)) for layer in layers] == before


def test_layers_that_do_not_drop_or_do_so_in_their_own_way_are_left_alone() -> None:
    class Own(nn.Dropout):
        pass

    layers = nn.Sequential(nn.Dropout(0.5), Own(0.5), nn.Dropout(0.5))
    layers[0].eval()
    layers[2].forward = lambda values: values + 1
    values = torch.ones(100)
    with cheap_dropout(layers):
        assert torch.equal(layers[0](values), values)
        assert "forward" not in vars(layers[1])
        assert torch.equal(layers[2](values), values + 1)
    assert torch.equal(layers[2](values), values + 1)


def test_entered_twice_and_left_once() -> None:
    layers, values = network(), torch.ones(5000)
    with cheap_dropout(layers):
        with cheap_dropout(layers):
            pass
        torch.manual_seed(0)
        inside = layers[0](values)
        torch.manual_seed(0)
        assert torch.equal(inside, dropout(values, 0.5))
    assert "forward" not in vars(layers[0])


def test_half_precision_is_rounded_once_and_autocast_changes_nothing() -> None:
    values = torch.randn(1000).bfloat16().requires_grad_()
    torch.manual_seed(6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = dropout(values, 0.1)
    torch.manual_seed(6)
    keep = kept((1000,), 0.1)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, (values.float() * keep * kept_scale(0.1)).bfloat16())
    (grad,) = torch.autograd.grad(found, values, values.detach())
    assert torch.equal(grad, found)
