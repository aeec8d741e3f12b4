"""The JSON schema accepts what the reader accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.distances.names import DISTANCES
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.recipe import Recipe, commented_recipe, recipe_from, recipe_schema, resolved_yaml
from sbert_triplet.recipe.losses import LossPart
from sbert_triplet.training.library_names import LIBRARY_LOSSES

TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
NUMBERS = {"integer": int, "number": (int, float)}


def valid(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """JSON schema as far as the recipe's uses it; an unknown keyword is an error of the test."""
    checks = {
        "$ref": lambda ref: valid(value, root["$defs"][ref.removeprefix("#/$defs/")], root),
        "allOf": lambda parts: all(valid(value, part, root) for part in parts),
        "anyOf": lambda choices: any(valid(value, choice, root) for choice in choices),
        "enum": lambda choices: any(value == choice and type(value) is type(choice) for choice in choices),
        "const": lambda only: value == only,
        "type": lambda kinds: any(
            of_type(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)
        ),
        "minimum": lambda low: value >= low,
        "maximum": lambda high: value <= high,
        "exclusiveMinimum": lambda low: value > low,
        "exclusiveMaximum": lambda high: value < high,
        "minLength": lambda least: len(value) >= least,
        "minItems": lambda least: len(value) >= least,
        "items": lambda each: all(valid(item, each, root) for item in value),
        "properties": lambda known: all(valid(value[key], known[key], root) for key in known if key in value),
        "required": lambda keys: all(key in value for key in keys),
        "additionalProperties": lambda _: value.keys() <= schema["properties"].keys(),
    }
    described = {"description", "default", "examples", "title", "$schema", "$defs"}
    assert schema.keys() <= checks.keys() | described
    ordered = sorted(schema.keys() - described, key=lambda keyword: keyword != "type")
    return all(checks[keyword](schema[keyword]) for keyword in ordered)


def of_type(value: Any, kind: str) -> bool:
    if kind in NUMBERS:
        return isinstance(value, NUMBERS[kind]) and not isinstance(value, bool)
    return isinstance(value, TYPES[kind])


SCHEMA = recipe_schema()
RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))
GOOD = [
    {"data": "a.csv"},
    {"data": {"train": ["a.csv", {"source": "b", "weight": 2}], "split": "date", "columns": None}},
    {"data": "a.csv", "loss": "cosent", "train": None},
    {"data": "a.csv", "loss": {"name": "triplet", "soft": True, "distance": {"name": "minkowski", "p": 3}}},
    {"data": "a.csv", "loss": {"name": "simcse", "matryoshka": [64, 32], "matryoshka_weights": [1, 0]}},
    {"data": "a.csv", "loss": {"matryoshka": 64}},
    {
        "data": "a.csv",
        "losses": ["cosent", {"name": "triplet", "margin": 0.1, "weight": 2, "dataset": "b.csv"}],
    },
    {"data": "a.csv", "losses": [{"loss": {"name": "simcse", "matryoshka": 64}, "kind": "pairs"}]},
    {"data": "a.csv", "loss": {"name": "auto", "matryoshka": [64]}},
    {"data": "a.csv", "loss": "st.CoSENTLoss"},
    {"data": "a.csv", "loss": {"name": "st.TripletLoss", "distance_metric": "cosine", "triplet_margin": 0.3}},
    {"data": "a.csv", "loss": {"name": "st.MSELoss", "teacher": "models/teacher", "projection_dim": 768}},
    {"data": "a.csv", "train": {"freeze": 3, "warmup": 0.1, "batch_size": "auto", "max_steps": None}},
    {"data": "a.csv", "evaluate": {"metrics": "MRR@10", "dev": 200}, "decisions": {"any": [1]}},
    {
        "data": "a.csv",
        "mine": {"negatives": 4, "relative_margin": 0.05, "near_equal": None, "range_max": "auto"},
    },
    {"data": "a.csv", "mine": None},
]
BAD = [
    {},
    {"data": None},
    {"data": []},
    {"data": "a.csv", "mien": {}},
    {"data": "a.csv", "mine": {"negatives": 0}},
    {"data": "a.csv", "mine": {"negatives": 4, "search": "fast"}},
    {"data": "a.csv", "mine": {"negatives": 4, "near_equal": 0}},
    {"data": "a.csv", "mine": 4},
    {"data": {"train": {"sorce": "b"}}},
    {"data": "a.csv", "loss": "unheard_of"},
    {"data": "a.csv", "loss": {"name": "triplet", "margn": 1}},
    {"data": "a.csv", "loss": {"name": "triplet", "margin": -1}},
    {"data": "a.csv", "loss": {"margin": 1}},
    {"data": "a.csv", "loss": {"name": "triplet", "soft": True, "distance": {"name": "minkowski"}}},
    {"data": "a.csv", "loss": {"name": "simcse", "matryoshka": [0]}},
    {"data": "a.csv", "losses": ["cosent", {"name": "triplet", "margn": 0.1}]},
    {"data": "a.csv", "losses": [{"name": "simcse", "weight": 0}]},
    {"data": "a.csv", "loss": {"name": "simcse", "matryoshka": []}},
    {"data": "a.csv", "loss": {"name": "oasis", "matryoshka": [8]}},
    {"data": "a.csv", "loss": {"matryoshka": "many"}},
    {"data": "a.csv", "loss": "st.GISTEmbedLoss"},
    {"data": "a.csv", "loss": {"name": "st.TripletLoss", "distance_metric": "print"}},
    {"data": "a.csv", "loss": {"name": "st.TripletLoss", "triplet_margin": 0}},
    {"data": "a.csv", "loss": {"name": "st.MSELoss"}},
    {"data": "a.csv", "loss": {"name": "st.CosineSimilarityLoss", "loss_fct": "os.system"}},
    {"data": "a.csv", "train": {"epochs": 0}},
    {"data": "a.csv", "train": {"epochs": "2"}},
    {"data": "a.csv", "train": {"seed": 2**32}},
    {"data": "a.csv", "train": {"warmup": -0.1}},
    {"data": "a.csv", "train": {"schedule": "liner"}},
    {"data": "a.csv", "train": {"report_to": ["wand"]}},
]


