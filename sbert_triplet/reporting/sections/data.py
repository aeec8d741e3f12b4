"""The data: where it came from, what each column was taken for, the split, and what the audit found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.record import RunRecord, mapping
from sbert_triplet.reporting.section import Section, facts, paragraph
from sbert_triplet.reporting.tables import Cell, Column, Table
from sbert_triplet.reporting.text import markdown_escape

ROWS_SHOWN = 12
"""Row numbers shown of a finding; data.json has all of them."""

_LEVELS = {"error": 0, "warning": 1}
_SPLITS = ("train", "dev", "test")
Finding = Mapping[str, Any]


def draw(run: RunRecord) -> Section | None:
    """None where neither report.json nor data.json says anything of the data."""
    data = run.part("data")
    findings = [found for found in listed(run.data.get("findings")) if isinstance(found, Mapping)]
    lengths = {str(role): mapping(figures) for role, figures in mapping(run.data.get("lengths")).items()}
    if not data and not findings and not lengths:
        return None
    rows = _rows(mapping(data.get("rows")))
    roles = ((f"Role: {role}", _column(column)) for role, column in mapping(data.get("roles")).items())
    html = join(
        [
            facts(
                (
                    "Source",
                    join([element("code", source_name(s)) for s in listed(data.get("sources"))], ", "),
                ),
                ("Kind", data.get("kind")),
                *roles,
                ("Rows", rows),
                ("Split", data.get("split")),
                ("Fingerprint", element("code", data["fingerprint"]) if data.get("fingerprint") else None),
            ),
            element("ul", *(element("li", note) for note in listed(data.get("notes"))))
            if data.get("notes")
            else None,
            *_findings(findings, run),
            *_lengths(lengths),
        ]
    )
    return Section("data", "The data", html, _markdown(data, rows, findings, lengths))


def listed(value: object) -> Sequence[Any]:
    """``value`` as a list: None is empty, one text is a list of one."""
    if value is None:
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def source_name(source: object) -> str:
    """What a source is called: a text, or the first name that its mapping gives."""
    for key in ("name", "path", "source"):
        if mapping(source).get(key):
            return str(mapping(source)[key])
    return str(source)


def _column(column: object) -> Html:
    return element("code", str(column).replace("\n", "\\n"))


def _rows(rows: Mapping[str, Any]) -> str:
    names = [*(name for name in _SPLITS if name in rows), *(name for name in rows if name not in _SPLITS)]
    return ", ".join(f"{name} {numbers.count(rows[name])}" for name in names)


def _findings(findings: Sequence[Finding], run: RunRecord) -> list[Html]:
    if not findings:
        return [paragraph("The audit found nothing to report.")] if "findings" in run.data else []
    columns = [
        Column("Finding"),
        Column("Level"),
        Column("Rows", numeric=True),
        Column("What"),
        Column("Row numbers"),
    ]
    rows = [
        [
            Cell(_readable(found.get("code"))),
            Cell(str(found.get("level", "")), order=_LEVELS.get(str(found.get("level")), 2)),
            Cell(numbers.count(found.get("count")), order=numbers.number(found.get("count"))),
            Cell(str(found.get("message", "")), element("bdi", found.get("message", ""))),
            Cell(_row_numbers(listed(found.get("rows")))),
        ]
        for found in findings
    ]
    return [element("h3", "What the audit found"), Table("Findings of the audit", columns, rows).html()]


def _row_numbers(rows: Sequence[object]) -> str:
    shown = ", ".join(str(row) for row in rows[:ROWS_SHOWN])
    return f"{shown} and {numbers.count(len(rows) - ROWS_SHOWN)} more" if len(rows) > ROWS_SHOWN else shown


def _lengths(lengths: Mapping[str, Mapping[str, Any]]) -> list[Html]:
    return [element("h3", "Lengths and truncation"), _lengths_table(lengths).html()] if lengths else []


def _lengths_table(lengths: Mapping[str, Mapping[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for figures in lengths.values() for name in figures))
    columns = [Column("Role"), *(Column(_readable(name), numeric=True) for name in names)]
    rows = [
        [
            Cell(role),
            *(
                Cell(_length(name, figures.get(name)), order=numbers.number(figures.get(name)))
                for name in names
            ),
        ]
        for role, figures in lengths.items()
    ]
    return Table("Lengths of the texts in tokens", columns, rows)


def _length(name: str, value: object) -> str:
    return numbers.share(value) if "share" in name else numbers.compact(value)


def _readable(name: object) -> str:
    return str(name or "").replace("_", " ").replace("-", " ").capitalize()


def _markdown(
    data: Mapping[str, Any], rows: str, findings: Sequence[Finding], lengths: Mapping[str, Mapping[str, Any]]
) -> str:
    """Counts alone: a finding's message, a source's path and a note may quote the data."""
    parts = []
    if data.get("fingerprint"):
        parts.append(f"Fingerprint of the data: {markdown_escape(data['fingerprint'])}")
    if rows:
        parts.append(f"Rows: {markdown_escape(rows)}")
    if findings:
        columns = [Column("Finding"), Column("Level"), Column("Rows", numeric=True)]
        counted = [
            [_readable(found.get("code")), str(found.get("level", "")), numbers.count(found.get("count"))]
            for found in findings
        ]
        parts.append(Table("Findings", columns, counted).markdown())
    if lengths:
        parts.append(_lengths_table(lengths).markdown())
    return "\n\n".join(parts)
