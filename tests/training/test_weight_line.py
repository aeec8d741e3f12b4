"""The line between base and tuned weights: exact ends, what stays as it is, and that weights come back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from sbert_triplet.training import weight_line
from sbert_triplet.training.arguments import freeze
from sbert_triplet.training.weight_line import WeightLine, between, keep_weights

Encoder = Callable[..., SentenceTransformer]
State = dict[str, Tensor]


def state(model: nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def same(one: State, two: State) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def shaken(model: nn.Module, seed: int = 3) -> None:
    """As after training: every weight that may move has moved."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator)
                parameter += (0.1 * noise).to(parameter.dtype)


def line_of(model: nn.Module, folder: Path) -> tuple[WeightLine, State, State]:
    """The line from what ``model`` is now to what it is after shaking, with both states."""
    base = state(model)
    kept = keep_weights(model, folder / "base.safetensors")
    shaken(model)
    return WeightLine(model, kept, keep_weights(model, folder / "tuned.safetensors")), base, state(model)


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=9), st.floats(0, 1))
def test_a_point_is_the_weighted_mean_rounded_once(pairs: list[tuple[float, float]], at: float) -> None:
    base, tuned = torch.tensor(pairs).T
    found = between(base, tuned, at)
    exact = np.longdouble(at)
    wanted = [(1 - exact) * np.longdouble(one) + exact * np.longdouble(two) for one, two in pairs]
    largest = np.abs(np.array(pairs)).max(axis=1)
    error = np.abs(found.double().numpy() - np.array(wanted, dtype=np.float64))
    assert (error <= 6.1e-8 * largest + 1e-44).all()
    low, high = torch.minimum(base, tuned), torch.maximum(base, tuned)
    assert ((found >= low) & (found <= high)).all()


def test_the_ends_of_a_line_are_exact_where_rounding_would_miss_them() -> None:
    base, tuned = torch.tensor([1e30, 0.3]), torch.tensor([1e-30, 0.3])
    assert torch.equal(between(base, tuned, 1.0), tuned)
    assert torch.equal(between(base, tuned, 0.0), base)
    assert between(base, tuned, 0.7)[1] == base[1]


