"""The recipe that people start from."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.recipe import Columns, Recipe, commented_recipe, read_recipe

PAIRS = Recipe(
    data={
        "train": "tickets: new.csv",
        "columns": Columns.from_roles(Roles(Kind.PAIRS, "{subject}\n{body}", "no")),
        "kind": Kind.PAIRS,
    },
    loss={"name": "multiple_negatives_ranking"},
    train={"epochs": 1, "batch_size": 64},
    evaluate={"metrics": ["nDCG@10"]},
)
RECIPES = [Recipe(data="a.csv"), PAIRS] + [
    Recipe(data="a.csv", loss={"name": name} | ({"margin": 0.2} if "margin" in entry.options else {}))
    for name, entry in LOSSES.items()
]


def read(folder: Path, text: str) -> Recipe:
    path = folder / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe.loss.name))
def test_reads_back_equal(tmp_path: Path, recipe: Recipe) -> None:
    assert read(tmp_path, commented_recipe(recipe)) == recipe


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: str(recipe.loss.name))
def test_every_line_can_be_uncommented(tmp_path: Path, recipe: Recipe) -> None:
    text = commented_recipe(recipe)
    keys = re.findall(r"^ *# (\w+): ", text, flags=re.MULTILINE)
    assert len(keys) > 20
    for number, line in enumerate(text.splitlines()):
        if re.match(r" *# \w+: \S", line):
            changed = text.splitlines()
            changed[number] = line.replace("# ", "", 1)
            if "margin" in line and recipe.loss.name is not None:
                continue
            read(tmp_path, "\n".join(changed))


def test_what_differs_from_the_defaults_is_set_and_explained() -> None:
    text = commented_recipe(PAIRS, heading=["For tickets.csv"], notes={"data.columns.anchor": "by its name"})
    lines = text.splitlines()
    assert lines[0] == "# For tickets.csv"
    assert any(re.fullmatch(r'    anchor: "\{subject\}\\n\{body\}" +# by its name', line) for line in lines)
    assert any(re.fullmatch(r"    positive: 'no' +# .+", line) for line in lines)
    assert any(re.fullmatch(r"  epochs: 1\.0 +# .+", line) for line in lines)
    assert any(re.fullmatch(r"  metrics: nDCG@10 +# .+", line) for line in lines)
    assert any(re.fullmatch(r"  # learning_rate: auto +# .+, such as 2\.0e-05", line) for line in lines)
    assert all("#" in line or line == "" for line in lines)


def test_keys_that_people_look_for_are_there() -> None:
    text = commented_recipe(Recipe(data="a.csv"))
    for key in (
        "max_length",
        "query",
        "corpus",
        "anchor",
        "by",
        "epochs",
        "learning_rate",
        "batch_size",
        "seed",
    ):
        assert re.search(rf"^ *# {key}: ", text, flags=re.MULTILINE), key


@pytest.mark.parametrize("name", ["x\nloss: oops", "x\rloss: oops", "x\x85y", "x\u2028y", "\x00", "# x"])
def test_names_in_comments_stay_in_comments(tmp_path: Path, name: str) -> None:
    recipe = Recipe(data={"train": "a.csv", "columns": {"anchor": name}})
    text = commented_recipe(recipe, heading=[name], notes={"data.columns.anchor": f"found {name}"})
    assert read(tmp_path, text) == recipe
