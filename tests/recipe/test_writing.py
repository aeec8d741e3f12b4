"""What is written is complete, and reads back as the same recipe."""

from __future__ import annotations

from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

import datasets
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.recipe import Columns, Recipe, Source, load_recipe, recipe_values, resolved_yaml
from sbert_triplet.recipe.document import parse_yaml
from sbert_triplet.recipe.reading import recipe_from
from sbert_triplet.recipe.writing import to_yaml

TRICKY = ["no", "2e-5", "1_0", "~", "null", "true", "TRUE", ".iNf", ".Nan", "007", "1.5e5", "=", "<<", "a: b"]
TRICKY += [
    "docstrings:",
    "# x",
    "- x",
    "{a}",
    "[a",
    "'",
    '"',
    "a\nb",
    "a\r\nb",
    "\x85",
    "\u2028",
    "\ud800",
    " ",
    "é",
]
TRICKY += [
    "\x00",
    "\ufeff",
    "*a",
    "&a",
    "!a",
    "|",
    "@",
    "`",
    "\U0001f600",
    "a\\n",
    "x" * 300,
    "a " * 100,
    "\t",
]
texts = st.one_of(st.sampled_from(TRICKY), st.text(max_size=20))
whole = st.one_of(
    st.sampled_from([text for text in TRICKY if text != "\ud800"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
filled = whole.filter(bool)
roles = st.fixed_dictionaries(
    {},
    optional={
        "anchor": filled,
        "positive": st.lists(filled, min_size=1, max_size=2),
        "negative": st.lists(filled, max_size=3),
        "label": filled,
    },
)
positive = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
counts = st.integers(1, 10**12)
share_or_count = st.one_of(st.floats(0, 0.49), st.integers(0, 10**6))
sources = st.one_of(
    filled,
    st.fixed_dictionaries(
        {"source": filled},
        optional={"config": filled, "split": filled, "weight": positive, "limit": st.none() | counts},
    ),
)
distances = st.one_of(
    st.sampled_from(["cosine", "jaccard"]),
    st.fixed_dictionaries({"name": st.just("minkowski"), "p": st.floats(1, allow_nan=False)}),
)
losses = st.one_of(
    st.none(),
    st.fixed_dictionaries({"name": st.just("multiple_negatives_ranking")}, optional={"scale": positive}),
    st.fixed_dictionaries({"name": st.just("triplet"), "margin": positive, "distance": distances}),
    st.fixed_dictionaries(
        {"name": st.sampled_from(["auto", "simcse", "st.CoSENTLoss"])},
        optional={"matryoshka": st.lists(counts, min_size=1, max_size=3, unique=True)},
    ),
)
recipes = st.fixed_dictionaries(
    {"data": st.fixed_dictionaries({"train": st.one_of(sources, st.lists(sources, min_size=1, max_size=3))},
     optional={"dev": sources, "columns": roles, "kind": st.sampled_from([kind.value for kind in Kind]),
               "split": filled, "limit": counts})},
    optional={
        "name": st.sampled_from(["run", "a b", "2024", "no", "1e5"]),
        "model": filled,
        "prompts": st.fixed_dictionaries({}, optional={"query": whole, "document": whole}),
        "loss": losses,
        "train": st.fixed_dictionaries(
            {},
            optional={
                "epochs": positive,
                "learning_rate": st.floats(1e-12, 1),
                "warmup": share_or_count,
                "max_grad_norm": st.none() | positive,
                "freeze": st.lists(st.one_of(filled, st.integers(1, 24)), max_size=3),
                "seed": st.integers(0, 2**32 - 1),
                "report_to": st.lists(st.sampled_from(["wandb", "tensorboard"]), max_size=2),
            },
        ),
        "evaluate": st.fixed_dictionaries(
            {},
            optional={
                "metrics": st.lists(st.sampled_from(["nDCG@10", "map", "hit@3", "Spearman"]), max_size=2),
                "dev": share_or_count,
                "slices": st.lists(filled, max_size=2),
                "bm25": st.booleans(),
            },
        ),
    },
)  # fmt: skip
plain_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), texts),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=60, deadline=None)
@given(recipes, st.dictionaries(texts, plain_values, max_size=3))
def test_resolved_recipe_reads_back_equal(values: dict[str, Any], decisions: dict[str, Any]) -> None:
    recipe = recipe_from(values, origin="here")
    text = resolved_yaml(recipe, decisions)
    document = parse_yaml(text, "resolved")
    assert document.data.get("decisions", {}) == decisions
    again = recipe_from(document.data, origin="resolved")
    assert again == recipe
    assert resolved_yaml(again, decisions) == text


