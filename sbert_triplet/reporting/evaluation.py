"""Models side by side, drawn from ``evaluation.json``: as lines for a terminal, and as Markdown.

Figures alone: no text of the data is in either.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from sbert_triplet.data.wording import times
from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.evaluation_tables import (
    DIGITS,
    Columns,
    compared_cell,
    counted_items,
    tables,
    undefined_if_null,
    value_of,
)
from sbert_triplet.reporting.plain_table import WIDTH, Cell, folded_table
from sbert_triplet.reporting.record import mapping
from sbert_triplet.reporting.tables import Column, Table
from sbert_triplet.reporting.text import markdown_escape

_FURTHER = (
    "The first metric of each task is that of the table of quality, with the same p. The p-values of all "
    "others are adjusted by Holm among themselves."
)


_BEST_CUT = "The threshold of the highest F1, chosen on these very pairs, and what it gives on them:"
_AT_THE_CUT = ("precision", "recall", "f1")


def evaluation_lines(record: Mapping[str, Any], *, width: int = WIDTH) -> list[str]:
    """What a person reads at the end: quality, compressed quality, cost, seeds, MTEB."""
    lines: list[str] = []
    for title, names, columns, legend in tables(record):
        lines += ["", title, "", *folded_table(names, columns, width=width)]
        lines += ["", *textwrap.wrap(legend, width)] if legend else []
    return [*lines, *_seed_lines(record), ""]


def evaluation_markdown(record: Mapping[str, Any]) -> str:
    """The same as Markdown, with every metric of every task."""
    name = record.get("name")
    parts = [f"# Models side by side{f': {markdown_escape(name)}' if name else ''}"]
    for title, names, columns, legend in tables(record):
        parts.append(f"## {title}\n\n{_as_markdown(names, columns)}")
        parts += [legend] if legend else []
    if record["tasks"]:
        parts.append("## Every metric")
        parts += [_FURTHER] if any(row.get("against_first") for row in record["models"]) else []
        parts += [_every_metric(record, task) for task in record["tasks"]]
    parts += [line for line in _seed_lines(record) if line]
    parts += [f"- {markdown_escape(note)}" for note in record.get("notes", ())]
    settings, machine = mapping(record.get("settings")), mapping(record.get("environment"))
    parts.append(
        f"Measured in {settings.get('precision')} on {settings.get('device')}, "
        f"{markdown_escape(machine.get('processor') or machine.get('platform'))}, "
        f"{numbers.count(machine.get('cores'))} cores. Command: `{record.get('command')}`"
    )
    return "\n\n".join(parts) + "\n"


def _every_metric(record: Mapping[str, Any], task: Mapping[str, Any]) -> str:
    rows = [row for row in record["models"] if task["name"] in mapping(row.get("results"))]
    columns: Columns = [
        (
            (metric,),
            [
                compared_cell(
                    value_of(row, task["name"], metric),
                    mapping(mapping(row.get("against_first")).get(task["name"])).get(metric),
                )
                for row in rows
            ],
        )
        for metric in task["metrics"]
    ]
    about = times(counted_items(task), "item", "items")
    if task.get("documents") is not None:
        about += f", {times(task['documents'], 'document', 'documents')}"
    if task.get("left_out"):
        about += f"; left out: {times(task['left_out'], 'query', 'queries')} without a relevant document"
    parts = [f"### {markdown_escape(task['name'])}", f"{about}."]
    parts += [_as_markdown([row["label"] for row in rows], columns), *_best_cut(rows, task["name"])]
    return "\n\n".join(parts)


def _best_cut(rows: Sequence[Mapping[str, Any]], task: str) -> list[str]:
    """The threshold of the best F1 of each row that has one, where pairs belong together or not."""
    cuts = {row["label"]: cut for row in rows if (cut := mapping(mapping(row.get("thresholds")).get(task)))}
    if not cuts:
        return []
    columns: Columns = [
        ((title,), [(numbers.fixed(cut.get(key), DIGITS),) for cut in cuts.values()])
        for title, key in (("Similarity from", "similarity"), *((k.capitalize(), k) for k in _AT_THE_CUT))
    ]
    return [_BEST_CUT, _as_markdown(list(cuts), columns)]


def _as_markdown(names: Sequence[str], columns: Columns) -> str:
    heads = [Column(""), *(Column(" ".join(head), numeric=True) for head, _ in columns)]
    rows = [
        [
            f"· {name.strip()}" if name.startswith(" ") else name,
            *(_in_one_line(cells[place]) for _, cells in columns),
        ]
        for place, name in enumerate(names)
    ]
    return Table("", heads, rows).markdown()


def _in_one_line(cell: Cell) -> str:
    value, *rest = cell
    return f"{value} ({'; '.join(rest)})" if rest else value


def _seed_lines(record: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for group in record.get("seeds", ()):
        labels = mapping(group.get("labels"))
        lines += ["", "One recipe, several seeds: " + ", ".join(f"{v} (seed {k})" for k, v in labels.items())]
        for task, entry in mapping(group.get("values")).items():
            values = " ".join(_measured(value) for value in entry["by_seed"])
            lines.append(f"  {task}: {values}, mean {_measured(entry['mean'])}")
            over = mapping(mapping(group.get("against_first")).get(task))
            if over:
                lines.append(f"    against {record['first']}, {over['sentence']}")
    return lines


def _measured(value: object) -> str:
    return numbers.fixed(undefined_if_null(value), DIGITS)
