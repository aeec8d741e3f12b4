"""Do 95 % intervals hold the true difference in 95 of 100 cases, and are 5 of 100 alarms false?

    python eval/intervals.py [--kinds normal lognormal …] [--n 40 200 1000] [--trials 2000] [--jobs 2]

Differences are drawn whose true mean is known (intervals_cases.py says how): normal; lognormal; hits, most of
them unchanged; reciprocal ranks; items in uneven groups of 5 on average, also with skewed effects; and
differences of Pearson, Spearman and average precision over pairs. In every trial each interval is made as the
package makes it, from 1,999 draws, and so is the one that the package chooses. A false alarm is a p-value of
at most .05, or a verdict other than "not shown better", for two models that are alike. Statistics that are no
means take longer: 999 draws and 199 swaps.

Wanted: coverage between 93 and 97 %, false alarms near 5 % (at most 6.5 %). The package calls an interval
approximate where it may miss that; a case that misses it is listed with whether nearly all of its intervals
are called so.

Writes eval/results/intervals.json; `--add` leaves the cases in it that are not measured again, `--table`
prints it, `--short` is a trial with few draws that writes nothing.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from typing import Any

from intervals_cases import KINDS, Plan, Results, Statistics, measured_case

NAME = "intervals"
SIZES = (40, 200, 1000)
COVERAGE, MOST_ALARMS = (0.93, 0.97), 0.065
NEARLY_ALL = 0.9
WAYS = ("percentile", "BCa", "studentised", "adjusted", "chosen")


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--n", type=int, nargs="+", help="items of a trial")
    parser.add_argument("--trials", type=int, help="of each case")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument("--short", action="store_true", help="few trials in one process; writes nothing")
    parser.add_argument("--add", action="store_true", help="to the results that there are")
    parser.add_argument("--dry-run", action="store_true", help="write no results")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    return parser.parse_args(words)


def cases(arguments: argparse.Namespace) -> list[tuple[str, int, Plan]]:
    """What is measured, the longest first."""
    trials = arguments.trials or (40 if arguments.short else 2000)
    whole = Plan(trials, seed=arguments.seed)
    if arguments.short:
        whole = replace(whole, draws=399, flips=199)
    found = []
    for n in sorted(arguments.n or (SIZES[:1] if arguments.short else SIZES), reverse=True):
        for name in arguments.kinds:
            plan = whole
            if isinstance(KINDS[name], Statistics):
                plan = replace(whole, draws=min(whole.draws, 999), flips=199)
            found.append((name, n, plan))
    return sorted(found, key=lambda case: not isinstance(KINDS[case[0]], Statistics))


def measured(
    arguments: argparse.Namespace, earlier: Results | None = None
) -> Iterator[tuple[Results, Results]]:
    """After each case all there are, and that case; ``earlier`` ones stay unless they are measured again."""
    found = {(case["kind"], case["n"]): case for case in (earlier or {}).get("cases", [])}
    order = {name: place for place, name in enumerate(KINDS)}
    for case in _carried_out(arguments):
        found[case["kind"], case["n"]] = case
        every = sorted(found.values(), key=lambda each: (order[each["kind"]], each["n"]))
        yield {"cases": every, "targets": targets(every)}, case


def _carried_out(arguments: argparse.Namespace) -> Iterator[Results]:
    wanted = cases(arguments)
    if arguments.short or arguments.jobs == 1:
        yield from (_case(*each) for each in wanted)
        return
    # The processes share the cores; threads of theirs would only get in each other's way.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        yield from (each.result() for each in as_completed([pool.submit(_case, *case) for case in wanted]))


def _case(name: str, n: int, plan: Plan) -> Results:
    return {**measured_case(name, n, plan), "plan": asdict(plan)}


def targets(found: Sequence[Results]) -> list[Results]:
    """What was aimed at in each case, and whether it was reached."""
    told = []
    for case in found:
        chosen, sure = case["ways"]["chosen"]["coverage"], case["coverage_where_not_approximate"]
        low, high = COVERAGE
        reached = low <= chosen <= high
        alarms = case["false_alarms"]["p"]
        told.append(
            {
                "kind": case["kind"],
                "n": case["n"],
                "coverage": chosen,
                "reached": reached,
                "said_to_be_approximate": case["approximate"] >= NEARLY_ALL,
                "coverage_where_not_approximate": sure,
                "false_alarms": alarms,
                "false_alarms_reached": alarms <= MOST_ALARMS,
            }
        )
    return told


def table(results: Results) -> str:
    """The results as Markdown."""
    columns = [
        "differences",
        "n",
        *WAYS,
        "taken",
        "said to be approximate",
        "false alarms of p",
        "of the verdict",
    ]
    lines = ["| " + " | ".join(columns) + " |", "| --- " * len(columns) + "|"]
    for case in results["cases"]:
        ways, alarms = case["ways"], case["false_alarms"]
        lines.append(
            "| "
            + " | ".join(
                [
                    case["words"],
                    f"{case['n']:,}",
                    *(_share(ways[way]["coverage"]) if _whole(case, way) else "-" for way in WAYS),
                    ", ".join(case["methods"]),
                    _share(case["approximate"], 0),
                    _share(alarms["p"]),
                    _share(alarms["verdict"]) if "verdict" in alarms else "-",
                ]
            )
            + " |"
        )
    return "\n".join([*lines, "", *_said(results["targets"])])


def _whole(case: Results, way: str) -> bool:
    """Whether a way was there in nearly every trial."""
    return way in case["ways"] and case["ways"][way]["trials"] >= 0.9 * case["trials"]


def _share(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f} %"


def _said(told: Sequence[Results]) -> Iterator[str]:
    good = sum(each["reached"] for each in told)
    yield f"- coverage between {COVERAGE[0]:.0%} and {COVERAGE[1]:.0%}: {good} of {len(told)} cases"
    for each in told:
        if not each["reached"]:
            said = (
                "said to be approximate" if each["said_to_be_approximate"] else "not said to be approximate"
            )
            yield f"- {each['kind']}, n = {each['n']:,}: {_share(each['coverage'])}, {said}"
    for each in told:
        if not each["false_alarms_reached"]:
            yield f"- {each['kind']}, n = {each['n']:,}: false alarms {_share(each['false_alarms'])}"


def main() -> None:
    """Parse, measure, print."""
    arguments = parsed()
    from record import RESULTS, read, write

    there = (RESULTS / f"{NAME}.json").is_file()
    if arguments.table:
        print(table(read(NAME)))
        return
    results: dict[str, Any] = {}
    for results, case in measured(arguments, read(NAME) if arguments.add and there else None):
        shown = {way: f"{found['coverage']:.3f}" for way, found in case["ways"].items()}
        print(case["kind"], case["n"], shown, case["false_alarms"], file=sys.stderr, flush=True)
        if not (arguments.short or arguments.dry_run):
            write(NAME, results)
    print(table(results))


if __name__ == "__main__":
    main()
