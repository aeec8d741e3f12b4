"""How training went: loss, held-out metric, learning rate, and what the loss reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sbert_triplet.reporting import charts, numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.log import Series
from sbert_triplet.reporting.record import RunRecord
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.text import markdown_escape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 80
"""Points of a curve: longer logs are averaged over neighbouring steps, with their range as a band."""

_STEP_TITLES = {"loss": "Loss", "learning_rate": "Learning rate", "grad_norm": "Norm of the gradient"}


def draw(run: RunRecord) -> Section | None:
    """None where nothing was logged."""
    if not run.log:
        return None
    steps = run.log.steps
    series = [
        *((_STEP_TITLES[name], steps[name]) for name in ("loss",) if name in steps),
        *((f"{name} on the dev split", found) for name, found in run.log.dev.items()),
        *((_STEP_TITLES[name], steps[name]) for name in ("learning_rate", "grad_norm") if name in steps),
        *((name.replace("_", " ").capitalize(), found) for name, found in run.log.stats.items()),
    ]
    drawn = [(title, found) for title, found in series if _moves(found)]
    panels = [_panel(place, title, found) for place, (title, found) in enumerate(drawn)]
    single = [f"{title}: {_course(found)}." for title, found in series if len(found) and not _moves(found)]
    notes = _notes(run, series)
    averaged = any(len(found) > BINS for _, found in series)
    legend = "Line: mean of neighbouring steps; band: their lowest and highest value." if averaged else None
    explained = [paragraph(note, class_="muted") for note in (*single, legend, *notes) if note]
    html = join([element("div", *panels, class_="charts"), *explained])
    lines = [f"{title}: {_course(found)}." for title, found in series if len(found)]
    listed = "\n".join(f"- {markdown_escape(line)}" for line in [*lines, *notes])
    return Section("training", "Training", html, listed)


def _moves(series: Series) -> bool:
    """Whether there is a curve to draw: several values that are not all the same."""
    return len(series) > 1 and series.values.min() < series.values.max()


def _panel(place: int, title: str, series: Series) -> Html:
    return charts.chart(f"training-{place}", title, f"{title}: {_course(series)}", _curve(series))


def _curve(series: Series) -> Callable[[Axes], None]:
    def paint(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        steps, means, lows, highs = series.binned(BINS)
        if len(series) > len(steps):
            axes.fill_between(steps, lows, highs, color=charts.TUNED, alpha=0.18, linewidth=0)
        axes.plot(steps, means, color=charts.TUNED, marker="o" if len(steps) <= 24 else None, markersize=4)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.02)

    return paint


def _course(series: Series) -> str:
    first, last = series.values[0], series.values[-1]
    text = f"{numbers.compact(first)} at step {series.steps[0]:.0f}"
    if len(series) > 1 and not _moves(series):
        return f"{numbers.compact(first)} at every step"
    if len(series) > 1:
        text += f", {numbers.compact(last)} at step {series.steps[-1]:.0f}"
        lowest, highest = numbers.compact(series.values.min()), numbers.compact(series.values.max())
        text += f" (lowest {lowest}, highest {highest})"
    return text


def _notes(run: RunRecord, series: list[tuple[str, Series]]) -> list[str]:
    notes = [
        f"{title}: {found.undefined} of {len(found) + found.undefined} values are not finite and not drawn."
        for title, found in series
        if found.undefined
    ]
    if run.log.resumed_after:
        notes.append(f"Resumed after step {', '.join(str(step) for step in run.log.resumed_after)}.")
    if run.log.unreadable_lines:
        notes.append(f"{run.log.unreadable_lines} line(s) of log.jsonl could not be read and are left out.")
    return notes
