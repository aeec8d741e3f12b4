"""Runs that collapse are stopped, with the step and the likely cause; others are left as they are."""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from torch import Tensor
from transformers import TrainerControl, TrainerState

from sbert_triplet.distances import unit
from sbert_triplet.errors import CollapsedError, DivergedError
from sbert_triplet.evaluation.health import anisotropy, effective_rank
from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.supervised_contrastive import SupervisedContrastiveLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training import collapse
from sbert_triplet.training.callbacks import StepLog
from sbert_triplet.training.collapse import CollapseWatch, check_every, is_collapsing
from sbert_triplet.training.crowding import FEWEST, LOOKED_AT, Crowding, crowding_of
from sbert_triplet.training.objective import Objective

TwoProcesses = Callable[..., list[tuple[int, str]]]


@pytest.fixture(scope="session")
def runs(imported_script: Callable[[str], ModuleType]) -> ModuleType:
    return imported_script("collapse_runs.py")


def embedded(*columns: Tensor, **parts: Any) -> Embedded:
    return Embedded(columns=columns, **parts)


def drawn(count: int, dimensions: int = 6, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64) + 0.5


# What is seen of a batch.


def test_figures_are_those_of_the_health_of_a_model() -> None:
    left, right, negatives = drawn(10), drawn(10, seed=2), drawn(7, seed=3)
    seen = crowding_of(embedded(left, right, negatives=negatives))
    assert seen is not None
    table = torch.cat([left, right, negatives]).numpy()
    assert seen.cosine == pytest.approx(anisotropy(table), abs=1e-12)
    assert seen.rank == pytest.approx(effective_rank(table, centred=False), abs=1e-9)
    assert not seen.unit
    lifted = crowding_of(embedded(unit(left), unit(right), negatives=unit(negatives)))
    assert lifted is not None
    assert lifted.unit
    assert lifted.cosine == pytest.approx(seen.cosine)


def test_a_text_of_several_places_counts_once() -> None:
    rows = drawn(12)
    anchors, positives = torch.tensor([0, 0, 0, 1, 2, 3]), torch.tensor([4, 5, 6, 7, 8, 4])
    negatives = torch.tensor([9, 10, 11, 9, 0])
    seen = crowding_of(
        embedded(
            rows[anchors],
            rows[positives],
            ids=(anchors, positives),
            negatives=rows[negatives],
            negative_ids=negatives,
        )
    )
    assert seen is not None
    assert seen.cosine == pytest.approx(anisotropy(rows.numpy()), abs=1e-12)


def test_unknown_texts_are_all_different() -> None:
    rows = drawn(10)
    ids = torch.tensor([-1, -1, 5, 5, -1, 6, 7, 8, 9, -1])
    seen = crowding_of(embedded(rows, ids=(ids,)))
    assert seen is not None
    assert seen.cosine == pytest.approx(anisotropy(rows[[0, 1, 2, 4, 5, 6, 7, 8, 9]].numpy()), abs=1e-12)


def test_keys_of_a_momentum_encoder_are_not_what_is_trained() -> None:
    rows, keys = drawn(9), drawn(9, seed=4)
    ids = torch.arange(9), torch.arange(9) + 9
    seen = crowding_of(
        embedded(rows, ids=ids, keys=keys, negatives=drawn(5, seed=5), negative_ids=torch.arange(5) + 30)
    )
    assert seen is not None
    assert seen.cosine == pytest.approx(anisotropy(rows.numpy()), abs=1e-12)
    own = (unit(rows) - unit(keys)).square().sum(1).mean()
    across = torch.cdist(unit(rows), unit(keys)).square().mean()
    assert seen.nearness == pytest.approx(float(own / across), abs=1e-12)


def test_a_large_batch_is_looked_at_in_part() -> None:
    rows = drawn(5 * LOOKED_AT)
    seen = crowding_of(embedded(rows))
    assert seen is not None
    places = np.linspace(0, len(rows) - 1, LOOKED_AT).astype(int)
    assert seen.cosine == pytest.approx(anisotropy(rows[places].numpy()), abs=1e-12)


def test_few_texts_tell_nothing() -> None:
    assert crowding_of(embedded(drawn(FEWEST - 1))) is None
    assert crowding_of(embedded(drawn(FEWEST))) is not None
    assert crowding_of(embedded(drawn(40), ids=(torch.arange(40) % (FEWEST - 1),))) is None


def squared(left: Tensor, right: Tensor) -> float:
    return float((unit(left[None]) - unit(right[None])).square().sum())


