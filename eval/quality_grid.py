"""What the defaults of the main job are worth: each of them changed by itself, measured on dev.

    python eval/quality_grid.py DATA [--sets ...] [--shares 1 4] [--seeds 0] [--seconds 60]

The sets and their dev rows are those of quality.py; no row of a test is read. Learning rate, epochs, batch
size, the loss and its numbers, and negatives mined before training, each in the place of what the rules of
sbert_triplet/pipeline/decide.py give, in at most so many `--seconds` of training. With the share 4 one row in
four is trained on, for the rules that ask how many rows there are. The tuned model is measured, whatever
would ship.

Writes eval/results/quality_grid.json after each run; a run that is in it is not made again, also where the
rules have changed since: `--again` makes the runs of the defaults anew. `--table` prints it, a table for each
kind of input. `--short` is a trial with a tiny random encoder on made-up rows, which writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precision import add_precision
from quality import SETS, TRIALS, cases, kept_of, plan_of, prepared_set

if TYPE_CHECKING:
    from quality_plan import Plan
    from quality_sets import Prepared

Results = dict[str, Any]
NAME = "quality_grid"
DEFAULT = "as it is"
FEW = 4
"""One row in so many, where few rows are trained on."""


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--sets", nargs="+", choices=(*SETS, *TRIALS))
    parser.add_argument("--shares", type=int, nargs="+", default=[1, FEW], help="one row in so many")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of training in a run, at most")
    parser.add_argument("--variants", nargs="+", help="only these, by name, beside the defaults")
    parser.add_argument("--again", action="store_true", help="the runs of the defaults anew")
    add_precision(parser)
    parser.add_argument("--short", action="store_true", help="a trial in a minute; writes nothing")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    return parser.parse_args(words)


def measured(arguments: argparse.Namespace, earlier: Results | None = None) -> Iterator[Results]:
    """All that there is, with each run that was not among the ``earlier`` ones."""
    from mining_process import only_cache

    with tempfile.TemporaryDirectory() as scratch, only_cache(Path(scratch) / "cache"):
        folder = Path(scratch)
        plan = plan_of(arguments, folder)
        limits = {"precision": plan.precision, "seconds": arguments.seconds}
        results = earlier or {"plan": limits, "sets": {}, "runs": []}
        if results["plan"] != limits:
            sys.exit(f"the runs that there are were made otherwise ({results['plan']}); move their file away")
        if arguments.again:
            results["runs"] = [run for run in results["runs"] if run["variant"] != DEFAULT]
        for share in arguments.shares:
            for name, case in cases(arguments).items():
                rows = prepared_set(name, case, arguments, folder, share)
                yield from measured_set(plan, rows, arguments, results)


def measured_set(
    plan: Plan, rows: Prepared, arguments: argparse.Namespace, results: Results
) -> Iterator[Results]:
    """The base model on dev, and every variant with every seed."""
    from quality_ours import Limit
    from quality_plan import TUNED
    from quality_runs import base_of, our_run, tell
    from quality_variants import variants_of
    from record import measured_by

    kept = kept_of(rows, results)
    wanted = variants_of(rows.kind, few=rows.share > 1)
    if arguments.variants:
        wanted = {name: changes for name, changes in wanted.items() if name in (DEFAULT, *arguments.variants)}
    for seed in arguments.seeds:
        for name, changes in wanted.items():
            if (rows.name, name, seed) in {
                (run["set"], run["variant"], run["seed"]) for run in results["runs"]
            }:
                continue
            if "base" not in kept:
                kept["base"] = base_of(plan, rows, "dev")
            tell(f"{rows.name}, {name}")
            limits = [Limit(seconds=arguments.seconds / len(rows.folds))] * len(rows.folds)
            run = our_run(plan, rows, limits, seed, "dev", changes)
            run |= run.pop(TUNED, {})
            results["runs"].append({**run, "variant": name, "measured": measured_by()})
            yield results


def main(words: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    arguments = parsed(words)
    from quality_variants import table
    from record import read
    from resumed import NO_DATA, carried_out

    if arguments.table:
        print(table(read(NAME)))
        return
    if arguments.data is None and not arguments.short:
        sys.exit(NO_DATA)
    own = not arguments.short
    if results := carried_out(NAME, partial(measured, arguments), own=own):
        print(table(results))


if __name__ == "__main__":
    main()
