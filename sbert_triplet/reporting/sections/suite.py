"""Base against tuned on the tasks of a suite, beside the run's own held-out rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import join
from sbert_triplet.reporting.record import Change, RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.sections.results import metrics_table
from sbert_triplet.reporting.text import markdown_escape


def draw(run: RunRecord) -> Section | None:
    """None where the run measured no suite."""
    suite = run.part("suite")
    tasks = {str(name): mapping(entry) for name, entry in mapping(suite.get("tasks")).items()}
    if not tasks:
        return None
    changes = [_main(name, task) for name, task in tasks.items()]
    table = metrics_table("Main metric of each task", changes, heading="Task")
    notes = [_about(suite, len(tasks)), *_averages(suite), *_seen(tasks)]
    html = join([*(paragraph(note) for note in notes), table.html()])
    markdown = "\n\n".join([*map(markdown_escape, notes), table.markdown()])
    return Section("suite", "Suite", html, markdown)


def _main(name: str, task: Mapping[str, Any]) -> Change:
    """The main metric of a task, with its adjusted p-value."""
    metric = str(task.get("main_metric"))
    change = Change.from_json(f"{name} ({metric})", mapping(task.get("metrics")).get(metric))
    return replace(change, p_value=change.decisive_p)


def _about(suite: Mapping[str, Any], tasks: int) -> str:
    adjusted = f"; p-values are adjusted by Holm for the {tasks} tasks" if tasks > 1 else ""
    return f"The suite {suite.get('name')}, beside the run's own held-out rows{adjusted}."


def _averages(suite: Mapping[str, Any]) -> list[str]:
    average = mapping(suite.get("average"))
    base, tuned = numbers.number(average.get("base")), numbers.number(average.get("tuned"))
    if base is None or tuned is None:
        return []
    return [f"Mean over the tasks: base {numbers.fixed(base)}, tuned {numbers.fixed(tuned)}."]


def _seen(tasks: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Which tasks the training rows gave away."""
    found = [
        f"{numbers.count(count)} of {name}"
        for name, task in tasks.items()
        if (count := numbers.number(task.get("items_seen_in_training")))
    ]
    if not found:
        return []
    return [f"Items whose texts were all trained on, which flatter the tuned model: {', '.join(found)}."]
