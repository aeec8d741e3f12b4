"""Runs of the main job as measurements: carried out one after the other, written down, shown as a table."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from record import RESULTS, write

from sbert_triplet.pipeline.job import run
from sbert_triplet.pipeline.options import Options
from sbert_triplet.pipeline.request import Request
from sbert_triplet.terminal import Terminal, quiet

KEPT = (
    "task",
    "main_metric",
    "metrics",
    "bm25",
    "verdict",
    "sentence",
    "shipped",
    "weight_line",
    "pool",
    "general",
    "train",
    "training_distance",
    "dimensions",
)


def figures_of(request: Request, out: Path) -> dict[str, Any]:
    """Carry a request out; what its report says, with the sources by their names alone."""
    terminal = Terminal()
    options = Options(say=terminal.say, progress=terminal.progress, decisions=request.decisions)
    report = run(request.recipe, out, folder=request.folder, options=options).report
    figures = {key: report[key] for key in KEPT if key in report}
    figures["similarity"] = report["model"]["similarity"]
    figures["data"] = {
        **report["data"],
        "sources": [Path(each).name for each in report["data"]["sources"]],
    }
    return figures


def table(prefix: str, names: Sequence[str]) -> str:
    """The results ``PREFIX-NAME.json`` that there are, as Markdown."""
    lines = [
        f"| {prefix} | taken as | train rows | loss | steps | training | metric | base | tuned "
        "| difference (95 % interval) |",
        "| --- " * 10 + "|",
    ]
    for name in names:
        file = RESULTS / f"{prefix}-{name}.json"
        if file.is_file():
            lines.append(_line(name, json.loads(file.read_text(encoding="utf-8"))["results"]))
    return "\n".join(lines)


def _line(name: str, found: Mapping[str, Any]) -> str:
    main, data, train = found["metrics"][found["main_metric"]], found["data"], found["train"]
    return (
        f"| {name} | {data['kind']} | {data['rows']['train']:,} | {train['loss']} | {train['steps']} "
        f"| {train['seconds']:.0f} s | {found['main_metric']} | {main['base']:.3f} | {main['tuned']:.3f} "
        f"| {main['difference']:+.3f} ({main['low']:+.3f} to {main['high']:+.3f}), {found['verdict']} |"
    )


def command_line(
    about: str | None, prefix: str, names: Sequence[str], request: Callable[[str, Path], Request]
) -> None:
    """Parse, run what is asked for, print the table. ``request`` is what a name stands for, given DATA."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--only", nargs="*", choices=list(names), default=list(names))
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    arguments = parser.parse_args()
    if not arguments.table:
        if arguments.data is None:
            parser.error("name the folder of the data sets")
        quiet()
        for name in arguments.only:
            with tempfile.TemporaryDirectory() as scratch:
                figures = figures_of(request(name, arguments.data), Path(scratch) / name)
            print(write(f"{prefix}-{name}", {prefix: name, **figures}))
    print(table(prefix, names))
