"""Batch-all triplet loss beside sentence-transformers and pytorch-metric-learning.

    python eval/batch_all.py [--sizes 256 1024 1800 4096] [--repeats 5]

All three get the same random unit embeddings of 384 dimensions in batches of P classes times K
texts (45 times 40 at 1800, which is FaceNet's batch; 32 texts a class otherwise), the Euclidean
distance and margin 0.2, and average over the triplets that are active. Each measurement is a
process of its own, in turn for the three: after a small batch, one forward and backward whose peak
memory above the input is read, then the same once more, or as often as fits in a second, for the
time. The processes may take 8 GB. Then the largest batch that each completes is searched. Writes
eval/results/batch_all.json; `--table` prints it as the table of the README. Linux only.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from typing import TYPE_CHECKING, Any

from batch_all_losses import DIMENSIONS, FACENET, LOSSES, MARGIN, TEXTS, WHO, batch, texts_a_class
from isolated import (
    GB,
    Cost,
    limit_memory,
    measured_alone,
    median_seconds,
    peak_above,
    refuse_less_memory,
    refuse_other_systems,
    tell,
)

if TYPE_CHECKING:
    from torch import Tensor

NAME = "batch_all"
SIZES = (256, 1024, 1800, 4096)
TIMES_FASTER, PEAK = 25, 150 * 10**6
STEP = 512
"""The largest batch is searched among multiples of this."""
TOLERANCE = 1e-4


def child(who: str, rows: int, limit: int, timed: bool) -> Cost:
    """One measurement, in the process that was started for it."""
    limit_memory(limit)
    run, value = LOSSES[who](), [0.0]

    def forward_and_backward(x: Tensor, labels: Tensor) -> None:
        x.grad = None
        loss = run(x, labels)
        loss.backward()
        value[0] = float(loss.detach())

    forward_and_backward(*batch(2 * TEXTS, seed=1))
    x, labels = batch(rows)
    first, peak = peak_above(lambda: forward_and_backward(x, labels))
    seconds = median_seconds(lambda: forward_and_backward(x, labels)) if timed else first
    gradient = x.grad.norm() if x.grad is not None else math.nan
    return Cost("done", seconds, peak, value[0], float(gradient))


def alone(who: str, rows: int, arguments: argparse.Namespace, timed: bool = True) -> Cost:
    options = ["--child", who, "--sizes", str(rows), "--gigabytes", str(arguments.gigabytes)]
    return measured_alone(
        [sys.executable, __file__, *options, *(["--timed"] if timed else [])], arguments.seconds
    )


def side_by_side(rows: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """All three on the same batch, in turn; who does not complete it is not asked again."""
    found: dict[str, list[Cost]] = {who: [] for who in WHO}
    for _ in range(arguments.repeats):
        for who, costs in found.items():
            if all(cost.done for cost in costs):
                costs.append(alone(who, rows, arguments))
                say(f"{rows} {who}: {shown(summary(costs))}")
    return {"rows": rows, "texts_a_class": texts_a_class(rows)} | {
        who: summary(costs) for who, costs in found.items()
    }


def summary(costs: list[Cost]) -> dict[str, Any]:
    failed = next((cost for cost in costs if not cost.done), None)
    if failed is not None:
        return {"outcome": failed.outcome}
    return {
        "outcome": "done",
        "seconds": statistics.median(cost.seconds for cost in costs),
        "fastest": min(cost.seconds for cost in costs),
        "slowest": max(cost.seconds for cost in costs),
        "peak_bytes": int(statistics.median(cost.peak for cost in costs)),
        "value": costs[0].value,
        "gradient_norm": costs[0].gradient,
    }


def refuse_other_values(measured: dict[str, Any]) -> None:
    """Stop where a peer's value or gradient is not ours: then the times compare nothing."""
    for who in WHO:
        for figure in ("value", "gradient_norm"):
            if measured[who]["outcome"] != "done" or measured["ours"]["outcome"] != "done":
                continue
            mine, other = measured["ours"][figure], measured[who][figure]
            if not math.isclose(mine, other, rel_tol=TOLERANCE):
                sys.exit(f"{measured['rows']} rows: the {figure} of {WHO[who]} is {other}, ours is {mine}")


