"""The command line: verbs that parse, call and print; no logic.

A file holds verbs of one subject; this one puts them together.
"""

from __future__ import annotations

import os
import sys

import typer

from sbert_triplet.cli.evidence import evaluate, report
from sbert_triplet.cli.publishing import export, publish
from sbert_triplet.cli.recipes import recipe
from sbert_triplet.cli.searching import index, search
from sbert_triplet.cli.serving import serve
from sbert_triplet.cli.training import check, init, mine, train
from sbert_triplet.training.machine import keep_freed_memory

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fine-tune a sentence-embedding model on your own text, and see whether it got better.",
)

for verb in (
    train,
    check,
    mine,
    init,
    evaluate,
    report,
    export,
    publish,
    index,
    search,
    serve,
    recipe,
):
    app.command()(verb)


def main() -> None:
    """The entry point: ``sbert-triplet`` and ``python -m sbert_triplet``."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    keep_freed_memory()
    app(prog_name="sbert-triplet", args=sys.argv[1:])
