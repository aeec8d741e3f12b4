"""Losses of sentence-transformers in recipes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sbert_triplet.distances import Euclidean
from sbert_triplet.errors import RecipeError
from sbert_triplet.losses.matryoshka import MatryoshkaLoss
from sbert_triplet.recipe import LossRecipe, Recipe, commented_recipe, recipe_from, resolved_yaml
from sbert_triplet.training.library_losses import LibraryLoss
from sbert_triplet.training.library_names import LIBRARY_LOSSES


def given(name: str) -> dict[str, Any]:
    teacher = LIBRARY_LOSSES[name].target in ("embeddings", "similarities")
    return {"name": name, **({"teacher": "base"} if teacher else {})}


def refusal(**loss: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe(data="a.csv", loss=loss)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(LIBRARY_LOSSES))
def test_read_built_written_and_read_again(name: str) -> None:
    recipe = Recipe(data="a.csv", loss=given(name))
    loss = recipe.loss.build(dimensions=16, seed=0)
    assert isinstance(loss, LibraryLoss)
    assert loss.name == name
    for text in (resolved_yaml(recipe, {}), commented_recipe(recipe)):
        assert recipe_from(yaml.safe_load(text), origin="again") == recipe


@pytest.mark.parametrize("name", sorted(LIBRARY_LOSSES))
def test_matryoshka_beside_them(name: str) -> None:
    if LIBRARY_LOSSES[name].embedding_sized:
        assert "which cannot be cut" in refusal(**given(name), matryoshka=[8])
        return
    assert isinstance(LossRecipe(**given(name), matryoshka=[8]).build(dimensions=16, seed=0), MatryoshkaLoss)


def test_options_reach_the_class() -> None:
    loss = LossRecipe(
        name="st.MultipleNegativesRankingLoss",
        scale=30,
        directions=["query_to_doc", "doc_to_query"],
        partition_mode="per_direction",
    ).build(dimensions=16, seed=0)
    assert isinstance(loss, LibraryLoss)
    assert loss.loss.get_config_dict() == {
        "scale": 30.0,
        "similarity_fct": "cos_sim",
        "gather_across_devices": False,
        "directions": ("query_to_doc", "doc_to_query"),
        "partition_mode": "per_direction",
        "hardness_mode": None,
        "hardness_strength": 0.0,
    }
    triplet = LossRecipe(name="st.TripletLoss").build(dimensions=16, seed=0)
    assert isinstance(triplet.compares_by, Euclidean)
    projected = LossRecipe(name="st.MSELoss", teacher="t", projection_dim=4).build(dimensions=16, seed=0)
    assert sum(parameter.numel() for parameter in projected.parameters()) == 4 * 17
    assert projected.needs.guide == "t"


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"name": "st.TripletLos"},
         "Recipe: loss.name: there is no 'st.TripletLos'; did you mean st.TripletLoss?"),
        ({"name": "TripletLoss"},
         "Recipe: loss.name: there is no 'TripletLoss'; did you mean st.TripletLoss?"),
        ({"name": "st.CachedGISTEmbedLoss"},
         "Recipe: loss.name: CachedGISTEmbedLoss of sentence-transformers "
         "encodes texts itself and cannot be used here; use guided_ranking"),
        ({"name": "CachedMultipleNegativesRankingLoss"},
         "Recipe: loss.name: CachedMultipleNegativesRankingLoss of sentence-transformers encodes texts "
         "itself and cannot be used here; use multiple_negatives_ranking"),
        ({"name": "st.os"}, "Recipe: loss.name: there is no 'st.os'; "),
        ({"name": "st.TripletLoss", "margin": 1},
         "Recipe: loss.margin: unknown key; did you mean triplet_margin?"),
        ({"name": "st.TripletLoss", "triplet_margin": 0},
         "Recipe: loss.triplet_margin: expected a number greater than 0, found 0"),
        ({"name": "st.TripletLoss", "triplet_margin": True},
         "Recipe: loss.triplet_margin: expected a number greater than 0, found true"),
        ({"name": "st.TripletLoss", "distance_metric": "cosin"},
         "Recipe: loss.distance_metric: expected one of cosine, euclidean, manhattan, found 'cosin'; did you "
         "mean cosine?"),
        ({"name": "st.CosineSimilarityLoss", "loss_fct": "torch.nn.MSELoss"},
         "Recipe: loss.loss_fct: unknown key"),
        ({"name": "st.MultipleNegativesRankingLoss", "model": "x"}, "Recipe: loss.model: unknown key"),
        ({"name": "st.MultipleNegativesRankingLoss", "gather_across_devices": True},
         "Recipe: loss.gather_across_devices: unknown key"),
        ({"name": "st.MultipleNegativesRankingLoss", "hardness_mode": "harder"},
         "Recipe: loss.hardness_mode: expected one of "),
        ({"name": "st.MultipleNegativesRankingLoss", "directions": ["doc_to_doc"]},
         "Recipe: loss: st.MultipleNegativesRankingLoss: 'query_to_doc' direction is required"),
        ({"name": "st.GlobalOrthogonalRegularizationLoss", "mean_weight": 0, "second_moment_weight": None},
         "Recipe: loss: st.GlobalOrthogonalRegularizationLoss: At least one of"),
        ({"name": "st.DistillKLDivLoss"}, "Recipe: loss.teacher: missing; expected text that is not empty"),
        ({"name": "st.MSELoss", "teacher": "t", "projection_dim": 0},
         "Recipe: loss.projection_dim: expected a whole number of at least 1, found 0"),
    ],
)  # fmt: skip
def test_what_is_refused(loss: dict[str, Any], message: str) -> None:
    assert refusal(**loss).startswith(message)


def test_set_from_the_command_line() -> None:
    overrides = ["loss=st.CoSENTLoss", "loss.scale=3", "loss.similarity_fct=dot"]
    recipe = recipe_from({"data": "a.csv"}, origin="r.yaml", overrides=overrides)
    assert recipe.loss.options == {"scale": 3.0, "similarity_fct": "dot"}
