"""Runs of the comparison: all folds of a set by one side, in the time of the other, and what is kept."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from outcomes import as_text
from quality_compare import metric_value
from quality_measure import Items, measured, over_folds
from quality_ours import Limit
from quality_ours import trained as trained_here
from quality_peer import Setting, settings
from quality_peer import trained as trained_by_peer
from quality_plan import METRICS, SHIPPED, TUNED, Job, Plan, Results, Spent
from quality_sets import Prepared

TRIES = 3
"""How often our first run of a set is made, where it took too long or not long enough."""
FEWEST_STEPS = 4


def jobs(rows: Prepared, seed: int) -> Iterator[Job]:
    """One for each fold."""
    for folder in rows.folds:
        yield Job(folder, rows.kind, rows.max_length, seed)


def peer_run(plan: Plan, rows: Prepared, setting: Setting, seed: int, split: str) -> Results:
    """The script of the documentation with one setting."""
    tell(f"{rows.name}, sentence-transformers, {setting.name}, seed {seed}")
    return _run(plan, rows, seed, split, lambda job, _, out: trained_by_peer(plan, job, setting, out))


def our_run(
    plan: Plan,
    rows: Prepared,
    limits: Sequence[Limit],
    seed: int,
    split: str,
    changes: Mapping[str, Any] | None = None,
) -> Results:
    """The main job within a limit for each fold."""
    tell(f"{rows.name}, this package, seed {seed}")
    return _run(
        plan, rows, seed, split, lambda job, fold, out: trained_here(plan, job, limits[fold], out, changes)
    )


def _run(
    plan: Plan, rows: Prepared, seed: int, split: str, trained: Callable[[Job, int, Path], Spent]
) -> Results:
    """Train on every fold and measure on its held-out rows."""
    spent: list[Spent] = []
    found: dict[str, list[Items]] = {SHIPPED: [], TUNED: []}
    for fold, job in enumerate(jobs(rows, seed)):
        with tempfile.TemporaryDirectory() as scratch:
            one = trained(job, fold, Path(scratch) / "model")
            of = {name: measured(plan, job, split, folder) for name, folder in one.models.items()}
        spent.append(one)
        for name, kept in found.items():
            kept.append(of.get(name, of[SHIPPED]))
    items = {name: over_folds(kept, split) for name, kept in found.items()}
    result = {"set": rows.name, "seed": seed, **_times(spent), **_figures(rows, items[SHIPPED])}
    if any(TUNED in one.models for one in spent):
        result[TUNED] = _figures(rows, items[TUNED])
    tell(f"  {result['value']:.4f} after {result['seconds']:.0f} s and {sum(result['steps'])} steps")
    return result


def _times(spent: Sequence[Spent]) -> Results:
    seconds = {
        name: sum(getattr(one, name) for one in spent) for name in ("preparing", "training", "choosing")
    }
    return {
        "how": " / ".join(dict.fromkeys(one.how for one in spent)),
        SHIPPED: [one.shipped for one in spent],
        "seconds": sum(seconds.values()),
        **seconds,
        "mining": sum(one.mining for one in spent),
        "steps": [one.steps for one in spent],
        "most": [one.most for one in spent],
        "rows": sum(one.rows for one in spent),
    }


def _figures(rows: Prepared, items: Items) -> Results:
    value = metric_value(METRICS[rows.kind], items.values, items.gold)
    return {"value": value, "items": as_text(items.values)}


def base_of(plan: Plan, rows: Prepared, split: str) -> Results:
    """The base model on a split, and what its items are besides: given scores, and groups."""
    tell(f"{rows.name}, the base model")
    items = over_folds([measured(plan, job, split, None) for job in jobs(rows, 0)], split)
    return {
        **_figures(rows, items),
        "gold": None if items.gold is None else as_text(items.gold),
        "groups": None if items.groups is None else as_text(items.groups.astype(np.float64)),
    }


def untried(plan: Plan, rows: Prepared, trials: Sequence[Results]) -> list[Setting]:
    """Settings of the peer that were not tried on this set's dev."""
    done = {trial["how"] for trial in trials if trial["set"] == rows.name}
    return [setting for setting in settings(rows.kind, plan.grid) if setting.name not in done]


def chosen(plan: Plan, rows: Prepared, trials: Sequence[Results]) -> Setting:
    """The peer's setting that is best on dev; of equal ones, the first."""
    values = {trial["how"]: trial["value"] for trial in trials if trial["set"] == rows.name}
    return max(settings(rows.kind, plan.grid), key=lambda setting: float(values[setting.name]))


def paced_run(plan: Plan, rows: Prepared, seed: int, kept: Results) -> Results:
    """Our run in the time that the peer's first run of the set took (``kept["budget"]``), or in less.

    The steps of each fold are added to ``kept`` when they are found, by a run that came near enough or that
    our rules ended earlier; later runs take as many. One that did not come near is made again with the steps
    that its own pace gives; of several, the one that came nearest counts.
    """
    if (known := kept.get("steps")) is not None:
        return our_run(plan, rows, [Limit(steps=each) for each in known], seed, "test")
    budget = float(kept["budget"])
    limits = [Limit(seconds=0.9 * budget / len(rows.folds))] * len(rows.folds)
    tries: list[tuple[float, Results]] = []
    for _ in range(TRIES):
        found = our_run(plan, rows, limits, seed, "test")
        steps, off = found["steps"], found["seconds"] / budget - 1
        tell(f"  {off:+.0%} of the peer's time")
        tries.append((abs(off), found))
        ended = all(made >= most for made, most in zip(steps, found["most"], strict=True))
        if abs(off) <= plan.tolerance or (ended and off < 0):
            break
        left = budget - found["preparing"] - found["choosing"]
        share = max(left, 0.0) / found["training"]
        limits = [
            Limit(steps=max(min(int(made * share), most), FEWEST_STEPS))
            for made, most in zip(steps, found["most"], strict=True)
        ]
    _, found = min(tries, key=lambda one: one[0])
    kept["steps"] = found["steps"]
    return found


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
