"""Steps that run out of memory: repeated in smaller parts, with the same batch and the same mathematics."""

from __future__ import annotations

import contextlib
import errno
import gc
import itertools
import json
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from sbert_triplet.data.examples import Examples
from sbert_triplet.encoding.memory import failing_together, is_out_of_memory
from sbert_triplet.errors import DivergedError, MachineError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.losses.views import MoCoLoss
from sbert_triplet.training import fitting
from sbert_triplet.training.callbacks import AfterStep, StepLog
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.fitting import StepFitter, chunk_that_fits, free_memory
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.trainer import Trainer

Encoder = Callable[..., SentenceTransformer]
Make = Callable[..., Collator]
MakeTrainer = Callable[..., Trainer]
WORDS = {
    "torch on the CPU": lambda: RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried 9 bytes"
    ),
    "torch on a GPU": lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    "python": MemoryError,
    "the system": lambda: OSError(errno.ENOMEM, "Cannot allocate memory"),
}


class Small:
    """Memory for the graph of at most ``tokens`` at a time, from optimizer step ``start`` on.

    ``backward``: it runs out in the backward pass, else in the forward pass.
    """

    def __init__(
        self,
        objective: Objective,
        tokens: int,
        *,
        start: int = 2,
        backward: bool = False,
        error: Callable[[], BaseException] = WORDS["torch on the CPU"],
    ) -> None:
        self.objective, self.tokens, self.start = objective, tokens, start
        self.backward, self.error = backward, error
        self.held = self.failures = self.step = 0
        objective.model.register_forward_hook(self.taken)

    def taken(self, _: Any, inputs: tuple[Any, ...], output: dict[str, Any]) -> None:
        if not torch.is_grad_enabled():
            return
        size = inputs[0]["input_ids"].numel()
        self.held += size
        output["sentence_embedding"].register_hook(lambda grad: self.given_back(size, grad))
        if not self.backward:
            self.fail_where_full()

    def given_back(self, size: int, grad: Tensor) -> Tensor:
        if self.backward:
            self.fail_where_full()
        self.held -= size
        return grad

    def fail_where_full(self) -> None:
        if self.step >= self.start and self.held > self.tokens:
            self.held = 0
            self.failures += 1
            raise self.error()


class Watch(AfterStep):
    """What each step saw: its rows, its loss and the state of the loss; tells ``small`` the step."""

    def __init__(self, objective: Objective, small: Small | None = None) -> None:
        super().__init__(objective)
        self.watched, self.small = objective, small
        self.losses: list[float] = []
        self.states: list[dict[str, Tensor]] = []

    def on_step_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        if self.small is not None:
            self.small.step, self.small.held = state.global_step + 1, 0

    def on_step_end(self, *given: Any, **named: Any) -> None:
        super().on_step_end(*given, **named)
        assert self.watched.last is not None
        self.losses.append(float(self.watched.last.value))
        self.states.append({name: value.clone() for name, value in self.watched.loss.named_buffers()})


LOSSES: dict[str, tuple[str, Callable[[], Loss]]] = {
    "ranking": ("pairs", lambda: MultipleNegativesRankingLoss(scale=10.0, learn_scale=True)),
    "moco": ("pairs", lambda: MoCoLoss(queue_size=20, momentum=0.5)),
    "drawn": (
        "labelled",
        lambda: TripletLoss(distance="euclidean", margin=0.5, miner="distance_weighted", dimensions=16),
    ),
}


