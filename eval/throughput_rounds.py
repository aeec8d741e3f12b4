"""One comparison of the throughput benchmark: the same rows for all systems, which are measured in turn."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from throughput_cases import NAMES, SYSTEMS, WORKLOADS, Case
from throughput_data import counted, made_up, model_folder, planned, stored
from throughput_needs import operations, shape_of
from throughput_process import PRODUCTS, PROFILE, TRAINING, Found, Job
from throughput_table import Results, fastest, summary

MAX_LENGTH, FIRST = 256, 64
"""Tokens of a text at most; rows of a warm-up step at most, on the CPU."""
SLOWER = 1.1
"""A way that takes this many times as long as the fastest of its side is not measured again."""


@dataclass(frozen=True)
class Bench:
    """How everything is measured. ``data``: the folder of the data sets, None for made-up rows."""

    measure: Callable[[Job], Found]
    scratch: Path
    data: Path | None
    repeats: int
    warmup: int
    steps: int | None
    gigabytes: float
    made_up: bool = False

    def products(self, case: Case) -> Found:
        """The rate of matrix products of the model's own shapes."""
        shape = shape_of(model_folder(case.model, self.scratch))
        told = {
            "width": shape.width,
            "inner": shape.inner,
            "precision": case.precision,
            "device": case.device,
        }
        return self.measure(Job(PRODUCTS, told))

    def train(self, system: str, rows: Rows) -> Found:
        found = self.measure(Job(TRAINING, rows.told, system, self.gigabytes))
        seconds = f"{found.figures['seconds'] / rows.steps:.2f} s a step, " if found.done else ""
        peak = f"{found.figures['peak'] / 10**6:,.0f} MB" if found.done else found.outcome
        say(f"  {SYSTEMS[system].words}: {seconds}{peak}")
        return found

    def profile(self, system: str, rows: Rows) -> Found:
        return self.measure(Job(PROFILE, rows.told, system, self.gigabytes))


@dataclass(frozen=True)
class Rows:
    """What all systems are told, and what is in the timed steps: rows, real tokens, needed operations."""

    told: dict[str, Any]
    steps: int
    rows: int
    tokens: int
    operations: float
    texts: int
    distinct: int


def rows_of(case: Case, bench: Bench) -> Rows:
    """The case's rows on disk, counted."""
    from transformers import AutoConfig

    workload, model = WORKLOADS[case.workload], model_folder(case.model, bench.scratch)
    steps = bench.steps or workload.steps
    batches = planned(case.batch, bench.warmup, steps, case.batch if case.device == "cuda" else FIRST)
    folder = bench.scratch / f"{case.workload}-{case.batch}"
    if bench.made_up:
        file = made_up(workload, sum(batches.sizes), folder)
    else:
        file = stored(workload, bench.data, sum(batches.sizes), folder)
    max_length = min(MAX_LENGTH, AutoConfig.from_pretrained(model).max_position_embeddings)
    counts = counted(file, batches.timed, model, max_length)
    told = {
        "rows": str(file),
        "model": str(model),
        "precision": case.precision,
        "device": case.device,
        "max_length": max_length,
        "sizes": batches.sizes,
        "warmup": batches.warmup,
    }
    needed = operations(shape_of(model), counts.lengths.ravel())
    tokens = int(counts.lengths.sum())
    return Rows(told, steps, len(counts.lengths), tokens, needed, counts.texts, counts.distinct)


def compared(case: Case, bench: Bench) -> Results:
    """The figures of one case, with the rate of matrix products in between."""
    say(f"{WORKLOADS[case.workload].words}, batch {case.batch:,}, {case.precision}, {case.model}")
    trial: Results = {}
    if case.trial is not None:
        small = replace(case, batch=case.trial, ours=(), trial=None)
        trial = _in_turn(small, replace(bench, repeats=1))[0]
        if (best := fastest(trial, case.st)) is not None:
            case = replace(case, st=(best,))
    systems, products, rows = _in_turn(case, bench)
    return {
        **{name: getattr(case, name) for name in NAMES},
        "repeats": bench.repeats,
        "warmup_steps": bench.warmup,
        "timed_steps": rows.steps,
        "tokens_a_step": rows.tokens / rows.steps,
        "operations_a_step": rows.operations / rows.steps,
        "texts": rows.texts,
        "distinct_texts": rows.distinct,
        "trial_batch": case.trial,
        "trial": trial,
        "systems": systems,
        "fastest": {"ours": fastest(systems, case.ours), "st": fastest(systems, case.st)},
        "product_rate": _rate(products),
    }


def _in_turn(case: Case, bench: Bench) -> tuple[dict[str, Results], list[Found], Rows]:
    rows = rows_of(case, bench)
    found: dict[str, list[Found]] = {name: [] for name in case.systems}
    products = []
    for _ in range(bench.repeats):
        products.append(bench.products(case))
        for name in [name for name in case.systems if _goes_on(name, case, found)]:
            found[name].append(bench.train(name, rows))
    figures = {name: summary(each, rows.steps, rows.rows, rows.tokens) for name, each in found.items()}
    return figures, products, rows


def _goes_on(name: str, case: Case, found: dict[str, list[Found]]) -> bool:
    """Whether a system is measured once more; as it comes, and with our gradient cache, it always is."""
    own, side = found[name], case.ours if name in case.ours else case.st
    if not all(each.done for each in own):
        return False
    if not own or name in (side[0], "ours cached"):
        return True
    best = min(_seconds(found[other]) for other in side if _came_through(found[other]))
    return _seconds(own) <= SLOWER * best


def _came_through(found: Sequence[Found]) -> bool:
    return bool(found) and all(each.done for each in found)


def _seconds(found: Sequence[Found]) -> float:
    return statistics.median(each.figures["seconds"] for each in found)


def without(case: Case, earlier: Sequence[Results]) -> Case:
    """The case without ST's ways that were measured once, and too slow, in another precision."""
    alike = [name for name in NAMES if name != "precision"]
    same = [
        each
        for each in earlier
        if each["precision"] != case.precision and all(each[name] == getattr(case, name) for name in alike)
    ]
    ruled_out = {
        name
        for each in same
        for name, system in each["systems"].items()
        if system.get("processes", 0) < max(other.get("processes", 0) for other in each["systems"].values())
    }
    return replace(case, st=tuple(name for name in case.st if name not in ruled_out))


def profiled(case: Results, bench: Bench) -> Results | None:
    """Where the time of the fastest of ours goes."""
    system = case["fastest"]["ours"]
    if system is None:
        return None
    rows = rows_of(Case(**{name: case[name] for name in NAMES}, ours=(system,), st=()), bench)
    found = bench.profile(system, rows)
    if not found.done:
        say(f"profile: {found.outcome}")
        return None
    return {"system": system, "seconds": found.figures}


def _rate(found: Sequence[Found]) -> float | None:
    """Operations a second, the median of what was measured."""
    rates = [each.figures["rate"] for each in found if each.done]
    return statistics.median(rates) if rates else None


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
