"""A recipe as YAML: complete, so that reading it again gives the same recipe."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

import yaml
from pydantic import BaseModel

from sbert_triplet.recipe.document import bare_word
from sbert_triplet.recipe.fields import accepts_field, known_keys
from sbert_triplet.recipe.loss import DistanceRecipe
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import DECISIONS
from sbert_triplet.recipe.sources import Source

HEADER = "# A recipe as resolved: every value, and what was decided. `sbert-triplet train` runs it again.\n"
NEVER_FOLDED = 1_000_000


def resolved_yaml(recipe: Recipe, decisions: Mapping[str, Any]) -> str:
    """The recipe with every default written out, and the decisions beside it.

    Reading it gives an equal recipe; rows that were given in Python are not in it, only their
    fingerprint is. Raises TypeError for a decision that is no plain data.
    """
    values = recipe_values(recipe)
    if decisions:
        values[DECISIONS] = plain(decisions)
    return HEADER + to_yaml(values)


def recipe_values(section: BaseModel) -> dict[str, Any]:
    """A section as plain data, in the order of its fields; ``auto`` is what was not decided."""
    values: dict[str, Any] = {}
    fields = known_keys(type(section), {"name": getattr(section, "name", None)})
    for name, field in fields.items():
        value = getattr(section, name)
        values[name] = "auto" if value is None and accepts_field(field).auto else written(value)
    return values


def to_yaml(values: Any) -> str:
    """YAML that YAML 1.1, YAML 1.2 and this package's own reader take for the same values."""
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=NEVER_FOLDED)


def inline_yaml(value: Any) -> str:
    """One value as YAML on one line."""
    text = yaml.dump([value], Dumper=_Dumper, default_flow_style=True, allow_unicode=True, width=NEVER_FOLDED)
    return text.strip()[1:-1]


def plain(value: Any) -> Any:
    """Mappings, lists, texts, numbers, truth values and None out of what stands for them."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or type(value) in (str, bool, int, float):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [plain(item) for item in value]
    raise TypeError(f"a recipe cannot hold an object of type {type(value).__name__}")


def written(value: Any) -> Any:
    """One value of a recipe as plain data."""
    if isinstance(value, Source):
        return _source(value)
    if isinstance(value, DistanceRecipe):
        return plain(value.as_argument())
    if isinstance(value, BaseModel):
        return recipe_values(value)
    if isinstance(value, tuple):
        items = [written(item) for item in value]
        return items[0] if len(items) == 1 and isinstance(value[0], Source) else items
    return plain(value)


def _source(source: Source) -> Any:
    """A name alone where there is nothing else to say."""
    if source.rows is not None:
        source = source.model_copy(update={"rows": None, "memory": source.fingerprint()})
    given = {key: value for key, value in recipe_values(source).items() if value is not None}
    alone = given.keys() == {"source", "weight"} and source.weight == 1
    return source.source if alone else given


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # PyYAML folds the rarer line breaks inside single quotes, and does not bring them back.
    style = '"' if not text.isprintable() else None if isinstance(bare_word(text), str) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