def test_nearness_by_all_pairs() -> None:
    rows, other = drawn(11), drawn(11, seed=7)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 0, 5, 5])
    pairs = list(itertools.combinations(range(11), 2))
    inside = [squared(rows[i], rows[j]) for i, j in pairs if labels[i] == labels[j]]
    everything = [squared(rows[i], rows[j]) for i, j in pairs]
    found = crowding_of(embedded(rows, labels=labels))
    assert found is not None
    assert found.nearness == pytest.approx(np.mean(inside) / np.mean(everything), abs=1e-12)
    own = [squared(rows[i], other[i]) for i in range(11)]
    across = [squared(rows[i], other[j]) for i in range(11) for j in range(11)]
    paired = crowding_of(embedded(rows, other))
    assert paired is not None
    assert paired.nearness == pytest.approx(np.mean(own) / np.mean(across), abs=1e-12)
    scores = torch.tensor([0, 1, 2, 3, 4, 5, 0, 5, 5, 0, 1.0])
    scored = crowding_of(embedded(rows, other, scores=scores))
    assert scored is not None
    high = scores.numpy() > float(scores.mean())
    assert scored.nearness == pytest.approx(np.array(own)[high].mean() / np.array(own)[~high].mean())


def test_nearness_where_nothing_is_said_to_belong_together() -> None:
    for batch in (
        embedded(drawn(9)),
        embedded(drawn(9), labels=torch.arange(9)),
        embedded(drawn(9), drawn(9, seed=2), scores=torch.ones(9)),
    ):
        seen = crowding_of(batch)
        assert seen is not None
        assert math.isnan(seen.nearness)
    same = torch.ones(9, 4)
    coinciding = crowding_of(embedded(same, same))
    assert coinciding is not None
    assert (coinciding.cosine, coinciding.nearness) == (pytest.approx(1), 1.0)
    assert coinciding.rank == pytest.approx(1)


# What is taken for a collapse.

START = Crowding(cosine=0.2, rank=9.0, nearness=0.6)
NARROW = Crowding(cosine=0.98, rank=3.0, nearness=0.6)


@pytest.mark.parametrize(
    ("start", "seen", "expected"),
    [
        (START, START, False),
        (START, replace(START, cosine=0.9), False),
        (START, replace(START, cosine=0.961), True),  # .039 of .8 is left
        (START, replace(START, cosine=0.959), False),
        (START, replace(START, rank=1.39), True),  # .39 of 8 is left
        (START, replace(START, rank=1.41), False),
        (START, replace(START, cosine=0.99, nearness=0.29), False),  # they are told apart
        (START, replace(START, rank=1.0, nearness=0.05), False),  # two classes, a point each
        (START, replace(START, cosine=0.99, nearness=math.nan), True),
        (replace(START, nearness=math.nan), replace(START, cosine=0.99, nearness=0.1), True),
        (NARROW, NARROW, False),
        (NARROW, replace(NARROW, cosine=0.9985), False),
        (NARROW, replace(NARROW, cosine=0.9995), True),
        (Crowding(1.0, 1.0, 1.0), Crowding(1.0, 1.0, 1.0), False),  # it was so before training
        (START, Crowding(1.0 + 1e-9, 1.0, 1.0), True),
    ],
)
def test_what_is_a_collapse(start: Crowding, seen: Crowding, expected: bool) -> None:
    assert is_collapsing(start, seen) is expected


def shown(
    runs: ModuleType, monkeypatch: pytest.MonkeyPatch, seen: list[Crowding | None], every: int = 1
) -> tuple[CollapseWatch, int]:
    """A watch that was shown ``seen`` at its checks, with the step that it stopped or ended at."""
    objective = Objective(runs.encoder(), MultipleNegativesRankingLoss())
    watch = CollapseWatch(objective, every=every)
    args: Any = type("Args", (), {"learning_rate": 1e-5})()
    state, control, given = TrainerState(), TrainerControl(), iter(seen)
    monkeypatch.setattr(collapse, "crowding_of", lambda _: next(given))
    rows = drawn(9, 16)
    for step in range(len(seen) * every):
        state.global_step = step
        watch.on_step_begin(args, state, control)
        objective.loss(embedded(rows, rows))
        state.global_step = step + 1
        try:
            watch.on_step_end(args, state, control)
        except CollapsedError:
            return watch, step + 1
    return watch, len(seen) * every


GONE = replace(START, cosine=0.9999)


