"""``--set KEY=VALUE``."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbert_triplet.errors import RecipeError
from sbert_triplet.recipe import Recipe, read_recipe, recipe_from


def changed(*overrides: str, base: dict[str, object] | None = None) -> Recipe:
    return recipe_from(base or {"data": "a.csv"}, origin="r.yaml", overrides=overrides)


def refusal(*overrides: str, base: dict[str, object] | None = None) -> str:
    with pytest.raises(RecipeError) as caught:
        changed(*overrides, base=base)
    return str(caught.value)


def test_values_by_the_rules_of_yaml() -> None:
    recipe = changed(
        "train.epochs=2",
        "train.learning_rate=2e-5",
        "train.never_worse=false",
        "train.max_grad_norm=null",
        "train.batch_size=auto",
        "train.freeze=[embeddings, 2]",
        "evaluate.metrics=[nDCG@10, MRR@10]",
        "data.columns.negative=[a, b]",
        "loss.name=triplet",
        "loss.margin=0.3",
        "loss.distance={name: minkowski, p: 3}",
    )
    train = recipe.train
    assert (train.epochs, train.learning_rate, train.never_worse) == (2.0, 2e-5, False)
    assert (train.max_grad_norm, train.batch_size, train.freeze) == (None, None, ("embeddings", 2))
    assert recipe.evaluate.metrics == ("nDCG@10", "RR@10")
    assert recipe.data.columns.negative == ("a", "b")
    assert recipe.loss.options["distance"] == {"name": "minkowski", "p": 3.0}


@pytest.mark.parametrize(
    ("override", "query"),
    [
        ("prompts.query=query: ", "query: "),
        ("prompts.query=2024", "2024"),
        ("prompts.query={x}", "{x}"),
        ("prompts.query=a=b", "a=b"),
        ("prompts.query=", ""),
        ("prompts.query='null'", "null"),
        ('prompts.query="a\\n"', "a\n"),
        ("prompts.query=null", None),
        ("prompts.query=auto", None),
    ],
)
def test_text_needs_no_quotes(override: str, query: str | None) -> None:
    assert changed(override).prompts.query == query


def test_templates_and_sources_need_no_quotes() -> None:
    recipe = changed(
        "data.columns.anchor={title}: {body}", "data.train=docstrings:", "data.columns.positive=2024"
    )
    assert recipe.data.columns.anchor == "{title}: {body}"
    assert recipe.data.train[0].source == "docstrings:"
    assert recipe.data.columns.positive == ("2024",)
    several = changed("data.train=[a.csv, {source: b.csv, weight: 2}]").data.train
    assert [(source.source, source.weight) for source in several] == [("a.csv", 1.0), ("b.csv", 2.0)]


def test_short_forms_are_written_out() -> None:
    recipe = changed("loss.scale=3", "data.train.split=dev", base={"data": "a.csv", "loss": "cosent"})
    assert (recipe.loss.name, recipe.loss.options["scale"]) == ("cosent", 3.0)
    assert (recipe.data.train[0].source, recipe.data.train[0].split) == ("a.csv", "dev")


def test_later_overrides_win_and_the_given_mapping_stays_as_it_is() -> None:
    base: dict[str, object] = {"data": "a.csv", "train": {"epochs": 1}}
    assert changed("train.epochs=2", "train.epochs=3", base=base).train.epochs == 3.0
    assert base == {"data": "a.csv", "train": {"epochs": 1}}


def test_whole_section() -> None:
    base: dict[str, object] = {"data": "a.csv", "loss": {"name": "cosent", "scale": 3}}
    assert changed("loss=triplet", "loss.soft=true", base=base).loss.name == "triplet"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=2", "--set train.epoch=2: unknown key; did you mean epochs?"),
        ("trian.epochs=2", "--set trian.epochs=2: unknown key; did you mean train?"),
        ("epochs=2", "--set epochs=2: unknown key; did you mean train.epochs?"),
        ("train.epochs=two",
         "--set train.epochs=two: expected a number greater than 0, or auto, found 'two'"),
        ("train.epochs.x=2", "--set train.epochs.x=2: expected a number greater than 0, or auto, "
         "found keys and values"),
        ("train={epoch: 2}", "--set train={epoch: 2}: train.epoch: unknown key; did you mean epochs?"),
        ("train.epochs", "--set train.epochs: expected KEY=VALUE, such as train.epochs=2"),
        ("=2", "--set =2: expected KEY=VALUE, such as train.epochs=2"),
        ("train..epochs=2", "--set train..epochs=2: expected KEY=VALUE, such as train.epochs=2"),
    ],
)  # fmt: skip
def test_messages_name_the_override(override: str, message: str) -> None:
    assert refusal(override) == message


def test_syntax_of_a_value() -> None:
    assert refusal("train.epochs=[1").startswith("--set train.epochs=[1 line 1, column 3: not valid YAML: ")


def test_list_is_set_as_a_whole() -> None:
    message = refusal("data.train.weight=2", base={"data": ["a.csv", "b.csv"]})
    assert message == (
        "--set data.train.weight=2: data.train is a list, which has no keys; set data.train as a whole"
    )


def test_scalar_in_the_way() -> None:
    assert refusal("train.epochs=2", base={"data": "a.csv", "train": 5}) == (
        "--set train.epochs=2: train is 5, which has no keys; set train as a whole"
    )


def test_places_of_the_file_and_of_overrides(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("data: a.csv\ntrain:\n  epochs: x\n  seed: y\n")
    with pytest.raises(RecipeError) as caught:
        read_recipe(path, ["train.epochs=z"])
    assert str(caught.value).split("\n") == [
        "--set train.epochs=z: expected a number greater than 0, or auto, found 'z'",
        f"{path} line 4: train.seed: expected a whole number from 0 to 4,294,967,295, found 'y'",
    ]


def test_what_several_overrides_made_is_told_by_all_of_them() -> None:
    with pytest.raises(RecipeError) as caught:
        changed("mine.negatives=2", "mine.min_score=.9", "train.seed=3", "mine.max_score=.2")
    assert str(caught.value) == (
        "--set mine.negatives=2, --set mine.min_score=.9, --set mine.max_score=.2: min_score 0.9 is above "
        "max_score 0.2: no score lies between them"
    )


def test_option_of_the_loss_that_was_replaced(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("data: a.csv\nloss:\n  name: multiple_negatives_ranking\n  learn_scale: true\n")
    with pytest.raises(RecipeError, match=r"r\.yaml line 4: loss\.learn_scale: unknown key; "):
        read_recipe(path, ["loss.name=cosent"])
