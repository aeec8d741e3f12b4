"""What machines and people do to a run, done on purpose: kills, damage, full disks, malformed tables.

    python eval/crash.py [--only kills stock damage disk tables cost] [--kills 200] [--tables 20000]

Kills: SIGKILL at random moments of a training that saves every few steps, half of them inside a save; each
run is killed several times and resumed. It is to end with the weights of a run that was never stopped, bit
for bit: those of the last checkpoint, and those of candidate/. Stock: the same done to the trainer of
sentence-transformers, resumed by `resume_from_checkpoint=True`. Damage: each file of the newest of two
checkpoints deleted, emptied, cut short, and with single bits flipped: it is to be passed over. Disk: a limit
on the size of files at each write of a save: exit code 3, the last good checkpoint whole, and a resumed run
that ends as if nothing had been. Tables: malformed tables and hostile recipes given to `check` and `train`:
each works, with every row counted, or is refused by an error that names the place (crash_tables.py). Cost:
the quickstart's training, of all-MiniLM-L6-v2, with checkpoints at the default interval and without, in turn.

What else can happen is in the suite: resuming from each step with each loss
(tests/training/test_resume_every_loss.py), numbers that are not finite (test_trainer.py), memory that runs
out (test_fitting.py), hostile folders (tests/encoding/test_vetting.py).

All but the last with a tiny random encoder, on one core. Writes eval/results/crash.json after each part;
`--table` prints it. `--short` is a trial that writes nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

NAME = "crash"
PARTS = ("kills", "stock", "damage", "disk", "tables", "cost")
SHORT_KILLS, SHORT_STOCK, SHORT_FLIPS, SHORT_DISKS, SHORT_TABLES, SHORT_PAIRS = 6, 2, 1, 3, 100, 1
Results = dict[str, Any]


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--flips", type=int, default=64, help="single bits, of each file")
    parser.add_argument("--tables", type=int, default=20_000, help="malformed tables and recipes")
    parser.add_argument("--pairs", type=int, default=3, help="trainings with checkpoints and without")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--short", action="store_true", help="a trial; writes nothing")
    parser.add_argument("--table", action="store_true", help="print the results that there are")
    return parser.parse_args(words)


def measured(arguments: argparse.Namespace, results: Results, keep: Callable[[Results], object]) -> Results:
    """The parts that are asked for, each handed to ``keep`` with all others as soon as it is made."""
    from crash_cost import costs
    from crash_damage import damaged, full_disks
    from crash_kills import kills_of_ours, kills_of_stock
    from crash_runs import begun, ended, make_data, words
    from crash_tables import tables

    short, seed = arguments.short, arguments.seed
    kills, stock = (SHORT_KILLS, SHORT_STOCK) if short else (arguments.kills, arguments.kills)
    with tempfile.TemporaryDirectory(prefix="crash-") as name:
        folder = Path(name)

        def kept_tables() -> object:
            for results["tables"] in tables(range(SHORT_TABLES if short else arguments.tables), seed, folder):
                keep(results)
            return results["tables"]

        make: dict[str, Callable[[], object]] = {
            "kills": lambda: list(kills_of_ours(folder, kills, seed)),
            "stock": lambda: list(kills_of_stock(folder, stock, seed)),
            "damage": lambda: damaged(
                folder / "whole" / "checkpoints", SHORT_FLIPS if short else arguments.flips, seed
            ),
            "disk": lambda: list(full_disks(folder, SHORT_DISKS if short else None)),
            "tables": kept_tables,
            "cost": lambda: list(costs(folder, SHORT_PAIRS if short else arguments.pairs, smoke=short)),
        }
        if set(arguments.only) - {"tables", "cost"}:
            make_data(folder)
        if {"damage", "disk"} & set(arguments.only) and "kills" not in arguments.only:
            ended(begun(words(folder / "whole"), folder), folder)
        for part in arguments.only:
            results[part] = make[part]()
            keep(results)
    return results


def table(results: Results) -> str:
    """What was done, how often, and how it ended."""
    lines = ["| what | cases | as if nothing had been | otherwise |", "| --- | --- | --- | --- |"]
    for part, title in (("kills", "SIGKILL, resumed"), ("stock", "the same, sentence-transformers' trainer")):
        if part in results:
            lines.append(_row_of_kills(title, results[part]))
    if "damage" in results:
        found = results["damage"]
        fine = found["passed over"] + found["harmless"]
        lines.append(
            f"| a file of a checkpoint damaged ({found['files']} files) | {found['cases']} | {fine} "
            f"({found['harmless']} white space) | {found['taken']} taken |"
        )
    if "disk" in results:
        runs = results["disk"]
        fine = sum(
            run["identical"] and run["exit code"] == 3 and run["space named"] and not run["passed over"]
            for run in runs
        )
        lines.append(f"| a write of a save on a full disk | {len(runs)} | {fine} | {len(runs) - fine} |")
    if "tables" in results:
        lines.append(_row_of_tables(results["tables"]))
    if "cost" in results:
        lines += ["", cost_in_words(results["cost"])]
    return "\n".join(lines)


def cost_in_words(runs: list[Results]) -> str:
    """The share of saving, and what was aimed at."""
    from crash_cost import share_of_saving, slower

    share, ratio = share_of_saving(runs), slower(runs)
    return (
        f"Saving at the default interval on the quickstart ({runs[0]['steps']} steps): {100 * share:.1f} % "
        f"of the training waits for it, and it takes {ratio:.3f} times as long as without "
        f"(aim: 5 %; {'reached' if share <= 0.05 else 'missed'})."
    )


def _row_of_tables(found: Results) -> str:
    works, refused = (found["ends"].get(end, 0) for end in ("works", "refused"))
    return (
        f"| a malformed table or recipe, {found['verbs'].get('train', 0):,} of them to train on | "
        f"{found['cases']:,} | {works:,} work, {refused:,} are refused | {len(found['failed'])} otherwise |"
    )


def _row_of_kills(title: str, runs: Sequence[Results]) -> str:
    def count(wanted: Sequence[Results]) -> int:
        return sum(run["inside a save"] + run["elsewhere"] for run in wanted)

    same = [run for run in runs if run["identical"]]
    failed = [run for run in runs if run["exit code"]]
    other = [run for run in runs if not run["identical"] and not run["exit code"]]
    inside = sum(run["inside a save"] for run in runs)
    return (
        f"| {title} | {count(runs)}, {inside} inside a save | {count(same)} | {count(failed)} not resumed, "
        f"{count(other)} ended with other weights |"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    arguments = parsed(words)
    from record import read_if_there, write

    if arguments.table:
        print(table(read_if_there(NAME) or {}))
        return
    earlier = {} if arguments.short else read_if_there(NAME) or {}
    results = measured(arguments, earlier, lambda _: None if arguments.short else write(NAME, earlier))
    print(table(results))


if __name__ == "__main__":
    main()
