"""The main job on one real data set of each kind of input, without a recipe but for a limit of steps.

    python eval/kinds.py DATA [--only NAME ...]

DATA holds the folders stsb, banking77, nli, medquad, rqe and mlquestions. Each run writes
eval/results/kinds-NAME.json; `--table` prints all of them as the table of the README.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from record import ROOT
from runs import command_line

from sbert_triplet.pipeline.request import Request, read_request


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


def request_of(name: str, data: Path) -> Request:
    """What a data set's run is asked for."""
    case = CASES[name]
    overrides = []
    source = str(data / case.path)
    if case.recipe is not None:
        overrides = [
            f"data.train={{source: {source}, split: dev}}",
            f"data.test={{source: {source}, split: test}}",
        ]
        source = str(ROOT / "recipes" / f"{case.recipe}.yaml")
    return read_request(source, {}, overrides, max_steps=case.steps)


if __name__ == "__main__":
    command_line(__doc__, "kinds", list(CASES), request_of)
