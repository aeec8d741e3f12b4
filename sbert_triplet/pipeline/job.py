"""The main job read aloud: load, audit, split, measure, train, evaluate, save, report."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from sbert_triplet.data.wording import times
from sbert_triplet.errors import GainNotShownError, InputError
from sbert_triplet.pipeline.checking import (
    duration,
)
from sbert_triplet.pipeline.comparison import gather_evidence
from sbert_triplet.pipeline.conclusion import conclude, no_gain
from sbert_triplet.pipeline.decide import BYTES_A_PARAMETER
from sbert_triplet.pipeline.evidence import Evidence
from sbert_triplet.pipeline.failures import machine_failures
from sbert_triplet.pipeline.folder import FINISHED, RunFolder
from sbert_triplet.pipeline.learning_curve import curve_up_to_now, points_of_curve
from sbert_triplet.pipeline.marks import refuse_to_lose_marks
from sbert_triplet.pipeline.options import Options, Run, working_place
from sbert_triplet.pipeline.outcome import data_record, report_of, save_models
from sbert_triplet.pipeline.preparing import Prepared, load, prepare, refuse_errors
from sbert_triplet.pipeline.resuming import (
    Resumed,
    asked_of,
    identity,
    refuse_other_recipe,
    refuse_other_rows,
    refuse_other_run,
    to_resume,
)
from sbert_triplet.pipeline.start import chosen_threads
from sbert_triplet.pipeline.training import Keeping, train
from sbert_triplet.pipeline.weight_line import LineSearch
from sbert_triplet.processes import leads
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.reporting.report import write_report
from sbert_triplet.training.checkpoints import steps_of


def run(recipe: Recipe, out: Path, *, folder: Path | None = None, options: Options | None = None) -> Run:
    """Train on the data of a recipe and compare base and tuned model on held-out rows.

    Writes the run folder ``out``; ``folder`` is where relative paths of the recipe start after the
    current one. Raises InputError for what the person can mend, MachineError for a full disk or
    memory, GainNotShownError where ``require_gain`` asked for a gain that is not there. Of several
    processes the leading one writes, measures the tuned model and has a report; the others' is empty.
    """
    options = options or Options()
    if options.resume and options.overwrite:
        raise InputError("--resume and --overwrite: give one of them, to go on or to begin anew")
    if options.force and not options.resume:
        raise InputError("--force: goes with --resume; to replace a run, give --overwrite")
    if options.resume and RunFolder(out).finished:
        finished = _finished_before(recipe, out, folder, options)
    else:
        finished = _made(recipe, out, folder, options)
    if not finished.report:
        return finished
    if options.require_gain and not finished.better:
        raise GainNotShownError(
            f"the gain that --require-gain asks for is not there: {no_gain(finished.report)}. "
            f"The run is complete: {finished.folder}"
        )
    return finished


def _made(recipe: Recipe, place: Path, folder: Path | None, options: Options) -> Run:
    """A run from its beginning, or from its newest checkpoint."""
    with working_place(place, options) as (scratch, out, options):
        home = RunFolder(out)
        with home.alone(), machine_failures(out):
            home.refuse_unless_free(options.overwrite, resume=options.resume)
            asked = asked_of(recipe, smoke=options.smoke)
            resumed = _resumed(place, recipe, options) if options.resume else None
            if resumed is None:
                refuse_to_lose_marks(out, recipe, folder)
            else:
                recipe, options = resumed.recipe, replace(options, decisions=resumed.decisions)
            with chosen_threads(options.decisions):
                ready = prepare(recipe, scratch, folder, options)
                ready = replace(ready, asked=asked, resumed=resumed.checkpoint if resumed else None)
                refuse_errors(ready.audit, ready.data)
                home.refuse_to_replace(ready.encoder.resolved.path)
                try:
                    report = _carry_out(ready, home, options)
                except BaseException as error:
                    home.leave()
                    if isinstance(error, KeyboardInterrupt | SystemExit) and steps_of(home.checkpoints):
                        options.say(f"What was trained is kept: {_again(options)}")
                    raise
    if leads():
        conclude(options.say, report, out)
    return Run(out, report, ready.audit)


def _again(options: Options) -> str:
    return f"go on with {options.command} --resume" if options.command else "go on with resume=True"


def _resumed(place: Path, recipe: Recipe, options: Options) -> Resumed | None:
    found = to_resume(place, recipe, smoke=options.smoke, force=options.force, say=options.say)
    options.say(
        f"Going on after step {found.checkpoint.step:,}, from {found.checkpoint.folder}"
        if found is not None
        else f"No checkpoint in {place}: the run begins with the first step"
    )
    return found


def _finished_before(recipe: Recipe, place: Path, folder: Path | None, options: Options) -> Run:
    """A run that came to its end, where it is the one that is asked for; a report that is missing is drawn.

    Raises InputError, unless ``force``, where it was begun with another recipe, other rows or another model.
    """
    report = json.loads((place / FINISHED).read_text(encoding="utf-8"))
    with working_place(place, options) as (scratch, _, options), machine_failures(place):
        if not options.force and "asked" in report:
            refuse_other_recipe(place, report["asked"]["recipe"], recipe, smoke=options.smoke)
            _, data, encoder = load(recipe, scratch, folder, replace(options, say=lambda _: None))
            refuse_other_rows(place, report["asked"], identity({}, "", data, encoder))
        if leads():
            home = RunFolder(place)
            with home.alone():
                if not (place / "report.html").exists():
                    write_report(place)
                home.finish()
        options.say(f"{place}: this run is finished, nothing is left to do")
    return Run(place, report)


def _carry_out(ready: Prepared, home: RunFolder, options: Options) -> dict[str, Any]:
    """Measure, train, measure again, save and report; returns ``report.json``, nothing but in the leader."""
    run = identity(ready.asked, ready.recipe_yaml, ready.data, ready.encoder)
    if ready.resumed is not None:
        refuse_other_run(ready.resumed, run, force=options.force, say=options.say)
    home.start(_needed_bytes(ready), resumed=ready.resumed is not None)
    home.write_text("recipe.yaml", ready.recipe_yaml)
    home.write_json("data.json", data_record(ready.data, ready.audit))
    evidence = Evidence(
        ready.recipe,
        ready.data,
        ready.held_out,
        ready.encoder,
        ready.tokens,
        loss=ready.plan.objective.loss,
        dev=ready.dev,
        training_precision=ready.plan.settings.precision,
        progress=options.progress,
        scratch=ready.scratch,
        suite=ready.suite,
    )
    options.say(f"Measuring the base model on {evidence.size()}, in {evidence.precision}")
    before = evidence.measure(ready.encoder.model, keep=True)
    options.say(f"Training: {ready.plan.sentence()}")
    searches = leads() and ready.recipe.train.never_worse
    search = LineSearch(evidence, before.general, ready.scratch) if searches else None
    keeping = Keeping(run, ready.resumed, _again(options), options.say)
    trained = train(ready.data, ready.encoder, ready.plan, home.path, evidence, options.progress, keeping)
    evidence.data = replace(evidence.data, documents_seen=trained.documents_seen)
    home.drop_empty("checkpoints")
    points = points_of_curve(ready, options.say) if ready.recipe.evaluate.learning_curve else []
    if not leads():
        return {}
    options.say(f"Trained {trained.steps:,} steps in {duration(trained.seconds)}")
    if trained.left_out:
        unit = times(trained.left_out, "step was", "steps were")
        options.say(f"warning  {unit} left out, with numbers that are not finite; log.jsonl names their rows")
    curve = curve_up_to_now(points, evidence, trained, before) if points else None
    line = search.carry_out(trained.tokens, options.say) if search else None
    options.say("Measuring the tuned model")
    served = evidence.served()
    after = evidence.measure(served)
    found = gather_evidence(evidence, before, after, home.path / "predictions")
    found = replace(found, line=line, curve=curve)
    shipped = save_models(home.path, ready, found, served)
    report = report_of(ready, trained, found, served, shipped, home.path, options.command, evidence.precision)
    report["asked"] = {"recipe": dict(ready.asked), "data": run["data"], "model": run["model"]}
    home.write_json(FINISHED, report)
    write_report(home.path)
    home.finish()
    return report


def _needed_bytes(ready: Prepared) -> int:
    """Of the models that are saved, and of the checkpoints, one of which is written before another goes."""
    parameters = list(ready.encoder.model.parameters())
    weights = sum(each.numel() * each.element_size() for each in parameters)
    settings = ready.plan.settings
    saves = -(-settings.steps // (settings.save_steps or settings.steps))
    checkpoints = min(saves, settings.keep + 1) - (0 if ready.resumed is None else settings.keep)
    of_one = BYTES_A_PARAMETER * sum(each.numel() for each in parameters)
    return 3 * weights + max(checkpoints, 1) * of_one + (64 << 20)