def test_one_bad_batch_is_no_collapse(runs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy = [START, GONE, GONE, START, GONE, GONE, START, START]
    assert shown(runs, monkeypatch, healthy, every=4)[1] == 32
    again = [START, GONE, GONE, START, GONE, GONE, GONE, GONE]
    assert shown(runs, monkeypatch, again, every=4)[1] == 25
    assert shown(runs, monkeypatch, [START, GONE, GONE, GONE], every=4)[1] == 13


@pytest.mark.parametrize(("every", "checks"), [(1, 6), (2, 4), (3, 3), (20, 3)])
def test_a_short_run_has_time_to_recover(
    every: int, checks: int, runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was seen at a few steps in a row stops nothing; from 5 steps on it does, as in a longer run."""
    recovered = [START, *[GONE] * (checks - 1), START, *[GONE] * (checks - 1)]
    assert shown(runs, monkeypatch, recovered, every=every)[1] == len(recovered) * every
    assert shown(runs, monkeypatch, [START, *[GONE] * 9], every=every)[1] == checks * every + 1


def test_each_data_set_is_compared_with_its_own_start(
    runs: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second is narrow from its first batch on; later it collapses while the first does not."""
    second = replace(NARROW, cosine=0.9999, dataset=1)
    gone = replace(second, cosine=1 - 1e-7)
    assert shown(runs, monkeypatch, [START, second] * 4)[1] == 8
    assert (
        shown(runs, monkeypatch, [START, second, START, gone, START, gone, START, gone, START, gone])[1] == 10
    )


def test_batches_too_small_are_never_judged(runs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    watch, steps = shown(runs, monkeypatch, [None, None, None, None])
    assert steps == 4
    assert watch.stats(3) == {}


@pytest.mark.parametrize(("steps", "every"), [(1, 1), (99, 1), (100, 2), (500, 10), (1000, 20), (90_000, 20)])
def test_how_often_is_looked(steps: int, every: int) -> None:
    assert check_every(steps) == every


def test_numbers_of_no_sense_are_refused(runs: ModuleType) -> None:
    with pytest.raises(ValueError, match="a check every 0 steps"):
        CollapseWatch(Objective(runs.encoder(), MultipleNegativesRankingLoss()), every=0)


# Runs.


@pytest.fixture(scope="module")
def collapsed(runs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int, Path]:
    """The message that a run was stopped with, the last step, and its checkpoints."""
    folder = tmp_path_factory.mktemp("collapsed")
    trainer, _ = runs.made(folder, runs.hopeless(), labels=runs.NO_CLASSES, save_steps=1, keep=500)
    with pytest.raises(CollapsedError) as caught:
        trainer.train()
    return str(caught.value), int(trainer.state.global_step), folder


def test_a_run_into_collapse_is_stopped(collapsed: tuple[str, int, Path]) -> None:
    message, step, _ = collapsed
    found = re.match(
        r"step (\d+): the embeddings are collapsing: two different texts of a batch have a mean cosine of "
        r"([\d.]+) \(([\d.]+) at the start\), the effective rank is ([\d.]+) \(([\d.]+) at the start\), and "
        r"texts that belong together lie at ([\d.]+) of the squared distance of others \(([\d.]+) at the "
        r"start\); so it was at the checks of steps (\d+), (\d+), (\d+)\. What usually does it with this "
        r"loss, the likeliest first: ",
        message,
    )
    assert found is not None, message
    said, now, before, rank, rank_before, _, _, *checks = (float(part) for part in found.groups())
    assert said == step == checks[-1]
    assert np.diff(checks).tolist() == [5, 5]
    assert step < 60
    assert 1 - now <= 0.05 * (1 - before) or rank - 1 <= 0.05 * (rank_before - 1)
    for words in (
        "(1) the learning rate: train.learning_rate is 0.003",
        "(2) the hardest negatives from the first step",
        "labels or columns that the texts do not bear out",
    ):
        assert words in message
    assert "margin is too large: 1.5 is 75 % of what the distance euclidean spans" in message


def test_it_really_was_a_collapse(runs: ModuleType, collapsed: tuple[str, int, Path], tmp_path: Path) -> None:
    """Without the watch the same run ends in a point, and its loss at the margin."""
    _, step, _ = collapsed
    log = tmp_path / "log.jsonl"
    trainer, _ = runs.made(tmp_path, runs.hopeless(), labels=runs.NO_CLASSES, steps=step, watched=False)
    trainer.add_callback(StepLog(log, trainer.objective))
    before = anisotropy(runs.encoder().encode(runs.TEXTS))
    trainer.train()
    after = anisotropy(trainer.objective.model.encode(runs.TEXTS))
    assert 1 - after < 0.1 * (1 - before)
    losses = [json.loads(line)["loss"] for line in log.read_text().splitlines()]
    assert losses[-1] == pytest.approx(1.5, abs=0.1)


def test_the_error_is_one_of_training(collapsed: tuple[str, int, Path]) -> None:
    assert issubclass(CollapsedError, DivergedError)
    assert CollapsedError.exit_code == 4
    assert collapsed[0].endswith("Start again with one of these changed")


def test_a_resumed_run_is_stopped_alike(
    runs: ModuleType, collapsed: tuple[str, int, Path], tmp_path: Path
) -> None:
    """It is compared with the start of the run, and the checks before the checkpoint count."""
    message, step, folder = collapsed
    for last in (3, step - 3):
        trainer, watch = runs.made(tmp_path, runs.hopeless(), labels=runs.NO_CLASSES)
        with pytest.raises(CollapsedError) as caught:
            trainer.train(resume_from_checkpoint=str(folder / f"checkpoint-{last}"))
        assert str(caught.value) == message
        assert watch.state()["alarms"].tolist() == [[0, step - 10], [0, step - 5], [0, step]]
    saved = load_file(folder / f"checkpoint-{step - 3}" / "collapse.safetensors")
    assert saved["alarms"].tolist() == [[0, step - 10], [0, step - 5]]
    assert saved["starts"].shape == (1, 5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda: SupervisedContrastiveLoss(),
        lambda: TripletLoss(distance="cosine", margin=0.2, miner="all"),
        # Crowded to a mean cosine of .99 for some steps, while the classes come apart all the same.
        lambda: TripletLoss(distance="cosine", soft=True, miner="hard"),
        lambda: TripletLoss(distance="cosine", margin=1.5, miner="hard"),
    ],
)
def test_a_healthy_run_is_left_as_it_is(loss: Callable[[], Any], runs: ModuleType, tmp_path: Path) -> None:
    states = []
    for watched in (True, False):
        trainer, watch = runs.made(tmp_path, loss(), watched=watched, every=1, learning_rate=1e-3)
        trainer.train()
        states.append(trainer.objective.state_dict())
        assert trainer.state.global_step == 60
        assert watch.state()["alarms"].tolist() == []
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    assert states[0].keys() == states[1].keys()


def test_a_narrow_encoder_is_not_stopped(runs: ModuleType, tmp_path: Path) -> None:
    """All cosines are above .99 from the start; training spreads them a little."""
    model = runs.encoder()
    lean = Dense(16, 16, activation_function=torch.nn.Identity())
    with torch.no_grad():
        lean.linear.weight.copy_(torch.eye(16))
        lean.linear.bias.fill_(5.0)
    lean.requires_grad_(False)
    model.append(lean)
    model.append(Normalize())
    assert anisotropy(model.encode(runs.TEXTS)) > 0.99
    trainer, watch = runs.made(
        tmp_path, SupervisedContrastiveLoss(), model=model, every=1, learning_rate=1e-3
    )
    trainer.train()
    assert trainer.state.global_step == 60
    assert watch.state()["alarms"].tolist() == []


def test_two_classes_that_end_in_a_point_each_are_no_collapse(runs: ModuleType, tmp_path: Path) -> None:
    """Few directions are left, and it goes on."""
    trainer, watch = runs.made(
        tmp_path,
        SupervisedContrastiveLoss(),
        labels=runs.CLASSES % 2,
        every=1,
        steps=120,
        learning_rate=3e-3,
    )
    trainer.train()
    assert watch._last is not None
    start = watch._starts[0]
    assert watch._last[1].rank < 0.6 * start.rank
    assert watch._last[1].nearness < 0.1
    assert trainer.state.global_step == 120
    assert watch.state()["alarms"].tolist() == []


def test_the_log_has_the_figures_of_the_steps_that_were_checked(runs: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    trainer, watch = runs.made(tmp_path, SupervisedContrastiveLoss(), every=3, steps=7)
    log = StepLog(file, trainer.objective, also=watch.stats)
    trainer.add_callback(log)
    trainer.train()
    stats = [json.loads(line)["stats"] for line in file.read_text().splitlines()]
    assert [step for step, found in enumerate(stats, start=1) if "anisotropy" in found] == [1, 4, 7]
    assert all(-1 <= found["anisotropy"] <= 1 < found["effective_rank"] for found in stats[::3])


def test_the_first_figures_are_of_the_encoder_before_training(runs: ModuleType, tmp_path: Path) -> None:
    seen: list[Embedded] = []

    class Seeing(SupervisedContrastiveLoss):
        def forward(self, batch: Embedded) -> Any:
            seen.append(batch)
            return super().forward(batch)

    trainer, watch = runs.made(tmp_path, Seeing(), steps=1)
    before = runs.encoder()
    trainer.train()
    assert seen[0].ids is not None
    texts = [runs.TEXTS[number] for number in sorted(set(seen[0].ids[0].tolist()))]
    expected = anisotropy(before.encode(texts))
    assert watch._starts[0].cosine == pytest.approx(expected, abs=1e-5)


@pytest.mark.long
def test_several_processes_are_stopped_together(two_processes: TwoProcesses, tmp_path: Path) -> None:
    outputs = [output for _, output in two_processes("collapse_runs.py", tmp_path)]
    messages = [re.search(r"^stopped: (.*)$", output, flags=re.MULTILINE) for output in outputs]
    assert all(messages), outputs
    one, other = (found.group(1) for found in messages if found is not None)
    assert one == other
    assert re.match(r"step \d+: the embeddings are collapsing", one)
