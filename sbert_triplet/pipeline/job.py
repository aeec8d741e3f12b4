"""The main job read aloud: load, audit, split, measure, train, evaluate, save, report."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import set_seed

from sbert_triplet.data.wording import times
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.errors import GainNotShownError, InputError
from sbert_triplet.evaluation.audit import Audit
from sbert_triplet.evaluation.held_out import HeldOut
from sbert_triplet.evaluation.suites import LoadedSuite
from sbert_triplet.pipeline.checking import (
    audit_data,
    duration,
    expected,
    lengths_in_words,
    notes_on_prompts,
)
from sbert_triplet.pipeline.comparison import gather_evidence
from sbert_triplet.pipeline.conclusion import conclude, no_gain
from sbert_triplet.pipeline.decide import BYTES_A_PARAMETER, choose_metrics
from sbert_triplet.pipeline.documents import documents_seen
from sbert_triplet.pipeline.evidence import Evidence, measured_on, refuse_unknown_slices
from sbert_triplet.pipeline.failures import machine_failures
from sbert_triplet.pipeline.folder import FINISHED, RunFolder
from sbert_triplet.pipeline.gather import Gatherer
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.learning_curve import curve_up_to_now, points_of_curve
from sbert_triplet.pipeline.marks import refuse_to_lose_marks
from sbert_triplet.pipeline.measured_data import suite_of
from sbert_triplet.pipeline.outcome import data_record, report_of, save_models
from sbert_triplet.pipeline.plan import Plan, plan_training
from sbert_triplet.pipeline.recorded import recorded_yaml
from sbert_triplet.pipeline.resuming import Resumed, asked_of, identity, refuse_other_run, to_resume
from sbert_triplet.pipeline.smoke import smoke
from sbert_triplet.pipeline.start import Encoder, chosen_threads, device_named, load_encoder
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.pipeline.training import Keeping, train
from sbert_triplet.pipeline.weight_line import LineSearch
from sbert_triplet.processes import join, leads
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.reporting.report import write_report
from sbert_triplet.training.checkpoints import Checkpoint, steps_of
from sbert_triplet.training.sharding import refuse_parted_encoder

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """How a run is carried out; nothing of this changes its result.

    ``say`` is given lines for people, ``progress`` (what, done, all) while something takes long.
    ``command`` is what repeats the run. ``decisions`` are those that a resolved recipe recorded. ``resume``:
    go on from the newest checkpoint in the run folder, where there is one; ``force``: also where recipe or
    data have changed since.
    """

    overwrite: bool = False
    resume: bool = False
    force: bool = False
    smoke: bool = False
    require_gain: bool = False
    device: str | None = None
    command: str | None = None
    say: Say = print
    progress: Progress | None = None
    decisions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, ``report.json`` as read, and the audit of the data, where one was made."""

    folder: Path
    report: Mapping[str, Any]
    audit: Audit | None = None

    @property
    def model(self) -> Path:
        """The model to ship."""
        return self.folder / "model"

    @property
    def better(self) -> bool:
        """Whether ``model`` is shown better than the base model, which ships where dev chose it as well."""
        return self.report.get("verdict") == "better" and self.report.get("shipped") != "base"


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the first step."""

    recipe: Recipe
    data: Gathered
    encoder: Encoder
    tokens: TokenTable
    audit: Audit
    plan: Plan
    held_out: HeldOut
    dev: HeldOut | None
    recipe_yaml: str
    scratch: Path
    suite: LoadedSuite | None = None
    folder: Path | None = None
    asked: Mapping[str, Any] = field(default_factory=dict)
    resumed: Checkpoint | None = None


def run(recipe: Recipe, out: Path, *, folder: Path | None = None, options: Options | None = None) -> Run:
    """Train on the data of a recipe and compare base and tuned model on held-out rows.

    Writes the run folder ``out``; ``folder`` is where relative paths of the recipe start after the
    current one. Raises InputError for what the person can mend, MachineError for a full disk or
    memory, GainNotShownError where ``require_gain`` asked for a gain that is not there. Of several
    processes the leading one writes, measures the tuned model and has a report; the others' is empty.
    """
    place, options = out, options or Options()
    if options.resume and options.overwrite:
        raise InputError("--resume and --overwrite: give one of them, to go on or to begin anew")
    if options.force and not options.resume:
        raise InputError("--force: goes with --resume; to replace a run, give --overwrite")
    if options.resume and RunFolder(place).finished:
        return _finished_before(place, options.say)
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
                refuse_errors(ready.audit)
                home.refuse_to_replace(ready.encoder.resolved.path)
                try:
                    report = _carry_out(ready, home, options)
                except BaseException as error:
                    home.leave()
                    if isinstance(error, KeyboardInterrupt | SystemExit) and steps_of(home.checkpoints):
                        options.say(f"What was trained is kept: {_again(options)}")
                    raise
    if not leads():
        return Run(out, {}, ready.audit)
    conclude(options.say, report, out)
    finished = Run(out, report, ready.audit)
    if options.require_gain and not finished.better:
        raise GainNotShownError(
            f"the gain that --require-gain asks for is not there: {no_gain(report)}. "
            f"The run is complete: {out}"
        )
    return finished


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


def _finished_before(place: Path, say: Say) -> Run:
    """A run that came to its end; nothing is left to do."""
    report = json.loads((place / FINISHED).read_text(encoding="utf-8"))
    say(f"{place}: this run is finished, nothing is left to do")
    return Run(place, report)


@contextmanager
def working_place(out: Path, options: Options) -> Iterator[tuple[Path, Path, Options]]:
    """A folder for passing files, and where and how this process works: only the leading one is heard."""
    with tempfile.TemporaryDirectory(prefix="sbert-triplet-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        if not leads():
            out, options = scratch / "run", replace(options, say=lambda _: None, progress=None)
        yield scratch, out, options


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
    home.write_json("report.json", report)
    write_report(home.path)
    home.finish()
    return report


def prepare(
    recipe: Recipe, scratch: Path, folder: Path | None, options: Options, *, set_aside: bool = False
) -> Prepared:
    """Load data and encoder, audit, and decide what was left open.

    ``set_aside``: rows that cannot be used are found by the audit; else the recipe decides whether
    they are refused.
    """
    recipe, data, encoder = load(recipe, scratch, folder, options, set_aside=set_aside)
    metrics = choose_metrics(recipe, data)
    held_out = measured_on(data, metrics)
    refuse_unknown_slices(recipe.evaluate.slices, data.test)
    suite = suite_of(recipe, folder)
    tokens = encoder.tokens(data)
    audit = None
    if recipe.mine.negatives is not None:
        audit = audit_data(recipe, data, encoder, tokens)
        tell_findings(options, recipe, data, audit)
        if not set_aside:
            # Mining takes long, and nothing would come of it.
            refuse_errors(audit)
    setting = Setting(recipe, data, encoder, tokens, scratch, folder, options.progress)
    plan = plan_training(setting, options.decisions)
    if plan.negatives is not None:
        data = replace(data, documents_seen=documents_seen(plan.negatives.rows.examples, data.test))
        for line in plan.negatives.lines():
            options.say(line)
    dev = measured_on(data, metrics[:1], "dev") if plan.recipe.train.eval_steps is not None else None
    names = tuple(metric.name for metric in metrics)
    resolved = plan.recipe.model_copy(
        update={"evaluate": plan.recipe.evaluate.model_copy(update={"metrics": names})}
    )
    if audit is None:
        audit = audit_data(recipe, data, encoder, tokens, plan)
        tell_findings(options, recipe, data, audit)
    text = recorded_yaml(resolved, plan.decisions, folder)
    return Prepared(resolved, data, encoder, tokens, audit, plan, held_out, dev, text, scratch, suite, folder)


def load(
    recipe: Recipe, scratch: Path, folder: Path | None, options: Options, *, set_aside: bool = False
) -> tuple[Recipe, Gathered, Encoder]:
    """The recipe, made small where ``options.smoke`` says so, its data, and its encoder."""
    refuse_parted_encoder()
    set_seed(recipe.train.seed)
    if options.smoke:
        recipe = smoke(recipe)
        device_named(options.device)
    loaded = None if options.smoke else load_encoder(recipe, options.device, folder, options.decisions)
    if loaded is not None:
        options.say(f"Encoder: {loaded.sentence}")
    set_aside = set_aside or recipe.data.on_bad_row == "skip"
    data = Gatherer(recipe, folder, scratch, options.say, set_aside=set_aside).gather()
    encoder = loaded or Encoder.tiny(recipe, data)
    join(encoder.model.device.type)
    return recipe, data, encoder


def tell_findings(options: Options, recipe: Recipe, data: Gathered, audit: Audit) -> None:
    """Say what the audit found, how the rows were split, and what is worth noting."""
    for line in audit.lines():
        options.say(line)
    if any(finding.rows for finding in audit.findings):
        options.say("         (rows are counted from 1, without a header line)")
    options.say(data.method)
    recorded = options.decisions.get("data_fingerprint")
    changed = ["the data are not those that this recipe was resolved with: results will differ"]
    notes = [*data.notes, *notes_on_prompts(recipe, data)]
    for note in [*notes, *(changed if recorded not in (None, data.fingerprint) else [])]:
        options.say(f"note     {note}")


def check(
    recipe: Recipe, out: Path, *, folder: Path | None = None, options: Options | None = None
) -> Prepared:
    """The audit alone: nothing is trained; ``data.json`` is written into ``out``.

    Raises InputError, after that, where a finding stands in the way of training.
    """
    options = options or Options()
    home = RunFolder(out)
    home.refuse_unless_for_check()
    with (
        machine_failures(out),
        tempfile.TemporaryDirectory(prefix="sbert-triplet-", ignore_cleanup_errors=True) as scratch,
    ):
        ready = prepare(recipe, Path(scratch), folder, options, set_aside=True)
        for line in lengths_in_words(ready.audit.lengths, ready.encoder.model.max_seq_length):
            options.say(line)
        options.say("Rows: " + ", ".join(f"{split} {rows:,}" for split, rows in ready.data.rows.items()))
        options.say(expected(ready.plan, ready.encoder))
        home.write_json("data.json", data_record(ready.data, ready.audit))
    options.say(f"Written: {out / 'data.json'}")
    refuse_errors(ready.audit)
    return ready


def refuse_errors(audit: Audit) -> None:
    """Raise InputError where a finding stands in the way of training."""
    if audit.errors:
        raise InputError("\n".join(finding.message + finding.where() for finding in audit.errors))


def _needed_bytes(ready: Prepared) -> int:
    """Of the models that are saved, and of the checkpoints, one of which is written before another goes."""
    parameters = list(ready.encoder.model.parameters())
    weights = sum(each.numel() * each.element_size() for each in parameters)
    settings = ready.plan.settings
    saves = -(-settings.steps // (settings.save_steps or settings.steps))
    checkpoints = min(saves, settings.keep + 1) - (0 if ready.resumed is None else settings.keep)
    of_one = BYTES_A_PARAMETER * sum(each.numel() for each in parameters)
    return 3 * weights + max(checkpoints, 1) * of_one + (64 << 20)
