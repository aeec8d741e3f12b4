"""The training stage: carrying a plan out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from sbert_triplet.errors import DivergedError, MachineError, StoppedError
from sbert_triplet.pipeline.decide import BYTES_A_PARAMETER
from sbert_triplet.pipeline.documents import documents_seen
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.plan import Plan
from sbert_triplet.pipeline.resuming import changed_keys, refuse_fewer_steps
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.processes import leads
from sbert_triplet.training.arguments import training_arguments
from sbert_triplet.training.callbacks import AfterStep, BestOnDev, StepLog, StepProgress
from sbert_triplet.training.checkpoints import Checkpoint, Checkpoints, newest, set_aside_after
from sbert_triplet.training.collapse import CollapseWatch, check_every
from sbert_triplet.training.kept import Kept
from sbert_triplet.training.refresh import NegativesRefresh
from sbert_triplet.training.stopping import Stopping
from sbert_triplet.training.trainer import Trainer


@dataclass(frozen=True)
class Keeping:
    """How a training is kept from being lost.

    ``run``: what each checkpoint says of it. ``resumed``: the one to go on from. ``again``: what to do to go
    on, in words; ``say`` is given lines for people.
    """

    run: Mapping[str, Any]
    resumed: Checkpoint | None = None
    again: str = "go on with --resume"
    say: Callable[[str], None] = lambda _: None


class Score(Protocol):
    """The main metric on the dev split with the weights of the moment; larger is better."""

    metric: str

    def on_dev(self) -> float: ...


@dataclass(frozen=True)
class Trained:
    """What training did, in ``seconds``, ``saving`` of which it waited for checkpoints.

    ``documents_seen``: as of the data, with the negatives of every round; ``left_out``: steps in which a
    number was not finite; ``forced``: {step, keys} of each time that --force had it go on with changed keys.
    """

    steps: int
    seconds: float
    saving: float
    rows: int
    tokens: int
    losses: tuple[float, ...]
    best_step: int | None = None
    documents_seen: float | None = None
    left_out: int = 0
    forced: tuple[Mapping[str, Any], ...] = ()


def train(
    data: Gathered,
    encoder: Encoder,
    plan: Plan,
    home: Path,
    score: Score,
    progress: Callable[[str, int, int], None] | None = None,
    keeping: Keeping | None = None,
) -> Trained:
    """Carry the plan out; the encoder's weights are the tuned ones afterwards.

    With ``keeping``, checkpoints are written, and a signal ends the run after a whole step: StoppedError.
    """
    objective = plan.objective
    log = StepLog(home / "log.jsonl", objective, also=plan.batches.state)
    watch = CollapseWatch(objective, every=check_every(plan.settings.steps))
    log.include(watch.stats)
    callbacks: list[Any] = [AfterStep(objective), log, watch]
    kept: dict[str, Kept] = {"collapse": watch, "log": log}
    refresh = plan.refresh.callback(home, log) if plan.refresh is not None else None
    if refresh is not None:
        log.include(refresh.stats)
        callbacks.append(refresh)
        kept["negatives"] = refresh
    _write_what_is_trained_on(plan, home, refresh, anew=keeping is None or keeping.resumed is None)
    if progress is not None:
        tell = progress
        callbacks.append(StepProgress(lambda step, steps, _: tell("training", step, steps), objective))
    best = _best_on_dev(data, plan, score, log)
    if best is not None:
        callbacks.append(best)
        kept["best"] = best
    settings = plan.settings if keeping is not None else replace(plan.settings, save_steps=None)
    place, forced = home / "checkpoints", _forced(keeping)
    trainer = Trainer(
        objective,
        training_arguments(settings, place, device=str(encoder.model.device.type)),
        collator=plan.collator,
        batches=plan.batches,
        callbacks=callbacks,
        tell=log.write if leads() else None,
        kept=kept,
        checkpoints=_checkpoints(place, plan, keeping, best, forced),
        most_left_out=settings.max_bad_steps,
        changed=_changed(keeping),
    )
    _carry_out(trainer, best, keeping)
    if best is not None:
        best.restore()
    return Trained(
        steps=int(trainer.state.global_step),
        seconds=trainer.spent.seconds,
        saving=trainer.spent.saving,
        rows=trainer.spent.rows,
        tokens=trainer.spent.tokens,
        losses=tuple(log.losses),
        best_step=best.best_step if best else None,
        documents_seen=_documents_seen(data, plan, refresh),
        left_out=trainer.left_out.count,
        forced=forced,
    )


def _carry_out(trainer: Trainer, best: BestOnDev | None, keeping: Keeping | None) -> None:
    """All steps, or those that are left after a checkpoint."""
    if keeping is None:
        trainer.train()
        return
    resumed, stopping = keeping.resumed, Stopping(keeping.say)
    if resumed is not None:
        refuse_fewer_steps(resumed, trainer.args.max_steps)
        if leads():
            set_aside_after(trainer.checkpoints.folder, resumed.step)
        if changed := _changed(keeping):
            keeping.say(
                f"note     --force: from step {resumed.step + 1:,} on with other {', '.join(changed)}"
            )
        trainer.load(resumed.folder)
        if resumed.step >= trainer.args.max_steps or (best is not None and best.exhausted):
            trainer.state.global_step = resumed.step
            trainer.refuse_unfit()
            return
    trainer.add_callback(stopping)
    try:
        with stopping.listening():
            trainer.train(resume_from_checkpoint=None if resumed is None else str(resumed.folder))
    except (DivergedError, MachineError) as error:
        if str(trainer.checkpoints.folder) in str(error) or trainer.unmoved:
            raise  # it says what is left, or nothing is
        raise type(error)(f"{error}. {last_good(trainer.checkpoints, keeping.again)}") from error
    if stopping.number is not None:
        step, steps = trainer.state.global_step, trainer.args.max_steps
        raise StoppedError(
            f"stopped after step {step:,} of {steps:,}, with a checkpoint: {keeping.again}", stopping.number
        )


def last_good(checkpoints: Checkpoints, again: str) -> str:
    """Where a run that failed can go on from, in words."""
    found, _ = newest(checkpoints.folder)
    if found is None:
        return "There is no checkpoint yet"
    return f"The last good checkpoint is that of step {found.step:,} ({found.folder}): {again}"


def _changed(keeping: Keeping | None) -> list[str]:
    """The keys that are not those of the run that wrote the checkpoint to go on from."""
    if keeping is None or keeping.resumed is None:
        return []
    return changed_keys(keeping.resumed.run, keeping.run)


def _forced(keeping: Keeping | None) -> tuple[Mapping[str, Any], ...]:
    """When the run went on with other keys, the earlier times first."""
    if keeping is None or keeping.resumed is None:
        return ()
    resumed, changed = keeping.resumed, _changed(keeping)
    now = [{"step": resumed.step, "keys": changed}] if changed else []
    return (*resumed.run.get("forced", ()), *now)


def _checkpoints(
    place: Path,
    plan: Plan,
    keeping: Keeping | None,
    best: BestOnDev | None,
    forced: tuple[Mapping[str, Any], ...],
) -> Checkpoints:
    parameters = sum(parameter.numel() for parameter in plan.objective.parameters())
    return Checkpoints(
        place,
        keep=plan.settings.keep,
        run={} if keeping is None else {**keeping.run, "forced": list(forced)},
        bytes_needed=parameters * BYTES_A_PARAMETER,
        best_step=lambda: best.best_step if best is not None else None,
    )


def _write_what_is_trained_on(
    plan: Plan, home: Path, refresh: NegativesRefresh | None, *, anew: bool
) -> None:
    """Order and negatives, into the run folder; a resumed run's negatives lie there, of its last round."""
    if plan.curriculum is not None:
        plan.curriculum.write(home)
    if plan.negatives is not None and (anew or refresh is None):
        plan.negatives.write(home, refresh.rounds if refresh is not None else ())


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