@pytest.fixture
def trained(
    make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[..., tuple[Trainer, Watch, Small | None, list[dict[str, Any]]]]:
    """A run of six steps in fp64; ``tokens`` of memory for graphs, None for enough. With what was logged."""

    def train(name: str, tokens: int | None, **how: Any) -> Any:
        data, loss = LOSSES[name]
        parts: dict[str, Any] = {}
        file = tmp_path / f"{tokens}-{len(list(tmp_path.iterdir()))}.jsonl"

        def callbacks(objective: Objective) -> list[Any]:
            parts["small"] = None if tokens is None else Small(objective, tokens, **how)
            parts["watch"] = Watch(objective, parts["small"])
            return [parts["watch"], StepLog(file, objective)]

        trainer = make_trainer(
            request.getfixturevalue(data),
            make_encoder(dropout=0.0, dtype=torch.float64),
            loss(),
            callbacks=callbacks,
            steps=6,
            folder=file.stem,
        )
        log = next(item for item in trainer.callback_handler.callbacks if isinstance(item, StepLog))
        trainer.fitter.tell = log.write
        trainer.train()
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        return trainer, parts["watch"], parts["small"], lines

    return train


def assert_same_run(one: Any, other: Any) -> None:
    (trainer, watch, *_), (expected, undisturbed, *_) = one, other
    assert trainer.state.global_step == expected.state.global_step == 6
    assert (trainer.spent.rows, trainer.spent.tokens) == (expected.spent.rows, expected.spent.tokens)
    assert watch.losses == pytest.approx(undisturbed.losses, abs=1e-9)
    for found, wanted in zip(watch.states, undisturbed.states, strict=True):
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    state = trainer.objective.state_dict()
    for name, tensor in expected.objective.state_dict().items():
        torch.testing.assert_close(state[name], tensor, atol=1e-9, rtol=0, msg=name)


@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_the_run_goes_on_with_the_same_batches_and_ends_alike(
    name: str, backward: bool, trained: Callable[..., Any]
) -> None:
    whole, tight = trained(name, None), trained(name, 20, backward=backward)
    assert_same_run(tight, whole)
    trainer, _, small, lines = tight
    told = [line for line in lines if "out_of_memory" in line]
    assert small.failures == len(told) >= 2
    assert [line["step"] for line in told] == [2] * len(told)
    chunks = [line["chunk_tokens"] for line in told]
    assert chunks[0] == 64  # at first the graph of one group at a time is kept
    assert chunks[1:] == sorted(chunks[1:], reverse=True)
    assert all(later <= before // 2 for before, later in itertools.pairwise(chunks))
    assert trainer.collator.budget == chunks[-1] <= 20
    assert trainer.objective.cached
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("words", WORDS)
def test_every_wording_is_understood(words: str, trained: Callable[..., Any]) -> None:
    whole, tight = trained("ranking", None), trained("ranking", 64, error=WORDS[words])
    assert_same_run(tight, whole)
    assert [line["chunk_tokens"] for line in tight[3] if "out_of_memory" in line] == [64]


def test_dropout_is_drawn_again_as_it_was(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    """With the graph of a group at a time the groups stay the same, and so does what dropout drops."""
    states = []
    for tokens in (None, 64):
        objective_of: list[Objective] = []

        def callbacks(objective: Objective) -> list[Any]:
            objective_of.append(objective)  # noqa: B023
            small = None if tokens is None else Small(objective, tokens)  # noqa: B023
            return [Watch(objective, small)]

        model, loss = make_encoder(dropout=0.2, dtype=torch.float64), MultipleNegativesRankingLoss()
        make_trainer(pairs, model, loss, callbacks=callbacks, steps=5, folder=str(tokens)).train()
        states.append(objective_of[0].state_dict())
        assert objective_of[0].cached is (tokens is not None)
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, atol=1e-9, rtol=0, msg=name)


def test_one_text_that_is_too_large_is_an_error_that_says_what_to_do(trained: Callable[..., Any]) -> None:
    with pytest.raises(MachineError) as caught:
        trained("ranking", 2)
    assert str(caught.value).startswith("step 2: memory ran out with one text at a time: lower max_length")
    assert is_out_of_memory(caught.value.__cause__)


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("no"), OSError(2, "no")]
)
def test_other_errors_pass_through(error: Exception, trained: Callable[..., Any]) -> None:
    with pytest.raises(type(error)) as caught:
        trained("ranking", 64, error=lambda: error)
    assert caught.value is error


class Counting(Loss):
    """Fails in its first ``failures`` calls, as if it were the loss that takes the memory."""

    needs = Needs(columns=2)
    calls: Tensor

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.left = failures
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))

    def forward(self, batch: Embedded) -> LossOutput:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise MemoryError
        return LossOutput((batch.columns[0] - batch.columns[1]).square().sum())


def carried_out(
    loss: Loss, examples: Examples, make_encoder: Encoder, make_collator: Make, budget: int = 64
) -> tuple[list[dict[str, Any]], Collator, Objective]:
    """One step of a fitter without a trainer."""
    objective = Objective(make_encoder(), loss)
    collator = make_collator(examples, objective.model, loss, budget=budget)
    told: list[dict[str, Any]] = []

    def step(batch: Any) -> None:
        objective(batch).backward()

    StepFitter(objective, collator, told.append).carry_out(collator(list(range(12))), step, 7)
    return told, collator, objective


