"""What comes before the first step: data and encoder, the audit, and what was left open decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from transformers import set_seed

from sbert_triplet.data.wording import listed
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.audit import Audit
from sbert_triplet.evaluation.held_out import HeldOut
from sbert_triplet.evaluation.suites import LoadedSuite
from sbert_triplet.pipeline.checking import audit_data, notes_on_prompts
from sbert_triplet.pipeline.decide import choose_metrics
from sbert_triplet.pipeline.documents import documents_seen
from sbert_triplet.pipeline.evidence import measured_on, refuse_unknown_slices
from sbert_triplet.pipeline.gather import Gatherer
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.measured_data import suite_of
from sbert_triplet.pipeline.options import Options
from sbert_triplet.pipeline.plan import Plan, plan_training
from sbert_triplet.pipeline.recorded import recorded_yaml
from sbert_triplet.pipeline.smoke import smoke
from sbert_triplet.pipeline.start import Encoder, device_named, load_encoder
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.processes import join
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.checkpoints import Checkpoint
from sbert_triplet.training.sharding import refuse_parted_encoder


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
            refuse_errors(audit, data)
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


def refuse_errors(audit: Audit, data: Gathered) -> None:
    """Raise InputError, naming the sources, where a finding stands in the way of training."""
    if audit.errors:
        found = "\n".join(finding.message + finding.where() for finding in audit.errors)
        raise InputError(f"{listed(data.sources)}: {found}")
