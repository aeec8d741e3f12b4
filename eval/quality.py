"""Better by default? The main job with no recipe beside the script of sentence-transformers' documentation.

    python eval/quality.py DATA [--sets ...] [--seeds 1 2 3] [--share 2]

DATA holds the folders medquad, mlquestions, covid_faq, nli, banking77, hwu64, trec and stsb. quality_sets.py
says how they are cut, quality_peer.py what the scripts are. Both sides tune all-MiniLM-L6-v2 in bf16 on the
same rows, and are measured on the same held-out items by the same code, in fp32 and from saved models.

The peer's learning rate and epochs are chosen on dev from learning rates 2e-5, 5e-5 and 1e-4 and 1 and 3
epochs, for labels from two losses, at one epoch; this command makes the choice and writes the trials down.
Ours are the rules of the main job, which quality_grid.py tries on the same dev rows; nothing is chosen for a
set. Of the rows that the grid is trained on one in ``--share`` is taken here; those of dev and test are the
same. The rows of the test are for the last figures alone: the main job is given dev as its held-out rows, by
which it also chooses which model it ships. That one counts; the tuned one is shown where it is another.

Equal time: from the files to a model in memory, mining, tokenising, measuring of the machine and any choice
by dev included, measuring of held-out rows not. What the peer's first run of a set takes is ours, too; a
default that ends earlier is left at that. Our first run of a set, beside the peer's, finds how many steps
that is; it is made again, twice at most, where it missed by more than a tenth. All later runs take as many.
The sides take turns, in one process, whose memory is kept when it is freed: the peer profits from that, too.
What a run keeps on disk is in a folder of this command's own, which is empty at its start.

Writes eval/results/quality.json after each run; a run that is in it is not made again, so that the command
can be stopped and repeated. `--table` prints it: of each the mean over the seeds, with an interval over the
items, and what was aimed at, reached or missed. `--short` is a trial with a tiny random encoder on made-up
rows of each kind, which writes nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from precision import add_precision

if TYPE_CHECKING:
    from quality_plan import Plan
    from quality_sets import Case, Prepared

Results = dict[str, Any]
NAME = "quality"
SETS = ("medquad", "mlquestions", "covid_faq", "nli", "banking77", "hwu64", "trec", "stsb")
TRIALS = ("trial pairs", "trial retrieval", "trial triplets", "trial labels", "trial scores")
SEED_OF_TRIALS = 0
"""The seed with which the peer's settings are tried on dev; no run of the test has it."""


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--sets", nargs="+", choices=(*SETS, *TRIALS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--share", type=int, default=2, help="train on one row in so many")
    add_precision(parser)
    parser.add_argument("--short", action="store_true", help="a trial in a minute; writes nothing")
    parser.add_argument("--dry-run", action="store_true", help="neither read nor write results")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    return parser.parse_args(words)


def measured(arguments: argparse.Namespace, earlier: Results | None = None) -> Iterator[Results]:
    """All that there is, with each run that was not among the ``earlier`` ones."""
    from mining_process import only_cache

    with tempfile.TemporaryDirectory() as scratch, only_cache(Path(scratch) / "cache"):
        folder = Path(scratch)
        plan = plan_of(arguments, folder)
        share = 1 if arguments.short else arguments.share
        how = {**plan.as_json(), "share": share}
        results = earlier or {"plan": how, "sets": {}, "trials": [], "runs": []}
        if results["plan"] != how:
            sys.exit(f"the runs that there are were made otherwise ({results['plan']}); move their file away")
        for name, case in cases(arguments).items():
            rows = replace(prepared_set(name, case, arguments, folder, share), name=name)
            yield from measured_set(plan, rows, arguments.seeds, results)


def measured_set(plan: Plan, rows: Prepared, seeds: Sequence[int], results: Results) -> Iterator[Results]:
    """The base model, the peer's trials on dev, and the runs of both sides in turn."""
    from quality_runs import base_of, chosen, paced_run, peer_run, untried
    from quality_table import PEER
    from record import measured_by

    kept = kept_of(rows, results)
    todo = missing(rows.name, seeds, results["runs"])
    if not todo:
        return
    if "base" not in kept:
        kept["base"] = base_of(plan, rows, "test")
    for setting in untried(plan, rows, results["trials"]):
        results["trials"].append(peer_run(plan, rows, setting, SEED_OF_TRIALS, "dev"))
        yield results
    setting = chosen(plan, rows, results["trials"])
    for side, seed in todo:
        if side == PEER:
            run = peer_run(plan, rows, setting, seed, "test")
            kept.setdefault("budget", run["seconds"])
        else:
            run = paced_run(plan, rows, seed, kept)
        results["runs"].append({**run, "side": side, "measured": measured_by()})
        yield results


def missing(name: str, seeds: Sequence[int], runs: Sequence[Results]) -> list[tuple[str, int]]:
    """Sides and seeds that there is no run of.

    The peer's comes first, which says how long ours may take, and then the other side's with each seed.
    """
    from quality_table import OURS, PEER

    done = {(run["side"], run["seed"]) for run in runs if run["set"] == name}
    turns = ((PEER, OURS), (OURS, PEER))
    wanted = [(side, seed) for number, seed in enumerate(seeds) for side in turns[number % 2]]
    return [each for each in wanted if each not in done]


def kept_of(rows: Prepared, results: Results) -> Results:
    """What the results hold of a set. Stops where that was made of other rows."""
    new = {
        "kind": rows.kind,
        "fingerprint": rows.fingerprint,
        "rows": rows.rows,
        "folds": len(rows.folds),
        "max_length": rows.max_length,
    }
    kept: Results = results["sets"].setdefault(rows.name, new)
    if kept["fingerprint"] != rows.fingerprint:
        sys.exit(f"{rows.name}: the runs that there are were made with other rows; move their file away")
    return kept


def cases(arguments: argparse.Namespace) -> dict[str, Case]:
    """The sets that are asked for."""
    from quality_sets import SETS as CASES
    from quality_trial import TRIALS as TRIAL_CASES

    known = TRIAL_CASES if arguments.short else CASES
    names = arguments.sets or list(known)
    if strangers := [name for name in names if name not in known]:
        sys.exit(f"{', '.join(strangers)}: trials go with --short, and with nothing else")
    return {name: known[name] for name in names}


def plan_of(arguments: argparse.Namespace, folder: Path) -> Plan:
    from precision import refuse_imitated
    from quality_plan import Grid, Plan
    from throughput_data import TINY, model_folder

    if not arguments.short:
        refuse_imitated(arguments.precision)
        return Plan(precision=arguments.precision)
    return Plan(Grid((5e-5,), (1, 2)), "fp32", tolerance=100.0, model=str(model_folder(TINY, folder)))


def prepared_set(
    name: str, case: Case, arguments: argparse.Namespace, folder: Path, share: int = 1
) -> Prepared:
    from quality_sets import prepared

    return prepared(name, case, arguments.data or Path(), folder / f"{name.replace(' ', '-')}-{share}", share)


def main(words: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    arguments = parsed(words)
    from quality_table import table
    from record import read
    from resumed import NO_DATA, carried_out

    if arguments.table:
        print(table(read(NAME), SETS))
        return
    if arguments.data is None and not arguments.short:
        sys.exit(NO_DATA)
    own = not (arguments.short or arguments.dry_run)
    if results := carried_out(NAME, partial(measured, arguments), own=own):
        print(table(results, None if arguments.short else SETS))


if __name__ == "__main__":
    main()
