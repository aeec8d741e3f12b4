"""The gradient cache: value and gradients of the whole graph, with the graph of one group at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from sbert_triplet.data.examples import Examples
from sbert_triplet.encoding.forward import sentence_embeddings
from sbert_triplet.encoding.gradient_cache import encode_in_parts
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training.arguments import TrainSettings, training_arguments
from sbert_triplet.training.callbacks import AfterStep
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.trainer import Trainer

Encoder = Callable[..., SentenceTransformer]
Make = Callable[..., Collator]
ROUTED = ("routes after one encoder", "an encoder for each side")
RUNS = sorted([*LOSSES, "mined", "scored", "nested", "frozen encoder", "several data sets", "draws", *ROUTED])
EXACT = 1e-10
WHOLE = 100_000
"""Tokens of a budget that holds every batch in one group."""
Step = dict[str, Tensor]


def encoder_of(
    every_run: ModuleType, dropout: float, how: str = "packed", name: str = ""
) -> SentenceTransformer:
    model: SentenceTransformer = (
        every_run.routed(name) if name in ROUTED else every_run.encoder(torch.float64)
    )
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = dropout
    if how == "checkpointed":
        model[0].model.gradient_checkpointing_enable()
    return model


def prepared(
    every_run: ModuleType, name: str, model: SentenceTransformer, *, cached: bool
) -> tuple[Objective, Any, list[list[int]]]:
    """The objective, the collator, and the batches of a first epoch; ``draws`` is of a miner that draws."""
    if name != "draws":
        objective, collator, batches = every_run.prepared(name, model, cached=cached)
    else:
        examples, _, batches = every_run.mined()
        loss = TripletLoss(distance="euclidean", margin=0.5, miner="distance_weighted", dimensions=16)
        objective = Objective(model, loss.to(model.dtype), cached=cached)
        collator = every_run.collator_of(examples, loss, model)
    return objective, collator, [batch.tolist() for batch in batches.epoch_batches(0)]


def stepped(
    every_run: ModuleType,
    name: str,
    *,
    cached: bool,
    budget: int = 40,
    dropout: float = 0.2,
    how: str = "packed",
) -> list[Step]:
    """Value, gradients, statistics, state and generator of each of two steps of descent.

    ``how``: groups are packed, padded, or padded for an encoder with gradient checkpointing of its own.
    """
    torch.manual_seed(5)
    model = encoder_of(every_run, dropout, how, name)
    objective, collator, batches = prepared(every_run, name, model, cached=cached)
    for part in getattr(collator, "parts", [collator]):
        part.budget = budget
        if how == "padded":
            vars(part.tokens)["why_not_packed"] = "it is told so"
    objective.train()
    steps = []
    for rows in batches[:2]:
        batch = collator(rows)
        assert (len(batch.texts.groups) > batch_forms(name)) == (budget < WHOLE)
        assert ("seq_idx" in batch.texts.groups[0]) == (how == "packed")
        objective.zero_grad()
        value = objective(batch)
        value.backward()
        steps.append(seen(objective, value))
        with torch.no_grad():
            for parameter in objective.parameters():
                if parameter.grad is not None:
                    parameter -= 0.1 * parameter.grad
        objective.after_step()
    return steps


def batch_forms(name: str) -> int:
    """Into how many groups the texts of a batch fall at least."""
    return 2 if name in ROUTED else 1


def seen(objective: Objective, value: Tensor) -> Step:
    assert objective.last is not None
    found = {"value": value.detach(), "generator": torch.get_rng_state().double()}
    found |= {f"of {name}": torch.tensor(float(number)) for name, number in objective.last.stats.items()}
    found |= {
        f"gradient of {name}": parameter.grad.clone()
        for name, parameter in objective.named_parameters()
        if parameter.grad is not None
    }
    return found | {f"state {name}": tensor.clone() for name, tensor in objective.own_state().items()}


def assert_same(found: list[Step], expected: list[Step], *, but: str = "nothing") -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for name, tensor in other.items():
            if name != but:
                torch.testing.assert_close(one[name], tensor, atol=EXACT, rtol=0, msg=name)


def gradients(step: Step) -> list[Tensor]:
    return [tensor for name, tensor in step.items() if name.startswith("gradient")]


@pytest.mark.parametrize("name", RUNS)
def test_values_and_gradients_are_those_of_the_whole_graph_with_dropout(
    name: str, every_run: ModuleType
) -> None:
    kept = stepped(every_run, name, cached=False)
    assert_same(stepped(every_run, name, cached=True), kept)
    assert max(float(gradient.abs().max()) for gradient in gradients(kept[0])) > 1e-3
    assert any("model." in part for part in kept[0]) == (name != "frozen encoder")


@pytest.mark.parametrize("name", RUNS)
def test_without_dropout_they_are_those_of_one_group(name: str, every_run: ModuleType) -> None:
    if name == "simcse":
        pytest.skip("two passes of dropout are the same text twice without it")
    kept = stepped(every_run, name, cached=False, dropout=0.0, budget=WHOLE)
    for budget in (1, 40):
        assert_same(stepped(every_run, name, cached=True, dropout=0.0, budget=budget), kept)


@pytest.mark.parametrize("how", ["padded", "checkpointed"])
@pytest.mark.parametrize("name", ["multiple_negatives_ranking", "simcse", "moco", "draws"])
def test_padded_groups_too(name: str, how: str, every_run: ModuleType) -> None:
    kept = stepped(every_run, name, cached=False, how=how)
    assert_same(stepped(every_run, name, cached=True, how=how), kept)


def test_dropout_is_on_and_its_draws_matter(every_run: ModuleType) -> None:
    one, other = (stepped(every_run, "ranking", cached=True, dropout=p)[0] for p in (0.0, 0.2))
    assert abs(float(one["value"] - other["value"])) > 1e-3


def trained(every_run: ModuleType, name: str, folder: Path, **how: Any) -> dict[str, Tensor]:
    """The state after eight steps of AdamW."""
    model = encoder_of(every_run, how.get("dropout", 0.0))
    objective, collator, batches = every_run.prepared(name, model, cached=how["cached"])
    for part in getattr(collator, "parts", [collator]):
        part.budget = how["budget"]
    settings = TrainSettings(steps=8, learning_rate=1e-3, warmup=0.0, max_grad_norm=0.5)
    arguments = training_arguments(settings, folder, device="cpu")
    callbacks: list[Any] = [AfterStep(objective)]
    Trainer(objective, arguments, collator=collator, batches=batches, callbacks=callbacks).train()
    return {name: tensor.clone() for name, tensor in objective.state_dict().items()}


@pytest.mark.parametrize("name", ["ranking", "margin_based", "moco", "simcse", "several data sets"])
def test_a_run_with_dropout_ends_alike(name: str, every_run: ModuleType, tmp_path: Path) -> None:
    kept, cached = (
        trained(every_run, name, tmp_path, cached=cached, budget=40, dropout=0.2) for cached in (False, True)
    )
    assert_same([cached], [kept])


@pytest.mark.parametrize("name", ["ranking", "mined", "several data sets"])
def test_a_run_ends_alike_with_any_budget(name: str, every_run: ModuleType, tmp_path: Path) -> None:
    kept = trained(every_run, name, tmp_path, cached=False, budget=WHOLE)
    for budget in (1, 17, 40, 120, WHOLE):
        assert_same([trained(every_run, name, tmp_path, cached=True, budget=budget)], [kept])


class Meter:
    """Bytes of tensors that graphs hold at the moment, and the most there were; parameters left out."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self.now = self.most = 0

    @contextmanager
    def on(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self._hold, lambda held: held.tensor):
            yield

    def _hold(self, tensor: Tensor) -> _Held:
        own = tensor.untyped_storage().data_ptr() in self.parameters
        return _Held(self, tensor, 0 if own else tensor.nbytes)


