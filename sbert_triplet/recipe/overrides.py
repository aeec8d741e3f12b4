"""``--set train.epochs=2``: one value of a recipe replaced from the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from sbert_triplet.errors import RecipeError
from sbert_triplet.recipe.document import parse_yaml
from sbert_triplet.recipe.fields import Accepts, find_field
from sbert_triplet.recipe.problems import Path, Places, dotted, found, shorten
from sbert_triplet.recipe.section import Section
from sbert_triplet.recipe.sources import Source

QUOTES = ("'", '"')
STRUCTURE = ("[", "{")


def apply_overrides(
    recipe: type[BaseModel], data: Mapping[str, Any], places: Places, overrides: Sequence[str]
) -> tuple[dict[str, Any], Places]:
    """The data with every ``KEY=VALUE`` applied in turn, and where each part was then written.

    Sections on the way are made where they are missing, and a section in its short form
    (``loss: triplet``) is written out. Raises RecipeError for what is no KEY=VALUE.
    """
    changed: Any = data
    for argument in overrides:
        path, text = _split(argument)
        origin = f"--set {shorten(argument)}"
        value = _value(find_field(recipe, path, changed), text, origin)
        changed = _Override(recipe, path, value, origin).into(changed, 0)
        places = _placed(places, path, origin)
    return dict(changed), places


def _split(argument: str) -> tuple[tuple[str, ...], str]:
    key, equals, text = argument.partition("=")
    path = tuple(part.strip() for part in key.split("."))
    if not equals or not all(path):
        raise RecipeError(f"--set {shorten(argument)}: expected KEY=VALUE, such as train.epochs=2")
    return path, text


def _value(wanted: Accepts | None, text: str, origin: str) -> Any:
    """The value by the rules of YAML; where text is wanted, as it stands, so that no prompt needs quotes."""
    if wanted is None or text.startswith(QUOTES):
        return parse_yaml(text, origin).data
    texts = wanted.item is not None and (wanted.item.core is str or wanted.item.section is Source)
    if wanted.core is str or (texts and not text.startswith(STRUCTURE)):
        return None if wanted.nullable and text == "null" else text
    return parse_yaml(text, origin).data


class _Override:
    def __init__(self, recipe: type[BaseModel], path: tuple[str, ...], value: Any, origin: str) -> None:
        self.recipe, self.path, self.value, self.origin = recipe, path, value, origin

    def into(self, data: Any, depth: int) -> Any:
        """A copy of ``data``, which lies ``depth`` keys down the path, with the value in its place."""
        if depth == len(self.path):
            return self.value
        key = self.path[depth]
        mapping = self._written_out(data, self.path[:depth])
        return {**mapping, key: self.into(mapping.get(key), depth + 1)}

    def _written_out(self, data: Any, at: tuple[str, ...]) -> Mapping[str, Any]:
        if data is None or isinstance(data, Mapping):
            return data or {}
        wanted = find_field(self.recipe, at, {})
        section = wanted and (wanted.section or (wanted.item and wanted.item.section))
        try:
            if section and issubclass(section, Section):
                short: Mapping[str, Any] = section.from_short(data)
                return short
        except PydanticCustomError:
            pass
        raise RecipeError(
            f"{self.origin}: {dotted(at)} is {found(data)}, which has no keys; set {dotted(at)} as a whole"
        )


def _placed(places: Places, path: tuple[str, ...], origin: str) -> Places:
    """What an override wrote is found at the override, and no longer at a line of the file."""
    lines = {key: line for key, line in places.lines.items() if key[: len(path)] != path}
    overrides: dict[Path, str] = {
        key: earlier for key, earlier in places.overrides.items() if key[: len(path)] != path
    }
    for length in range(1, len(path) + 1):
        part = path[:length]
        if part in overrides:
            overrides[part] += f", {origin}"
        elif part not in lines:
            overrides[part] = origin
    return Places(places.origin, lines, overrides)
