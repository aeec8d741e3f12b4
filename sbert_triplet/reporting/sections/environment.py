"""The model, what training cost, and on what machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import element, join
from sbert_triplet.reporting.record import RunRecord, mapping
from sbert_triplet.reporting.section import Section, facts
from sbert_triplet.reporting.text import markdown_escape, without_folders

_VERSIONS = ("python", "torch", "sentence_transformers", "transformers")
Pairs = list[tuple[str, str]]


def draw(run: RunRecord) -> Section | None:
    """None where the report says nothing of model, cost or machine."""
    model, cost, machine = _model(run), _cost(run), _machine(run)
    groups = [("Model", model), ("Cost of training", cost), ("Machine and versions", machine)]
    shown = [(title, pairs) for title, pairs in groups if pairs]
    if not shown:
        return None
    html = element("div", *(element("div", element("h3", t), facts(*p)) for t, p in shown), class_="columns")
    prompts = mapping(run.part("model").get("prompts"))
    prompt_facts = facts(
        *((f"Prompt “{name}”", element("q", text)) for name, text in prompts.items() if text)
    )
    lines = [
        f"- {name}: {markdown_escape(without_folders(value))}" for _, pairs in shown for name, value in pairs
    ]
    return Section("environment", "Model, cost and machine", join([html, prompt_facts]), "\n".join(lines))


def _model(run: RunRecord) -> Pairs:
    model = run.part("model")
    return _known(
        ("Base model", str(model.get("name") or "")),
        ("Read from", str(model.get("resolved") or "")),
        ("Dimensions", numbers.count(model.get("dimensions"))),
        ("Longest input", f"{numbers.count(model.get('max_length'))} tokens"),
        ("Similarity", str(model.get("similarity") or "")),
        ("Parameters", numbers.count(model.get("parameters"))),
    )


def _cost(run: RunRecord) -> Pairs:
    train = run.part("train")
    return _known(
        ("Time", numbers.seconds(train.get("seconds"))),
        ("Steps", numbers.count(train.get("steps"))),
        ("Batch size", numbers.count(train.get("batch_size"))),
        ("Rows per second", numbers.compact(train.get("rows_per_second"))),
        ("Tokens per second", numbers.count(train.get("tokens_per_second"))),
        ("Peak memory", numbers.size(train.get("peak_memory_bytes"))),
        ("Energy, estimated", _energy(mapping(train.get("energy")))),
        ("Precision", str(train.get("precision") or "")),
        ("Threads", numbers.count(train.get("threads"))),
        (
            "Loss, first to last",
            f"{numbers.compact(train.get('loss_first'))} to {numbers.compact(train.get('loss_last'))}",
        ),
    )


def _energy(found: Mapping[str, Any]) -> str:
    """An estimate, with what it was reckoned from: nothing here was measured but the time."""
    hours = numbers.number(found.get("watt_hours"))
    if hours is None:
        return ""
    shown = f"{numbers.compact(hours)} Wh" if hours < 1000 else f"{numbers.compact(hours / 1000)} kWh"
    return f"{shown}, reckoned from the time and {found.get('basis')}; not measured"


def _machine(run: RunRecord) -> Pairs:
    machine = run.part("environment")
    versions = [(name.replace("_", "-"), str(machine.get(name) or "")) for name in _VERSIONS]
    return _known(
        ("Processor", str(machine.get("processor") or "")),
        ("Cores", numbers.count(machine.get("cores"))),
        ("Memory", numbers.size(machine.get("memory_bytes"))),
        ("Platform", str(machine.get("platform") or "")),
        *versions,
    )


def _known(*pairs: tuple[str, str]) -> Pairs:
    return [(name, value) for name, value in pairs if value and not value.startswith(numbers.NONE)]
