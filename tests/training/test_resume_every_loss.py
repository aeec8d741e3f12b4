"""A run of each loss, and of several data sets, goes on from a checkpoint bit for bit."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from sbert_triplet.losses.names import LOSSES
from sbert_triplet.training.arguments import TrainSettings, training_arguments
from sbert_triplet.training.callbacks import AfterStep, BestOnDev, StepLog
from sbert_triplet.training.collapse import CollapseWatch
from sbert_triplet.training.trainer import Trainer

STEPS = 7
JOINT = "several data sets"
NAMES = (*LOSSES, "nested", JOINT)


def made(every_run: ModuleType, name: str, folder: Path) -> tuple[Trainer, BestOnDev]:
    """A trainer that saves each step, with dropout, dev scores and all else that the main job has."""
    model = every_run.encoder(torch.float32)
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
    objective, collator, batches = every_run.prepared(name, model)
    folder.mkdir(exist_ok=True)
    log = StepLog(folder / "log.jsonl", objective)
    watch = CollapseWatch(objective, every=2)
    weight = next(iter(model.parameters()))
    best = BestOnDev(
        objective, lambda: float(weight.detach().sum()) % 1.0, metric="AP", steps=1, patience=None, log=log
    )
    settings = TrainSettings(STEPS, learning_rate=1e-3, save_steps=1, keep=STEPS, weight_decay=0.01)
    trainer = Trainer(
        objective,
        training_arguments(settings, folder / "checkpoints", device="cpu"),
        collator=collator,
        batches=batches,
        callbacks=[AfterStep(objective), log, watch, best],
        kept={"collapse": watch, "log": log, "best": best},
    )
    return trainer, best


def weights(trainer: Trainer, best: BestOnDev) -> dict[str, Tensor]:
    """Those of the last step, of the best one, and of everything beside the encoder."""
    last = {f"last.{name}": tensor.clone() for name, tensor in trainer.objective.state_dict().items()}
    best.restore()
    return last | {f"best.{name}": tensor.clone() for name, tensor in trainer.objective.state_dict().items()}


def some_steps(number: int, every: bool) -> list[int]:
    return list(range(1, STEPS)) if every else [1 + number % (STEPS - 1)]


CASES = [
    *((name, False) for name in ("multiple_negatives_ranking", "triplet", "moco", JOINT)),
    *(pytest.param(name, True, marks=pytest.mark.long) for name in NAMES),
]


@pytest.mark.parametrize(("name", "every"), CASES)
def test_it_ends_as_if_it_had_never_been_stopped(
    name: str, every: bool, every_run: ModuleType, tmp_path: Path
) -> None:
    whole, best = made(every_run, name, tmp_path / "whole")
    whole.train()
    expected = weights(whole, best)
    for step in some_steps(NAMES.index(name), every):
        rest, best = made(every_run, name, tmp_path / f"after-{step}")
        rest.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoints" / f"checkpoint-{step}"))
        found = weights(rest, best)
        assert rest.state.global_step == STEPS
        assert expected.keys() == found.keys()
        assert [key for key in expected if not torch.equal(expected[key], found[key])] == []
        assert (rest.spent.rows, rest.spent.tokens) == (whole.spent.rows, whole.spent.tokens)
