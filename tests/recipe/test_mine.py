"""The section `mine`: what it accepts, what goes together, and what is recorded."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.errors import RecipeError
from sbert_triplet.mining.rules import Rules
from sbert_triplet.pipeline.recorded import recorded_yaml
from sbert_triplet.recipe import MineRecipe, Recipe, commented_recipe, read_recipe, resolved_yaml


def read(folder: Path, lines: str) -> MineRecipe:
    file = folder / "r.yaml"
    file.write_text(f"data: a.csv\n{lines}\n", encoding="utf-8")
    return read_recipe(file).mine


def test_nothing_is_mined_without_the_section(tmp_path: Path) -> None:
    for lines in ("", "mine:", "mine: {}", "mine: {negatives: null, search: exact}"):
        found = read(tmp_path, lines)
        assert found == MineRecipe()
        assert found.negatives is None


def test_defaults_are_those_of_the_rules(tmp_path: Path) -> None:
    assert read(tmp_path, "mine: {negatives: 4}").rules() == Rules(negatives=4)
    assert MineRecipe().rules() == Rules()
    names = {item.name for item in dataclasses.fields(Rules)}
    assert names <= set(MineRecipe.model_fields)
    assert MineRecipe().memory == 1024**3


def test_every_key(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "negatives": 2,
        "search": "mixed",
        "relative_margin": 0.05,
        "absolute_margin": -0.1,
        "max_score": 0.9,
        "min_score": -0.2,
        "range_min": 3,
        "range_max": 50,
        "choice": "spread",
        "near_equal": 0.8,
        "transitive_hops": 2,
        "transitive_size": 10,
        "rescore": "models/cross",
        "marks": "marks.csv",
        "approximate_from": 100_000,
        "index": "hnsw",
        "refresh": 500,
        "memory": 2**28,
    }
    lines = "mine:\n" + "\n".join(f"  {key}: {value}" for key, value in given.items())
    found = read(tmp_path, lines)
    assert found.model_dump() == given
    chosen = {name: value for name, value in given.items() if name not in BESIDE_RULES}
    assert found.rules() == Rules(**chosen)


BESIDE_RULES = ("search", "rescore", "marks", "approximate_from", "index", "refresh", "memory")


def test_limits_can_be_switched_off(tmp_path: Path) -> None:
    found = read(
        tmp_path, "mine: {negatives: 1, near_equal: null, transitive_hops: null, transitive_size: null}"
    )
    assert found.rules() == Rules(near_equal=None, transitive_hops=None, transitive_size=None)
    assert read(tmp_path, "mine: {negatives: 1, range_max: auto}").rules().depth == 10


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("mine: 4", "line 2: mine: expected keys and values, such as `negatives: 4`, found 4"),
        ("mine:\n  negatives: 0",
         "line 3: mine.negatives: expected a whole number of at least 1, found 0"),
        ("mine: {negatives: 2.5}", "line 2: mine.negatives: expected a whole number"),
        ("mine: {negatives: 4, search: exakt}",
         "line 2: mine.search: expected one of exact, approximate, bm25, mixed, found 'exakt'; "
         "did you mean exact?"),
        ("mine: {negatives: 4, choice: best}",
         "line 2: mine.choice: expected one of top, random, spread, found 'best'"),
        ("mine: {negatives: 4, relative_margin: -0.1}",
         "line 2: mine.relative_margin: expected a number of at least 0, found -0.1"),
        ("mine: {negatives: 4, near_equal: 1.5}",
         "line 2: mine.near_equal: expected a number greater than 0 and of at most 1, found 1.5"),
        ("mine: {negatives: 4, transitive_size: 1}",
         "line 2: mine.transitive_size: expected a whole number of at least 2, found 1"),
        ("mine: {negatives: 4, memory: 1000}",
         "line 2: mine.memory: expected a whole number of at least 1,048,576, found 1000"),
        ("mine: {negatives: 4, range_min: 5, range_max: 5}",
         "line 2: mine: range_min 5 and range_max 5: no rank lies between them; range_max must be larger"),
        ("mine: {negatives: 4, range_max: 3}", "line 2: mine: negatives is 4, and from range_min 0 to"),
        ("mine: {negatives: 4, min_score: 0.5, max_score: 0.4}",
         "line 2: mine: min_score 0.5 is above max_score 0.4: no score lies between them"),
        ("mine: {relative_margin: 0.05}",
         "line 2: mine: relative_margin goes with a number of negatives: give `negatives` as well"),
        ("mine: {marks: marks.csv}", "line 2: mine: marks goes with a number of negatives"),
        ("mine: {refresh: 100}", "line 2: mine: refresh goes with a number of negatives"),
        ("mine:\n  negatives: 4\n  refresh: 0",
         "line 4: mine.refresh: expected a number of steps of at least 1, or epoch, found 0"),
        ("mine: {negatives: 4, refresh: 2.5}", "line 2: mine.refresh: expected a number of steps"),
        ("mine: {negatives: 4, refresh: true}", "line 2: mine.refresh: expected a number of steps"),
        ("mine: {negatives: 4, refresh: epochs}",
         "line 2: mine.refresh: expected a number of steps of at least 1, or epoch, found 'epochs'"),
        ("mine: {negativs: 4}", "line 2: mine.negativs: unknown key; did you mean negatives?"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        read(tmp_path, lines)
    assert message in str(error.value)


def test_when_they_are_mined_anew(tmp_path: Path) -> None:
    for lines, steps in (
        ("", None),
        (", refresh: null", None),
        (", refresh: 7", 7),
        (", refresh: epoch", 40),
    ):
        assert read(tmp_path, f"mine: {{negatives: 1{lines}}}").refresh_steps(40) == steps


SECTIONS: list[dict[str, Any]] = [
    {},
    {"negatives": 4, "relative_margin": 0.05, "refresh": "epoch"},
    {"negatives": 4, "refresh": 100},
    {"negatives": 1, "range_max": 30, "near_equal": None, "transitive_hops": None, "marks": "m.parquet"},
]


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_what_is_written_reads_back(tmp_path: Path, section: dict[str, Any]) -> None:
    recipe = Recipe(data="a.csv", mine=section)
    for number, text in enumerate((resolved_yaml(recipe, {}), commented_recipe(recipe))):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text, encoding="utf-8")
        assert read_recipe(file) == recipe


def test_a_commented_recipe_shows_how_many_and_no_more() -> None:
    lines = commented_recipe(Recipe(data="a.csv")).splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("mine:"))
    assert lines[first + 1].startswith("  # negatives: 4 ")
    assert lines[first + 2] == ""


def test_defaults_and_examples_are_valid_values() -> None:
    values = {name: getattr(MineRecipe(), name) for name in MineRecipe.model_fields}
    assert MineRecipe(**values) == MineRecipe()
    for name, field in MineRecipe.model_fields.items():
        for example in field.examples or ():
            MineRecipe(**{"negatives": 1} | {name: example})


def test_files_are_recorded_with_their_whole_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    beside = tmp_path / "beside"
    (beside / "cross").mkdir(parents=True)
    (beside / "marks.csv").write_text("query,document,mark\n", encoding="utf-8")
    recipe = Recipe(data="a.csv", mine={"negatives": 1, "rescore": "cross", "marks": "marks.csv"})
    file = tmp_path / "recipe.yaml"
    file.write_text(recorded_yaml(recipe, {}, beside), encoding="utf-8")
    found = read_recipe(file).mine
    assert (found.rescore, found.marks) == (str(beside / "cross"), str(beside / "marks.csv"))
    file.write_text(recorded_yaml(Recipe(data="a.csv", mine={"negatives": 1}), {}, beside), encoding="utf-8")
    assert read_recipe(file).mine == MineRecipe(negatives=1)
