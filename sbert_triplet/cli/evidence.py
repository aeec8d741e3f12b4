"""The verbs about evidence: evaluate, report."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sbert_triplet.cli.options import RUN, Debug, Device, Set
from sbert_triplet.terminal import Terminal, guarded

TASKS = "What they are measured on (else the held-out rows of the first run among the models)"


class Precision(StrEnum):
    """What the encoder computes in."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


def _list_suites(wanted: bool) -> None:
    if wanted:
        from sbert_triplet.pipeline.shipped import packaged_suites

        for name, about in packaged_suites().items():
            typer.echo(f"{name:<16} {about}")
        raise typer.Exit


def evaluate(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL",
            help="Folders, run folders, Hub ids; the first is what the others are compared with.",
        ),
    ],
    suite: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="A suite: a name that --list-suites lists, or a YAML file.",
            rich_help_panel=TASKS,
        ),
    ] = None,
    local: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where relative paths of the suite start, after the current folder.",
            rich_help_panel=TASKS,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE|DATA|RUN",
            help="The rows that a recipe, or data without one, holds out for test.",
            rich_help_panel=TASKS,
        ),
    ] = None,
    set_: Set = None,
    mteb: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TASK", help="A task of MTEB by its name; may be repeated.", rich_help_panel=TASKS
        ),
    ] = None,
    list_suites: Annotated[
        bool,
        typer.Option(
            "--list-suites",
            is_eager=True,
            callback=_list_suites,
            help="List the suites that come with the package.",
            rich_help_panel=TASKS,
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Where the figures go; else runs/NAME-evaluation.", rich_help_panel=RUN
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an evaluation.", rich_help_panel=RUN)
    ] = False,
    precision: Annotated[
        Precision, typer.Option(help="Of the encoder's arithmetic.", rich_help_panel=RUN)
    ] = Precision.FP32,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Of the resampling.", rich_help_panel=RUN)
    ] = 13,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Compare models on the same tasks: quality with intervals, speed, size; BM25 beside retrieval."""
    with guarded(debug):
        from sbert_triplet.pipeline.evaluating import carry_out
        from sbert_triplet.pipeline.measurements import Asked
        from sbert_triplet.pipeline.options import Options

        terminal = Terminal()
        asked = Asked(
            models=tuple(models),
            suite=suite,
            data=data,
            settings=tuple(set_ or ()),
            local=local,
            mteb=tuple(mteb or ()),
            precision=precision.value,
            seed=seed,
        )
        options = Options(
            overwrite=overwrite,
            device=device,
            command=terminal.command(),
            say=terminal.say,
            progress=terminal.progress,
        )
        carry_out(asked, out, options=options)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")], debug: Debug = False
) -> None:
    """Draw report.html and report.md again from a run folder."""
    with guarded(debug, libraries=False):
        from sbert_triplet.reporting.report import write_report

        files = write_report(run)
        Terminal().say(f"Written: {files.html}\nWritten: {files.markdown}")
