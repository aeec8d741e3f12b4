"""The training stage: carrying a plan out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sbert_triplet.pipeline.documents import documents_seen
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.plan import Plan
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.processes import leads
from sbert_triplet.training.arguments import training_arguments
from sbert_triplet.training.callbacks import AfterStep, BestOnDev, StepLog, StepProgress
from sbert_triplet.training.collapse import CollapseWatch, check_every
from sbert_triplet.training.kept import Kept
from sbert_triplet.training.refresh import NegativesRefresh
from sbert_triplet.training.trainer import Trainer


class Score(Protocol):
    """The main metric on the dev split with the weights of the moment; larger is better."""

    metric: str

    def on_dev(self) -> float: ...


@dataclass(frozen=True)
class Trained:
    """What training did. ``documents_seen``: as of the data, with the negatives of every round."""

    steps: int
    seconds: float
    rows: int
    tokens: int
    losses: tuple[float, ...]
    best_step: int | None = None
    documents_seen: float | None = None


def train(
    data: Gathered,
    encoder: Encoder,
    plan: Plan,
    home: Path,
    score: Score,
    progress: Callable[[str, int, int], None] | None = None,
) -> Trained:
    """Carry the plan out; the encoder's weights are the tuned ones afterwards."""
    objective = plan.objective
    log = StepLog(home / "log.jsonl", objective, also=plan.batches.state)
    watch = CollapseWatch(objective, every=check_every(plan.settings.steps))
    log.include(watch.stats)
    callbacks: list[Any] = [AfterStep(objective), log, watch]
    kept: dict[str, Kept] = {"collapse": watch}
    refresh = plan.refresh.callback(home, log) if plan.refresh is not None else None
    if refresh is not None:
        log.include(refresh.stats)
        callbacks.append(refresh)
        kept["negatives"] = refresh
    if plan.curriculum is not None:
        plan.curriculum.write(home)
    if plan.negatives is not None:
        plan.negatives.write(home, refresh.rounds if refresh is not None else ())
    if progress is not None:
        tell = progress
        callbacks.append(StepProgress(lambda step, steps, _: tell("training", step, steps), objective))
    best = _best_on_dev(data, plan, score, log)
    if best is not None:
        callbacks.append(best)
    arguments = training_arguments(plan.settings, home / "checkpoints", device=str(encoder.model.device.type))
    trainer = Trainer(
        objective,
        arguments,
        collator=plan.collator,
        batches=plan.batches,
        callbacks=callbacks,
        tell=log.write if leads() else None,
        kept=kept,
    )
    start = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - start
    if best is not None:
        best.restore()
    return Trained(
        steps=int(trainer.state.global_step),
        seconds=seconds,
        rows=trainer.rows_seen,
        tokens=trainer.tokens_seen,
        losses=tuple(log.losses),
        best_step=best.best_step if best else None,
        documents_seen=_documents_seen(data, plan, refresh),
    )


def _best_on_dev(data: Gathered, plan: Plan, score: Score, log: StepLog) -> BestOnDev | None:
    chosen = plan.recipe.train
    if chosen.eval_steps is None or not len(data.dev):
        return None
    return BestOnDev(
        plan.objective,
        score.on_dev,
        metric=score.metric,
        steps=chosen.eval_steps,
        patience=chosen.patience,
        log=log,
    )


def _documents_seen(data: Gathered, plan: Plan, refresh: NegativesRefresh | None) -> float | None:
    if plan.negatives is None or refresh is None:
        return data.documents_seen
    return documents_seen(plan.negatives.rows.examples, data.test, refresh.given)