def test_what_the_loss_counts_is_counted_once(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    loss = Counting(3)
    told, *_ = carried_out(loss, pairs, make_encoder, make_collator)
    assert int(loss.calls) == 1
    assert len(told) == 3


def test_a_group_is_halved_from_its_own_size_and_not_from_the_budget(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    told, collator, objective = carried_out(Counting(1), pairs, make_encoder, make_collator, budget=1_000_000)
    tokens = collator(list(range(12))).tokens
    assert told == [{"step": 7, "out_of_memory": True, "chunk_tokens": tokens // 2}]
    assert objective.cached
    assert len(collator(list(range(12))).texts.groups) > 1


def test_it_ends_where_nothing_can_be_smaller(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    """Also where several texts stay in a group whatever the budget, as those without any token do."""
    with pytest.raises(MachineError):
        carried_out(Counting(100), pairs, make_encoder, make_collator)
    objective = Objective(make_encoder(), Counting(100))
    collator = make_collator(pairs, objective.model, objective.loss)
    collator.tokens.inputs = lambda form, ids, _: [(np.arange(len(ids)), collator.tokens.packed(form, ids))]
    with pytest.raises(MachineError, match="step 1"):
        StepFitter(objective, collator).carry_out(collator([0, 1, 2]), lambda batch: objective(batch), 1)


def test_the_memory_of_the_failure_is_free_before_the_step_is_repeated(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    held: list[weakref.ref[Tensor]] = []

    class Filling(Counting):
        def forward(self, batch: Embedded) -> LossOutput:
            assert [reference() for reference in held] == [None] * len(held)
            large = batch.columns[0] * 2
            held.append(weakref.ref(large))
            return super().forward(batch)

    carried_out(Filling(2), pairs, make_encoder, make_collator)
    assert len(held) == 3


def test_gradients_of_the_failed_attempt_are_dropped(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    found = []
    for failing in (False, True):
        objective = Objective(make_encoder(dtype=torch.float64), MultipleNegativesRankingLoss())
        collator = make_collator(pairs, objective.model, objective.loss, budget=20)
        left = [failing]

        def step(batch: Any) -> None:
            objective(batch).backward()  # noqa: B023
            if left[0]:  # noqa: B023
                left[0] = False  # noqa: B023
                raise MemoryError

        StepFitter(objective, collator).carry_out(collator(list(range(12))), step, 1)
        found.append([p.grad for p in objective.parameters() if p.grad is not None])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


def test_an_error_leaves_nothing_behind_that_holds_its_frames() -> None:
    gc.disable()
    try:
        large = torch.zeros(3)
        reference = weakref.ref(large)

        def failing(values: Tensor) -> None:
            doubled = values * 2
            held.append(weakref.ref(doubled))
            with failing_together(torch.device("cpu")):
                raise MemoryError

        held: list[weakref.ref[Tensor]] = []
        with contextlib.suppress(MemoryError):
            failing(large)
        assert held[0]() is None
        assert reference() is large
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("no"), True),
        (OSError(errno.ENOMEM, "no"), True),
        (OSError(errno.ENOSPC, "out of memory, says the disk"), False),
        (RuntimeError("HIP out of memory"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("not enough memory: you tried to allocate 4 bytes"), True),
        (RuntimeError("the memory of an elephant"), False),
        (ValueError("out of memory"), False),
        (DivergedError("out of memory"), False),
    ],
)
def test_what_is_taken_for_memory_that_ran_out(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize(
    ("per_token", "tokens", "group", "free", "expected"),
    [
        (1000.0, 10_000, 2048, None, 0),
        (1000.0, 10_000, 2048, 10**9, 0),
        (1000.0, 10_000, 2048, 25_000_000, 0),  # 15 MB with what is added for longer texts, of 15 MB
        (1000.0, 10_000, 2048, 24_999_999, 2048),
        (1000.0, 10_000, 2048, 1_000_000, 400),
        (1000.0, 10_000, 2048, 10_000, fitting.LEAST_CHUNK),
        (1000.0, 10_000, 2048, 0, fitting.LEAST_CHUNK),
    ],
)
def test_the_chunk_that_fits(
    per_token: float, tokens: int, group: int, free: int | None, expected: int
) -> None:
    assert chunk_that_fits(per_token, tokens, group, free) == expected


MIB = 1 << 20


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 900 * MIB),
        ({"memory.max": "max\n", "memory.current": f"{100 * MIB}"}, 900 * MIB),
        ({"memory.max": f"{500 * MIB}", "memory.current": f"{100 * MIB}"}, 400 * MIB),
        (
            {
                "memory.max": f"{500 * MIB}",
                "memory.current": f"{450 * MIB}",
                "memory.stat": f"anon 1\nfile 9\ninactive_file {300 * MIB}\nactive_file 4\n",
            },
            350 * MIB,
        ),
        ({"memory.max": f"{5000 * MIB}", "memory.current": "0"}, 900 * MIB),
        ({"memory.max": f"{5 * MIB}", "memory.current": f"{6 * MIB}"}, 0),
        (
            {
                "memory/memory.limit_in_bytes": f"{700 * MIB}",
                "memory/memory.usage_in_bytes": f"{600 * MIB}",
                "memory/memory.stat": f"inactive_file {50 * MIB}\ntotal_inactive_file {80 * MIB}\n",
            },
            150 * MIB,
        ),
    ],
)
def test_free_memory_is_that_of_the_machine_within_the_limits_of_a_container(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(fitting, "CGROUP", tmp_path)
    available = psutil.virtual_memory()._replace(available=900 * MIB)
    monkeypatch.setattr(fitting.psutil, "virtual_memory", lambda: available)
    assert free_memory(torch.device("cpu")) == expected
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert free_memory(torch.device("cpu")) == expected // 4


def test_what_cannot_be_told_of_a_device_is_none() -> None:
    assert free_memory(torch.device("mps")) is None
