"""What a quarter, half and all of the training rows gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sbert_triplet.reporting import charts, numbers
from sbert_triplet.reporting.html import element, join
from sbert_triplet.reporting.marks import difference_scale, interval_axis, interval_mark
from sbert_triplet.reporting.record import Change, RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.sections.results import difference_cell
from sbert_triplet.reporting.tables import Cell, Column, Table
from sbert_triplet.reporting.text import markdown_escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 220


def draw(run: RunRecord) -> Section | None:
    """None where no learning curve was asked for."""
    part = run.part("learning_curve")
    listed = part.get("points")
    points = [mapping(point) for point in listed] if isinstance(listed, list) else []
    if not points:
        return None
    metric, sentence = str(part.get("metric") or "the main metric"), str(part.get("sentence") or "")
    changes = [Change.from_json(numbers.share(point.get("share")), point) for point in points]
    rows = [numbers.number(point.get("rows")) or 0.0 for point in points]
    steps = [numbers.count(point.get("steps")) for point in points]
    about = (
        "The same training on parts of the rows, with as many epochs, tried on the same held-out rows: the "
        f"gain in {metric} over the base model, with its 95 % interval."
    )
    described = ", ".join(
        f"{numbers.count(count)} rows {numbers.signed(change.difference)}"
        for count, change in zip(rows, changes, strict=True)
    )
    panel = charts.chart(
        "learning-curve", f"Gain in {metric}", f"Gain by rows: {described}", _curve(rows, changes), HEIGHT
    )
    table = _table(rows, steps, changes)
    html = join(
        [
            paragraph(element("b", sentence)) if sentence else None,
            paragraph(about),
            element("div", panel, class_="charts"),
            table.html(),
        ]
    )
    lines = [markdown_escape(sentence), markdown_escape(about), table.markdown()]
    return Section(
        "learning-curve", "Would more data help?", html, "\n\n".join(line for line in lines if line)
    )


def _curve(rows: Sequence[float], changes: Sequence[Change]) -> Callable[[Axes], None]:
    def paint(axes: Axes) -> None:
        known = [
            (row, change) for row, change in zip(rows, changes, strict=True) if change.difference is not None
        ]
        xs = [row for row, _ in known]
        ys = [float(change.difference or 0.0) for _, change in known]
        axes.axhline(0, color=charts.MUTED, linewidth=1, linestyle="--")
        axes.plot(xs, ys, color=charts.TUNED, marker="o", markersize=5)
        for row, change in known:
            if change.low is not None and change.high is not None:
                axes.plot([row, row], [change.low, change.high], color=charts.TUNED, linewidth=1.4)
        axes.set_xlabel("training rows")
        axes.set_xticks(xs, [numbers.count(row) for row in xs])
        axes.margins(x=0.08)

    return paint


def _table(rows: Sequence[float], steps: Sequence[str], changes: Sequence[Change]) -> Table:
    scale = difference_scale(changes)
    columns = [Column("Of the rows"), Column("Rows", numeric=True), Column("Steps", numeric=True)]
    columns += [
        Column("Tuned", numeric=True),
        Column("Gain", numeric=True),
        Column("95 % interval", drawn=True),
    ]
    cells = [
        [
            Cell(change.name),
            Cell(numbers.count(count), order=count),
            Cell(taken),
            Cell(numbers.fixed(change.tuned), order=change.tuned),
            difference_cell(change),
            Cell("", interval_mark(change, scale), order=change.difference),
        ]
        for count, taken, change in zip(rows, steps, changes, strict=True)
    ]
    foot = [Cell("", interval_axis(scale)) if column.drawn else "" for column in columns]
    return Table("Parts of the rows", columns, cells, foot)
