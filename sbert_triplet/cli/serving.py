"""The verb that serves: embeddings, search and a page over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbert_triplet.cli.options import RUN, Debug, Device
from sbert_triplet.terminal import Terminal, guarded

BESIDE, WHO, LIMITS = "Two models side by side", "Who may ask", "Limits"


def serve(
    what: Annotated[
        str,
        typer.Argument(metavar="URL|MODEL", help="The store of an index; or a model, for embeddings alone."),
    ],
    beside: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Another index of the same documents, as of the base model.",
            rich_help_panel=BESIDE,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Embed the same documents with this model now.", rich_help_panel=BESIDE
        ),
    ] = None,
    votes: Annotated[
        Path, typer.Option(metavar="FILE", help="Where blind votes are kept.", rich_help_panel=BESIDE)
    ] = Path("votes.jsonl"),
    host: Annotated[
        str, typer.Option(metavar="HOST", help="The address to listen on.", rich_help_panel=WHO)
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="0: any free one.", rich_help_panel=WHO)
    ] = 8000,
    without_keys: Annotated[
        bool,
        typer.Option(
            "--without-keys",
            help="Listen on another host though SBERT_TRIPLET_KEYS is not set.",
            rich_help_panel=WHO,
        ),
    ] = False,
    max_texts: Annotated[
        int, typer.Option(min=1, metavar="N", help="Texts of a request.", rich_help_panel=LIMITS)
    ] = 2048,
    max_tokens: Annotated[
        int, typer.Option(min=1, metavar="N", help="Tokens of a request.", rich_help_panel=LIMITS)
    ] = 262_144,
    max_connections: Annotated[
        int, typer.Option(min=1, metavar="N", help="Connections of one address.", rich_help_panel=LIMITS)
    ] = 256,
    dimensions: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            help="A size that the model was trained to be cut to; may be repeated.",
            rich_help_panel=RUN,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The model of the index, where it lies elsewhere by now.",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Serve embeddings in OpenAI's shape, search, and a page to try it, over HTTP."""
    with guarded(debug):
        from sbert_triplet.errors import InputError

        try:
            from sbert_triplet.search.server import run
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("sbert_triplet"):
                raise
            raise InputError(
                f'serve needs {error.name}, which is not installed: pip install "sbert-triplet[serve]"'
            ) from error
        from sbert_triplet.search.server.limits import Limits

        asked = run.Serving(
            what,
            beside=beside,
            base=base,
            model=model,
            host=host,
            port=port,
            without_keys=without_keys,
            dimensions=tuple(dimensions or ()),
            votes=votes,
            device=device,
            limits=Limits(texts=max_texts, tokens=max_tokens, connections_per_address=max_connections),
        )
        run.serve(asked, say=Terminal().say)
