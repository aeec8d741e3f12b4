"""The line between base and tuned weights: dev and the general check at its points, and the choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sbert_triplet.reporting import charts, numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.record import RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.tables import Cell, Column, Table
from sbert_triplet.reporting.text import markdown_escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TITLE = "Between base and tuned weights"
ABOUT = (
    "Weights on the straight line from base (0) to tuned (1), measured on dev rows and by the general check "
    "(after a short training only where a point would be chosen). A point where that fell below the 95 % "
    "interval of the base model's own figure is ruled out; the best of the others is chosen. No test row "
    "had a part in it."
)
MARKS = (
    "Ring: chosen; cross: ruled out; dashed: the base; dotted: the least that is allowed; band: 95 % "
    "interval of the difference to the base."
)
MARKER, RING = 5, 12


@dataclass(frozen=True)
class _Point:
    at: float
    dev: float | None
    general: float | None
    low: float | None
    high: float | None
    allowed: bool

    @classmethod
    def from_json(cls, entry: object) -> _Point | None:
        figures = mapping(entry)
        at = numbers.number(figures.get("at"))
        dev, general, low, high = (
            numbers.number(figures.get(name)) for name in ("dev", "general", "general_low", "general_high")
        )
        return None if at is None else cls(at, dev, general, low, high, figures.get("allowed") is not False)


def draw(run: RunRecord) -> Section | None:
    """None where the run says nothing of the line."""
    line = run.part("weight_line")
    said = line_sentence(line)
    if not said:
        return None
    points = sorted(_points(line), key=lambda point: point.at)
    if not points:
        return Section("weight-line", TITLE, paragraph(said), markdown_escape(said))
    chosen = numbers.number(line.get("chosen"))
    metric = str(line.get("metric") or "main metric")
    table = _table(metric, points, chosen)
    cost = _cost(line)
    html = join(
        [
            paragraph(said),
            element("div", *_charts(metric, points, line), class_="charts"),
            table.html(),
            paragraph(f"{MARKS} {ABOUT} {cost}".rstrip(), class_="muted"),
        ]
    )
    markdown = "\n\n".join(
        [markdown_escape(said), table.markdown(), markdown_escape(f"{ABOUT} {cost}".rstrip())]
    )
    return Section("weight-line", TITLE, html, markdown)


def line_sentence(line: Mapping[str, Any]) -> str:
    """What came of the search, in words; empty where ``line``, ``weight_line`` of the report, is empty."""
    chosen, reason = numbers.number(line.get("chosen")), str(line.get("reason") or "")
    if not reason:
        return ""
    if not line.get("points"):
        return f"The line between base and tuned weights was not searched: {reason}."
    if chosen == 0:
        return f"On the line between base and tuned weights the base is kept: {reason}."
    where = f"the weights at {way(line)}" if is_between(line) else "the tuned weights"
    return f"On the line between base and tuned weights {where} are what the test rows judge: {reason}."


def way(line: Mapping[str, Any]) -> str:
    """``0.8 of the way``, where the chosen weights lie."""
    return f"{numbers.number(line.get('chosen')) or 0.0:g} of the way"


def is_between(line: Mapping[str, Any]) -> bool:
    """Whether the chosen weights are neither the base's nor the tuned ones."""
    chosen = numbers.number(line.get("chosen"))
    return chosen is not None and 0 < chosen < 1


def _points(line: Mapping[str, Any]) -> list[_Point]:
    listed = line.get("points")
    found = [_Point.from_json(entry) for entry in listed] if isinstance(listed, list) else []
    return [point for point in found if point is not None]


def _cost(line: Mapping[str, Any]) -> str:
    on, seconds = line.get("measured_on"), numbers.number(line.get("seconds"))
    parts = [f"on {on}" if on else "", f"in {numbers.seconds(seconds)}" if seconds is not None else ""]
    told = " ".join(part for part in parts if part)
    return f"Measured {told}." if told else ""


