"""The comparison of hard negatives as a table, and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hard_negatives_runs import METHODS, METRIC
from outcomes import FloatArray, as_values

from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.evaluation.significance import compare_items
from sbert_triplet.evaluation.verdict import verdict

Results = dict[str, Any]
PLAIN = "in-batch"
COLUMNS = (
    "set",
    "method",
    f"base {METRIC}",
    "gain",
    "by seed",
    "against in-batch only (95 % interval)",
    "steps",
    "training, first seed",
    "of it refreshes",
    "mining before",
)


def of(runs: Sequence[Results], set_name: str, method: str) -> list[Results]:
    """The runs of a method on a set, by seed."""
    found = [run for run in runs if run["set"] == set_name and run["method"] == method]
    return sorted(found, key=lambda run: int(run["seed"]))


def compared(plain: Sequence[Results], other: Sequence[Results]) -> Comparison | None:
    """A method against in-batch negatives alone, by query: the mean over the seeds that both have."""
    seeds = {run["seed"] for run in plain} & {run["seed"] for run in other}
    if not seeds:
        return None
    one, two = (_by_query([run for run in runs if run["seed"] in seeds]) for runs in (plain, other))
    return compare_items(METRIC, one, two)


def _by_query(runs: Sequence[Results]) -> FloatArray:
    values: FloatArray = np.mean([as_values(run["tuned_by_query"]) for run in runs], axis=0)
    return values


def table(results: Results) -> str:
    """The results as Markdown."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    for name, kept in results["sets"].items():
        plain = of(results["runs"], name, PLAIN)
        for method in METHODS:
            if runs := of(results["runs"], name, method):
                against = compared(plain, runs) if method != PLAIN else None
                lines.append("| " + " | ".join(_cells(name, method, kept, runs, against)) + " |")
    lines.append("")
    for name, kept in results["sets"].items():
        lines.append(
            f"- {name}: {kept['train']:,} rows to train on, {kept['test']:,} test queries over "
            f"{kept['documents']:,} documents"
        )
    lines.append("- intervals are over queries, for these seeds, and not adjusted for their number")
    return "\n".join(lines)


def _cells(
    name: str, method: str, kept: Results, runs: Sequence[Results], against: Comparison | None
) -> list[str]:
    gains = [run["tuned"] - run["base"] for run in runs]
    # Steps are those of the first seed, whatever else the machine does while others run.
    refresh = runs[0]["refresh_seconds"]
    mining = kept["mining"].get(method)
    return [
        name,
        METHODS[method].words,
        f"{runs[0]['base']:.3f}",
        f"{np.mean(gains):+.3f}",
        ", ".join(f"{gain:+.3f}" for gain in gains),
        "-" if against is None else _interval(against),
        ", ".join(dict.fromkeys(f"{run['steps']}" for run in runs)),
        f"{runs[0]['seconds']:.0f} s",
        f"{refresh:.0f} s" if METHODS[method].refreshed else "-",
        "-" if mining is None else f"{mining:.0f} s",
    ]


def _interval(found: Comparison) -> str:
    return f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f}), {verdict(found)}"
