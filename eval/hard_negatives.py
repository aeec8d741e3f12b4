"""Do hard negatives pay? Methods of giving negatives at equal training time, on three sets, three seeds each.

    python eval/hard_negatives.py DATA [--sets ...] [--methods ...] [--seeds 1 2 3] [--seconds 75]

DATA holds the folders mlquestions and medquad; docstrings need none. How the sets are cut is said in
hard_negatives_sets.py. All methods tune all-MiniLM-L6-v2 with multiple negatives ranking, batches of 32 rows
and learning rate 5e-5, texts cut at 128 tokens:

in-batch: the other documents of the batch are the negatives. once: one negative a row besides, the nearest
document that is not known to be its positive, no other filter. filters: relative margin 0.05, texts nearly
equal to a positive and chains of positives left out, as in recipes/retrieval-mined.yaml. refreshed: the
same, mined anew with the weights of the moment after half of the steps. curriculum: the same as filters,
rows in the order that the encoder before training finds them difficult, easy ones first. A schedule from
easy to hard negatives is not among them: the margin leaves none of the hard class to end with.

Equal time: a batch has as many rows for all, so that in-batch negatives are as many too, and methods whose
rows have more texts take fewer steps. How many `--seconds` are enough for is found by the first run of a
pace, which is made again, twice at most, where it missed by more than a tenth; all later runs of that pace
take as many. A refresh counts as training; mining before training, and the scores of the curriculum, do
not: the former is timed by itself, with nothing kept from earlier, and shown beside. Everything is computed
in bf16. What a run keeps on disk is in a folder of this command's own, which is empty at its start.

Writes eval/results/hard_negatives.json after each run; a run that is in it is not made again, so that the
command can be stopped and repeated. `--table` prints it: gains over the base model, and the difference from
in-batch negatives alone with an interval over the queries, of each the mean over the seeds. `--short` is a
trial with a tiny random encoder on made-up rows, which writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hard_negatives_runs import Plan
    from hard_negatives_sets import Prepared

Results = dict[str, Any]
NAME = "hard_negatives"
SETS = ("mlquestions", "medquad", "docstrings")
METHODS = ("in-batch", "once", "filters", "refreshed", "curriculum")
TRAIN, TEST, OTHERS = 1200, 400, 400
TRIAL = "trial"


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seconds", type=float, default=75.0, help="of training in each run")
    parser.add_argument("--negatives", type=int, default=1, help="of a row, where they are mined")
    parser.add_argument("--short", action="store_true", help="a trial in seconds; writes nothing")
    parser.add_argument("--dry-run", action="store_true", help="neither read nor write results")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    return parser.parse_args(words)


def measured(arguments: argparse.Namespace, earlier: Results | None = None) -> Iterator[Results]:
    """All that there is, with each run that was not among the ``earlier`` ones."""
    from mining_process import only_cache

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        plan = plan_of(arguments, folder)
        results = earlier or {"plan": plan.as_json(), "sets": {}, "runs": []}
        if results["plan"] != plan.as_json():
            sys.exit(f"the runs that there are were made otherwise ({results['plan']}); move their file away")
        # The sets come from the person's own cache, which has the docstrings.
        sets = [prepared_set(name, arguments, folder) for name in wanted_sets(arguments)]
        with only_cache(folder / "cache"):
            for rows in sets:
                kept = kept_of(rows, results)
                for name, seed in missing(arguments, rows.name, results["runs"]):
                    results["runs"].append(made(plan, rows, name, seed, kept, folder))
                    yield results


def wanted_sets(arguments: argparse.Namespace) -> list[str]:
    return [TRIAL] if arguments.short else list(arguments.sets)


def missing(arguments: argparse.Namespace, set_name: str, runs: Sequence[Results]) -> list[tuple[str, int]]:
    """Methods and seeds that there is no run of: seed by seed, so that methods can be compared early."""
    done = {(run["method"], run["seed"]) for run in runs if run["set"] == set_name}
    methods = [name for name in METHODS if name in arguments.methods]
    return [(name, seed) for seed in arguments.seeds for name in methods if (name, seed) not in done]


def made(plan: Plan, rows: Prepared, name: str, seed: int, kept: Results, folder: Path) -> Results:
    """One run, and before the first of a method that mines, how long mining takes."""
    from hard_negatives_runs import METHODS, mining_seconds, paced_run
    from record import measured_by

    print(f"{rows.name}, {METHODS[name].words}, seed {seed}", file=sys.stderr, flush=True)
    mining = kept["mining"]
    if METHODS[name].mine is not None and name not in mining:
        same = [other for other in mining if METHODS[other].mine == METHODS[name].mine]
        alone = partial(mining_seconds, plan, rows, name, folder / f"mining-{rows.name}-{name}")
        mining[name] = mining[same[0]] if same else alone()
    return {**paced_run(plan, rows, name, seed, kept), "measured": measured_by()}


def kept_of(rows: Prepared, results: Results) -> Results:
    """What the results hold of a set. Stops where that was made of other rows."""
    new = {
        "fingerprint": rows.fingerprint,
        "train": rows.train,
        "test": rows.test,
        "documents": rows.documents,
    }
    kept: Results = results["sets"].setdefault(rows.name, {**new, "mining": {}, "paces": {}})
    if kept["fingerprint"] != rows.fingerprint:
        sys.exit(f"{rows.name}: the runs that there are were made with other rows; move their file away")
    return kept


def plan_of(arguments: argparse.Namespace, folder: Path) -> Plan:
    from hard_negatives_runs import Plan
    from throughput_data import TINY, model_folder

    if not arguments.short:
        return Plan(arguments.seconds, arguments.negatives, 32, 128, "bf16")
    model = str(model_folder(TINY, folder))
    seconds = min(arguments.seconds, 0.2)
    return Plan(seconds, arguments.negatives, 8, None, "fp32", 100.0, model, margins=False)


def prepared_set(name: str, arguments: argparse.Namespace, folder: Path) -> Prepared:
    from hard_negatives_sets import SETS, Sizes, prepared, trial

    short = name == TRIAL
    rows = trial(folder) if short else SETS[name](arguments.data)
    sizes = Sizes(60, 30, 20) if short else Sizes(TRAIN, TEST, OTHERS)
    return prepared(name, rows, sizes, folder / name)


def main(words: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    arguments = parsed(words)
    from hard_negatives_table import table
    from record import read
    from resumed import NO_DATA, carried_out

    if arguments.table:
        print(table(read(NAME)))
        return
    if arguments.data is None and not arguments.short:
        sys.exit(NO_DATA)
    own = not (arguments.short or arguments.dry_run)
    if results := carried_out(NAME, partial(measured, arguments), own=own):
        print(table(results))


if __name__ == "__main__":
    main()
