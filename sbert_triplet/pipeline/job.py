"""The main job read aloud: load, audit, split, measure, train, evaluate, save, report."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import set_seed

from sbert_triplet.errors import GainNotShownError, InputError
from sbert_triplet.evaluation.audit import Audit
from sbert_triplet.pipeline.checking import audit_data, expected
from sbert_triplet.pipeline.decide import choose_loss, choose_metrics
from sbert_triplet.pipeline.evidence import Evidence, gather_evidence, measured_on
from sbert_triplet.pipeline.folder import RunFolder
from sbert_triplet.pipeline.gather import Gathered, Gatherer
from sbert_triplet.pipeline.outcome import report_of, save_models
from sbert_triplet.pipeline.start import Encoder, load_encoder
from sbert_triplet.pipeline.training import Plan, plan_training, train
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.writing import resolved_yaml
from sbert_triplet.reporting.report import write_report

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """How a run is carried out; nothing of this changes its result.

    ``say`` is given lines for people, ``progress`` (what, done, all) while something takes long.
    ``command`` is what repeats the run. ``decisions`` are those that a resolved recipe recorded.
    """

    overwrite: bool = False
    smoke: bool = False
    require_gain: bool = False
    device: str | None = None
    command: str | None = None
    say: Say = print
    progress: Progress | None = None
    decisions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, ``report.json`` as read, and the audit of the data."""

    folder: Path
    report: Mapping[str, Any]
    audit: Audit

    @property
    def model(self) -> Path:
        """The model to ship."""
        return self.folder / "model"

    @property
    def better(self) -> bool:
        return bool(self.report["verdict"] == "better")


@dataclass(frozen=True)
class Prepared:
    """Everything that is known before the first step."""

    recipe: Recipe
    data: Gathered
    encoder: Encoder
    audit: Audit
    plan: Plan


def run(recipe: Recipe, out: Path, *, folder: Path | None = None, options: Options | None = None) -> Run:
    """Train on the data of a recipe and compare base and tuned model on held-out rows.

    Writes the run folder ``out``; ``folder`` is where relative paths of the recipe start after the
    current one. Raises InputError for what the person can mend, GainNotShownError where
    ``require_gain`` asked for a gain that is not there.
    """
    options = options or Options()
    home = RunFolder(out)
    home.refuse_unless_free(options.overwrite)
    with tempfile.TemporaryDirectory(prefix="sbert-triplet-") as scratch:
        ready = prepare(recipe, Path(scratch), folder, options)
        refuse_errors(ready.audit)
        home.start(_needed_bytes(ready.encoder))
        home.write_text("recipe.yaml", resolved_yaml(ready.recipe, ready.plan.decisions))
        home.write_json("data.json", data_record(ready))
        held_out = measured_on(ready.data, choose_metrics(ready.recipe, ready.data))
        evidence = Evidence(
            ready.recipe,
            ready.data,
            held_out,
            ready.encoder,
            training_precision=ready.plan.settings.precision,
            progress=options.progress,
        )
        options.say(f"Measuring the base model on {evidence.size()}, in {evidence.precision}")
        before = evidence.measure()
        options.say(f"Training: {ready.plan.sentence()}")
        trained = train(ready.data, ready.encoder, ready.plan, home.path, evidence, options.progress)
        options.say(f"Trained {trained.steps} steps in {trained.seconds:.0f} s; measuring the tuned model")
        after = evidence.measure()
        found = gather_evidence(evidence, before, after, home.path / "predictions")
        shipped = save_models(home.path, ready, trained, found)
    report = report_of(ready, trained, found, shipped, out, options.command, evidence.precision)
    home.write_json("report.json", report)
    write_report(home.path)
    _conclude(options.say, report, out)
    if options.require_gain and report["verdict"] != "better":
        raise GainNotShownError(f"{report['main_metric']}: {report['verdict']} than the base model")
    return Run(out, report, ready.audit)


