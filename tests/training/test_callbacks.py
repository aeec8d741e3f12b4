"""What happens beside the steps: dev scores, patience, progress, the log."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from sbert_triplet.data.examples import Examples
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.reporting.log import read_log
from sbert_triplet.training.callbacks import AfterStep, BestOnDev, StepLog, StepProgress
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.trainer import Trainer

Encoder = Callable[..., SentenceTransformer]
MakeTrainer = Callable[..., Trainer]


class Dev:
    """Scores that are given, and the weights at the time of each."""

    def __init__(self, scores: list[float], objective: Objective) -> None:
        self.scores, self.objective = list(scores), objective
        self.weights: list[dict[str, Tensor]] = []

    def __call__(self) -> float:
        self.weights.append({name: t.clone() for name, t in self.objective.state_dict().items()})
        return self.scores[len(self.weights) - 1]


@pytest.fixture
def run(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> Callable[..., tuple[Trainer, BestOnDev, Dev, list[dict[str, Any]]]]:
    """Trains with the given dev scores; gives trainer, callback, scores and the lines of the log."""

    def train(
        scores: list[float], *, every: int = 1, patience: int | None = None, steps: int = 6
    ) -> tuple[Trainer, BestOnDev, Dev, list[dict[str, Any]]]:
        made: list[Any] = []

        def callbacks(objective: Objective) -> list[Any]:
            log, dev = StepLog(tmp_path / "log.jsonl", objective), Dev(scores, objective)
            best = BestOnDev(objective, dev, metric="nDCG@10", steps=every, patience=patience, log=log)
            made.extend([best, dev])
            return [AfterStep(objective), log, best]

        trainer = make_trainer(
            pairs,
            make_encoder(dropout=0.1),
            MultipleNegativesRankingLoss(scale=10.0, learn_scale=True),
            callbacks=callbacks,
            steps=steps,
        )
        trainer.train()
        lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
        return trainer, made[0], made[1], lines

    return train


def test_the_best_weights_of_encoder_and_loss_are_put_back(run: Callable[..., Any]) -> None:
    trainer, best, dev, _ = run([0.1, 0.3, 0.2, 0.3, 0.0, 0.1])
    assert (best.best, best.best_step) == (0.3, 2)
    last = {name: tensor.clone() for name, tensor in trainer.objective.state_dict().items()}
    best.restore()
    restored = trainer.objective.state_dict()
    assert all(torch.equal(restored[name], tensor) for name, tensor in dev.weights[1].items())
    assert not torch.equal(restored["loss.scale.log_scale"], last["loss.scale.log_scale"])


def test_without_a_score_nothing_is_put_back(make_encoder: Encoder, tmp_path: Path) -> None:
    objective = Objective(make_encoder(), MultipleNegativesRankingLoss())
    log = StepLog(tmp_path / "log.jsonl", objective)
    best = BestOnDev(objective, lambda: 1.0, metric="AP", steps=1, patience=None, log=log)
    before = {name: tensor.clone() for name, tensor in objective.state_dict().items()}
    best.restore()
    assert all(torch.equal(tensor, before[name]) for name, tensor in objective.state_dict().items())


@pytest.mark.parametrize(
    ("every", "steps", "scored"), [(1, 4, [1, 2, 3, 4]), (3, 7, [3, 6, 7]), (10, 4, [4]), (2, 4, [2, 4])]
)
def test_scores_are_taken_every_so_many_steps_and_after_the_last(
    run: Callable[..., Any], every: int, steps: int, scored: list[int]
) -> None:
    _, _, _, lines = run([0.5] * 10, every=every, steps=steps)
    assert [line for line in lines if "dev" in line] == [
        {"step": step, "dev": {"nDCG@10": 0.5}} for step in scored
    ]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, steps + 1))


@pytest.mark.parametrize(
    ("scores", "patience", "stopped"),
    [
        ([0.3, 0.2, 0.1, 0.4, 0.5, 0.6], 2, 3),
        ([0.3, 0.2, 0.4, 0.3, 0.5, 0.6], 2, 6),
        ([0.3, 0.3, 0.4, 0.5, 0.6, 0.7], 1, 2),
        ([0.6, 0.5, 0.4, 0.3, 0.2, 0.1], None, 6),
    ],
)
def test_patience_counts_scores_in_a_row_without_a_new_best(
    run: Callable[..., Any], scores: list[float], patience: int | None, stopped: int
) -> None:
    trainer, _, _, _ = run(scores, patience=patience)
    assert trainer.state.global_step == stopped


@pytest.mark.parametrize(
    ("scores", "best_score", "best_step"),
    [
        ([math.nan, 0.2, 0.1, 0.3], 0.3, 4),
        ([math.inf, 0.2, 0.1, math.nan], 0.2, 2),
        ([0.1, math.nan, 0.0, 0.1], 0.1, 1),
    ],
)
def test_a_score_that_is_not_finite_is_never_the_best(
    run: Callable[..., Any], scores: list[float], best_score: float, best_step: int
) -> None:
    _, best, _, lines = run(scores, steps=4)
    assert (best.best, best.best_step) == (best_score, best_step)
    told = [line["dev"]["nDCG@10"] for line in lines if "dev" in line]
    assert told == [score if math.isfinite(score) else None for score in scores]


def test_patience_counts_scores_that_are_not_finite_across_a_checkpoint(
    run: Callable[..., Any], make_encoder: Encoder, tmp_path: Path
) -> None:
    trainer, best, _, _ = run([math.nan] * 6, patience=2)
    assert trainer.state.global_step == 2
    assert best.best is None
    objective = Objective(make_encoder(), MultipleNegativesRankingLoss())
    log = StepLog(tmp_path / "log.jsonl", objective)
    again = BestOnDev(objective, lambda: 1.0, metric="AP", steps=1, patience=2, log=log)
    again.load_state(best.state())
    assert again.exhausted
    assert again.best is None


def test_scoring_does_not_change_the_run(run: Callable[..., Any]) -> None:
    one, *_ = run([0.5] * 10, every=1)
    other, *_ = run([0.5] * 10, every=100)
    found, expected = one.objective.state_dict(), other.objective.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_progress_is_told_after_each_step(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    told: list[tuple[int, int, float | None]] = []
    trainer = make_trainer(
        pairs,
        make_encoder(),
        MultipleNegativesRankingLoss(),
        callbacks=lambda objective: [StepProgress(lambda *call: told.append(call), objective)],
        steps=3,
    )
    trainer.train()
    assert [call[:2] for call in told] == [(1, 3), (2, 3), (3, 3)]
    assert trainer.objective.last is not None
    assert told[-1][2] == float(trainer.objective.last.value)
    assert all(call[2] is not None and call[2] > 0 for call in told)


def test_a_resumed_log_holds_nothing_of_later_steps(make_encoder: Encoder, tmp_path: Path) -> None:
    """The refresh bears the number of the step before it, and comes after that one's checkpoint."""
    file = tmp_path / "log.jsonl"
    kept: list[dict[str, Any]] = [
        {"step": 1, "loss": 1.0},
        {"step": 2, "dev": {"m": 0.5}},
        {"step": 2, "loss": 2.0},
    ]
    later: list[dict[str, Any]] = [
        {"step": 2, "refresh": {}},
        {"step": 3, "left_out": "the loss is nan", "rows": [1]},
        {"step": 3, "loss": None},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in [*kept, *later]) + '{"step": 4, "lo')
    log = StepLog(file, Objective(make_encoder(), MultipleNegativesRankingLoss()))
    state = {"losses": torch.tensor([1.0, 2.0], dtype=torch.float64), "step": torch.tensor(2)}
    for _ in range(2):
        log.load_state(state)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert lines == [*kept, {"step": 2, "resumed": True}]
    assert log.losses == [1.0, 2.0]
    assert [item.name for item in tmp_path.iterdir()] == ["log.jsonl"]
    log.write(later[1])
    assert (read_log(file).left_out, read_log(file).resumed_after) == ((3,), (2,))