class _Held:
    def __init__(self, meter: Meter, tensor: Tensor, size: int) -> None:
        # Detached: an output that its own node holds would keep the graph alive for ever.
        self.meter, self.tensor, self.size = meter, tensor.detach(), size
        meter.now += size
        meter.most = max(meter.most, meter.now)

    def __del__(self) -> None:
        self.meter.now -= self.size


def metered(every_run: ModuleType, *, cached: bool) -> tuple[int, int, int]:
    """Bytes of graph after the forward pass of a step, at the most, and after it."""
    model = encoder_of(every_run, 0.2)
    objective, collator, batches = prepared(every_run, "ranking", model, cached=cached)
    objective.train()
    meter = Meter(objective)
    with meter.on():
        value = objective(collator(batches[0]))
        forward = meter.now
        value.backward()
        del value
    return forward, meter.most, meter.now


def largest_group(every_run: ModuleType) -> int:
    """Bytes of graph of the largest group alone."""
    model = encoder_of(every_run, 0.2).train()
    _, collator, batches = prepared(every_run, "ranking", model, cached=False)
    sizes = []
    for group in collator(batches[0]).texts.groups:
        meter = Meter(model)
        with meter.on():
            sentence_embeddings(model, group).sum()
        sizes.append(meter.most)
    return max(sizes)


