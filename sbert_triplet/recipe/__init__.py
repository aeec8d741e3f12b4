"""The recipe: one YAML file, or the same in Python, that decides a run.

``read_recipe`` and ``load_recipe`` read files, ``recipe_from`` takes mappings; all of them, and
the classes themselves, raise RecipeError with one sentence a line for every problem.
"""

from sbert_triplet.recipe.commented import commented_recipe
from sbert_triplet.recipe.curriculum import CurriculumRecipe
from sbert_triplet.recipe.data import Columns, DataRecipe, SplitRecipe
from sbert_triplet.recipe.loss import LossRecipe
from sbert_triplet.recipe.mine import MineRecipe
from sbert_triplet.recipe.model import DEFAULT_MODEL, EvaluateRecipe, Prompts, Recipe
from sbert_triplet.recipe.reading import LoadedRecipe, load_recipe, read_recipe, recipe_from
from sbert_triplet.recipe.schema import recipe_schema
from sbert_triplet.recipe.sources import Source
from sbert_triplet.recipe.training import TrainRecipe
from sbert_triplet.recipe.writing import recipe_values, resolved_yaml

__all__ = [
    "DEFAULT_MODEL",
    "Columns",
    "CurriculumRecipe",
    "DataRecipe",
    "EvaluateRecipe",
    "LoadedRecipe",
    "LossRecipe",
    "MineRecipe",
    "Prompts",
    "Recipe",
    "Source",
    "SplitRecipe",
    "TrainRecipe",
    "commented_recipe",
    "load_recipe",
    "read_recipe",
    "recipe_from",
    "recipe_schema",
    "recipe_values",
    "resolved_yaml",
]
