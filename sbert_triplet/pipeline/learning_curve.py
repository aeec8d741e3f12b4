"""Would more data help? The same training on a quarter and on half of the rows, on the same test rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import set_seed

from sbert_triplet.data.keys import uniforms
from sbert_triplet.data.wording import percent
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.held_out import HeldOut, Scored
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.verdict import verdict
from sbert_triplet.pipeline.evidence import Evidence, Measured
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.outcome import base_encoder
from sbert_triplet.pipeline.plan import Plan, plan_training
from sbert_triplet.pipeline.start import Encoder
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.pipeline.training import Trained, train
from sbert_triplet.processes import leads
from sbert_triplet.recipe.model import Recipe

if TYPE_CHECKING:
    from sbert_triplet.pipeline.preparing import Prepared

SHARES = (0.25, 0.5)
PURPOSE = 29


@dataclass(frozen=True)
class Point:
    """What training on ``rows`` rows, a ``share`` of all, in ``steps`` steps made of the encoder."""

    share: float
    rows: int
    steps: int
    scored: Sequence[Scored]


@dataclass(frozen=True)
class Trial:
    """What the trainings on parts share with the run. ``fresh`` gives the encoder before training."""

    plan: Plan
    data: Gathered
    held_out: HeldOut
    tokens: TokenTable
    scratch: Path
    folder: Path | None
    fresh: Callable[[], Encoder]
    say: Callable[[str], None]


def points_of_curve(ready: Prepared, say: Callable[[str], None]) -> list[Point]:
    """What training on parts of the rows makes of the base model of a run."""
    device = str(ready.encoder.model.device)
    trial = Trial(
        ready.plan,
        ready.data,
        ready.held_out,
        ready.tokens,
        ready.scratch,
        ready.folder,
        lambda: base_encoder(ready, device),
        say,
    )
    return train_on_parts(trial)


def curve_up_to_now(
    points: Sequence[Point], evidence: Evidence, trained: Trained, before: Measured
) -> dict[str, Any] | None:
    """``learning_curve`` of ``report.json``; its last point are the weights that the encoder has now."""
    whole = Point(1.0, len(evidence.data.train), trained.steps, evidence.scores(evidence.served()))
    seed = evidence.recipe.train.seed
    return curve_record(points, whole, before.parts, evidence.held_out, seed=seed)


def train_on_parts(trial: Trial) -> list[Point]:
    """Train fresh encoders on nested parts of the rows, and score them on the test rows.

    All settings are those of the run, and the steps are in proportion; mined negatives are mined anew. A part
    that cannot be trained on (too few texts of a class) is said and left out. Several processes train
    together; only the leading one measures, and the others' list is empty.
    """
    points = []
    for share in SHARES:
        part = nested_part(trial.data, share, trial.plan.recipe.train.seed)
        try:
            found = _trained(trial, part, share)
        except InputError as error:
            trial.say(f"Learning curve: {percent(share)} of the rows cannot be trained on: {error}")
            continue
        points += [found] if found is not None else []
    return points


def _trained(trial: Trial, part: Gathered, share: float) -> Point | None:
    recipe = _shorter(trial.plan, share)
    set_seed(recipe.train.seed)
    encoder = trial.fresh()
    setting = Setting(recipe, part, encoder, trial.tokens, trial.scratch, trial.folder)
    plan = plan_training(setting, trial.plan.decisions)
    trial.say(f"Learning curve, {percent(share)} of the rows: {plan.sentence()}")
    evidence = Evidence(
        recipe,
        part,
        trial.held_out,
        encoder,
        trial.tokens,
        loss=plan.objective.loss,
        training_precision=plan.settings.precision,
        scratch=trial.scratch,
    )
    home = trial.scratch / f"part-{share:g}"
    home.mkdir(parents=True, exist_ok=True)
    trained = train(part, encoder, plan, home, evidence)
    if not leads():
        return None
    return Point(share, len(part.train), trained.steps, evidence.scores(evidence.served()))


def nested_part(data: Gathered, share: float, seed: int) -> Gathered:
    """About this share of the training rows, those of an anchor together; larger shares hold smaller ones."""
    rows = np.flatnonzero(uniforms(data.train.anchors, seed, PURPOSE) < share)
    return replace(
        data,
        train=data.train.select(rows),
        repeats=None if data.repeats is None else data.repeats[rows],
        exact=None if data.exact is None else data.exact[rows],
    )


def _shorter(plan: Plan, share: float) -> Recipe:
    changes = {
        "max_steps": max(round(share * plan.settings.steps), 1),
        "save_steps": None,
        "report_to": (),
    }
    return plan.recipe.model_copy(update={"train": plan.recipe.train.model_copy(update=changes)})


def curve_record(
    points: Sequence[Point],
    whole: Point,
    base: Sequence[Scored],
    held_out: HeldOut,
    *,
    seed: int,
) -> dict[str, Any] | None:
    """``learning_curve`` of ``report.json``: the main metric of each part against the base model.

    ``doubled``: all rows against half of them, with ``sentence``. None without any part.
    """
    if not points:
        return None
    part, metric = held_out.parts[0], held_out.main

    def compared(one: Sequence[Scored], other: Sequence[Scored]) -> Comparison:
        every = np.arange(len(part.items))
        return part.compare_rows(metric, one[0], other[0], every, seed=seed)

    listed = [
        {
            "share": point.share,
            "rows": point.rows,
            "steps": point.steps,
            **compared(base, point.scored).as_json(),
        }
        for point in [*points, whole]
    ]
    record: dict[str, Any] = {"metric": metric.name, "points": listed}
    half = next((point for point in points if point.share == SHARES[-1]), None)
    if half is not None:
        doubled = compared(half.scored, whole.scored)
        record |= {"doubled": dict(doubled.as_json()), "sentence": more_data_sentence(doubled)}
    return record


def more_data_sentence(doubled: Comparison) -> str:
    """Whether more data would help, by what all rows gave over half of them."""
    found = verdict(doubled)
    interval = _interval(doubled.as_json())
    change = f"From half of the rows to all of them {doubled.metric} changed by {doubled.difference:+.3f}"
    if found == "better":
        return f"{change}{interval}: more data would likely help."
    if found == "worse":
        return f"{change}{interval}: more rows of this kind did harm; look at their quality first."
    return f"{change}{interval}, which may be chance: that more data would help is not shown."


def _interval(entry: Mapping[str, Any]) -> str:
    if entry["low"] is None or entry["high"] is None:
        return ""
    return f" (95 % interval {entry['low']:+.3f} to {entry['high']:+.3f})"
