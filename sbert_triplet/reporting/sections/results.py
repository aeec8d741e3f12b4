"""Base against tuned on the held-out rows, every metric with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import element, join
from sbert_triplet.reporting.marks import difference_scale, interval_axis, interval_mark
from sbert_triplet.reporting.record import Change, RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.tables import Cell, Column, Table


def draw(run: RunRecord) -> Section | None:
    """None where the report holds no metric."""
    if not run.changes:
        return None
    bm25 = {name: numbers.number(value) for name, value in run.part("bm25").items()}
    table = metrics_table("Metrics on held-out rows", run.changes, bm25)
    notes = [note for note in (pool_sentence(run.report), _groups_note(run)) if note]
    how_to_read = _reading_notes(run)
    legend = (
        "Point and line: the difference and its 95 % interval; dashed: no difference. Full circle: better; "
        "diamond: worse; ring: chance is not ruled out (the interval holds zero, or p is above .05). "
    )
    tests = (
        "Both models rank or score the same held-out rows. Intervals: paired bootstrap; "
        "p-values: paired randomisation test."
    )
    html = join(
        [
            *(paragraph(note) for note in notes),
            table.html(),
            paragraph(legend, tests, class_="muted"),
            *(paragraph(note, class_="muted") for note in how_to_read),
        ]
    )
    markdown = "\n\n".join([table.markdown(), *notes, tests, *how_to_read])
    return Section("results", "Base against tuned", html, markdown)


def metrics_table(
    caption: str,
    changes: Sequence[Change],
    bm25: Mapping[str, float | None] | None = None,
    heading: str = "Metric",
) -> Table:
    """A row a change; a BM25 column where it was measured."""
    scale = difference_scale(changes)
    columns = [Column(heading), *([Column("BM25", numeric=True)] if bm25 else [])]
    columns += [
        Column("Base", numeric=True),
        Column("Tuned", numeric=True),
        Column("Difference", numeric=True),
    ]
    columns += [Column("95 % interval", drawn=True), Column("p", numeric=True), Column("n", numeric=True)]
    rows = []
    for change in changes:
        row = [Cell(change.name)]
        if bm25:
            value = bm25.get(change.name)
            row.append(Cell(numbers.fixed(value), order=value))
        row += [
            Cell(numbers.fixed(change.base), order=change.base),
            Cell(numbers.fixed(change.tuned), order=change.tuned),
            difference_cell(change),
            Cell("", interval_mark(change, scale), order=change.difference),
            _p_cell(change),
            _n_cell(change),
        ]
        rows.append(row)
    foot = [Cell("", interval_axis(scale)) if column.drawn else "" for column in columns]
    return Table(caption, columns, rows, foot)


def _p_cell(change: Change) -> Cell:
    """The p-value, and under it that after Holm's adjustment where several metrics were looked at."""
    shown = numbers.p_value(change.p_value)
    adjusted = numbers.p_value(change.adjusted_p)
    if change.adjusted_p is None or adjusted == shown:
        return Cell(shown, order=change.p_value)
    return _two_lines(shown, f"adjusted {adjusted}", change.p_value)


def _n_cell(change: Change) -> Cell:
    """The number of items, and under it the smallest difference that so many can show."""
    shown = numbers.count(change.n)
    if change.detectable is None:
        return Cell(shown, order=change.n)
    return _two_lines(shown, f"shows {numbers.fixed(change.detectable)}", change.n)


def _two_lines(shown: str, beside: str, order: float | None) -> Cell:
    html = join([shown, element("small", beside)], " ")
    return Cell(f"{shown} ({beside})", html, order=order)


def difference_cell(change: Change) -> Cell:
    """The difference, and its interval under it."""
    shown = numbers.signed(change.difference)
    if change.low is None or change.high is None:
        return Cell(shown, order=change.difference)
    interval = numbers.interval(change.low, change.high)
    interval = f"≈ {interval}" if change.approximate else interval
    html = join([element("b", shown), element("small", interval)], " ")
    return Cell(f"{shown} ({interval})", html, order=change.difference)


def pool_sentence(report: Mapping[str, Any]) -> str:
    """How many documents each query was ranked against, and how many training had seen; else empty."""
    pool = mapping(report.get("pool"))
    if not pool:
        return ""
    queries, documents = numbers.count(pool.get("queries")), numbers.count(pool.get("documents"))
    text = f"{queries} queries, each against {documents} documents"
    seen = numbers.number(pool.get("documents_seen_in_training"))
    if seen is None:
        return f"{text}."
    return f"{text}; {numbers.share(seen)} of the test documents were seen in training."


def _reading_notes(run: RunRecord) -> list[str]:
    """How figures that stand only in some tables are to be read."""
    found, changes = [], run.changes
    if any(change.approximate for change in changes):
        found.append("≈: the interval is approximate, since too few items differ, or too unevenly.")
    if any(change.adjusted_p is not None and change.adjusted_p != change.p_value for change in changes):
        found.append(
            "Adjusted: the p-value after Holm's adjustment among the metrics beside the main one, by which "
            "they are judged: the more of them one looks at, the sooner one differs by chance."
        )
    if any(change.detectable is not None for change in changes):
        found.append(
            "Shows: the smallest true difference that so many rows show in four of five cases; a smaller one "
            "may be there and not be seen."
        )
    return found


def _groups_note(run: RunRecord) -> str:
    counts = {change.groups for change in run.changes if change.groups is not None}
    if not counts:
        return ""
    shown = " or ".join(numbers.count(value) for value in sorted(counts))
    return f"The rows come in {shown} groups, and the intervals resample whole groups."
