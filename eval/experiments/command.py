"""The command line of one experiment: what is asked for, run by run, and its part of the page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import beside  # noqa: F401
from claim import SEEDS, Experiment
from precision import add_precision, refuse_imitated
from record import read_if_there, write

Results = dict[str, Any]


def parsed(experiment: Experiment, about: str | None, words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--sets", nargs="+", choices=experiment.sets, default=list(experiment.sets))
    names = list(experiment.variants)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="VARIANT")
    parser.add_argument("--again", action="store_true", help="make runs anew that there are already")
    add_common(parser)
    return parser.parse_args(words)


def add_common(parser: argparse.ArgumentParser) -> None:
    """The options of one experiment and of all."""
    add_precision(parser)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--short", action="store_true", help="a trial in seconds; writes nothing")
    parser.add_argument("--dry-run", action="store_true", help="neither read nor write results")
    parser.add_argument("--table", action="store_true", help="print the results that there are")


def name_of(experiment: Experiment) -> str:
    """Of its file of results."""
    return f"claims/{experiment.name}"


def kept_results(experiment: Experiment) -> Results | None:
    """What earlier runs have written."""
    found: Results | None = read_if_there(name_of(experiment))
    return found


def carried_out(experiment: Experiment, arguments: argparse.Namespace) -> None:
    """Make the runs that are asked for and not there, keeping each, and print the experiment's part."""
    from measured import Asked, measured
    from shown import section

    from sbert_triplet.terminal import quiet
    from sbert_triplet.training.machine import keep_freed_memory

    keep_freed_memory()
    quiet()
    own = not (arguments.short or arguments.dry_run)
    earlier = kept_results(experiment) if own else None
    data = None if arguments.short else arguments.data
    if data is not None:
        refuse_imitated(arguments.precision)
    asked = Asked(data, arguments.seeds, arguments.sets, arguments.only, arguments.again, arguments.precision)
    results = earlier
    for results in measured(experiment, asked, earlier):
        if own:
            write(name_of(experiment), results)
    print(section(experiment, results))


def main(experiment: Experiment, about: str | None, words: Sequence[str] | None = None) -> None:
    """Parse, measure, print."""
    from shown import section

    from sbert_triplet.errors import SbertTripletError

    arguments = parsed(experiment, about, words)
    if arguments.table:
        print(section(experiment, kept_results(experiment)))
        return
    if arguments.data is None and not arguments.short:
        sys.exit("name the folder of the data sets, or give --short")
    try:
        carried_out(experiment, arguments)
    except SbertTripletError as error:
        sys.exit(f"error: {error}")
