"""An experiment's results as Markdown: what each variant gained, and what that says of each claim."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import beside  # noqa: F401
import numpy as np
from claim import SEEDS, Experiment
from ruling import OPEN, Ruling, of, rulings, together

Results = dict[str, Any]
Runs = Sequence[Mapping[str, Any]]
COLUMNS = (
    "set",
    "variant",
    "metric",
    "base",
    "gain",
    "by seed",
    "steps",
    "training",
    "active, first to last",
    "mean cosine, first to last",
    "effective rank, first to last",
)
VERDICTS = ("claim", "source", "set", "outcome", "the figure that says so", "by seed")


def table_line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def head(columns: Sequence[str]) -> list[str]:
    return [table_line(columns), "| --- " * len(columns) + "|"]


def section(experiment: Experiment, results: Results | None) -> str:
    """The experiment's part of the page."""
    lines = [f"## {experiment.title}", "", setup(experiment, results), ""]
    if results is None or not results["runs"]:
        return "\n".join([*lines, "No run yet."])
    found = rulings(experiment, results)
    lines += [*verdict_table(experiment, found), "", *head(COLUMNS)]
    for each, name in experiment.cells:
        if runs := of(results["runs"], each, name):
            lines.append(table_line(_cells(experiment, each, name, runs, results)))
    lines += ["", *_notes(experiment, results)]
    return "\n".join(lines)


def setup(experiment: Experiment, results: Results | None) -> str:
    """What was made equal, and how much of the plan there is."""
    equal = (
        f"equal time, {experiment.seconds:g} s of training each"
        if experiment.seconds is not None
        else f"{experiment.rows:,} rows seen each"
        if experiment.rows is not None
        else "equal steps"
    )
    done = 0 if results is None else len(_planned(experiment, results))
    file = f"`eval/experiments/{experiment.name}.py`"
    return f"{file}: {equal}; {done} of {experiment.planned_runs} runs."


def verdict_table(experiment: Experiment, found: Sequence[Ruling]) -> list[str]:
    """Every claim with its outcome on every set, after the outcome over all of them."""
    lines = head(VERDICTS)
    for claim in experiment.claims:
        own = [each for each in found if each.claim is claim]
        for place, each in enumerate(own):
            said = [f"**{together(own)}**", claim.source] if place == 0 else ["", ""]
            sentence = f"{said[0]}: {claim.sentence}" if place == 0 else ""
            seeds = ", ".join(f"{difference:+.3f}" for difference in each.by_seed) or "-"
            lines.append(table_line([sentence, said[1], each.set, each.outcome, _figure(each), seeds]))
    return lines


def overview(experiments: Mapping[str, tuple[Experiment, Results | None]]) -> list[str]:
    """One line a claim: its outcome over all sets."""
    lines = head(("claim", "outcome", "by set"))
    for experiment, results in experiments.values():
        found = rulings(experiment, results) if results is not None else []
        for claim in experiment.claims:
            own = [each for each in found if each.claim is claim]
            said = together(own) if own else OPEN
            sets = "; ".join(f"{each.set}: {each.outcome}, {_figure(each)}" for each in own) or "no run yet"
            lines.append(table_line([claim.sentence, said, sets]))
    return lines


def _figure(found: Ruling) -> str:
    if not found.missing:
        return found.figure
    few = len(found.missing)
    return f"{found.figure} ({few} run{'s' if few > 1 else ''} missing)"


def _planned(experiment: Experiment, results: Results) -> list[Mapping[str, Any]]:
    return [run for each, name in experiment.cells for run in of(results["runs"], each, name)]


def _cells(experiment: Experiment, set_name: str, name: str, runs: Runs, results: Results) -> Iterator[str]:
    done = [run for run in runs if not run["stopped"]]
    gains = [run["tuned"] - run["base"] for run in done]
    margin = results["sets"][set_name].get("margins", {}).get(name)
    words = experiment.variants[name].words
    yield set_name
    yield words if margin is None else f"{words} (margin {margin:g})"
    yield results["sets"][set_name]["metric"]
    yield f"{done[0]['base']:.3f}" if done else "-"
    yield f"{np.mean(gains):+.3f}" if gains else "-"
    yield ", ".join(_gain(run) for run in runs)
    yield ", ".join(dict.fromkeys(f"{run['steps']:,}" for run in runs))
    yield f"{np.mean([run['seconds'] for run in runs]):.0f} s"
    yield _span([run["active"] for run in runs], lambda value: f"{value:.0%}")
    yield _span([run["cosine"] for run in runs], lambda value: f"{value:.2f}")
    yield _span([run["rank"] for run in runs], lambda value: f"{value:.0f}")


def _gain(run: Mapping[str, Any]) -> str:
    if run["stopped"]:
        return f"{run['stopped']['why']} at step {run['steps']}"
    return f"{run['tuned'] - run['base']:+.3f}"


def _span(values: Sequence[Any], written: Any) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    first, last = np.mean(known, axis=0)
    return f"{written(first)} to {written(last)}"


def _notes(experiment: Experiment, results: Results) -> Iterator[str]:
    for each in experiment.sets:
        if (kept := results["sets"].get(each)) is not None:
            yield (
                f"- {each}: {kept['train']:,} rows to train on, {kept['test']:,} test items, batches of "
                f"{kept['batch_size']} where nothing else is said"
            )
    crowded = [
        f"{run['set']}, {experiment.variants[run['variant']].words}, seed {run['seed']}, from step "
        f"{run['crowded_from']:,}"
        for run in _planned(experiment, results)
        if run["crowded_from"] is not None
    ]
    if crowded:
        yield f"- down to a twentieth of the spread or of the directions at the start: {'; '.join(crowded)}"
    missing = [
        f"{each}, {experiment.variants[name].words}: {absent}"
        for each, name in experiment.cells
        if (absent := _absent(results, each, name))
    ]
    if missing:
        yield f"- runs missing: {'; '.join(missing)}"


def _absent(results: Results, set_name: str, name: str) -> str:
    there = {run["seed"] for run in of(results["runs"], set_name, name)}
    seeds = [str(seed) for seed in SEEDS if seed not in there]
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}" if seeds else ""
