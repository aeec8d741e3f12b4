"""The section `curriculum`: what it accepts, what goes together, and what is left open."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from sbert_triplet.errors import RecipeError
from sbert_triplet.pipeline.recorded import recorded_yaml
from sbert_triplet.recipe import CurriculumRecipe, Recipe, commented_recipe, read_recipe, resolved_yaml
from sbert_triplet.training.pacing import PacingName


def read(folder: Path, lines: str) -> CurriculumRecipe:
    file = folder / "r.yaml"
    file.write_text(f"data: a.csv\n{lines}\n", encoding="utf-8")
    return read_recipe(file).curriculum


def test_without_the_section_nothing_has_an_order(tmp_path: Path) -> None:
    for lines in ("", "curriculum:", "curriculum: {}", "curriculum: {order: curriculum, hardness: none}"):
        found = read(tmp_path, lines)
        assert found == CurriculumRecipe()
        assert not found.paced
        assert not found.asks_reference
        assert found.decided() == found


def test_a_score_alone_is_enough(tmp_path: Path) -> None:
    for lines in ("curriculum: length", "curriculum: {score: length}"):
        found = read(tmp_path, lines)
        assert (found.score, found.order, found.pacing, found.full_at) == (
            "length",
            "curriculum",
            "linear",
            0.5,
        )
        assert found.paced
        assert found.decided().start == 0.2


def test_every_key(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "curriculum: {score: loss, order: anti, pacing: fixed_exponential, full_at: 1, start: 0.1, "
        "growth: 2, every: 50, hardness: easy_to_hard, semi_hard_margin: 0.3, reference: runs/first/model}",
    )
    assert found.model_dump() == {
        "score": "loss",
        "order": "anti",
        "pacing": "fixed_exponential",
        "full_at": 1.0,
        "start": 0.1,
        "growth": 2.0,
        "every": 50,
        "hardness": "easy_to_hard",
        "semi_hard_margin": 0.3,
        "reference": "runs/first/model",
    }
    pacing = found.pacing_over(1000)
    assert (pacing.start, pacing.growth, pacing.step_length, pacing.steps) == (0.1, 2.0, 50, 1000)


@pytest.mark.parametrize("pacing", get_args(PacingName))
def test_every_pacing_has_its_values(tmp_path: Path, pacing: str) -> None:
    found = read(tmp_path, f"curriculum: {{score: jaccard, pacing: {pacing}}}").pacing_over(60)
    fixed = pacing == "fixed_exponential"
    assert (found.name, found.full_at, found.start) == (pacing, 0.5, 0.04 if fixed else 0.2)
    assert found.share(0) == found.start
    assert found.share(30) == 1


def test_what_asks_a_reference_model() -> None:
    assert CurriculumRecipe(score="reference").asks_reference
    assert CurriculumRecipe(hardness="easy_to_hard").asks_reference
    assert not CurriculumRecipe(score="reference", order="random").asks_reference
    assert not CurriculumRecipe(score="loss").asks_reference


def test_the_random_control_needs_no_score(tmp_path: Path) -> None:
    assert read(tmp_path, "curriculum: {order: random, pacing: root, start: 0.3}").paced


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("curriculum: lenght",
         "line 2: curriculum.score: expected one of reference, jaccard, length, loss, found 'lenght'; "
         "did you mean length?"),
        ("curriculum: 3",
         "line 2: curriculum: expected a score (reference, jaccard, length, loss), or keys and values, "
         "found 3"),
        ("curriculum:\n  score: loss\n  pacing: cubic",
         "line 4: curriculum.pacing: expected one of log, exponential, step, root, linear, quadratic, "
         "fixed_exponential, found 'cubic'"),
        ("curriculum: {score: loss, full_at: 1.2}",
         "line 2: curriculum.full_at: expected a number greater than 0 and of at most 1, found 1.2"),
        ("curriculum: {score: loss, start: 0}",
         "line 2: curriculum.start: expected a number greater than 0 and of at most 1, or auto, found 0"),
        ("curriculum: {score: loss, growth: 1}",
         "line 2: curriculum.growth: expected a number greater than 1, or auto, found 1"),
        ("curriculum: {score: loss, every: 5}",
         "line 2: curriculum: every goes with pacing fixed_exponential, and not with linear"),
        ("curriculum: {score: loss, pacing: root, growth: 2}",
         "line 2: curriculum: growth goes with pacing fixed_exponential, and not with root"),
        ("curriculum: {pacing: root}",
         "line 2: curriculum: pacing goes with a score to order rows by: give `score` as well"),
        ("curriculum: {order: anti, hardness: easy_to_hard}",
         "line 2: curriculum: order goes with a score to order rows by: give `score` as well"),
        ("curriculum: {hardness: hard}",
         "line 2: curriculum.hardness: expected one of none, easy_to_hard, found 'hard'"),
        ("curriculum: {scores: loss}", "line 2: curriculum.scores: unknown key; did you mean score?"),
    ],
)  # fmt: skip
def test_what_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        read(tmp_path, lines)
    assert message in str(error.value)


SECTIONS: list[dict[str, Any]] = [
    {},
    {"score": "reference", "pacing": "log"},
    {"score": "loss", "pacing": "fixed_exponential", "start": 0.1},
    {"order": "random", "hardness": "easy_to_hard"},
]


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_what_is_written_reads_back(tmp_path: Path, section: dict[str, Any]) -> None:
    for chosen in (CurriculumRecipe(**section), CurriculumRecipe(**section).decided()):
        recipe = Recipe(data="a.csv", curriculum=chosen)
        for number, text in enumerate((resolved_yaml(recipe, {}), commented_recipe(recipe))):
            file = tmp_path / f"{number}.yaml"
            file.write_text(text, encoding="utf-8")
            assert read_recipe(file) == recipe


def test_defaults_and_examples_are_valid_values() -> None:
    values = {name: getattr(CurriculumRecipe(), name) for name in CurriculumRecipe.model_fields}
    assert CurriculumRecipe(**values) == CurriculumRecipe()
    for name, field in CurriculumRecipe.model_fields.items():
        for example in field.examples or ():
            CurriculumRecipe(**{"score": "loss", "pacing": "fixed_exponential"} | {name: example})


def test_the_reference_is_recorded_with_its_whole_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder beside the recipe; `base` is the encoder itself whatever is called so here."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "beside" / "teacher").mkdir(parents=True)
    for name, expected in (
        ("base", "base"),
        ("teacher", str(tmp_path / "beside" / "teacher")),
        ("org/x", "org/x"),
    ):
        recipe = Recipe(data="a.csv", curriculum={"score": "reference", "reference": name})
        file = tmp_path / "recipe.yaml"
        file.write_text(recorded_yaml(recipe, {}, tmp_path / "beside"), encoding="utf-8")
        assert read_recipe(file).curriculum.reference == expected
