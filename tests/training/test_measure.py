"""The short measurement before training: what it decides and that nothing of it stays."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training import measure
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.measure import (
    MEASURED_ROWS,
    choose_precision,
    graph_bytes_per_token,
    seconds_per_token,
)
from sbert_triplet.training.objective import Objective

Encoder = Callable[..., SentenceTransformer]
Measured = tuple[Objective, Collator]
BATCHES = [list(range(start, start + 20)) for start in (0, 10, 20)]


@pytest.fixture
def measured(labelled: Examples, make_encoder: Encoder, make_collator: Callable[..., Collator]) -> Measured:
    model = make_encoder(dropout=0.1)
    loss = TripletLoss(distance="euclidean", margin=0.5, miner="distance_weighted", dimensions=16)
    return Objective(model, loss), make_collator(labelled, model, loss)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_nothing_of_it_stays(measured: Measured, precision: str, training: bool) -> None:
    objective, collator = measured
    objective.train(training)
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    state = torch.random.get_rng_state()
    assert seconds_per_token(objective, collator, BATCHES, precision) > 0
    assert torch.equal(torch.random.get_rng_state(), state)
    assert "loss.draws" in before
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.state_dict().items())
    assert all(parameter.grad is None for parameter in objective.parameters())
    assert objective.training is training
    assert objective.last is None


def test_time_a_token_leaves_the_first_batch_out(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    objective, collator = measured
    tokens = [collator(rows[:MEASURED_ROWS]).tokens for rows in BATCHES]
    expected = (5 + 2) / (tokens[1] + tokens[2])
    clock = iter([0.0, 50.0, 200.0, 205.0, 300.0, 302.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    assert seconds_per_token(objective, collator, BATCHES, "fp32") == pytest.approx(expected)


def test_a_single_batch_counts(measured: Measured) -> None:
    assert seconds_per_token(*measured, BATCHES[:1], "fp32") > 0


@pytest.mark.parametrize(
    ("supported", "fp32", "bf16", "expected"),
    [
        (True, (9, 4, 4), (9, 2, 1), "bf16"),
        (True, (9, 4, 100), (9, 3.9, 3.9), "fp32"),
        (True, (99, 4, 4), (9, 3.9, 3.9), "fp32"),
        (True, (9, 4, 4), (9, 8, 8), "fp32"),
        (False, (9, 4, 4), (), "fp32"),
    ],
    ids=["faster", "busy once", "busy at first", "slower", "not supported"],
)
def test_bf16_where_it_is_supported_and_clearly_faster_on_every_batch(
    measured: Measured,
    supported: bool,
    fp32: tuple[float, ...],
    bf16: tuple[float, ...],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    objective, collator = measured
    tokens = [collator(rows[:MEASURED_ROWS]).tokens for rows in BATCHES]
    in_turn = [taken for both in zip(fp32, bf16, strict=True) for taken in both] if supported else fp32
    clock = iter([moment for taken in in_turn for moment in (0.0, taken)])
    monkeypatch.setattr(measure, "bf16_supported", lambda _: supported)
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    taken = sum((bf16 if expected == "bf16" else fp32)[1:])
    precision, per_token = choose_precision(objective, collator, BATCHES)
    assert (precision, per_token) == (expected, pytest.approx(taken / (tokens[1] + tokens[2])))


@pytest.mark.parametrize(("bf16", "computes"), [(0.001, True), (0.003, True), (0.05, False)])
def test_a_processor_that_imitates_bf16_does_not_compute_in_it(
    bf16: float, computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[torch.dtype, float]] = []

    def seconds(left: torch.Tensor, right: torch.Tensor) -> float:
        # Each is slow once: a moment in which the machine was busy.
        taken = bf16 if left.dtype == torch.bfloat16 else 0.001
        asked.append((left.dtype, taken))
        return taken if len(asked) % 3 else 100 * taken

    monkeypatch.setattr(measure, "_seconds_of_product", seconds)
    measure._processor_computes_in_bf16.cache_clear()
    try:
        assert measure.bf16_supported(torch.device("cpu")) is computes
        assert measure.bf16_supported(torch.device("cpu")) is computes
        assert len(asked) == 6
    finally:
        measure._processor_computes_in_bf16.cache_clear()
    assert not measure.bf16_supported(torch.device("mps"))


def live_tensors() -> int:
    gc.collect()
    return sum(type(item) is torch.Tensor for item in gc.get_objects())


def test_the_graph_that_was_measured_is_let_go_and_nothing_else_stays(measured: Measured) -> None:
    objective, collator = measured
    graph_bytes_per_token(objective, collator, BATCHES[0], "fp32")
    state = torch.random.get_rng_state()
    counted = {name: tensor.clone() for name, tensor in objective.loss.state_dict().items()}
    before = live_tensors()
    assert graph_bytes_per_token(objective, collator, BATCHES[0], "fp32") > 0
    assert live_tensors() == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert objective.last is None
    assert all(torch.equal(tensor, counted[name]) for name, tensor in objective.loss.state_dict().items())


def test_the_bytes_of_a_layer_are_those_of_a_hand_count(
    labelled: Examples, texts: list[str], make_collator: Callable[..., Collator]
) -> None:
    sizes, width, inner, heads = {}, 16, 32, 4
    for layers in (1, 2, 3):
        model = tiny_encoder(texts, dimensions=width, layers=layers)
        loss = TripletLoss(margin=0.3, miner="hard")
        objective, collator = Objective(model, loss), make_collator(labelled, model, loss)
        for precision in ("fp32", "bf16"):
            sizes[layers, precision] = graph_bytes_per_token(objective, collator, BATCHES[0], precision)
    lengths = collator.tokens.lengths(0, labelled.anchors[BATCHES[0][:MEASURED_ROWS]])
    # In fp32 the layer's input, three projections, what attention makes of them, and two sums with the norm
    # between them; before and after the activation; a byte for each number that dropout may drop; two
    # numbers for each norm.
    numbers = 4 * (8 * width + 2 * inner + 2 * 2)
    expected = numbers + 2 * width + heads * (lengths**2).sum() / lengths.sum()
    one, two, three = (sizes[layers, "fp32"] for layers in (1, 2, 3))
    assert two - one == pytest.approx(expected, rel=5e-3)
    assert three - two == pytest.approx(expected, rel=5e-3)
    assert 0 < sizes[3, "bf16"] - sizes[2, "bf16"] < expected