def _table(metric: str, points: Sequence[_Point], chosen: float | None) -> Table:
    general = any(point.general is not None for point in points)
    titles = ["General check", "Difference to base"] if general else []
    columns = [Column("Weights"), Column(f"{metric} on dev", numeric=True)]
    columns += [*(Column(title, numeric=True) for title in titles), Column("Choice")]
    rows = []
    for point in points:
        checked = [
            Cell(numbers.fixed(point.general), order=point.general),
            Cell("" if point.at == 0 else numbers.interval(point.low, point.high), order=point.low),
        ]
        remark = "chosen" if point.at == chosen else "" if point.allowed else "ruled out"
        rows.append(
            [
                Cell(_named(point.at), order=point.at),
                Cell(numbers.fixed(point.dev, 4), order=point.dev),
                *(checked if general else []),
                Cell(remark),
            ]
        )
    return Table("Points of the line", columns, rows)


def _named(at: float) -> str:
    return {0.0: "0 (base)", 1.0: "1 (tuned)"}.get(at, f"{at:g}")


def _charts(metric: str, points: Sequence[_Point], line: Mapping[str, Any]) -> list[Html]:
    chosen, floor = (numbers.number(line.get(name)) for name in ("chosen", "general_floor"))
    curves = [
        (f"{metric} on dev", [(point, point.dev) for point in points], None),
        ("General check", [(point, point.general) for point in points], floor),
    ]
    drawn = []
    for place, (title, curve, least) in enumerate(curves):
        known = [(point, value) for point, value in curve if value is not None]
        if not known:
            continue
        told = ", ".join(f"{_named(point.at)}: {numbers.fixed(value)}" for point, value in known)
        marked = f"; chosen: {_named(chosen)}" if chosen is not None else ""
        marked += f"; the least that is allowed: {numbers.fixed(least)}" if least is not None else ""
        paint = _curve(known, chosen, least, band=place == 1)
        drawn.append(
            charts.chart(f"weight-line-{place}", title, f"{title} by weights: {told}{marked}", paint)
        )
    return drawn


def _curve(
    known: Sequence[tuple[_Point, float]], chosen: float | None, least: float | None, *, band: bool
) -> Callable[[Axes], None]:
    """Full circles for points, crosses for those ruled out, a ring about the chosen one; dashed: the base,
    dotted: the least that is allowed.
    """

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        places, values = [point.at for point, _ in known], [value for _, value in known]
        if band:
            _band(axes, known)
        axes.axhline(values[0], color=charts.BASE, linewidth=1, linestyle=(0, (4, 3)))
        if least is not None:
            axes.axhline(least, color=charts.WORSE, linewidth=1, linestyle=(0, (1, 2)))
        axes.plot(places, values, color=charts.TUNED)
        for marker, allowed in (("o", True), ("x", False)):
            some = [(point.at, value) for point, value in known if point.allowed is allowed]
            axes.plot(
                [at for at, _ in some],
                [value for _, value in some],
                color=charts.TUNED if allowed else charts.WORSE,
                marker=marker,
                markersize=MARKER,
                linestyle="none",
            )
        for at, value in ((point.at, value) for point, value in known if point.at == chosen):
            axes.plot([at], [value], color=charts.INK, marker="o", markersize=RING, fillstyle="none")
        axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["base", "0.2", "0.4", "0.6", "0.8", "tuned"])
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.06, y=0.16)

    return paint


def _band(axes: Axes, known: Sequence[tuple[_Point, float]]) -> None:
    """The interval of the difference, about the base's value."""
    base = known[0][1]
    sides = [
        (point.at, base + point.low, base + point.high)
        for point, _ in known
        if point.low is not None and point.high is not None
    ]
    if len(sides) > 1:
        places, lows, highs = zip(*sides, strict=True)
        axes.fill_between(places, lows, highs, color=charts.TUNED, alpha=0.18, linewidth=0)