def largest(who: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The largest multiple of 512 rows that completes: by doubling, then by halving what is between."""
    good, bad, why = 0, 0, ""
    while not bad or bad - good > STEP:
        rows = (good + bad) // (2 * STEP) * STEP if bad else max(2 * good, STEP)
        cost = alone(who, rows, arguments, timed=False)
        say(f"largest, {who}: {rows} {cost.outcome}, {cost.seconds:.1f} s, {cost.peak / GB:.2f} GB")
        if cost.done:
            good = rows
        else:
            bad, why = rows, cost.outcome
    return {"rows": good, "next": bad, "next_outcome": why}


def verdicts(measured: list[dict[str, Any]]) -> dict[str, Any]:
    """What was aimed at for FaceNet's batch, and whether it was reached."""
    found = next((each for each in measured if each["rows"] == FACENET[0]), None)
    if found is None or any(found[who]["outcome"] != "done" for who in ("ours", "st")):
        return {}
    faster = found["st"]["seconds"] / found["ours"]["seconds"]
    peak = found["ours"]["peak_bytes"]
    return {
        "times_faster_than_st": {"found": faster, "target": TIMES_FASTER, "reached": faster >= TIMES_FASTER},
        "peak_bytes": {"found": peak, "target": PEAK, "reached": peak < PEAK},
    }


def shown(figures: dict[str, Any]) -> str:
    if figures["outcome"] != "done":
        return str(figures["outcome"])
    return f"{figures['seconds']:.3g} s, {figures['peak_bytes'] / 10**6:,.0f} MB"


def table(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    limit = f"{results['gigabytes']:g} GB"
    lines = [
        "| rows (classes x texts) | " + " | ".join(WHO.values()) + " | faster than ST | than PML |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for each in results["sizes"]:
        cells = [shown(each[who]).replace("out of memory", f"out of {limit}") for who in WHO]
        ratios = [
            f"{each[who]['seconds'] / each['ours']['seconds']:.0f} x"
            if each[who]["outcome"] == each["ours"]["outcome"] == "done"
            else "-"
            for who in ("st", "pml")
        ]
        shape = f"{each['rows']:,} ({each['rows'] // each['texts_a_class']} x {each['texts_a_class']})"
        lines.append("| " + " | ".join([shape, *cells, *ratios]) + " |")
    if results["largest"]:
        cells = [f"{found['rows']:,}{stopped(found)}" for found in results["largest"].values()]
        lines.append(f"| largest in {limit} | " + " | ".join(cells) + " | | |")
    return "\n".join([*lines, "", *said(results["targets"])])


def stopped(found: dict[str, Any]) -> str:
    """Why a search ended, where it was not for want of memory."""
    return (
        "" if found["next_outcome"] == "out of memory" else f" ({found['next']:,}: {found['next_outcome']})"
    )


def said(targets: dict[str, Any]) -> list[str]:
    words = {
        "times_faster_than_st": lambda number: f"{number:.0f} times as fast as sentence-transformers",
        "peak_bytes": lambda number: f"{number / 10**6:.0f} MB above the input",
    }
    return [
        f"{FACENET[0]} rows, forward and backward: {words[name](target['found'])} "
        f"(target {words[name](target['target'])}): {'reached' if target['reached'] else 'missed'}"
        for name, target in targets.items()
    ]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", type=int, nargs="*", default=list(SIZES), help="rows of a batch")
    parser.add_argument("--repeats", type=int, default=5, help="processes for each figure")
    parser.add_argument("--gigabytes", type=float, default=8.0, help="memory of a process")
    parser.add_argument("--seconds", type=float, default=600.0, help="after which a process is stopped")
    parser.add_argument(
        "--no-largest", action="store_true", help="leave the search for the largest batch out"
    )
    parser.add_argument("--dry-run", action="store_true", help="write no results")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    parser.add_argument("--child", choices=list(WHO), help=argparse.SUPPRESS)
    parser.add_argument("--timed", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Parse, measure, print."""
    arguments = parsed()
    if arguments.child is not None:
        tell(child(arguments.child, arguments.sizes[0], int(arguments.gigabytes * GB), arguments.timed))
        return
    from record import RESULTS, write

    if arguments.table:
        print(table(json.loads((RESULTS / f"{NAME}.json").read_text(encoding="utf-8"))["results"]))
        return
    refuse_other_systems()
    refuse_less_memory(int(arguments.gigabytes * GB))
    measured = []
    for rows in arguments.sizes:
        measured.append(side_by_side(rows, arguments))
        refuse_other_values(measured[-1])
    results = {
        "dimensions": DIMENSIONS,
        "margin": MARGIN,
        "repeats": arguments.repeats,
        "gigabytes": arguments.gigabytes,
        "seconds_a_process": arguments.seconds,
        "sizes": measured,
        "largest": {} if arguments.no_largest else {who: largest(who, arguments) for who in WHO},
        "targets": verdicts(measured),
    }
    if not arguments.dry_run:
        print(write(NAME, results))
    print(table(results))


if __name__ == "__main__":
    main()
