"""The command line: verbs that parse, call and print; no logic."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sbert_triplet.terminal import Terminal, guarded
from sbert_triplet.training.machine import keep_freed_memory

if TYPE_CHECKING:
    from sbert_triplet.pipeline.request import Request

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fine-tune a sentence-embedding model on your own text, and see whether it got better.",
)

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


@app.command()
def train(
    source: DataOrRecipe,
    anchor: Anchor = None,
    positive: Positive = None,
    negative: Negative = None,
    label: Label = None,
    score: Score = None,
    weight: Weight = None,
    model: Model = None,
    set_: Set = None,
    max_steps: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="At most this many steps.", rich_help_panel=RECIPE),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="The run folder; else runs/NAME.", rich_help_panel=RUN),
    ] = None,
    name: Name = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a finished run.", rich_help_panel=RUN)
    ] = False,
    require_gain: Annotated[
        bool,
        typer.Option(
            "--require-gain", help="Exit with 1 unless the tuned model is shown better.", rich_help_panel=RUN
        ),
    ] = False,
    smoke: Smoke = False,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Train on your data and compare base and tuned model on held-out rows."""
    with guarded(debug):
        from sbert_triplet.pipeline.job import Options, run

        terminal, roles = Terminal(), roles_given(anchor, positive, negative, label, score, weight)
        request = requested(terminal, source, roles, set_, model=model, max_steps=max_steps, name=name)
        home = out or Path("runs") / request.name
        options = Options(
            overwrite=overwrite,
            smoke=smoke,
            require_gain=require_gain,
            device=device,
            command=terminal.command(),
            say=terminal.say,
            progress=terminal.progress,
            decisions=request.decisions,
        )
        run(request.recipe, home, folder=request.folder, options=options)


@app.command()
def check(
    source: DataOrRecipe,
    anchor: Anchor = None,
    positive: Positive = None,
    negative: Negative = None,
    label: Label = None,
    score: Score = None,
    weight: Weight = None,
    model: Model = None,
    set_: Set = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where data.json goes; else runs/NAME-check.", rich_help_panel=RUN
        ),
    ] = None,
    smoke: Smoke = False,
    debug: Debug = False,
) -> None:
    """Look at the data: roles, splits, duplicates, conflicts, leaks, lengths, expected time."""
    with guarded(debug):
        from sbert_triplet.pipeline.job import Options, check

        terminal, roles = Terminal(), roles_given(anchor, positive, negative, label, score, weight)
        request = requested(terminal, source, roles, set_, model=model)
        options = Options(
            smoke=smoke, say=terminal.say, progress=terminal.progress, decisions=request.decisions
        )
        home = out or Path("runs") / f"{request.name}-check"
        check(request.recipe, home, folder=request.folder, options=options)


@app.command()
def mine(
    source: DataOrRecipe,
    anchor: Anchor = None,
    positive: Positive = None,
    negative: Negative = None,
    label: Label = None,
    score: Score = None,
    weight: Weight = None,
    model: Model = None,
    set_: Set = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where negatives/ goes; else runs/NAME.", rich_help_panel=RUN),
    ] = None,
    name: Name = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace negatives mined before.", rich_help_panel=RUN)
    ] = False,
    smoke: Smoke = False,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Mine hard negatives for the training rows, with the audit of suspects; nothing is trained."""
    with guarded(debug):
        from sbert_triplet.pipeline.job import Options
        from sbert_triplet.pipeline.mining_alone import mine

        terminal, roles = Terminal(), roles_given(anchor, positive, negative, label, score, weight)
        request = requested(terminal, source, roles, set_, model=model, name=name)
        options = Options(
            overwrite=overwrite,
            smoke=smoke,
            device=device,
            say=terminal.say,
            progress=terminal.progress,
            decisions=request.decisions,
        )
        mine(request.recipe, out or Path("runs") / request.name, folder=request.folder, options=options)


@app.command()
def init(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file, a folder or a Hub id.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The recipe to write; else NAME.yaml here.", rich_help_panel=RUN),
    ] = None,
    anchor: Anchor = None,
    positive: Positive = None,
    negative: Negative = None,
    label: Label = None,
    score: Score = None,
    weight: Weight = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the recipe.", rich_help_panel=RUN)
    ] = False,
    debug: Debug = False,
) -> None:
    """Look at the data and write a commented recipe to edit."""
    with guarded(debug):
        from sbert_triplet.pipeline.request import write_first_recipe

        terminal = Terminal()
        file = write_first_recipe(
            data, roles_given(anchor, positive, negative, label, score, weight), out, overwrite, terminal.say
        )
        terminal.say(f"Written: {file}. Edit it, then: sbert-triplet train {file}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")], debug: Debug = False
) -> None:
    """Draw report.html and report.md again from a run folder."""
    with guarded(debug, libraries=False):
        from sbert_triplet.reporting.report import write_report

        files = write_report(run)
        Terminal().say(f"Written: {files.html}\nWritten: {files.markdown}")


@app.command()
def recipe(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema, for editors.")] = False,
    show: Annotated[str | None, typer.Option(metavar="NAME", help="Print one recipe.")] = None,
    debug: Debug = False,
) -> None:
    """List the recipes that come with the package, print one, or print the schema."""
    with guarded(debug, libraries=False):
        from sbert_triplet.pipeline.shipped import packaged_recipe, packaged_recipes

        if schema:
            import json

            from sbert_triplet.recipe.schema import recipe_schema

            typer.echo(json.dumps(recipe_schema(), indent=2))
        elif show is not None:
            typer.echo(packaged_recipe(show).read_text(encoding="utf-8"), nl=False)
        else:
            for name, about in packaged_recipes().items():
                typer.echo(f"{name:<24} {about}")


def main() -> None:
    """The entry point: ``sbert-triplet`` and ``python -m sbert_triplet``."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    keep_freed_memory()
    app(prog_name="sbert-triplet", args=sys.argv[1:])
