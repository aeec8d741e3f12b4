"""How training went: loss, held-out metric, learning rate, and what the loss reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sbert_triplet.data.wording import times
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
SHARES = ("hard", "semi_hard", "easy")
"""Of the triplets of a batch: drawn as one chart, since they add up to 1."""
STACKED = (charts.WORSE, charts.TUNED, charts.BASE)
_STAT_TITLES = {
    "active_share": "Active: share of triplets or pairs with a loss",
    "accuracy": "Anchors nearest to their own positive",
    "hard": "Hard triplets",
    "semi_hard": "Semi-hard triplets",
    "easy": "Easy triplets",
    "anisotropy": "Anisotropy",
    "alignment": "Alignment",
    "uniformity": "Uniformity",
    "effective_rank": "Effective rank",
    "n_valid": "Rows, pairs or triplets that counted",
    "masked": "Negatives masked as known positives",
}
_ORDER = ("active_share", *SHARES, "accuracy", "alignment", "uniformity", "anisotropy", "effective_rank")


def draw(run: RunRecord) -> Section | None:
    """None where nothing was logged."""
    if not run.log:
        return None
    steps = run.log.steps
    series = [
        *((_STEP_TITLES[name], steps[name]) for name in ("loss",) if name in steps),
        *((f"{name} on the dev split", found) for name, found in run.log.dev.items()),
        *((_STEP_TITLES[name], steps[name]) for name in ("learning_rate", "grad_norm") if name in steps),
        *((_stat_title(name), run.log.stats[name]) for name in _ordered(run.log.stats)),
    ]
    together = [run.log.stats[name] for name in SHARES if name in run.log.stats]
    stacked = together if len(together) == len(SHARES) and all(len(found) > 1 for found in together) else []
    drawn = [
        (title, found)
        for title, found in series
        if _moves(found) and not any(found is part for part in stacked)
    ]
    panels = [_panel(place, title, found) for place, (title, found) in enumerate(drawn)]
    panels[3:3] = [_stacked_panel(stacked)] if stacked else []
    single = [f"{title}: {_course(found)}." for title, found in series if len(found) and not _moves(found)]
    notes = _notes(run, series)
    averaged = any(len(found) > BINS for _, found in series)
    legend = "Line: mean of neighbouring steps; band: their lowest and highest value." if averaged else None
    explained = [paragraph(note, class_="muted") for note in (*single, legend, *notes) if note]
    html = join([element("div", *panels, class_="charts"), *explained])
    lines = [f"{title}: {_course(found)}." for title, found in series if len(found)]
    listed = "\n".join(f"- {markdown_escape(line)}" for line in [*lines, *notes])
    return Section("training", "Training", html, listed)


def _ordered(names: Iterable[str]) -> list[str]:
    """Known figures first, in their order; of several losses each by itself."""
    found = list(names)
    ranks = {name: place for place, name in enumerate(_ORDER)}
    return sorted(found, key=lambda name: ranks.get(name.rpartition("/")[2], len(ranks)))


def _stat_title(name: str) -> str:
    if name in _STAT_TITLES:
        return _STAT_TITLES[name]
    return name.replace("_", " ").capitalize()


def _stacked_panel(parts: Sequence[Series]) -> Html:
    """Shares that add up to 1, one on top of the other: hard, semi-hard, easy."""
    courses = "; ".join(
        f"{name}: {_course(found)}" for name, found in zip(SHARES, parts, strict=True)
    ).replace("_", "-")

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator, PercentFormatter

        lower = np.zeros(0)
        for found, colour in zip(parts, STACKED, strict=True):
            steps, means, _, _ = found.binned(BINS)
            lower = lower if len(lower) else np.zeros(len(means))
            axes.fill_between(steps, lower, lower + means, color=colour, alpha=0.6, linewidth=0)
            axes.plot(steps, lower + means, color=colour, linewidth=1.2)
            lower = lower + means
        axes.set_ylim(0, 1)
        axes.set_xlabel("step")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.margins(x=0.02)

    drawn = charts.chart("training-triplets", "Triplets of a batch", f"Triplets: {courses}", paint)
    names = ("hard", "semi-hard", "easy")
    return element("div", drawn, charts.legend(*zip(names, STACKED, ("area",) * 3, strict=True)))


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
    if left_out := run.log.left_out:
        which = ", ".join(str(step) for step in left_out[:10]) + (", …" if len(left_out) > 10 else "")
        notes.append(
            f"{times(len(left_out), 'step', 'steps')} left out, in which a number was not finite ({which}); "
            "nothing of them reached the weights."
        )
    if run.log.resumed_after:
        notes.append(f"Resumed after step {', '.join(str(step) for step in run.log.resumed_after)}.")
    if run.log.unreadable_lines:
        notes.append(f"{run.log.unreadable_lines} line(s) of log.jsonl could not be read and are left out.")
    return notes