@settings(max_examples=300, deadline=None)
@given(texts)
def test_other_readers_of_yaml_take_texts_for_texts(text: str) -> None:
    assert yaml.safe_load(to_yaml({"key": text})) == {"key": text}


@pytest.mark.parametrize("text", TRICKY)
def test_tricky_texts(text: str) -> None:
    assert parse_yaml(to_yaml([text, {text: text}]), "x").data == [text, {text: text}]


def test_resolved_file_holds_every_default_and_decision(tmp_path: Path) -> None:
    recipe = Recipe(data="a.csv", loss={"name": "cosent"}, train={"epochs": 2})
    text = resolved_yaml(recipe, {"threads": 2})
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    loaded = load_recipe(path)
    assert loaded.recipe == recipe
    assert loaded.decisions == {"threads": 2}
    values = yaml.safe_load(text)
    for section, model in Recipe.model_fields.items():
        assert section in values, model
    assert values["train"].keys() == type(recipe.train).model_fields.keys()
    assert values["evaluate"].keys() == type(recipe.evaluate).model_fields.keys()
    assert values["data"].keys() == type(recipe.data).model_fields.keys()
    assert values["loss"] == {
        "name": "cosent",
        "scale": None,
        "similarity": "cosine",
        "matryoshka": None,
        "matryoshka_weights": None,
    }
    assert (values["train"]["epochs"], values["train"]["batch_size"]) == (2.0, "auto")
    assert values["train"]["max_steps"] is None


def test_nothing_is_written_under_decisions_without_any() -> None:
    assert "decisions" not in yaml.safe_load(resolved_yaml(Recipe(data="a.csv"), {}))


class Colour(Enum):
    RED = "red"


def test_decisions_become_plain_data() -> None:
    decisions = {
        "roles": Roles(Kind.PAIRS, "question", "answer", kept=("date",)),
        "steps": np.int64(3),
        "share": np.float32(0.5),
        "ids": np.arange(2),
        "path": PurePosixPath("a/b"),
        "colour": Colour.RED,
        "set": {1},
        7: True,
    }
    read = yaml.safe_load(resolved_yaml(Recipe(data="a.csv"), decisions))["decisions"]  # type: ignore[arg-type]
    assert read["roles"]["anchor"] == "question"
    assert read["roles"]["kind"] == "pairs"
    assert read["roles"]["kept"] == ["date"]
    assert (read["steps"], read["share"], read["ids"]) == (3, 0.5, [0, 1])
    assert (read["path"], read["colour"], read["set"], read["7"]) == ("a/b", "red", [1], True)


def test_decision_that_cannot_be_written() -> None:
    with pytest.raises(TypeError, match="object of type object"):
        resolved_yaml(Recipe(data="a.csv"), {"x": object()})


def test_rows_in_memory_are_written_as_their_fingerprint() -> None:
    rows = [{"question": "secret?", "answer": "yes"}]
    recipe = Recipe(data={"train": rows, "corpus": datasets.Dataset.from_list(rows)})
    text = resolved_yaml(recipe, {})
    assert "secret" not in text
    data = yaml.safe_load(text)["data"]
    assert data["train"] == data["corpus"]
    read = recipe_from(yaml.safe_load(text), origin="resolved")
    assert read.data.train == (Source(memory=data["train"]["memory"]),)
    other = Recipe(data=[{"question": "secret!", "answer": "yes"}])
    assert recipe_values(other.data)["train"] != data["train"]
    assert resolved_yaml(read, {}) == text


def test_columns_of_roles_that_were_found() -> None:
    roles = Roles(
        Kind.TRIPLETS,
        "{a}\n{b}",
        "p",
        negatives=("n1", "n2"),
        weight="w",
        more_positives=("p2",),
        kept=("date",),
    )
    columns = Columns.from_roles(roles)
    assert (columns.anchor, columns.positive, columns.negative) == ("{a}\n{b}", ("p", "p2"), ("n1", "n2"))
    assert (columns.weight, columns.label) == ("w", None)
    labelled = Columns.from_roles(Roles(Kind.LABELLED, "text", label="intent"))
    assert (labelled.positive, labelled.negative, labelled.label) == (None, None, "intent")
    assert Columns.from_roles(Roles(Kind.RETRIEVAL, "query", "document")) == Columns()
