"""``matryoshka`` beside the options of a loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from sbert_triplet.data.kinds import Kind
from sbert_triplet.errors import RecipeError
from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.matryoshka import MatryoshkaLoss
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.pipeline.decide import choose_loss
from sbert_triplet.recipe import LossRecipe, Recipe, commented_recipe, load_recipe, recipe_from, resolved_yaml

SIZES = "expected a whole number of at least 1, or a list of these"
HOLD_A_MATRIX = ("softmax_classification", "relative_comparisons", "oasis")


def given(name: str) -> dict[str, Any]:
    return {"name": name} | ({"margin": 0.3} if "margin" in LOSSES[name].options else {})


def refusal(**loss: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe(data="a.csv", loss=loss)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - set(HOLD_A_MATRIX)))
def test_wraps_every_loss_without_parameters_of_the_embeddings_size(name: str) -> None:
    recipe = LossRecipe(**given(name), matryoshka=[16, 8])
    assert not {"matryoshka", "matryoshka_weights"} & recipe.options.keys()
    built = recipe.build(dimensions=16, seed=1, classes=3)
    assert isinstance(built, MatryoshkaLoss)
    assert type(built.loss) is type(LossRecipe(**given(name)).build(dimensions=16, seed=1))
    assert built.steps == ((16, 1.0), (8, 1.0))


def test_value_is_the_weighted_sum_of_the_loss_on_embeddings_that_were_cut() -> None:
    a, p = torch.randn(4, 8, dtype=torch.float64), torch.randn(4, 8, dtype=torch.float64)
    plain = LossRecipe(name="multiple_negatives_ranking").build(dimensions=8, seed=0)
    recipe = LossRecipe(name="multiple_negatives_ranking", matryoshka=[8, 2], matryoshka_weights=[1, 0.25])
    expected = plain(Embedded((a, p))).value + 0.25 * plain(Embedded((a[:, :2], p[:, :2]))).value
    built = recipe.build(dimensions=8, seed=0)
    torch.testing.assert_close(built(Embedded((a, p))).value, expected)


def test_without_it_nothing_is_wrapped() -> None:
    assert not isinstance(LossRecipe(name="cosent").build(dimensions=8, seed=0), MatryoshkaLoss)
    assert LossRecipe(name="cosent", matryoshka=None).matryoshka is None


@pytest.mark.parametrize("name", HOLD_A_MATRIX)
def test_refused_for_losses_that_hold_a_matrix(name: str) -> None:
    message = refusal(name=name, matryoshka=[8])
    assert message == (
        f"Recipe: loss.matryoshka: {name} holds parameters of the embedding's size, which cannot be cut; "
        "matryoshka goes with losses that have none"
    )


@pytest.mark.parametrize("name", ["triplet", "margin_based", "contrastive"])
def test_refused_for_a_learned_distance(name: str) -> None:
    distance = {"name": "mahalanobis", "form": "diagonal"}
    assert Recipe(data="a.csv", loss={**given(name), "distance": distance}).loss.name == name
    message = refusal(**given(name), distance=distance, matryoshka=[8])
    assert message.startswith("Recipe: loss.matryoshka: distance mahalanobis holds parameters of the embed")
    short = refusal(**given(name), distance="mahalanobis", matryoshka=[8])
    assert short.startswith("Recipe: loss.matryoshka: distance mahalanobis holds parameters")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"matryoshka": [64, 0]},
         "Recipe: loss.matryoshka[1]: expected a whole number of at least 1, found 0"),
        ({"matryoshka": -3}, "Recipe: loss.matryoshka: expected a whole number of at least 1, found -3"),
        ({"matryoshka": [64, 1.5]},
         "Recipe: loss.matryoshka[1]: expected a whole number of at least 1, found 1.5"),
        ({"matryoshka": [64, 32, 64]},
         "Recipe: loss.matryoshka: 64 is there twice; give different dimensions"),
        ({"matryoshka": []}, f"Recipe: loss.matryoshka: {SIZES}, found an empty list"),
        ({"matryoshka": "all"},
         "Recipe: loss.matryoshka: expected a whole number of at least 1, found 'all'"),
        ({"matryoshka": True}, "Recipe: loss.matryoshka: expected a whole number of at least 1, found true"),
        ({"matryoshka_weights": [1]},
         "Recipe: loss.matryoshka_weights: weights go with dimensions: give `matryoshka` as well"),
        ({"matryoshka": [8, 4], "matryoshka_weights": [1]},
         "Recipe: loss.matryoshka_weights: expected 2, one for each of matryoshka, found 1"),
        ({"matryoshka": [8, 4], "matryoshka_weights": [1, -1]},
         "Recipe: loss.matryoshka_weights[1]: expected a number of at least 0, found -1"),
        ({"matryoshka": [8, 4], "matryoshka_weights": [0, 0]},
         "Recipe: loss.matryoshka_weights: no weight is above 0, so there is nothing to minimise"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["triplet", None])
def test_dimensions_that_are_refused(name: str | None, options: dict[str, Any], message: str) -> None:
    assert refusal(**(given(name) if name else {"name": "auto"}), **options) == message


def test_another_spelling() -> None:
    message = "Recipe: loss.matrioshka: unknown key; did you mean matryoshka?"
    assert refusal(name="cosent", matrioshka=[8]) == message


def test_more_dimensions_than_the_encoder_has() -> None:
    recipe = LossRecipe(name="cosent", matryoshka=[512, 64])
    with pytest.raises(ValueError, match=r"loss\.matryoshka: 512 is more than the encoder's 384 dimensions"):
        recipe.build(dimensions=384, seed=0)
    assert isinstance(recipe.build(dimensions=512, seed=0), MatryoshkaLoss)


@pytest.mark.parametrize("kind", list(Kind))
def test_goes_with_the_loss_that_the_data_decide(kind: Kind) -> None:
    recipe = Recipe(data="a.csv", loss={"matryoshka": [64, 32], "matryoshka_weights": [1, 2]})
    chosen = choose_loss(recipe.loss, kind)
    assert chosen.name is not None
    assert (chosen.matryoshka, chosen.matryoshka_weights) == ((64, 32), (1.0, 2.0))
    assert choose_loss(LossRecipe(), kind).matryoshka is None


@pytest.mark.parametrize("override", ["loss.matryoshka=[64, 32]", "loss.matryoshka=[64,32]"])
@pytest.mark.parametrize("loss", ["cosent", {"name": "cosent", "matryoshka": [16]}, None])
def test_set_from_the_command_line(override: str, loss: Any) -> None:
    recipe = recipe_from({"data": "a.csv", "loss": loss}, origin="r.yaml", overrides=[override])
    assert recipe.loss.matryoshka == (64, 32)
    one = recipe_from({"data": "a.csv", "loss": loss}, origin="r.yaml", overrides=["loss.matryoshka=64"])
    assert one.loss.matryoshka == (64,)


def test_the_place_of_a_mistake(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("data: a.csv\nloss:\n  name: oasis\n  matryoshka: [8]\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"r\.yaml line 4: loss\.matryoshka: oasis holds parameters"):
        load_recipe(file)
    with pytest.raises(RecipeError, match=r"--set loss\.matryoshka=\[0\]: "):
        recipe_from({"data": "a.csv", "loss": "cosent"}, origin="r", overrides=["loss.matryoshka=[0]"])


@pytest.mark.parametrize("name", ["cosent", "auto"])
def test_written_out_and_read_again(tmp_path: Path, name: str) -> None:
    loss = {"name": name, "matryoshka": [64, 32], "matryoshka_weights": [1, 0.5]}
    recipe = Recipe(data="a.csv", loss=loss)
    text = resolved_yaml(recipe, {})
    assert yaml.safe_load(text)["loss"] == {
        "name": name,
        **({"scale": None, "similarity": "cosine"} if name == "cosent" else {}),
        "matryoshka": [64, 32],
        "matryoshka_weights": [1.0, 0.5],
    }
    for number, written in enumerate((text, commented_recipe(recipe))):
        file = tmp_path / f"{number}.yaml"
        file.write_text(written, encoding="utf-8")
        assert load_recipe(file).recipe == recipe


def test_first_recipe_shows_it_where_it_can_be_used() -> None:
    def lines(name: str) -> list[str]:
        recipe = Recipe(data="a.csv", loss=given(name) if name != "auto" else None)
        return [line for line in commented_recipe(recipe).splitlines() if "matryoshka" in line]

    for name in ("auto", "triplet"):
        (line,) = lines(name)
        assert line.startswith("  # matryoshka: [256, 128, 64] ")
    assert lines("oasis") == []
    set_ = commented_recipe(Recipe(data="a.csv", loss={**given("triplet"), "matryoshka": [64, 32]}))
    assert "  matryoshka: [64, 32] " in set_
