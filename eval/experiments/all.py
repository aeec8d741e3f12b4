"""Every experiment, one after the other, and the page of all.

    python eval/experiments/all.py DATA [--seeds 1 2 3] [--only NAME ...]

Goes on where it stopped: each run is kept in eval/results/claims/NAME.json, and none is made twice. Then
eval/claims.md is written anew. `--short` is a trial with a tiny random encoder on made-up rows, which writes
nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import batch_size
import curriculum
import distances
import loss_families
import margin_sweep
import normalisation
import offline_online
import selection_of_triplets
from command import add_common, carried_out, kept_results

EXPERIMENTS = {
    module.EXPERIMENT.name: module.EXPERIMENT
    for module in (
        loss_families,
        distances,
        margin_sweep,
        selection_of_triplets,
        batch_size,
        offline_online,
        curriculum,
        normalisation,
    )
}


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", help="the folder of the data sets")
    parser.add_argument("--only", nargs="+", choices=list(EXPERIMENTS), default=list(EXPERIMENTS))
    add_common(parser)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Parse, measure each, write the page."""
    from page import write_page
    from shown import section

    from sbert_triplet.errors import SbertTripletError

    arguments = parsed(words)
    if arguments.data is None and not (arguments.short or arguments.table):
        sys.exit("name the folder of the data sets, or give --short")
    for name in arguments.only:
        experiment = EXPERIMENTS[name]
        if arguments.table:
            print(section(experiment, kept_results(experiment)))
            continue
        own = {"sets": experiment.sets, "only": list(experiment.variants), "again": False}
        try:
            carried_out(experiment, argparse.Namespace(**{**vars(arguments), **own}))
        except SbertTripletError as error:
            sys.exit(f"error: {name}: {error}")
    if not (arguments.short or arguments.dry_run or arguments.table):
        write_page()


if __name__ == "__main__":
    main()
