"""The short measurement before training: what it decides and that nothing of it stays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training import measure
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.measure import MEASURED_ROWS, choose_precision, seconds_per_token
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
    # Each batch asks the clock at its start, and at its end where it counts.
    clock = iter([0.0, 200.0, 205.0, 300.0, 302.0])
    monkeypatch.setattr(measure.time, "perf_counter", lambda: next(clock))
    assert seconds_per_token(objective, collator, BATCHES, "fp32") == pytest.approx(expected)


def test_a_single_batch_counts(measured: Measured) -> None:
    assert seconds_per_token(*measured, BATCHES[:1], "fp32") > 0


@pytest.mark.parametrize(
    ("supported", "fp32", "bf16", "expected"),
    [
        (True, 1.0, 0.5, ("bf16", 0.5)),
        (True, 1.0, 0.97, ("fp32", 1.0)),
        (True, 1.0, 2.0, ("fp32", 1.0)),
        (False, 1.0, 0.1, ("fp32", 1.0)),
    ],
)
def test_bf16_where_it_is_supported_and_clearly_faster(
    measured: Measured,
    supported: bool,
    fp32: float,
    bf16: float,
    expected: tuple[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = {"fp32": fp32, "bf16": bf16}
    monkeypatch.setattr(measure, "bf16_supported", lambda _: supported)
    monkeypatch.setattr(measure, "seconds_per_token", lambda *call: times[call[3]])
    assert choose_precision(*measured, BATCHES) == expected


def test_the_processor_computes_in_bf16() -> None:
    assert measure.bf16_supported(torch.device("cpu"))
    assert not measure.bf16_supported(torch.device("mps"))
