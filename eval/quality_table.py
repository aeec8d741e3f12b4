"""The comparison with the documented scripts as a table, and what was aimed at: reached or missed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from quality_compare import compared
from quality_plan import METRICS, TUNED, Results

from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.verdict import verdict

OURS, PEER = "ours", "peer"
SEEDS = 3
LONGER = 1.1
"""What our time may be of the peer's: a clock that drifts is not exact."""
COLUMNS = (
    "set",
    "kind",
    "metric",
    "base",
    "ST's script",
    "ours",
    "ours against ST's (95 % interval)",
    "by seed",
    "ours against base (95 % interval)",
    "shipped",
)
TIMES = ("set", "side", "how", "mining", "before training", "training", "choosing", "steps", "rows seen")


@dataclass(frozen=True)
class Outcome:
    """A set of which both sides have runs of the same seeds; ``tuned``: what did not ship counts, too."""

    name: str
    kept: Results
    ours: list[Results]
    peer: list[Results]
    tuned: bool = False

    @property
    def metric(self) -> str:
        return METRICS[self.kept["kind"]]

    def figures(self, run: Results) -> Results:
        """The value and the items of our run."""
        found: Results = run.get(TUNED, run) if self.tuned else run
        return found

    def values(self) -> list[float]:
        return [self.figures(run)["value"] for run in self.ours]

    def against_peer(self) -> Comparison:
        return self._against([run["items"] for run in self.peer])

    def against_base(self) -> Comparison:
        return self._against([self.kept["base"]["items"]])

    def _against(self, items: Sequence[str]) -> Comparison:
        own = [self.figures(run)["items"] for run in self.ours]
        return compared(self.metric, self.kept["base"], items, own)

    @property
    def share_of_time(self) -> float:
        """Our seconds, from files to the model, for one of the peer's."""
        return sum(run["seconds"] for run in self.ours) / sum(run["seconds"] for run in self.peer)


def of(runs: Sequence[Results], name: str, side: str) -> list[Results]:
    """The runs of a side on a set, by seed."""
    found = [run for run in runs if run["set"] == name and run["side"] == side]
    return sorted(found, key=lambda run: int(run["seed"]))


def outcomes(results: Results, *, tuned: bool = False) -> list[Outcome]:
    """The sets that can be compared, with the seeds that both sides have."""
    found = []
    for name, kept in results["sets"].items():
        sides = [of(results["runs"], name, side) for side in (OURS, PEER)]
        seeds = {run["seed"] for run in sides[0]} & {run["seed"] for run in sides[1]}
        if seeds:
            ours, peer = ([run for run in runs if run["seed"] in seeds] for runs in sides)
            found.append(Outcome(name, kept, ours, peer, tuned))
    return found


def table(results: Results, wanted: Sequence[str] | None = None) -> str:
    """The results as Markdown. ``wanted``: the sets that are to be measured; None for those there are."""
    found = outcomes(results)
    lines = [_row(COLUMNS), "| --- " * len(COLUMNS) + "|", *map(_line, found)]
    lines += ["", _row(TIMES), "| --- " * len(TIMES) + "|"]
    lines += [_times(each.name, side, runs) for each in found for side, runs in _sides(each)]
    lines.append("")
    names = list(results["sets"]) if wanted is None else list(wanted)
    lines += [f"- {line}" for line in conclusions(found, names)]
    other = outcomes(results, tuned=True)
    if any(each.figures(run) is not run for each in other for run in each.ours):
        lines.append(
            "- with the tuned model also where dev did not show it better, and the base model shipped:"
        )
        lines += [f"  - {line}" for line in conclusions(other, names)]
        lines += [f"  - {each.name}: {_interval(each.against_peer())}" for each in other]
    for name, kept in results["sets"].items():
        rows = ", ".join(f"{count:,} {split}" for split, count in kept["rows"].items())
        folds = f", {kept['folds']} folds together" if kept["folds"] > 1 else ""
        lines.append(f"- {name}: {rows} rows{folds}")
    lines.append("- intervals are over items, for these seeds, and not adjusted for their number")
    return "\n".join(lines)


def conclusions(found: Sequence[Outcome], wanted: Sequence[str]) -> list[str]:
    """What was aimed at, each with what was found; "so far" while sets or seeds are missing."""
    if not found:
        return ["no set has runs of both sides so far"]
    done = {each.name for each in found if len(each.ours) >= SEEDS}
    missing = [name for name in wanted if name not in done]
    told = [f"{said}{' so far' if missing else ''}" for said in _conclusions(found, len(wanted))]
    return [*told, f"to come: {SEEDS} seeds each of {', '.join(missing)}"] if missing else told


def _conclusions(found: Sequence[Outcome], sets: int) -> Iterator[str]:
    peer = {each.name: each.against_peer() for each in found}
    below = [f"{name} {_signed(one)}" for name, one in peer.items() if one.high < 0]
    yield f"never below ST's script beyond the interval: {_said(below)}"
    above = [name for name, one in peer.items() if verdict(one) == "better"]
    half = -(-sets // 2)
    named = f" ({', '.join(above)})" if above else ""
    yield (
        f"above it with the interval clear of 0 on {len(above)} of {sets} sets{named}, at least {half} "
        f"wanted: {'reached' if len(above) >= half else 'missed'}"
    )
    base = {each.name: each.against_base() for each in found}
    lower = [
        f"{name} {_signed(one)}{' beyond the interval' if one.high < 0 else ''}"
        for name, one in base.items()
        if one.difference < 0
    ]
    yield f"never below the base model: {_said(lower)}"
    longer = [f"{each.name} {each.share_of_time:.2f}" for each in found if each.share_of_time > LONGER]
    yield f"in no more than {LONGER:g} of its time: {_said(longer)}"


def _said(exceptions: Sequence[str]) -> str:
    return f"missed ({', '.join(exceptions)})" if exceptions else "reached"


def _line(each: Outcome) -> str:
    kept, against = each.kept, each.against_peer()
    differences = [own - run["value"] for own, run in zip(each.values(), each.peer, strict=True)]
    shipped = [name for run in each.ours for name in run["shipped"]]
    cells = (
        each.name,
        kept["kind"],
        each.metric,
        f"{kept['base']['value']:.3f}",
        f"{np.mean([run['value'] for run in each.peer]):.3f}",
        f"{np.mean(each.values()):.3f}",
        _interval(against),
        ", ".join(f"{difference:+.3f}" for difference in differences),
        _interval(each.against_base()),
        ", ".join(f"{shipped.count(name)} {name}" for name in dict.fromkeys(shipped)),
    )
    return _row(cells)


def _sides(each: Outcome) -> tuple[tuple[str, list[Results]], ...]:
    return (("ST", each.peer), ("ours", each.ours))


def _times(name: str, side: str, runs: Sequence[Results]) -> str:
    def mean(key: str) -> float:
        return float(np.mean([run[key] for run in runs]))

    mined, chose = (f"{mean(key):.0f} s" if mean(key) else "-" for key in ("mining", "choosing"))
    how = "; ".join(dict.fromkeys(run["how"] for run in runs))
    steps = ", ".join(dict.fromkeys(f"{sum(run['steps'])}" for run in runs))
    before, training = (f"{mean(key):.0f} s" for key in ("preparing", "training"))
    return _row((name, side, how, mined, before, training, chose, steps, f"{mean('rows'):,.0f}"))


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _interval(found: Comparison) -> str:
    return f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}), {verdict(found)}"


def _signed(found: Comparison) -> str:
    return f"{found.difference:+.3f}"
