"""The model card: what a README.md beside the weights says. Figures and settings, and no text of the data."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from sbert_triplet.errors import InputError
from sbert_triplet.publishing.card_facts import (
    data_section,
    examples_section,
    hub_data,
    limits_section,
    purpose_section,
)
from sbert_triplet.publishing.card_usage import usage
from sbert_triplet.publishing.citations import papers
from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.record import Change, mapping
from sbert_triplet.reporting.sections.results import pool_sentence
from sbert_triplet.reporting.sections.threshold import threshold_sentence
from sbert_triplet.reporting.sections.verdict import HEADLINES, change_sentence, set_by_recipe
from sbert_triplet.reporting.sections.weight_line import is_between, way
from sbert_triplet.reporting.tables import Cell, Column, Table
from sbert_triplet.reporting.text import clean, markdown_escape, markdown_fence, one_line, without_folders

TAGS = ("sentence-transformers", "sentence-similarity", "feature-extraction", "sbert-triplet")

_TASKS = {
    "retrieval": ("information-retrieval", "Information Retrieval"),
    "scored pairs": ("semantic-similarity", "Semantic Similarity"),
    "binary pairs": ("binary-classification", "Binary Classification"),
    "triplets": ("triplet", "Triplet"),
    "labelled text": ("text-classification", "Text Classification"),
}
_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_HELD_OUT = "held-out rows of the training data's source"
_CHOSEN_ON_DEV = (
    "The weights here are those of the base model, unchanged: dev rows and the general check chose them "
    "before a test row was looked at.{settings}"
)
_SHIPPED = {
    "tuned": "The weights here are the tuned ones.",
    "base": "The weights here are those of the base model, unchanged, because tuning was not shown to "
    "help.{settings}",
    "interpolated": "The weights here lie on the straight line between base and tuned{way}; what is said "
    "of the tuned model is said of them.",
}


@dataclass(frozen=True)
class Beside:
    """What a card says beyond the report, where the model leaves the machine.

    ``name``: the repository on the Hub; ``folder``: where its portable form lies; ``limits``: consumers that
    cannot load it; ``figures``: (path, title) of plots; ``data_licence``: of the rows; ``examples``: texts of
    the data, which are quoted.
    """

    name: str | None = None
    folder: Path | None = None
    limits: tuple[str, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
    data_licence: str | None = None
    examples: tuple[str, ...] = ()


def card_text(
    report: Mapping[str, Any],
    recipe_yaml: str,
    *,
    base_model: str,
    licence: str | None,
    shipped: str,
    beside: Beside | None = None,
) -> str:
    """The text of ``README.md``: YAML front matter as the Hub reads it, then the card.

    ``report`` is ``report.json``, ``recipe_yaml`` the resolved recipe, ``shipped`` what the weights
    are ("tuned", "base", "interpolated"): the front matter's model index gives the figures of these
    weights. Interpolated ones are what the report calls tuned. Of paths only the last part is written.
    Nothing of the data is quoted (no rows, no slices, no messages of the audit) but the examples of
    ``beside``.

    Raises InputError where ``recipe_yaml`` is no YAML.
    """
    beside = beside or Beside()
    changes = [Change.from_json(str(name), entry) for name, entry in mapping(report.get("metrics")).items()]
    main = str(report.get("main_metric"))
    changes.sort(key=lambda change: change.name != main)
    recipe = publishable_recipe(recipe_yaml)
    prompts = {str(name): str(text or "") for name, text in _prompts(report).items()}
    changed = set_by_recipe(recipe_yaml)
    sections = [
        _introduction(report, changes, without_folders(base_model), shipped, changed=changed),
        usage(prompts, name=beside.name, folder=beside.folder, limits=beside.limits),
        _results(report, changes, shipped),
        *(_figures(beside.figures)),
        data_section(report, beside.data_licence),
        purpose_section(report),
        limits_section(report, changes),
        _training(report, recipe),
        _citations(recipe, report),
        *([examples_section(beside.examples)] if beside.examples else []),
    ]
    matter = _front_matter(report, changes, base_model, licence, shipped)
    return f"---\n{matter}\n---\n\n" + "\n\n".join(sections) + "\n"


def _prompts(report: Mapping[str, Any]) -> Mapping[str, Any]:
    return mapping(mapping(report.get("model")).get("prompts"))


def _figures(figures: Iterable[tuple[str, str]]) -> list[str]:
    return [f"![{markdown_escape(title)}]({path})" for path, title in figures]


def _citations(recipe: str, report: Mapping[str, Any]) -> str:
    entries = "\n\n".join(paper.bibtex() for paper in papers(mapping(yaml.safe_load(recipe)), report))
    return "## Citation\n\nWhat this model rests on:\n\n" + markdown_fence(entries, "bibtex")


def _front_matter(
    report: Mapping[str, Any], changes: Iterable[Change], base_model: str, licence: str | None, shipped: str
) -> str:
    task, task_name = _TASKS.get(str(report.get("task")), ("sentence-similarity", "Sentence Similarity"))
    entries = mapping(report.get("metrics"))
    model = "base" if shipped == "base" else "tuned"
    values = {change.name: numbers.number(mapping(entries.get(change.name)).get(model)) for change in changes}
    results = [
        EvalResult(
            task_type=task,
            task_name=task_name,
            dataset_type="unknown",
            dataset_name=_HELD_OUT,
            dataset_split="test",
            metric_type=metric_type(name),
            metric_name=one_line(name),
            metric_value=round(value, 6),
        )
        for name, value in values.items()
        if value is not None and value == value
    ]
    card = ModelCardData(
        base_model=base_model if _of_the_hub(base_model) else None,
        library_name="sentence-transformers",
        pipeline_tag="sentence-similarity",
        license=licence,
        tags=list(TAGS),
        datasets=hub_data(report) or None,
        metrics=[metric_type(name) for name in values],
        model_name=one_line(report.get("name") or "model"),
        eval_results=results or None,
    )
    return card.to_yaml(line_break="\n")


def _of_the_hub(name: str) -> bool:
    return without_folders(name) == name and _HUB_ID.fullmatch(name) is not None


def metric_type(name: str) -> str:
    """A metric's name as the Hub's listings write it: ``nDCG@10`` is ``ndcg_at_10``."""
    spelled = one_line(name).lower().replace("@", "_at_")
    return "".join(sign if sign.isalnum() else "_" for sign in spelled)


def _introduction(
    report: Mapping[str, Any], changes: list[Change], base_model: str, shipped: str, *, changed: str
) -> str:
    """``changed``: what of the base model the recipe sets beside its weights."""
    model = mapping(report.get("model"))
    headline = HEADLINES.get(str(report.get("verdict")), "")
    verdict = f"**{headline}.** {markdown_escape(report.get('sentence') or '')}".strip() if headline else ""
    shape = [
        f"{numbers.count(model.get('dimensions'))} dimensions" if model.get("dimensions") else "",
        f"inputs of up to {numbers.count(model.get('max_length'))} tokens" if model.get("max_length") else "",
        f"{markdown_escape(model['similarity'])} similarity" if model.get("similarity") else "",
    ]
    task = f" for {markdown_escape(report['task'])}" if report.get("task") else ""
    before = "with the weights that it had" if changed else "as it was"
    about = f"A sentence-embedding model: {markdown_escape(base_model)}, "
    about += f"tuned with sbert-triplet{task}." if shipped != "base" else f"{before} before tuning{task}."
    about += f" It gives {', '.join(part for part in shape if part)}." if any(shape) else ""
    parts = [f"# {markdown_escape(report.get('name') or 'model')}", about, verdict]
    line = mapping(report.get("weight_line"))
    lies = _SHIPPED.get(shipped, "")
    if shipped == "base" and report.get("verdict") == "better":
        lies = _CHOSEN_ON_DEV
    lies = lies.format(
        way=f", at {way(line)}" if is_between(line) else "",
        settings=f" What the recipe sets beside them: {changed}." if changed else "",
    )
    parts += [markdown_escape(change_sentence(changes[0])) if changes else "", lies]
    return "\n\n".join(part for part in parts if part)


def _results(report: Mapping[str, Any], changes: Iterable[Change], shipped: str) -> str:
    parts = [
        "## Results",
        "Base and tuned model on the same held-out rows; differences with their 95 % intervals.",
    ]
    parts.append(_table(changes, mapping(report.get("bm25"))).markdown())
    parts += [sentence for sentence in (pool_sentence(report),) if sentence]
    general = mapping(report.get("general"))
    if general:
        check = Change.from_json(one_line(general.get("metric") or "general check"), general)
        parts.append(f"On everyday text unlike the training data: {markdown_escape(change_sentence(check))}")
    cut = mapping(mapping(report.get("thresholds")).get(shipped))
    if cut:
        parts.append(f"{markdown_escape(threshold_sentence(cut))} Chosen on dev rows; see calibration.json.")
    return "\n\n".join(parts)


def _table(changes: Iterable[Change], bm25: Mapping[str, Any]) -> Table:
    titles = ("BM25", "Base", "Tuned", "Difference", "95 % interval", "p", "n")
    columns = [
        Column("Metric"),
        *(Column(title, numeric=True) for title in titles if bm25 or title != "BM25"),
    ]
    rows = [
        [
            Cell(change.name),
            *([Cell(numbers.fixed(bm25.get(change.name)))] if bm25 else []),
            Cell(numbers.fixed(change.base)),
            Cell(numbers.fixed(change.tuned)),
            Cell(numbers.signed(change.difference)),
            Cell(numbers.interval(change.low, change.high)),
            Cell(numbers.p_value(change.p_value)),
            Cell(numbers.count(change.n)),
        ]
        for change in changes
    ]
    return Table("Results", columns, rows)


def _training(report: Mapping[str, Any], recipe: str) -> str:
    train, versions = (mapping(report.get(part)) for part in ("train", "environment"))
    facts = [
        ("Steps", numbers.count(train.get("steps"))),
        ("Time", numbers.seconds(train.get("seconds"))),
        ("Precision", train.get("precision")),
        *(
            (name.replace("_", "-"), versions.get(name))
            for name in ("sentence_transformers", "transformers", "torch")
        ),
    ]
    lines = [
        f"- {name}: {markdown_escape(value)}" for name, value in facts if value and value != numbers.NONE
    ]
    note = "The recipe as resolved (of paths, the last part):"
    return "\n\n".join(["## Training", "\n".join(lines), note, markdown_fence(recipe, "yaml")])


def publishable_recipe(recipe_yaml: str) -> str:
    """The recipe without its comments, and with the last part of every path of the machine it ran on.

    Raises InputError where the text is no YAML.
    """
    try:
        recipe = yaml.safe_load(clean(recipe_yaml))
    except yaml.YAMLError as error:
        raise InputError(f"recipe.yaml: not readable as YAML ({one_line(error)}); write it anew") from error
    return yaml.safe_dump(_without_folders(recipe), sort_keys=False, allow_unicode=True, width=100)


def _without_folders(value: object) -> object:
    if isinstance(value, Mapping):
        return {_without_folders(key): _without_folders(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_folders(part) for part in value]
    # A name is taken for a path only if it begins like one, so prompts and templates pass unchanged.
    shortened = without_folders(value) if isinstance(value, str) and "\n" not in value else value
    return shortened if isinstance(value, str) and shortened != one_line(value) else value
