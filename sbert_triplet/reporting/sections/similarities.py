"""How near texts are that belong together, and others, before and after: histograms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sbert_triplet.reporting import charts, numbers
from sbert_triplet.reporting.html import element, join
from sbert_triplet.reporting.record import RunRecord, mapping
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.tables import Cell, Column, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MODELS = (("base", "Base"), ("tuned", "Tuned"))
LOOKS = ((charts.TUNED, "area"), (charts.WORSE, "line"), (charts.BASE, "dashes"))
"""How the groups are drawn, in their order; what differs in colour differs in form too."""
ABOUT = (
    "Similarities of pairs of held-out texts, as shares of the pairs of each group. The further the filled "
    "hump stands to the right of the others, the easier it is to tell what belongs together."
)
APART = (
    "Told apart: how often a pair of the first group is nearer than one of this group; 50 % is no better "
    "than chance."
)


def draw(run: RunRecord) -> Section | None:
    """None where the run looked at no similarities."""
    models = {name: mapping(run.part("similarities").get(name)) for name, _ in MODELS}
    groups = {name: mapping(model.get("groups")) for name, model in models.items()}
    names = list(dict.fromkeys(name for found in groups.values() for name in found))[: len(LOOKS)]
    if not names or not all(groups.values()):
        return None
    highest = max(_shares(mapping(found[name])).max() for found in groups.values() for name in found)
    panels = [
        charts.chart(
            f"similarities-{key}",
            f"{title} ({models[key].get('function') or 'similarity'})",
            f"{title}: " + "; ".join(_described(name, groups[key]) for name in names if name in groups[key]),
            _histogram(models[key], names, float(highest)),
        )
        for key, title in MODELS
    ]
    legend = charts.legend(*((name, *look) for name, look in zip(names, LOOKS, strict=False)))
    table = _table(names, groups)
    html = join(
        [
            paragraph(ABOUT),
            legend,
            element("div", *panels, class_="charts two"),
            table.html(),
            paragraph(APART, class_="muted"),
        ]
    )
    return Section("similarities", "Similarities before and after", html, f"{table.markdown()}\n\n{APART}")


def _shares(group: Mapping[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    counts = np.array(group.get("counts") or [0], dtype=np.float64)
    shares: np.ndarray[Any, np.dtype[np.float64]] = counts / max(counts.sum(), 1.0)
    return shares


def _histogram(model: Mapping[str, Any], names: list[str], highest: float) -> Callable[[Axes], None]:
    def paint(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator, PercentFormatter

        edges = np.array(model.get("edges") or [0.0, 1.0], dtype=np.float64)
        groups = mapping(model.get("groups"))
        for name, (colour, shape) in zip(names, LOOKS, strict=False):
            if name not in groups:
                continue
            shares = _shares(mapping(groups[name]))
            if shape == "area":
                axes.stairs(shares, edges, fill=True, color=colour, alpha=0.3, linewidth=0)
            axes.stairs(
                shares, edges, color=colour, linewidth=1.6, linestyle="--" if shape == "dashes" else "-"
            )
        axes.set_ylim(0, 1.05 * highest)
        axes.set_xlabel("similarity")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.margins(x=0.01)

    return paint


def _described(name: str, groups: Mapping[str, Any]) -> str:
    group = mapping(groups[name])
    return f"{name}: mean {numbers.fixed(group.get('mean'))} of {numbers.count(group.get('n'))} pairs"


def _table(names: list[str], groups: Mapping[str, Mapping[str, Any]]) -> Table:
    columns = [Column("Pairs"), Column("n", numeric=True)]
    columns += [Column(f"Mean, {key}", numeric=True) for key, _ in MODELS]
    columns += [Column(f"Told apart, {key}", numeric=True) for key, _ in MODELS]
    rows = []
    for name in names:
        found = [mapping(groups[key].get(name)) for key, _ in MODELS]
        row: list[Cell | str] = [Cell(name), _cell(found[1].get("n"), numbers.count)]
        row += [_cell(group.get("mean"), numbers.fixed) for group in found]
        row += [_cell(group.get("told_apart"), numbers.share) for group in found]
        rows.append(row)
    return Table("Similarities of pairs of held-out texts", columns, rows)


def _cell(value: object, write: Callable[[object], str]) -> Cell:
    return Cell(write(value), order=numbers.number(value))
