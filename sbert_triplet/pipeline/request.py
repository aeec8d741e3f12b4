"""What a person asked for: a recipe by its file or name, or data without one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sbert_triplet.data.wording import times
from sbert_triplet.errors import InputError
from sbert_triplet.pipeline.decide import choose_loss
from sbert_triplet.pipeline.folder import RECIPE as RUN_RECIPE
from sbert_triplet.pipeline.folder import RunFolder
from sbert_triplet.pipeline.gather import Gatherer
from sbert_triplet.pipeline.recorded import located
from sbert_triplet.pipeline.shipped import packaged_recipe, packaged_recipes
from sbert_triplet.recipe.commented import commented_recipe
from sbert_triplet.recipe.data import Columns
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import ENDINGS, LoadedRecipe, load_recipe, recipe_from

NAME_OF_FOLDERS_INSIDE = frozenset({"train", "data", "test", "dev", "corpus", "default"})


@dataclass(frozen=True)
class Request:
    """A recipe and where it came from. ``sentence`` says what the words were taken for."""

    recipe: Recipe
    name: str
    sentence: str
    folder: Path | None = None
    decisions: Mapping[str, Any] = field(default_factory=dict)


def read_request(
    source: str,
    roles: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    *,
    model: str | None = None,
    max_steps: int | None = None,
    name: str | None = None,
    mines: bool = False,
) -> Request:
    """A recipe's file, the name of a packaged recipe, or data for which a recipe is made.

    ``mines``: negatives are mined whether or not it is said how many.
    """
    changes = [*overrides]
    if name is not None:
        changes.append(f"name={_quoted(name)}")
    if model is not None:
        changes.append(f"model={_quoted(model)}")
    if max_steps is not None:
        changes.append(f"train.max_steps={max_steps}")
    changes += [f"data.columns.{role}={_quoted(column)}" for role, column in (roles or {}).items()]
    path = Path(source)
    if not path.exists() and source in packaged_recipes():
        path = packaged_recipe(source)
    if path.suffix.lower() in ENDINGS:
        loaded = load_recipe(path, changes)
        return Request(
            loaded.recipe, _name_of(loaded, path), f"Recipe: {path}", loaded.folder, loaded.decisions
        )
    mine = {"mine": {"negatives": 1}} if mines else {}
    recipe = recipe_from({"data": {"train": source}, **mine}, origin=source, overrides=changes)
    return Request(recipe, recipe.name or run_name(source), f"No recipe: one is made for the data {source}")


def is_recipe(source: str) -> bool:
    """Whether the words name a recipe: by the ending of a file, or as one that comes with the package."""
    path = Path(source)
    return path.suffix.lower() in ENDINGS or (not path.exists() and source in packaged_recipes())


def _name_of(loaded: LoadedRecipe, path: Path) -> str:
    """The recipe's name, else that of its file; of the run folder where it is the recipe of a run."""
    if loaded.recipe.name is None and path.name == RUN_RECIPE and loaded.decisions:
        return path.absolute().parent.name
    return loaded.recipe.name or path.stem


def run_name(source: str) -> str:
    """A folder's name for data: ``tickets`` for tickets.csv, ``stsb`` for stsb/train.parquet."""
    path = Path(source.split("[")[0].split("@")[0].rstrip(":"))
    stem = path.name.split(".")[0] or "run"
    if stem in NAME_OF_FOLDERS_INSIDE and path.parent.name:
        stem = path.parent.name
    return (
        "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem).strip("-") or "run"
    )


def write_first_recipe(
    data: str, roles: Mapping[str, Any], out: Path | None, overwrite: bool, say: Callable[[str], None]
) -> Path:
    """Look at the data and write a commented recipe; returns its file."""
    if Path(data).suffix.lower() in ENDINGS:
        raise InputError(f"{data}: is a recipe already; edit it, or name data to write a recipe for")
    request = read_request(data, roles)
    target = out or Path(f"{request.name}.yaml")
    if target.suffix.lower() not in ENDINGS:
        raise InputError(f"{target}: a recipe's file ends in .yaml; name one with --out")
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists already; name another with --out, or give --overwrite")
    with tempfile.TemporaryDirectory(prefix="sbert-triplet-") as scratch:
        gatherer = Gatherer(request.recipe, None, Path(scratch), say, set_aside=True)
        gathered = gatherer.gather()
    loss = choose_loss(request.recipe.loss, gathered.kind, gathered.train.scores)
    columns = Columns.from_roles(gatherer.table_roles) if gatherer.table_roles else Columns()
    train = request.recipe.data.train
    if target.parent.resolve() != Path().resolve():
        train = tuple(located(source, None) for source in train)
    own = request.recipe.data.model_copy(update={"columns": columns, "train": train})
    recipe = request.recipe.model_copy(update={"loss": loss, "data": own})
    rows = f"{times(len(gathered.train), 'row', 'rows')} to train on, taken as {gathered.kind.described}."
    heading = [f"{rows} {gathered.method}"]
    if gathered.rows_set_aside:
        heading.append(
            f"{times(gathered.rows_set_aside, 'row', 'rows')} cannot be used: mend them (sbert-triplet check "
            "lists them), or set data.on_bad_row to skip."
        )
    RunFolder(target.parent).write_text(target.name, commented_recipe(recipe, heading=heading))
    return target


def _quoted(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1_000_000).removesuffix("\n...\n").strip()