def test_the_graph_of_one_group_is_kept_at_a_time(every_run: ModuleType) -> None:
    one = largest_group(every_run)
    forward, most, after = metered(every_run, cached=True)
    assert forward < 0.2 * one  # the graph of the loss alone
    assert one <= most <= one + forward
    assert after == 0
    forward, most, after = metered(every_run, cached=False)
    assert forward > 3 * one
    assert most >= forward
    assert after == 0


def double(model: torch.nn.Module, part: Any) -> Tensor:
    return model(part["x"])


def test_without_gradients_nothing_is_encoded_twice() -> None:
    linear, calls = torch.nn.Linear(2, 2), []
    linear.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    parts = [{"x": torch.ones(1, 2)}, {"x": torch.ones(3, 2)}]
    with torch.no_grad():
        rows = encode_in_parts(linear, parts, double)
    assert not rows.requires_grad
    assert rows.shape == (4, 2)
    assert calls == [False, False]
    frozen = encode_in_parts(linear.requires_grad_(False), parts, double)
    assert not frozen.requires_grad
    assert calls == [False] * 4


def test_gradients_add_to_those_that_are_there_and_the_parts_are_left_alone() -> None:
    linear = torch.nn.Linear(2, 3)
    parts = [{"x": torch.randn(2, 2)}, {"x": torch.randn(1, 2)}]
    given = [part["x"].clone() for part in parts]
    for times in (1, 2):
        encode_in_parts(linear, parts, double).sum().backward()
        assert linear.bias.grad is not None
        assert linear.bias.grad.tolist() == [3.0 * times] * 3
    for part, tensor in zip(parts, given, strict=True):
        assert torch.equal(part["x"], tensor)
        assert part.keys() == {"x"}


def test_what_is_drawn_between_the_passes_stays_drawn() -> None:
    """As by a loss that chooses at random: after the step the generator is where the loss left it."""
    linear = torch.nn.Linear(2, 3)
    rows = encode_in_parts(
        linear,
        [{"x": torch.ones(1, 2)}, {"x": torch.ones(2, 2)}],
        lambda model, part: torch.nn.functional.dropout(model(part["x"]), 0.5),
    )
    weights = torch.rand(3, 1)
    state = torch.get_rng_state()
    (rows * weights).sum().backward()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("inside", [False, True])
def test_in_half_precision_too(inside: bool) -> None:
    """Autocast keeps what it made of the weights, which without a graph would lead no gradient back."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(8, 8)
    parts = [{"x": torch.randn(size, 8)} for size in (3, 1)]
    found = []
    for cached in (False, True):
        linear.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rows = (
                encode_in_parts(linear, parts, double)
                if cached
                else torch.cat([double(linear, part) for part in parts])
            )
            assert rows.dtype == torch.bfloat16
            value = rows.float().square().sum()
            if inside:
                value.backward()
        if not inside:
            value.backward()
        assert linear.weight.grad is not None
        found.append(linear.weight.grad.clone())
    torch.testing.assert_close(found[0], found[1], atol=0.05, rtol=0.01)
    assert float(found[0].abs().max()) > 1


def test_the_mean_of_a_batch_is_told_by_the_whole_batch(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    """Every text is a negative of all others, whatever group it was encoded in."""
    model, values = make_encoder(dtype=torch.float64), []
    for budget in (1, WHOLE):
        loss = MultipleNegativesRankingLoss()
        collator = make_collator(pairs, model, loss, budget=budget)
        objective = Objective(model, loss, cached=True)
        objective(collator(list(range(12))))
        assert objective.last is not None
        values.append((float(objective.last.value), dict(objective.last.stats)))
    assert values[0][0] == pytest.approx(values[1][0], abs=1e-12)
    assert values[0][1] == pytest.approx(values[1][1])
