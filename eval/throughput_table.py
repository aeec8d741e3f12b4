"""The figures of the throughput benchmark: medians, what was aimed at, and a table."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from throughput_cases import NAMES, SYSTEMS, WORKLOADS, Target, target_of
from throughput_process import Found

Results = dict[str, Any]


def summary(found: Sequence[Found], steps: int, rows: int, tokens: int) -> Results:
    """Medians over the processes; ``rows`` and real ``tokens`` of the timed steps of one."""
    failed = next((each for each in found if not each.done), None)
    if failed is not None:
        return {"outcome": failed.outcome}
    seconds = [each.figures["seconds"] for each in found]
    return {
        "outcome": "done",
        "processes": len(found),
        "seconds_a_step": statistics.median(seconds) / steps,
        "fastest": min(seconds) / steps,
        "slowest": max(seconds) / steps,
        "rows_a_second": rows / statistics.median(seconds),
        "tokens_a_second": tokens / statistics.median(seconds),
        "peak_bytes": int(statistics.median(each.figures["peak"] for each in found)),
        "system_share": statistics.median(_system_share(each.figures) for each in found),
        "loss": found[0].figures["loss"],
    }


def _system_share(figures: Mapping[str, float]) -> float:
    """Of the processor's time, how much went into the system's calls and faults."""
    return figures["system"] / max(figures["system"] + figures["user"], 1e-9)


def fastest(systems: Mapping[str, Results], names: Sequence[str]) -> str | None:
    """Which of them was, None where none came through."""
    done = [name for name in names if systems.get(name, {}).get("outcome") == "done"]
    return min(done, key=lambda name: systems[name]["seconds_a_step"], default=None)


def with_verdicts(case: Results) -> Results:
    """The case with shares of the rate of matrix products, and which targets were reached."""
    rate, target = case["product_rate"], target_of(case)
    done = {name: system for name, system in case["systems"].items() if system["outcome"] == "done"}
    if rate:
        for system in done.values():
            system["rate_share"] = case["operations_a_step"] / system["seconds_a_step"] / rate
    tuned = done.get(case["fastest"]["st"])
    targets = {}
    if target is not None and tuned is not None:
        ours = {name: system for name, system in done.items() if name.startswith("ours")}
        targets = {name: _verdict(system, tuned, target) for name, system in ours.items()}
    return {**case, "targets": targets}


def _verdict(ours: Results, tuned: Results, target: Target) -> Results:
    """One of our ways against the fastest of sentence-transformers'."""
    figures = {"faster": _at_least(tuned["seconds_a_step"] / ours["seconds_a_step"], target.faster)}
    if target.memory is not None:
        found = ours["peak_bytes"] / max(tuned["peak_bytes"], 1)
        figures["memory"] = {"found": found, "target": target.memory, "reached": found <= target.memory}
    if target.rate is not None and "rate_share" in ours:
        figures["rate"] = _at_least(ours["rate_share"], target.rate)
    return figures


def in_order(cases: Sequence[Results], found: Results) -> list[Results]:
    """The cases with ``found`` at the end, without those of its names."""
    return [case for case in cases if any(case[name] != found[name] for name in NAMES)] + [found]


def _at_least(found: float, target: float) -> Results:
    return {"found": found, "target": target, "reached": found >= target}


COLUMNS = (
    "work load",
    "batch",
    "precision",
    "trained by",
    "rows/s",
    "real tokens/s",
    "peak memory",
    "in system calls",
    "of the matrix rate",
)


def table(cases: Sequence[Results]) -> str:
    """The results as Markdown: steps, targets, and where the time goes."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    for case in cases:
        for name, system in case["systems"].items():
            lines.append("| " + " | ".join([*_named(case), *_cells(name, system)]) + " |")
        for name, system in case["trial"].items():
            named = [*_named(case)[:1], f"{case['trial_batch']:,} (trial)", case["precision"]]
            lines.append("| " + " | ".join([*named, *_cells(name, system)]) + " |")
    lines.append("")
    for case in cases:
        lines += [_said(case, name, target) for name, target in case["targets"].items()]
    for name, rates in _rates(cases).items():
        lines.append(f"- Matrix products, {name}: {statistics.median(rates) / 10**9:,.0f} GFLOP/s")
    for case in cases:
        if case.get("profile"):
            lines += ["", *_drawn(case)]
    return "\n".join(lines)


def _rates(cases: Sequence[Results]) -> dict[str, list[float]]:
    """The rates of matrix products by model and precision."""
    rates: dict[str, list[float]] = {}
    for case in cases:
        if case["product_rate"]:
            rates.setdefault(f"{case['model']} {case['precision']}", []).append(case["product_rate"])
    return rates


def _named(case: Results) -> list[str]:
    model = "" if case["model"] == "minilm" else f", {case['model']}"
    return [WORKLOADS[case["workload"]].words + model, f"{case['batch']:,}", case["precision"]]


def _cells(name: str, system: Results) -> list[str]:
    words = SYSTEMS[name].words
    if system["outcome"] != "done":
        return [words, str(system["outcome"]), *["-"] * 4]
    return [
        words,
        f"{system['rows_a_second']:,.1f}",
        f"{system['tokens_a_second']:,.0f}",
        f"{system['peak_bytes'] / 10**6:,.0f} MB",
        f"{system['system_share']:.0%}",
        f"{system['rate_share']:.0%}" if "rate_share" in system else "-",
    ]


def _said(case: Results, name: str, target: Results) -> str:
    other = SYSTEMS[case["fastest"]["st"]].words
    parts = [_reached(target["faster"], f"{{:.2f}} times as fast as {other}", "wanted")]
    if "memory" in target:
        parts.append(_reached(target["memory"], "{:.2f} of its peak memory", "allowed"))
    if "rate" in target:
        parts.append(_reached(target["rate"], "{:.2f} of the rate of matrix products", "wanted"))
    return f"- {', '.join(_named(case))}, {SYSTEMS[name].words}: " + "; ".join(parts)


def _reached(figure: Results, words: str, asked: str) -> str:
    verdict = "reached" if figure["reached"] else "missed"
    return f"{words.format(figure['found'])} ({figure['target']:g} {asked}: {verdict})"


def _drawn(case: Results) -> list[str]:
    profile = case["profile"]
    total = sum(profile["seconds"].values())
    words = f"{', '.join(_named(case))}, {SYSTEMS[profile['system']].words}"
    lines = [f"| where the time goes: {words} | seconds | share |", "| --- | --- | --- |"]
    return lines + [
        f"| {stage} | {seconds:.2f} | {seconds / total:.0%} |"
        for stage, seconds in profile["seconds"].items()
    ]
