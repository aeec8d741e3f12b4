"""Every recipe of recipes/ on the data that it names: base against tuned.

    python eval/recipes.py DATA [--only NAME ...]

DATA holds the folders that the recipes name (banking77, nli, stsb, ...). Each run writes
eval/results/recipe-NAME.json; `--table` prints all of them as the table of eval/README.md. The
recipes quickstart and retrieval are measured by commands of their own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from record import ROOT
from runs import command_line

from sbert_triplet.pipeline.request import Request, read_request

RECIPES = ROOT / "recipes"
ELSEWHERE = ("quickstart", "retrieval")


def names() -> list[str]:
    """The recipes that this command measures."""
    return sorted(file.stem for file in RECIPES.glob("*.yaml") if file.stem not in ELSEWHERE)


def request_of(name: str, data: Path) -> Request:
    """The recipe, with its paths taken from DATA."""
    return replace(read_request(str(RECIPES / f"{name}.yaml"), {}, []), folder=data)


if __name__ == "__main__":
    command_line(__doc__, "recipe", names(), request_of)
