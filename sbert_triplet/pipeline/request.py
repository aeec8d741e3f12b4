"""What a person asked for: a recipe by its file or name, or data without one."""

from __future__ import annotations

import sysconfig
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sbert_triplet.errors import InputError, RecipeError
from sbert_triplet.pipeline.decide import choose_loss
from sbert_triplet.pipeline.gather import Gatherer
from sbert_triplet.recipe.commented import commented_recipe
from sbert_triplet.recipe.data import Columns
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import ENDINGS, load_recipe, recipe_from

RECIPES = Path("share") / "sbert_triplet" / "recipes"
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
    roles: Mapping[str, Any],
    overrides: Sequence[str] = (),
    model: str | None = None,
    max_steps: int | None = None,
) -> Request:
    """A recipe's file, the name of a packaged recipe, or data for which a recipe is made."""
    changes = [*overrides]
    if model is not None:
        changes.append(f"model={_quoted(model)}")
    if max_steps is not None:
        changes.append(f"train.max_steps={max_steps}")
    changes += [f"data.columns.{role}={_quoted(column)}" for role, column in roles.items()]
    path = Path(source)
    if not path.exists() and source in packaged_recipes():
        path = packaged_recipe(source)
    if path.suffix.lower() in ENDINGS:
        loaded = load_recipe(path, changes)
        name = loaded.name or path.stem
        return Request(loaded.recipe, name, f"Recipe: {path}", loaded.folder, loaded.decisions)
    recipe = recipe_from({"data": {"train": source}}, origin=source, overrides=changes)
    return Request(recipe, recipe.name or run_name(source), f"No recipe: one is made for the data {source}")


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
    request = read_request(data, roles)
    target = out or Path(f"{request.name}.yaml")
    if target.suffix.lower() not in ENDINGS:
        raise InputError(f"{target}: a recipe's file ends in .yaml; name one with --out")
    if target.exists() and not overwrite:
        raise InputError(f"{target}: exists already; name another with --out, or give --overwrite")
    with tempfile.TemporaryDirectory(prefix="sbert-triplet-") as scratch:
        gatherer = Gatherer(request.recipe, None, Path(scratch), say)
        gathered = gatherer.gather()
    loss = choose_loss(request.recipe, gathered.kind)
    columns = Columns.from_roles(gatherer.table_roles) if gatherer.table_roles else Columns()
    recipe = request.recipe.model_copy(
        update={"loss": loss, "data": request.recipe.data.model_copy(update={"columns": columns})}
    )
    heading = [f"{len(gathered.train):,} rows to train on, taken as {gathered.kind.value}. {gathered.method}"]
    target.write_text(commented_recipe(recipe, heading=heading), encoding="utf-8")
    return target


def packaged_recipes() -> dict[str, str]:
    """Names of the recipes that come with the package, and the first comment of each."""
    found = {}
    for file in sorted(_recipes().glob("*.yaml")):
        first = file.read_text(encoding="utf-8").splitlines()[0]
        found[file.stem] = first.lstrip("# ")
    return found


def packaged_recipe(name: str) -> Path:
    """The file of a packaged recipe. Raises RecipeError with the names that there are."""
    if name not in packaged_recipes():
        raise RecipeError(
            f"recipe {name}: does not come with the package; there are {', '.join(packaged_recipes())}"
        )
    return _recipes() / f"{name}.yaml"


def _recipes() -> Path:
    """The folder of recipes: of the checkout that this file lies in, else as installed."""
    checkout = Path(__file__).parents[2] / "recipes"
    return checkout if checkout.is_dir() else Path(sysconfig.get_path("data")) / RECIPES


def _quoted(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1_000_000).removesuffix("\n...\n").strip()
