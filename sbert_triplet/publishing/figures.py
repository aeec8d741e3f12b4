"""Plots of a run as files beside its card: figures alone, no text of the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sbert_triplet.reporting.log import Series
from sbert_triplet.reporting.record import Change, RunRecord
from sbert_triplet.reporting.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FOLDER = "figures"
_TUNED, _MUTED = "#0072b2", "#666666"
_SIZE = (6.4, 3.2)
"""Inches."""


def write_figures(run: RunRecord, folder: Path) -> list[tuple[str, str]]:
    """Draw what there are figures for; (path in ``folder``, title) of each, the same bytes for a run."""
    found: list[tuple[str, str]] = []
    known = [change for change in run.changes if change.difference is not None]
    if known:
        title = "Tuned against base, with 95 % intervals"
        found.append((f"{FOLDER}/differences.svg", title))
        _draw(folder / found[-1][0], lambda axes: _differences(axes, known))
    loss = run.log.steps.get("loss")
    if loss is not None:
        found.append((f"{FOLDER}/loss.svg", "Training loss"))
        _draw(folder / found[-1][0], lambda axes: _curve(axes, loss))
    return found


def _differences(axes: Axes, changes: list[Change]) -> None:
    for place, change in enumerate(reversed(changes)):
        difference = change.difference or 0.0
        low, high = (difference if each is None else each for each in (change.low, change.high))
        axes.plot([low, high], [place, place], color=_TUNED, linewidth=2)
        axes.plot([difference], [place], color=_TUNED, marker="o")
    axes.axvline(0, color=_MUTED, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(changes)), [one_line(change.name) for change in reversed(changes)])
    axes.set_xlabel("difference (right of 0: the tuned model is better)")


def _curve(axes: Axes, series: Series) -> None:
    axes.plot(list(series.steps), list(series.values), color=_TUNED)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")


def _draw(file: Path, paint: Callable[[Axes], None]) -> None:
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    file.parent.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": file.name, "svg.fonttype": "path", "text.parse_math": False}):
        figure = Figure(figsize=_SIZE, layout="constrained", facecolor="white")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        figure.savefig(file, format="svg", metadata={"Date": None})
