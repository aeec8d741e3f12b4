"""The main job on one real data set of each kind of input, without a recipe but for a limit of steps.

    python eval/kinds.py DATA [--only NAME ...]

DATA holds the folders stsb, banking77, nli, medquad, rqe and mlquestions. Each run writes
eval/results/kinds-NAME.json; `--table` prints all of them as the table of the README.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from record import RESULTS, ROOT, write

from sbert_triplet.pipeline.job import Options, run
from sbert_triplet.pipeline.request import read_request
from sbert_triplet.terminal import Terminal, quiet


@dataclass(frozen=True)
class Case:
    """A data set below DATA, the limit of steps, and a recipe where one is needed."""

    path: str
    steps: int
    recipe: str | None = None


CASES = {
    "stsb": Case("stsb/train.parquet", 150),
    "banking77": Case("banking77/train.parquet", 150),
    "nli": Case("nli/triplets_train.parquet", 150),
    "rqe": Case("rqe/train.parquet", 100),
    "mlquestions": Case("mlquestions", 30, "retrieval"),
    "medquad": Case("medquad/train.parquet", 40),
}
KEPT = (
    "task",
    "main_metric",
    "metrics",
    "bm25",
    "verdict",
    "sentence",
    "shipped",
    "pool",
    "general",
    "train",
)


def measure(name: str, data: Path, scratch: Path) -> None:
    """One run; its figures go to eval/results."""
    case, terminal = CASES[name], Terminal()
    overrides = []
    source = str(data / case.path)
    if case.recipe is not None:
        overrides = [
            f"data.train={{source: {source}, split: dev}}",
            f"data.test={{source: {source}, split: test}}",
        ]
        source = str(ROOT / "recipes" / f"{case.recipe}.yaml")
    request = read_request(source, {}, overrides, max_steps=case.steps)
    options = Options(say=terminal.say, progress=terminal.progress, decisions=request.decisions)
    finished = run(request.recipe, scratch / name, folder=request.folder, options=options)
    figures = {key: finished.report[key] for key in KEPT if key in finished.report}
    figures["data"] = {
        **finished.report["data"],
        "sources": [Path(each).name for each in finished.report["data"]["sources"]],
    }
    print(write(f"kinds-{name}", {"data": name, "max_steps": case.steps, **figures}))


def table() -> str:
    """All results as Markdown."""
    lines = [
        "| data | taken as | train rows | steps | metric | base | tuned | difference (95 % interval) |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name in CASES:
        file = RESULTS / f"kinds-{name}.json"
        if not file.is_file():
            continue
        found = json.loads(file.read_text(encoding="utf-8"))["results"]
        main, data = found["metrics"][found["main_metric"]], found["data"]
        lines.append(
            f"| {name} | {data['kind']} | {data['rows']['train']:,} | {found['train']['steps']} "
            f"| {found['main_metric']} | {main['base']:.3f} | {main['tuned']:.3f} "
            f"| {main['difference']:+.3f} ({main['low']:+.3f} to {main['high']:+.3f}), {found['verdict']} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    arguments = parser.parse_args()
    if not arguments.table:
        if arguments.data is None:
            parser.error("name the folder of the data sets")
        quiet()
        for name in arguments.only:
            with tempfile.TemporaryDirectory() as scratch:
                measure(name, arguments.data, Path(scratch))
    print(table())


if __name__ == "__main__":
    main()
