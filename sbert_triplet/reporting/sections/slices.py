"""Results by the values of a column that was kept for it."""

from __future__ import annotations

from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.marks import difference_scale, interval_axis, interval_mark
from sbert_triplet.reporting.record import Change, RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.sections.results import difference_cell
from sbert_triplet.reporting.tables import Cell, Column, Table


def draw(run: RunRecord) -> Section | None:
    """None where no slices were asked for. Values of a column are the person's data: no Markdown."""
    slices = {
        str(column): mapping(values) for column, values in run.part("slices").items() if mapping(values)
    }
    if not slices:
        return None
    tables = [
        _slice(column, [Change.from_json(str(k), v) for k, v in values.items()])
        for column, values in slices.items()
    ]
    metric = paragraph(
        f"{run.main_metric}, by the values of a column." if run.main_metric else "By the values of a column."
    )
    caution = "A slice with few rows has a wide interval; among many slices a few stand out by chance."
    return Section("slices", "Results by slice", join([metric, *tables, paragraph(caution, class_="muted")]))


def _slice(column: str, changes: list[Change]) -> Html:
    scale = difference_scale(changes)
    columns = [
        Column(column),
        Column("n", numeric=True),
        Column("Base", numeric=True),
        Column("Tuned", numeric=True),
    ]
    columns += [Column("Difference", numeric=True), Column("95 % interval", drawn=True)]
    rows = [
        [
            Cell(change.name, element("bdi", change.name)),
            Cell(numbers.count(change.n), order=change.n),
            Cell(numbers.fixed(change.base), order=change.base),
            Cell(numbers.fixed(change.tuned), order=change.tuned),
            difference_cell(change),
            Cell("", interval_mark(change, scale), order=change.difference),
        ]
        for change in changes
    ]
    foot = [Cell("", interval_axis(scale)) if shown.drawn else "" for shown in columns]
    return Table(f"By {column}", columns, rows, foot).html()
