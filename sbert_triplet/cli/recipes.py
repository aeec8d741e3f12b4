"""The verb about recipes."""

from __future__ import annotations

from typing import Annotated

import typer

from sbert_triplet.cli.options import Debug
from sbert_triplet.terminal import guarded


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
