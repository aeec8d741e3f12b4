"""The JSON schema of a recipe, for editors that complete and check YAML."""

from __future__ import annotations

from typing import Any

from sbert_triplet.recipe.curriculum import SCORES
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.reading import DECISIONS

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT = {"type": "string", "minLength": 1}
NOTHING = {"type": "null"}
OTHER_FORMS: dict[str, list[dict[str, Any]]] = {
    "Columns": [NOTHING],
    "CurriculumRecipe": [NOTHING, {"enum": list(SCORES)}],
    "DataRecipe": [TEXT],
    "EvaluateRecipe": [NOTHING],
    "LossRecipe": [NOTHING],
    "MineRecipe": [NOTHING],
    "Prompts": [NOTHING],
    "Source": [TEXT],
    "SplitRecipe": [NOTHING, TEXT],
    "TrainRecipe": [NOTHING],
}
"""What a section may be instead of keys and values: left empty, or its short form."""


def recipe_schema() -> dict[str, Any]:
    """Every key with its type, range, default and meaning; every loss and distance with its options."""
    schema = Recipe.model_json_schema()
    _drop_titles(schema)
    _write_out_loss_parts(schema["$defs"])
    for name, forms in OTHER_FORMS.items():
        schema["$defs"][name] = {"anyOf": [schema["$defs"][name], *forms]}
    schema["properties"][DECISIONS] = {
        "type": ["object", "null"],
        "description": "What a run decided beside these values; written by it, and not read again",
    }
    return {"$schema": DIALECT, "title": "Recipe of sbert-triplet"} | schema


def _write_out_loss_parts(parts: dict[str, Any]) -> None:
    """One of several losses may have the options of its loss beside its own keys, or be a name alone."""
    part, losses = parts["LossPart"], parts["LossRecipe"]["anyOf"]
    own = {key: value for key, value in part["properties"].items() if key != "loss"}
    beside = [
        {**loss, "properties": loss["properties"] | own} if "properties" in loss else loss for loss in losses
    ]
    parts["LossPart"] = {"anyOf": [part, *beside]}


def _drop_titles(schema: Any) -> None:
    """Pydantic's titles repeat the key; a property that is called title is none of them."""
    if isinstance(schema, list):
        for item in schema:
            _drop_titles(item)
    elif isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for value in schema.values():
            _drop_titles(value)