def accepted(values: dict[str, Any]) -> bool:
    try:
        recipe_from(values, origin="here")
    except ValueError:
        return False
    except Exception:  # RecipeError
        return False
    return True


@pytest.mark.parametrize("values", GOOD)
def test_good_recipes(values: dict[str, Any]) -> None:
    assert accepted(values)
    assert valid(values, SCHEMA, SCHEMA)


@pytest.mark.parametrize("values", BAD)
def test_bad_recipes(values: dict[str, Any]) -> None:
    assert not accepted(values)
    assert not valid(values, SCHEMA, SCHEMA)


def test_what_the_package_writes_is_valid() -> None:
    recipe = Recipe(data=["a.csv", "b.csv"], loss={"name": "multiple_negatives_ranking"})
    for text in (
        resolved_yaml(recipe, {"threads": 1}),
        resolved_yaml(Recipe(data="x"), {}),
        commented_recipe(recipe),
    ):
        assert valid(yaml.safe_load(text), SCHEMA, SCHEMA)


keys = [name for name, field in type(Recipe(data="x").train).model_fields.items() if name != "freeze"]
odd = st.sampled_from(
    ["auto", None, True, 0, 1, -1, 2, 0.5, 1.5, 2**33, "fp16", "linear", "x", [], {}, ["wandb"]]
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(keys), odd)
def test_schema_and_reader_agree_on_training(key: str, value: Any) -> None:
    values = {"data": "a.csv", "train": {key: value}}
    assert valid(values, SCHEMA, SCHEMA) == accepted(values)


def fields(schema: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, definition in schema["$defs"].items():
        for choice in (definition, *definition.get("anyOf", [])):
            for key, field in choice.get("properties", {}).items():
                yield f"{name}.{key}", field


def test_every_key_of_a_section_says_what_it_means() -> None:
    own = [
        (key, field)
        for key, field in fields(SCHEMA)
        if not key.startswith(("LossRecipe.", "DistanceRecipe.", "LossPart."))
        or key.removeprefix("LossPart.") in LossPart.model_fields
    ]
    assert len(own) > 40
    assert [key for key, field in own if not field.get("description")] == []


def test_every_loss_and_distance_is_listed_with_its_options() -> None:
    for definition, names in (("LossRecipe", [*LOSSES, *LIBRARY_LOSSES]), ("DistanceRecipe", DISTANCES)):
        text = json.dumps(SCHEMA["$defs"][definition])
        assert all(f'"const": "{name}"' in text for name in names)
    text = json.dumps(SCHEMA["$defs"]["LossRecipe"])
    assert "semi_hard" in text
    assert '"exclusiveMinimum": 0' in text
    assert '"seed"' not in text


def test_schema_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_recipes_that_come_with_the_package_fit(file: Path) -> None:
    assert valid(yaml.safe_load(file.read_text(encoding="utf-8")), SCHEMA, SCHEMA)
