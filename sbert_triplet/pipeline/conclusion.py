"""The end of a run, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sbert_triplet.reporting.record import mapping
from sbert_triplet.reporting.sections.weight_line import line_sentence

NAME_WIDTH = 20


def conclude(say: Callable[[str], None], report: Mapping[str, Any], out: Path) -> None:
    """Say what ``report.json`` says: base against tuned, the general check, the verdict, where things lie."""
    say("")
    for name, entry in report["metrics"].items():
        say(f"{name:<{NAME_WIDTH}} {_compared(entry)}")
    main = report["main_metric"]
    beside = report.get("training_distance")
    others = [(f"{main} by {beside['name']}", beside["metrics"][main])] if beside else []
    others += [
        (f"{main} at {size}", metrics[main]) for size, metrics in (report.get("dimensions") or {}).items()
    ]
    for name, entry in others:
        say(f"{name:<{NAME_WIDTH}} {_compared(entry)}")
    if (value := (report.get("bm25") or {}).get(main)) is not None:
        say(f"{main:<{NAME_WIDTH}} BM25 {_number(value)}")
    for task, found in ((report.get("suite") or {}).get("tasks") or {}).items():
        say(f"{task[:NAME_WIDTH]:<{NAME_WIDTH}} {_compared(found['metrics'][found['main_metric']])}")
    if general := report.get("general"):
        say(f"{'everyday text':<{NAME_WIDTH}} {_compared(general)}")
    say("")
    say(f"Verdict on {main}: {report['verdict']}. {report['sentence']}")
    if line := line_sentence(mapping(report.get("weight_line"))):
        say(line)
    if report.get("smoke"):
        say("That was --smoke: a tiny random encoder and a few steps, so the figures mean nothing.")
    say(f"Report: {out / 'report.html'}")
    say(f"Model:  {out / 'model'} (the {report['shipped']} model)")


def no_gain(report: Mapping[str, Any]) -> str:
    """Why a finished run has no gain to show: what the test rows say, or that dev chose the base model."""
    if report["verdict"] != "better":
        return f"on {report['main_metric']} the tuned model is {report['verdict']}"
    return f"the base model ships, since {mapping(report.get('weight_line')).get('reason')}"


def _compared(entry: Mapping[str, Any]) -> str:
    interval = f"{_number(entry['low'], sign=True)} to {_number(entry['high'], sign=True)}"
    if entry["low"] is None or entry["high"] is None:
        interval = "too few for an interval"
    return (
        f"base {_number(entry['base'])}   tuned {_number(entry['tuned'])}   "
        f"difference {_number(entry['difference'], sign=True)} ({interval}, n = {entry['n']:,})"
    )


def _number(value: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "undefined"
    value = round(value, 3) + 0.0
    return f"{value:+.3f}" if sign else f"{value:.3f}"
