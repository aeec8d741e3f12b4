"""The verbs about data and training: train, check, mine, init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbert_triplet.cli.options import (
    RECIPE,
    RUN,
    Anchor,
    DataOrRecipe,
    Debug,
    Device,
    Label,
    Model,
    Name,
    Negative,
    Positive,
    Score,
    Set,
    Smoke,
    Weight,
    requested,
    roles_given,
)
from sbert_triplet.terminal import Terminal, guarded


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
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the newest checkpoint, if there is one.", rich_help_panel=RUN
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="With --resume: though recipe or data have changed.", rich_help_panel=RUN
        ),
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
        from sbert_triplet.pipeline.job import run
        from sbert_triplet.pipeline.options import Options

        terminal, roles = Terminal(), roles_given(anchor, positive, negative, label, score, weight)
        request = requested(terminal, source, roles, set_, model=model, max_steps=max_steps, name=name)
        home = out or Path("runs") / request.name
        options = Options(
            overwrite=overwrite,
            resume=resume,
            force=force,
            smoke=smoke,
            require_gain=require_gain,
            device=device,
            command=terminal.command(without=("--resume", "--force", "--overwrite")),
            say=terminal.say,
            progress=terminal.progress,
            decisions=request.decisions,
        )
        run(request.recipe, home, folder=request.folder, options=options)


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
        from sbert_triplet.pipeline.checking_alone import check
        from sbert_triplet.pipeline.options import Options

        terminal, roles = Terminal(), roles_given(anchor, positive, negative, label, score, weight)
        request = requested(terminal, source, roles, set_, model=model)
        options = Options(
            smoke=smoke, say=terminal.say, progress=terminal.progress, decisions=request.decisions
        )
        home = out or Path("runs") / f"{request.name}-check"
        check(request.recipe, home, folder=request.folder, options=options)


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
        from sbert_triplet.pipeline.mining_alone import mine
        from sbert_triplet.pipeline.options import Options

        terminal, roles = Terminal(), roles_given(anchor, positive, negative, label, score, weight)
        request = requested(terminal, source, roles, set_, model=model, name=name, mines=True)
        options = Options(
            overwrite=overwrite,
            smoke=smoke,
            device=device,
            say=terminal.say,
            progress=terminal.progress,
            decisions=request.decisions,
        )
        mine(request.recipe, out or Path("runs") / request.name, folder=request.folder, options=options)


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