@pytest.mark.parametrize("at", [-0.1, 1.1, float("nan")])
def test_points_outside_of_the_line(at: float, tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    line, _, tuned = line_of(model, tmp_path)
    with pytest.raises(ValueError, match=r"between 0 \(base\) and 1 \(tuned\)"), line.at(at):
        pass
    assert same(state(model), tuned)


def test_large_tensors_go_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    base, tuned = torch.randn(7, 5), torch.randn(7, 5)
    whole = between(base, tuned, 0.3)
    monkeypatch.setattr(weight_line, "AT_ONCE", 4)
    assert torch.equal(between(base, tuned, 0.3), whole)
    assert torch.equal(between(base.T, tuned.T, 0.3), whole.T)
    assert between(base[:0], tuned[:0], 0.3).shape == (0, 5)
    assert between(torch.tensor(1.0), torch.tensor(2.0), 0.25) == 1.25


def test_both_ends_and_the_middle_of_an_encoder(make_encoder: Encoder, tmp_path: Path) -> None:
    model = make_encoder()
    line, base, tuned = line_of(model, tmp_path)
    identities = [id(parameter) for parameter in model.parameters()]
    line.move(0.0)
    assert same(state(model), base)
    line.move(0.25)
    now = state(model)
    for name, tensor in base.items():
        if tensor.is_floating_point():
            wanted = (0.75 * tensor.double() + 0.25 * tuned[name].double()).float()
            assert torch.allclose(now[name], wanted, rtol=1e-7, atol=1e-9)
    assert line.point == 0.25
    line.move(1.0)
    assert same(state(model), tuned)
    assert [id(parameter) for parameter in model.parameters()] == identities


def test_weights_come_back_whatever_happens(make_encoder: Encoder, tmp_path: Path) -> None:
    model = make_encoder()
    line, base, tuned = line_of(model, tmp_path)
    with line.at(0.0):
        assert same(state(model), base)
        with line.at(0.6):
            assert not same(state(model), base)
        assert same(state(model), base)
    assert same(state(model), tuned)
    with pytest.raises(KeyboardInterrupt), line.at(0.5):
        raise KeyboardInterrupt
    assert same(state(model), tuned)


def test_a_stop_in_the_middle_of_a_move_is_undone(
    make_encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_encoder()
    line, _, tuned = line_of(model, tmp_path)
    calls = []

    def stopped(*given: object) -> Tensor:
        calls.append(given)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return between(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(weight_line, "between", stopped)
    with pytest.raises(KeyboardInterrupt), line.at(0.5):
        pass
    assert len(calls) > 4
    assert same(state(model), tuned)


def test_frozen_layers_are_no_part_of_the_line(make_encoder: Encoder, tmp_path: Path) -> None:
    model = make_encoder()
    frozen = freeze(model, ["embeddings", 1])
    line, base, _ = line_of(model, tmp_path)
    weights = dict(model.named_parameters())
    with torch.no_grad():
        weights[frozen[0]].fill_(7.0)
    line.move(0.0)
    assert (weights[frozen[0]] == 7.0).all()
    moved = [name for name, parameter in weights.items() if parameter.requires_grad]
    assert moved
    assert all(torch.equal(weights[name], base[name]) for name in moved)


class Tied(nn.Module):
    """Two names of one weight, a running mean, a count, and a buffer that is never saved."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 3)
        self.out = nn.Linear(3, 5)
        self.out.weight = self.words.weight
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("angles", torch.ones(2), persistent=False)


def test_tied_weights_buffers_and_counts(tmp_path: Path) -> None:
    model = Tied()
    kept = keep_weights(model, tmp_path / "base.safetensors")
    weight = model.words.weight.detach().clone()
    shaken(model)
    assert model.norm.running_mean is not None
    assert model.norm.num_batches_tracked is not None
    model.norm.running_mean.fill_(2.0)
    model.norm.num_batches_tracked.fill_(9)
    model.angles.fill_(3.0)
    tuned = model.words.weight.detach().clone()
    line = WeightLine(model, kept, keep_weights(model, tmp_path / "tuned.safetensors"))
    line.move(0.5)
    assert model.out.weight is model.words.weight
    assert torch.allclose(model.out.weight, (weight + tuned) / 2)
    assert torch.equal(model.norm.running_mean, torch.ones(3))
    assert model.norm.num_batches_tracked == 9
    assert torch.equal(model.angles, torch.full((2,), 3.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_types_keep_their_type(dtype: torch.dtype, make_encoder: Encoder, tmp_path: Path) -> None:
    model = make_encoder(dtype=dtype)
    line, base, tuned = line_of(model, tmp_path)
    line.move(0.5)
    now = state(model)
    for name, tensor in base.items():
        assert now[name].dtype == tensor.dtype
        if tensor.is_floating_point():
            wanted = ((tensor.double() + tuned[name].double()) / 2).to(dtype)
            assert torch.equal(now[name], wanted)
    line.move(0.0)
    assert same(state(model), base)
    line.move(1.0)
    assert same(state(model), tuned)


def test_files_of_another_model_are_refused(make_encoder: Encoder, tmp_path: Path) -> None:
    model = make_encoder()
    kept = keep_weights(model, tmp_path / "base.safetensors")
    other = copy.deepcopy(model)
    freeze(other, ["embeddings"])
    with pytest.raises(ValueError, match=r"base\.safetensors: not of this model .*embeddings"):
        WeightLine(other, kept, kept)


def test_what_shares_the_modules_moves_along(make_encoder: Encoder, tmp_path: Path) -> None:
    model = make_encoder()
    before = model.encode(["red cat"])
    line, _, _ = line_of(model, tmp_path)
    served = SentenceTransformer(modules=list(model.children()), device="cpu")
    line.move(0.0)
    assert np.array_equal(served.encode(["red cat"]), before)
