"""From a file, a mapping and ``--set`` arguments to a validated recipe."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sbert_triplet.errors import RecipeError
from sbert_triplet.recipe.document import MOST_BYTES, parse_yaml
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.overrides import apply_overrides
from sbert_triplet.recipe.problems import Places, explain, found, nearest

DECISIONS = "decisions"
"""Where a resolved recipe records what was decided beside its values; no part of the recipe."""
ENDINGS = (".yaml", ".yml")
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe, the file it came from, and the decisions that a resolved recipe recorded."""

    recipe: Recipe
    path: Path | None = None
    decisions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """The recipe's name, else that of its file."""
        return self.recipe.name or (self.path.stem if self.path else None)

    @property
    def folder(self) -> Path | None:
        """Where relative paths of ``data`` are looked for, after the current folder."""
        return self.path.parent if self.path else None


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a YAML file, with ``KEY=VALUE`` overrides. Raises RecipeError."""
    return load_recipe(path, overrides).recipe


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> LoadedRecipe:
    """Like ``read_recipe``, with the file and the recorded decisions."""
    recipe, decisions = recipe_of_text(text_of(path), origin=str(path), overrides=overrides)
    return LoadedRecipe(recipe, path, decisions)


def recipe_of_text(
    text: str, *, origin: str, overrides: Sequence[str] = ()
) -> tuple[Recipe, Mapping[str, Any]]:
    """The recipe of YAML text and its recorded decisions; messages name ``origin``. Raises RecipeError."""
    document = parse_yaml(text, origin)
    if document.data is None:
        raise RecipeError(f"{origin}: is empty; a recipe needs at least `data: ` and where the rows are")
    if not isinstance(document.data, dict):
        raise RecipeError(f"{origin}: expected {Recipe.wanted}, found {found(document.data)}")
    return _validated(document.data, Places(origin, document.lines), overrides, from_text=True)


def recipe_from(data: Mapping[str, Any], *, origin: str, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of plain data, and of rows in memory; messages name ``origin``. Raises RecipeError."""
    return _validated(data, Places(origin), overrides, from_text=False)[0]


def _validated(
    data: Mapping[str, Any], places: Places, overrides: Sequence[str], *, from_text: bool
) -> tuple[Recipe, Mapping[str, Any]]:
    values, places = apply_overrides(Recipe, data, places, overrides)
    decisions = values.pop(DECISIONS, None) or {}
    if not isinstance(decisions, Mapping):
        raise RecipeError(
            places.sentence((DECISIONS,), f"expected keys and values, found {found(decisions)}")
        )
    try:
        return Recipe.model_validate(values, context={"from_text": from_text}), decisions
    except ValidationError as error:
        raise RecipeError(explain(Recipe, values, error, places)) from error


def text_of(path: Path, *, what: str = "recipe") -> str:
    """The text of a YAML file that holds a ``what``. Raises RecipeError."""
    try:
        if path.is_dir():
            inside = path / f"{what}.yaml"
            hint = f"; did you mean {inside}?" if inside.is_file() else ""
            raise RecipeError(f"{path}: is a folder; a {what} is a YAML file{hint}")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise RecipeError(f"{path}: there is no such file{_similar(path)}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(f"{path}: cannot be read ({reason})") from error
    if len(content) > MOST_BYTES:
        raise RecipeError(f"{path}: is larger than {MOST_BYTES:,} bytes; is this a file of data?")
    try:
        return content.decode("utf-16" if content.startswith(UTF_16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(
            f"{path}: is not text in UTF-8 (byte {error.start + 1}); is this a {what}?"
        ) from error


def _similar(path: Path) -> str:
    if not path.parent.is_dir():
        return ""
    names = [entry.name for entry in path.parent.iterdir() if entry.suffix in ENDINGS]
    close = nearest(path.name, names)
    return f"; did you mean {path.parent / close}?" if close else ""
