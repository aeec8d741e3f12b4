"""Arguments and options that several verbs share, and what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sbert_triplet.terminal import Terminal

if TYPE_CHECKING:
    from sbert_triplet.pipeline.request import Request

COLUMNS, RECIPE, RUN = "Columns (else inferred by name and type)", "Recipe", "Run"

DataOrRecipe = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE|DATA",
        help="A recipe: a .yaml file, or a name that `sbert-triplet recipe` lists. "
        "Or data: a file (csv, tsv, json, jsonl, parquet), a folder, a Hub id.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a value of the recipe, as train.epochs=2; may be repeated.",
        rich_help_panel=RECIPE,
    ),
]
Anchor = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN",
        help='Queries or first texts: a column, or a template as "{subject}\\n{body}".',
        rich_help_panel=COLUMNS,
    ),
]
Positive = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN", help="Texts that belong to the anchor; may be repeated.", rich_help_panel=COLUMNS
    ),
]
Negative = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN", help="Texts that do not belong to it; may be repeated.", rich_help_panel=COLUMNS
    ),
]
Label = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Classes, or NLI labels.", rich_help_panel=COLUMNS)
]
Score = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Scores of pairs.", rich_help_panel=COLUMNS)
]
Weight = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Weights of rows.", rich_help_panel=COLUMNS)
]
Model = Annotated[
    str | None,
    typer.Option(
        metavar="MODEL",
        help="The encoder to start from: a folder, a run folder or a Hub id.",
        rich_help_panel=RECIPE,
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="NAME of the run folder; else the recipe's or file's.", rich_help_panel=RUN
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="DEVICE", help="cpu, cuda, cuda:1, mps; else the best at hand.", rich_help_panel=RUN
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=RUN)]
Smoke = Annotated[
    bool,
    typer.Option("--smoke", help="Does it run? A tiny random encoder and a few rows.", rich_help_panel=RUN),
]


def roles_given(
    anchor: str | None,
    positive: list[str] | None,
    negative: list[str] | None,
    label: str | None,
    score: str | None,
    weight: str | None,
) -> dict[str, Any]:
    """The roles that were named on the command line."""
    named = {
        "anchor": anchor,
        "positive": positive or None,
        "negative": negative or None,
        "label": label,
        "score": score,
        "weight": weight,
    }
    return {role: column for role, column in named.items() if column is not None}


def requested(
    terminal: Terminal, source: str, roles: dict[str, Any], settings: list[str] | None, **given: Any
) -> Request:
    """What the command line asks for, which is said; ``given``: as of ``read_request``."""
    from sbert_triplet.pipeline.request import read_request

    request = read_request(source, roles, settings or (), **given)
    terminal.say(request.sentence)
    return request
