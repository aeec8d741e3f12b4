"""Negatives mined anew while training: with which weights, when, and that nothing else changes."""

from __future__ import annotations

import copy
import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import TrainerCallback

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.texts import TextTable
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.errors import DivergedError, InputError
from sbert_triplet.losses.batch import Embedded, LossOutput
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.mined import Mined
from sbert_triplet.mining.rules import Rules
from sbert_triplet.mining.search import DenseSearch
from sbert_triplet.mining.space import Space
from sbert_triplet.training.arguments import TrainSettings, training_arguments
from sbert_triplet.training.callbacks import StepLog
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.joint import JointCollator
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.refresh import (
    Mining,
    NegativesRefresh,
    Round,
    give_negatives,
    share_changed,
    undisturbed,
)
from sbert_triplet.training.samplers import RowBatches
from sbert_triplet.training.trainer import Trainer

ROWS, DOCUMENTS = 24, np.arange(24, 60)
RULES = Rules(negatives=2, near_equal=None, transitive_hops=0)
Encoder = Callable[..., SentenceTransformer]
State = dict[str, Tensor]


class Seeing(MultipleNegativesRankingLoss):
    """Keeps the negatives of every row of every step, by the row's anchor."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[dict[int, list[int]]] = []

    def forward(self, batch: Embedded) -> LossOutput:
        assert batch.ids is not None
        assert batch.negative_ids is not None
        assert batch.negative_rows is not None
        ends = batch.negative_rows.tolist()
        own = [batch.negative_ids[start:end].tolist() for start, end in pairwise(ends)]
        self.steps.append(dict(zip(batch.ids[0].tolist(), own, strict=True)))
        return super().forward(batch)


@dataclass
class Made:
    """A run with a refresh, ready to be trained. ``weights``: those that each round mined with."""

    trainer: Trainer
    refresh: NegativesRefresh | None
    loss: Seeing
    first: Mined
    file: Path
    weights: list[State] = field(default_factory=list)

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()]

    @property
    def stats(self) -> list[float]:
        return [line["stats"]["negatives_age"] for line in self.lines if "loss" in line]

    @property
    def refreshes(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if "refresh" in line]


Make = Callable[..., Made]


@pytest.fixture
def examples(rows: Callable[..., Examples]) -> Examples:
    """24 pairs; a positive is right for two of the anchors."""
    return rows(Kind.PAIRS, range(ROWS), positives=[24 + row // 2 for row in range(ROWS)])


@pytest.fixture
def table(texts: list[str]) -> TextTable:
    table = TextTable()
    table.add(texts)
    return table


def mined_with(
    model: SentenceTransformer, examples: Examples, table: TextTable, rules: Rules = RULES
) -> Mined:
    tokens = TokenTable(model, lambda ids: table.texts(list(ids)))
    space = Space(Embedder(model, tokens), "cosine", ("text", "text"))
    return mine(examples, DenseSearch(space, DOCUMENTS), table, rules)


@pytest.fixture
def make(
    examples: Examples,
    table: TextTable,
    make_encoder: Encoder,
    make_collator: Callable[..., Collator],
    tmp_path: Path,
) -> Make:
    """A trainer whose negatives are mined anew every ``every`` steps, by ``anew`` where that is given."""

    def made(
        every: int | None = 2,
        *,
        steps: int = 7,
        anew: Callable[[SentenceTransformer, Mined, int], Mined] | None = None,
        done: Callable[[Sequence[Round]], None] = lambda _: None,
        name: str = "run",
        **settings: Any,
    ) -> Made:
        model, loss = make_encoder(dropout=0.1), Seeing()
        given = TrainSettings(steps=steps, batch_size=8, learning_rate=1e-3, warmup=0.0, **settings)
        first = mined_with(model, examples, table)
        collator = make_collator(first.added_to(examples), model, loss, seed=given.seed)
        objective = Objective(model, loss)
        log = StepLog(tmp_path / f"{name}.jsonl", objective)
        result: list[Made] = []

        def mine_anew(number: int) -> Mined:
            result[0].weights.append(copy.deepcopy(model.state_dict()))
            return mined_with(model, examples, table) if anew is None else anew(model, first, number)

        mining = Mining(mine_anew, lambda negatives: give_negatives(collator, negatives), done)
        refresh = None
        if every is not None:
            refresh = NegativesRefresh(model, first, mining, every=every, seconds=1.5, log=log)
            log.include(refresh.stats)
        trainer = Trainer(
            objective,
            training_arguments(given, tmp_path / name, device="cpu"),
            collator=collator,
            batches=RowBatches(ROWS, given.batch_size, seed=given.seed),
            callbacks=[log] if refresh is None else [log, refresh],
            kept={} if refresh is None else {"negatives": refresh},
        )
        result.append(Made(trainer, refresh, loss, first, tmp_path / f"{name}.jsonl"))
        return result[0]

    return made


def by_brute_force(model: SentenceTransformer, texts: list[str], examples: Examples) -> list[list[int]]:
    """The two documents nearest to each anchor by the library's own encode, without the anchor's positive."""
    embeddings = model.encode(texts, convert_to_numpy=True, normalize_embeddings=True).astype(np.float64)
    scores = embeddings[examples.anchors] @ embeddings[DOCUMENTS].T
    assert examples.positives is not None
    scores[np.arange(ROWS), examples.positives - DOCUMENTS[0]] = -np.inf
    return [DOCUMENTS[np.argsort(-row)[:2]].tolist() for row in scores]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_each_step_has_the_negatives_of_the_weights_at_the_last_refresh(
    precision: str, make: Make, make_encoder: Encoder, texts: list[str], examples: Examples
) -> None:
    """Under autocast too, which is a matter of training and not of mining."""
    run = make(2, precision=precision)
    run.trainer.train()
    model = make_encoder()
    expected = [by_brute_force(model, texts, examples)]
    for weights in run.weights:
        model.load_state_dict(weights)
        expected.append(by_brute_force(model, texts, examples))
    assert len(expected) == 4
    assert len({str(found) for found in expected}) == 4
    assert len(run.loss.steps) == 7
    for step, seen in enumerate(run.loss.steps):
        for anchor, negatives in seen.items():
            assert negatives == expected[step // 2][anchor], (step, anchor)
    assert run.refresh is not None
    assert [run.refresh.negatives[row].tolist() for row in range(ROWS)] == expected[3]
    given = {document for found in expected for row in found for document in row}
    assert set(run.refresh.given.tolist()) == given


@pytest.mark.parametrize(
    ("every", "steps", "after"),
    [(2, 7, [2, 4, 6]), (2, 6, [2, 4]), (3, 3, []), (1, 4, [1, 2, 3]), (9, 4, [])],
)
def test_every_so_many_steps_and_never_after_the_last(
    every: int, steps: int, after: list[int], make: Make
) -> None:
    run = make(every, steps=steps)
    run.trainer.train()
    assert run.refresh is not None
    assert [each.step for each in run.refresh.rounds] == [0, *after]
    assert [line["step"] for line in run.refreshes] == after
    assert run.stats == [step % every for step in range(steps)]
    assert [line["step"] for line in run.lines if "loss" in line] == list(range(1, steps + 1))


def test_the_log_says_what_a_round_found(make: Make) -> None:
    run = make(2, steps=5)
    run.trainer.train()
    assert run.refresh is not None
    assert run.refresh.rounds[0].seconds == 1.5
    assert run.refresh.rounds[0].changed != run.refresh.rounds[0].changed
    places = [(line["step"], "refresh" in line) for line in run.lines]
    assert places == [(1, False), (2, False), (2, True), (3, False), (4, False), (4, True), (5, False)]
    for line, made in zip(run.refreshes, run.refresh.rounds[1:], strict=True):
        entry = line["refresh"]
        assert entry["seconds"] == round(made.seconds, 3) > 0
        assert (entry["queries"], entry["chosen"], entry["used"]) == (24, 48, True)
        assert entry["removed"]["known_positive"] > 0
        assert 0 < entry["changed"] == made.changed < 1
    second = [run.refresh.negatives[row].tolist() for row in range(ROWS)]
    assert second != [run.first.negatives[row].tolist() for row in range(ROWS)]


def test_what_mining_took_is_no_time_of_a_step(make: Make) -> None:
    def slow(_: SentenceTransformer, first: Mined, __: int) -> Mined:
        time.sleep(0.5)
        return first

    run = make(2, steps=4, anew=slow)
    run.trainer.train()
    assert run.refreshes[0]["refresh"]["seconds"] >= 0.5
    assert all(line["seconds"] < 0.5 for line in run.lines if "loss" in line)


def optimizer_state(trainer: Trainer) -> dict[tuple[Any, str], Tensor]:
    state = trainer.optimizer.state_dict()["state"]
    return {(key, name): value for key, each in state.items() for name, value in each.items()}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_mining_changes_nothing_but_the_negatives(
    precision: str, make: Make, examples: Examples, table: TextTable
) -> None:
    """With the old negatives as its result the run is the one without it, whatever mining draws."""
    drawn = []

    def the_same(model: SentenceTransformer, first: Mined, number: int) -> Mined:
        assert model.training
        assert "forward" not in vars(model)
        mined_with(model, examples, table)
        drawn.append((torch.rand(3), np.random.rand(), random.random()))
        torch.manual_seed(number)
        return first

    run = make(2, anew=the_same, precision=precision, name="one")
    plain = make(None, precision=precision, name="other")
    run.trainer.train()
    plain.trainer.train()
    assert len(drawn) == 3
    assert run.loss.steps == plain.loss.steps
    for part in (
        lambda made: made.trainer.objective.state_dict(),
        lambda made: optimizer_state(made.trainer),
    ):
        one, other = part(run), part(plain)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    losses = [[line["loss"] for line in made.lines if "loss" in line] for made in (run, plain)]
    assert losses[0] == losses[1]
    assert [line["refresh"]["changed"] for line in run.refreshes] == [0, 0, 0]


@pytest.mark.parametrize("step", [3, 4, 6, 7])
def test_a_resumed_run_is_the_one_that_was_not_interrupted(step: int, make: Make, tmp_path: Path) -> None:
    """From a step before which, after which, and far from which negatives are mined anew."""
    whole = make(3, steps=8, save_steps=step, keep=9, name="whole")
    whole.trainer.train()
    rest = make(3, steps=8, name="rest")
    rest.trainer.train(resume_from_checkpoint=str(tmp_path / "whole" / f"checkpoint-{step}"))
    one, other = (made.trainer.objective.state_dict() for made in (whole, rest))
    assert all(torch.equal(one[name], other[name]) for name in one)
    one, other = (optimizer_state(made.trainer) for made in (whole, rest))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.loss.steps[step:] == rest.loss.steps
    assert whole.stats[step:] == rest.stats
    assert whole.refresh is not None
    assert rest.refresh is not None
    assert [each.step for each in whole.refresh.rounds] == [0, 3, 6]
    for each, again in zip(whole.refresh.rounds, rest.refresh.rounds, strict=True):
        assert replace(again, seconds=each.seconds) == each or each.step == 0
    assert whole.refresh.given.tolist() == rest.refresh.given.tolist()
    entries = [
        [{**line["refresh"], "seconds": 0, "step": line["step"]} for line in made.refreshes]
        for made in (whole, rest)
    ]
    assert entries[0][(step - 1) // 3 :] == entries[1]


def test_the_checkpoint_holds_the_negatives_in_use(make: Make, tmp_path: Path) -> None:
    run = make(2, steps=5, save_steps=5)
    run.trainer.train()
    assert run.refresh is not None
    saved = load_file(tmp_path / "run" / "checkpoint-5" / "negatives.safetensors")
    assert saved["values"].tolist() == run.refresh.negatives.values.tolist()
    assert saved["offsets"].tolist() == list(range(0, 2 * ROWS + 1, 2))
    assert saved["rounds"][:, 0].tolist() == [0, 2, 4]


def test_negatives_of_other_rows_are_refused(make: Make) -> None:
    run = make(2)
    assert run.refresh is not None
    state = dict(run.refresh.state())
    run.refresh.load_state(state)
    wanted = "holds negatives of 2[34] rows, and there are other 24 here; go on with the"
    for other in ({"offsets": state["offsets"][:-1]}, {"rows": state["rows"] + 1}):
        with pytest.raises(InputError, match=wanted):
            run.refresh.load_state({**state, **other})


def nothing_in_the_second_round(_: SentenceTransformer, first: Mined, number: int) -> Mined:
    none = Ragged.from_lists([[]] * len(first))
    counts = replace(first.counts, chosen=0, empty=24, short=24)
    return replace(first, negatives=none, scores=np.zeros(0), counts=counts) if number == 2 else first


def test_a_round_that_leaves_no_negative_keeps_those_before(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[int] = []
    run = make(2, anew=nothing_in_the_second_round, done=lambda rounds: told.append(len(rounds)))
    assert run.refresh is not None
    with caplog.at_level(logging.WARNING):
        run.trainer.train()
    assert "after step 4 no negative was left; those of before are kept" in caplog.text
    assert [(each.step, each.used) for each in run.refresh.rounds] == [
        (0, True),
        (2, True),
        (4, False),
        (6, True),
    ]
    assert [line["refresh"]["used"] for line in run.refreshes] == [True, False, True]
    assert run.refreshes[1]["refresh"]["chosen"] == 0
    # They are as old as they are.
    assert run.stats == [0, 1, 0, 1, 2, 3, 0]
    assert all(negatives for seen in run.loss.steps for negatives in seen.values())
    assert told == [2, 3, 4]


class Spoiling(TrainerCallback):
    def on_step_end(self, *_: Any, model: torch.nn.Module, **__: Any) -> None:
        with torch.no_grad():
            next(model.parameters()).fill_(float("inf"))


def test_nothing_is_mined_with_weights_that_are_not_finite(make: Make) -> None:
    run = make(1)
    run.trainer.add_callback(Spoiling())
    with pytest.raises(DivergedError, match="step 1: a weight of the encoder is not finite; lower train"):
        run.trainer.train()
    assert run.weights == []


def test_the_share_that_changed_by_hand() -> None:
    before = Ragged.from_lists([[5, 6], [7], [], [8, 9]])
    after = Ragged.from_lists([[6, 7], [], [5], [9, 8]])
    # Of 6, 7 | 5 | 9, 8: 7 and 5 are new in their row.
    assert share_changed(before, after) == pytest.approx(2 / 5)
    assert share_changed(before, before) == 0
    assert share_changed(before, Ragged.from_lists([[], [], [], []])) == 0
    assert share_changed(Ragged.from_lists([[], [], [], []]), after) == 1


def test_other_negatives_are_in_the_next_batch(
    examples: Examples, make_encoder: Encoder, make_collator: Callable[..., Collator]
) -> None:
    """Of texts that were not tokenised yet, and of one of several data sets only."""
    model, loss = make_encoder(), MultipleNegativesRankingLoss()
    own, other = (
        make_collator(replace(examples, negatives=Ragged.from_lists([[50]] * ROWS)), model, loss)
        for _ in range(2)
    )
    joint = JointCollator([own, other])
    give_negatives(own, Ragged.from_lists([[55, 56]] + [[51]] * (ROWS - 1)))
    batch, beside = joint([0, 1]), joint([ROWS, ROWS + 1])
    assert batch.negative_ids is not None
    assert beside.negative_ids is not None
    assert batch.negative_ids.tolist() == [55, 56, 51]
    assert beside.negative_ids.tolist() == [50, 50]
    assert own.examples.anchors.tolist() == examples.anchors.tolist()
    with pytest.raises(ValueError, match="negatives of 2 rows were given, and there are 24 rows"):
        give_negatives(own, Ragged.from_lists([[55], [56]]))


def test_the_encoder_and_the_generators_are_as_before(make_encoder: Encoder) -> None:
    model = make_encoder(dropout=0.1).train()
    wrapper = model.forward
    vars(model)["forward"] = wrapper
    torch.manual_seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]

    def draw() -> None:
        assert "forward" not in vars(model)
        torch.rand(2), random.random(), np.random.rand()
        raise KeyError

    with pytest.raises(KeyError), undisturbed(model):
        draw()
    assert vars(model)["forward"] is wrapper
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index]
    del vars(model)["forward"]
    with undisturbed(model):
        pass
    assert "forward" not in vars(model)
