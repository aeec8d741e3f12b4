"""The classes as the Python API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from pydantic import ValidationError
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.trainer_utils import SchedulerType

from sbert_triplet.errors import RecipeError
from sbert_triplet.recipe import DataRecipe, Recipe, Source, TrainRecipe
from sbert_triplet.recipe.fields import accepts_field

ROWS = [{"question": "a", "answer": "b"}, {"question": "c", "answer": "d"}]


def test_sections_as_mappings_or_objects() -> None:
    one = Recipe(data="a.csv", train={"epochs": 2})
    two = Recipe(data=DataRecipe(train="a.csv"), train=TrainRecipe(epochs=2.0))
    assert one == two
    assert one != Recipe(data="a.csv")


def test_paths_and_numpy_numbers() -> None:
    train = {"batch_size": np.int64(8), "learning_rate": np.float32(0.5), "max_steps": 1e3}
    recipe = Recipe(
        model=Path("runs") / "m", data={"train": Path("a.csv"), "limit": np.int32(4)}, train=train
    )
    assert (recipe.model, recipe.data.train[0].source) == (str(Path("runs") / "m"), "a.csv")
    assert (recipe.data.limit, recipe.train.batch_size, recipe.train.learning_rate) == (4, 8, 0.5)
    assert type(recipe.train.max_steps) is int


@pytest.mark.parametrize("rows", [ROWS, tuple(ROWS), datasets.Dataset.from_list(ROWS)])
def test_rows_in_memory(rows: Any) -> None:
    for data in (rows, {"train": rows}, {"train": [Source(rows=rows)]}):
        (source,) = Recipe(data=data).data.train
        assert source.source is None
        assert list(source.rows) == ROWS


def test_several_data_sets_and_names_mixed() -> None:
    held = datasets.Dataset.from_list(ROWS)
    train = Recipe(data={"train": [held, "a.csv", {"source": "b.csv", "weight": 2}, ROWS]}).data.train
    assert [source.source for source in train] == [None, "a.csv", "b.csv", None]
    assert train[0].rows is held


def test_fingerprint_is_that_of_the_content() -> None:
    listed, held = Source(rows=ROWS), Source(rows=datasets.Dataset.from_list(ROWS))
    assert listed.fingerprint() == held.fingerprint()
    assert listed.fingerprint() != Source(rows=ROWS[::-1]).fingerprint()


def test_dataset_dict_is_explained() -> None:
    splits = datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
    with pytest.raises(RecipeError, match=r"data\.train: a DatasetDict holds several splits"):
        Recipe(data={"train": splits})


def test_messages_are_those_of_files() -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe(data="a.csv", train={"epoch": 2, "seed": "x"})
    assert str(caught.value).split("\n") == [
        "Recipe: train.seed: expected a whole number from 0 to 4,294,967,295, found 'x'",
        "Recipe: train.epoch: unknown key; did you mean epochs?",
    ]
    with pytest.raises(RecipeError, match=r"^TrainRecipe: epoch: unknown key; did you mean epochs\?$"):
        TrainRecipe(epoch=2)
    with pytest.raises(RecipeError, match=r"found an object of type object$"):
        Recipe(data={"train": object()})


def test_recipes_do_not_change() -> None:
    recipe = Recipe(data="a.csv")
    with pytest.raises(ValidationError, match="frozen"):
        recipe.train.seed = 3  # type: ignore[misc]
    copied = recipe.model_copy(update={"train": recipe.train.model_copy(update={"seed": 3})})
    assert (recipe.train.seed, copied.train.seed) == (13, 3)


def test_defaults_are_valid_values() -> None:
    recipe = Recipe(data="a.csv")
    for section in (recipe, recipe.data, recipe.train, recipe.evaluate, recipe.prompts):
        given = {name: getattr(section, name) for name in type(section).model_fields}
        assert type(section)(**given) == section


def test_examples_are_valid_values() -> None:
    recipe = Recipe(data="a.csv")
    for section in (recipe, recipe.data, recipe.data.columns, recipe.train, recipe.evaluate, recipe.prompts):
        for name, field in type(section).model_fields.items():
            for example in field.examples or ():
                needed = {} if type(section) is not Recipe else {"data": "a.csv"}
                needed |= {"train": "a.csv"} if isinstance(section, DataRecipe) else {}
                type(section)(**needed | {name: example})


def test_choices_are_known_to_transformers() -> None:
    fields = TrainRecipe.model_fields
    schedules = {kind.value for kind in SchedulerType}
    assert set(accepts_field(fields["schedule"]).choices) <= schedules
    trackers = accepts_field(fields["report_to"]).item
    assert trackers is not None
    assert trackers.choices
    assert set(trackers.choices) <= INTEGRATION_TO_CALLBACK.keys()
