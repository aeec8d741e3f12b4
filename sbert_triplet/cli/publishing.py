"""The verbs that take a model elsewhere: export, publish."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sbert_triplet.cli.options import RUN, Debug
from sbert_triplet.terminal import Terminal, guarded

CHECK, FORM = "What is checked", "Form"


class Form(StrEnum):
    """What a model is exported to."""

    PORTABLE = "portable"
    ONNX = "onnx"
    OPENVINO = "openvino"


Force = Annotated[
    bool, typer.Option("--force", help="Though the check speaks against it.", rich_help_panel=RUN)
]


def export(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A run folder, a folder of a model, or a Hub id.")
    ],
    to: Annotated[Form, typer.Option(help="Which form.", rich_help_panel=FORM)] = Form.PORTABLE,
    int8: Annotated[
        bool, typer.Option("--int8", help="Weights in 8 bits (onnx, openvino).", rich_help_panel=FORM)
    ] = False,
    float16: Annotated[
        bool, typer.Option("--float16", help="Weights in 16 bits (portable).", rich_help_panel=FORM)
    ] = False,
    dimensions: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="The first N numbers of the embeddings.", rich_help_panel=FORM),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="RECIPE|DATA|RUN",
            help="Measure on the rows that this holds out for test; of a run, its own.",
            rich_help_panel=CHECK,
        ),
    ] = None,
    max_loss: Annotated[
        float,
        typer.Option(
            min=0.0, metavar="X", help="Refuse a larger fall of the main metric.", rich_help_panel=CHECK
        ),
    ] = 0.01,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Else exports/NAME-FORM.", rich_help_panel=RUN),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier export.", rich_help_panel=RUN)
    ] = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Write a model in another form, and compare it with the one that it came from."""
    with guarded(debug):
        from sbert_triplet.pipeline.exporting import Asked, export

        terminal = Terminal()
        asked = Asked(
            model=model,
            to=to.value,
            int8=int8,
            float16=float16,
            dimensions=dimensions,
            data=data,
            max_loss=max_loss,
            force=force,
        )
        export(asked, out, overwrite=overwrite, say=terminal.say)


def publish(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A finished run, or RUN/candidate.")],
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A repository on the Hub.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List files and sizes, show the card, send nothing.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="For everybody to read; else private.", rich_help_panel=RUN)
    ] = False,
    licence: Annotated[
        str | None,
        typer.Option(
            "--licence",
            "--license",
            metavar="ID",
            help="Of the weights, as apache-2.0.",
            rich_help_panel="Card",
        ),
    ] = None,
    data_licence: Annotated[
        str | None,
        typer.Option(
            "--data-licence",
            "--data-license",
            metavar="TEXT",
            help="Of the training rows.",
            rich_help_panel="Card",
        ),
    ] = None,
    include_examples: Annotated[
        bool,
        typer.Option(
            "--include-examples", help="Quote some held-out texts; else none.", rich_help_panel="Card"
        ),
    ] = False,
    force: Force = False,
    debug: Debug = False,
) -> None:
    """Publish a run's model on the Hub in one commit, with its card."""
    with guarded(debug):
        from sbert_triplet.pipeline.publishing import Wanted, publish

        wanted = Wanted(
            run,
            repo,
            force=force,
            private=not public,
            include_examples=include_examples,
            licence=licence,
            data_licence=data_licence,
        )
        publish(wanted, dry_run=dry_run, say=Terminal().say)
