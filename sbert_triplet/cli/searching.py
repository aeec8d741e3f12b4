"""The verbs about search: index, search."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from sbert_triplet.cli.options import RUN, Debug, Device
from sbert_triplet.terminal import Terminal, guarded

CORPUS, FORM, MODELS = "Corpus (else inferred by name)", "How it is kept", "A new model, or a check"

Store = Annotated[
    str,
    typer.Option(
        metavar="URL",
        help="faiss:DIR, postgresql://…?table=NAME, chroma://HOST:PORT/NAME, qdrant:DIR, "
        "qdrant://HOST:PORT/NAME, lancedb:DIR.",
    ),
]


class Kept(StrEnum):
    """What an embedding is kept in."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    BINARY = "binary"


def index(
    store: Store,
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A folder, a run folder or a Hub id.")
    ] = None,
    corpus: Annotated[
        str | None,
        typer.Argument(metavar="CORPUS", help="A file, a folder, data of retrieval, a Hub id."),
    ] = None,
    id_: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Ids.", rich_help_panel=CORPUS)
    ] = None,
    text: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help='Texts: a column, or "{title}\\n{text}".', rich_help_panel=CORPUS
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="A column to filter by; may be repeated. Else all others.",
            rich_help_panel=CORPUS,
        ),
    ] = None,
    precision: Annotated[
        Kept | None, typer.Option(help="Of the embeddings; fp32 at first.", rich_help_panel=FORM)
    ] = None,
    passage_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Cut documents into passages of at most N tokens.",
            rich_help_panel=FORM,
        ),
    ] = None,
    passage_overlap: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Tokens that two passages share.", rich_help_panel=FORM),
    ] = 0,
    migrate: Annotated[
        bool,
        typer.Option(
            "--migrate", help="Embed for MODEL beside the model of the index.", rich_help_panel=MODELS
        ),
    ] = False,
    queries: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="With --migrate: queries whose top 10 are compared (.txt, or a source).",
            rich_help_panel=MODELS,
        ),
    ] = None,
    switch: Annotated[
        bool,
        typer.Option(
            "--switch",
            help="Have searches read the other model's embeddings; again: switch back.",
            rich_help_panel=MODELS,
        ),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Read all that is kept and check it.", rich_help_panel=MODELS),
    ] = False,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Embed documents into a store that `search` reads; run again, it embeds what is new or changed."""
    with guarded(debug):
        from sbert_triplet.errors import InputError
        from sbert_triplet.search import verbs
        from sbert_triplet.search.store import Cut

        terminal = Terminal()
        if (model is None) != (corpus is None) or (model is None and not (switch or verify)):
            raise InputError("index needs MODEL and CORPUS; only --switch and --verify do without both")
        if passage_overlap and passage_tokens is None:
            raise InputError("--passage-overlap: give --passage-tokens as well")
        if model is not None and corpus is not None:
            wanted = verbs.Wanted(
                store,
                model,
                corpus,
                id=id_,
                text=text,
                metadata=tuple(metadata) if metadata else None,
                precision=precision.value if precision else None,
                passages=Cut(passage_tokens, passage_overlap) if passage_tokens else None,
                device=device,
            )
            if migrate:
                verbs.migrate(wanted, queries, at_once=switch, say=terminal.say, progress=terminal.progress)
            elif queries or switch:
                raise InputError("--queries and --switch beside MODEL and CORPUS go with --migrate")
            else:
                verbs.fill(wanted, say=terminal.say, progress=terminal.progress)
        elif switch:
            verbs.turn(store, say=terminal.say)
        if verify:
            verbs.verified(store, say=terminal.say)


def search(
    store: Annotated[str, typer.Argument(metavar="URL", help="The store of an index.")],
    queries: Annotated[list[str], typer.Argument(metavar="QUERY", help="What to look for.")],
    k: Annotated[int, typer.Option("-k", min=1, metavar="N", help="Documents for each query.")] = 10,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help='On metadata: KEY=VALUE, KEY>=NUMBER, KEY=["A","B"]; all must hold; may be repeated.',
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
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a query.", rich_help_panel=RUN)
    ] = False,
    device: Device = None,
    debug: Debug = False,
) -> None:
    """Find the documents nearest to a query."""
    with guarded(debug):
        from sbert_triplet.search.verbs import look_up

        look_up(
            store,
            queries,
            model=model,
            k=k,
            where=where or (),
            as_json=as_json,
            device=device,
            say=Terminal().say,
        )