def prepare(recipe: Recipe, scratch: Path, folder: Path | None, options: Options) -> Prepared:
    """Load data and encoder, audit, and decide what was left open."""
    set_seed(recipe.train.seed)
    if options.smoke:
        recipe = smoke(recipe)
    loaded = None if options.smoke else load_encoder(recipe, options.device)
    if loaded is not None:
        options.say(f"Encoder: {loaded.resolved.sentence()}")
    data = Gatherer(recipe, folder, scratch, options.say).gather()
    encoder = loaded or Encoder.tiny(recipe, data)
    try:
        loss = choose_loss(recipe, data.kind)
        measured_on(data, choose_metrics(recipe, data))
        plan = plan_training(recipe, data, encoder, loss, options.decisions, options.say)
    except ValueError as error:
        raise InputError(str(error)) from error
    audit = audit_data(plan.recipe, data, encoder, plan)
    for level, code, count, message, rows in audit.table():
        where = f" (rows {rows})" if rows else ""
        options.say(f"{level}: {code}{f' x {count}' if count else ''}: {message}{where}")
    options.say(data.method)
    for note in data.notes:
        options.say(f"note: {note}")
    return Prepared(plan.recipe, data, encoder, audit, plan)


def check(recipe: Recipe, *, folder: Path | None = None, options: Options | None = None) -> Prepared:
    """The audit alone: nothing is trained and no run folder is made."""
    options = options or Options()
    with tempfile.TemporaryDirectory(prefix="sbert-triplet-") as scratch:
        ready = prepare(recipe, Path(scratch), folder, options)
        options.say(expected(ready.plan, ready.encoder))
        return ready


def refuse_errors(audit: Audit) -> None:
    """Raise InputError where a finding stands in the way of training."""
    if audit.errors:
        raise InputError("\n".join(finding.message for finding in audit.errors))


def data_record(ready: Prepared) -> dict[str, Any]:
    """``data.json``."""
    data = ready.data
    return {
        "sources": list(data.sources),
        "fingerprint": data.fingerprint,
        "kind": data.kind.value,
        "roles": dict(data.roles),
        "rows": {"train": len(data.train), "dev": len(data.dev), "test": len(data.test)},
        "texts": len(data.texts),
        "documents": len(data.pool),
        "split": data.method,
        "notes": list(data.notes),
        **ready.audit.as_json(),
    }


def smoke(recipe: Recipe) -> Recipe:
    """The recipe made small: a few rows, a few steps."""
    train = recipe.train.model_copy(
        update={"max_steps": 3, "batch_size": min(recipe.train.batch_size or 16, 16), "max_seconds": None}
    )
    data = recipe.data.model_copy(update={"limit": min(recipe.data.limit or 240, 240)})
    return recipe.model_copy(update={"train": train, "data": data, "max_length": None})


def _needed_bytes(encoder: Encoder) -> int:
    weights = sum(p.numel() * p.element_size() for p in encoder.model.parameters())
    return 3 * weights + (64 << 20)


def _conclude(say: Say, report: Mapping[str, Any], out: Path) -> None:
    say("")
    for name, entry in report["metrics"].items():
        say(
            f"{name:<20} base {_number(entry['base'])}   tuned {_number(entry['tuned'])}   "
            f"difference {_number(entry['difference'], sign=True)} "
            f"({_number(entry['low'], sign=True)} to {_number(entry['high'], sign=True)}, n = {entry['n']})"
        )
    for name, value in (report.get("bm25") or {}).items():
        if name == report["main_metric"]:
            say(f"{name:<20} BM25 {_number(value)}")
    say("")
    say(f"Verdict on {report['main_metric']}: {report['verdict']}. {report['sentence']}")
    say(f"Report: {out / 'report.html'}")
    say(f"Model:  {out / 'model'} (the {report['shipped']} model)")


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "undefined"
    return f"{value:+.3f}" if sign else f"{value:.3f}"
