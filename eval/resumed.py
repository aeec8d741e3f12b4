"""A measurement run by run, each kept as soon as it is made, so that the command goes on where it stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from record import read_if_there, write

from sbert_triplet.errors import SbertTripletError
from sbert_triplet.terminal import quiet
from sbert_triplet.training.machine import keep_freed_memory

Results = dict[str, Any]
NO_DATA = "name the folder of the data sets, or give --short"


def carried_out(name: str, measured: Callable[[Results | None], Iterator[Results]], *, own: bool) -> Results:
    """All results of ``measured``, which is given the earlier ones and yields all after each run.

    ``own``: earlier results are read from ``results/NAME.json``, and each is written there. Empty where
    there are none. Ends the program with the message of an error that a person can mend.
    """
    keep_freed_memory()
    quiet()
    earlier: Results | None = read_if_there(name) if own else None
    results = earlier
    try:
        for results in measured(earlier):
            if own:
                write(name, results)
    except SbertTripletError as error:
        sys.exit(f"error: {error}")
    return results or {}
