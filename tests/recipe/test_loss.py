"""The options of a loss are those of its constructor, and nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pytest
import torch

from sbert_triplet.distances.options import Range
from sbert_triplet.errors import RecipeError
from sbert_triplet.losses import names
from sbert_triplet.losses.batch import Loss
from sbert_triplet.recipe import LossRecipe, Recipe


class Sample(Loss):
    def __init__(
        self,
        *,
        needed: int,
        share: Annotated[float, Range(low=0.0, high=1.0)] = 0.5,
        count: Annotated[int, Range(low=1, high=8)] | None = None,
        mode: Literal["soft", "hard"] = "soft",
        strength: Annotated[float, Range(low=0, low_open=True)] | Literal["learned"] = 1.0,
        steps: Sequence[float] = (1.0, 0.5),
        label: str = "x",
        on: bool = False,
        distance: str | Mapping[str, Any] = "euclidean",
        table: torch.Tensor | None = None,
        seed: int = 0,
        dimensions: int | None = None,
    ) -> None:
        super().__init__()
        if mode == "hard" and count is None:
            raise ValueError("hard needs a count")
        self.given = (needed, seed, dimensions)


class NeedsSize(Loss):
    def __init__(self, *, dimensions: int, classes: int, rank: int = 32) -> None:
        super().__init__()
        if rank > dimensions:
            raise ValueError("rank is larger than the encoder's dimensions")
        self.given = (dimensions, classes)


@pytest.fixture(autouse=True)
def _own_losses(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, constructor in {"sample": Sample, "needs_size": NeedsSize}.items():
        entry = names.LossEntry(constructor, frozenset({"pairs"}), f"the loss {name}")
        monkeypatch.setitem(names.LOSSES, name, entry)


def refusal(**loss: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        Recipe(data="a.csv", loss=loss)
    return str(caught.value)


def test_options_are_complete_and_typed() -> None:
    loss = LossRecipe(
        name="sample", needed=3.0, share=1, strength="learned", steps=[1, 2], distance="manhattan"
    )
    assert loss.options == {
        "needed": 3,
        "share": 1.0,
        "count": None,
        "mode": "soft",
        "strength": "learned",
        "steps": (1.0, 2.0),
        "label": "x",
        "on": False,
        "distance": "manhattan",
    }
    assert type(loss.options["needed"]) is int
    assert type(loss.options["share"]) is float


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"nedeed": 1}, "Recipe: loss.nedeed: unknown key; did you mean needed?"),
        ({"share": 1.5}, "Recipe: loss.share: expected a number from 0 to 1, found 1.5"),
        ({"share": True}, "Recipe: loss.share: expected a number from 0 to 1, found true"),
        ({"count": 9}, "Recipe: loss.count: expected a whole number from 1 to 8, found 9"),
        ({"count": 1.5}, "Recipe: loss.count: expected a whole number from 1 to 8, found 1.5"),
        ({"mode": "sfot"}, "Recipe: loss.mode: expected one of soft, hard, found 'sfot'; did you mean soft?"),
        ({"strength": 0},
         "Recipe: loss.strength: expected a number greater than 0 or one of learned, found 0"),
        ({"strength": "x"},
         "Recipe: loss.strength: expected a number greater than 0 or one of learned, found 'x'"),
        ({"steps": ["a"]}, "Recipe: loss.steps[0]: expected a number, found 'a'"),
        ({"label": 3}, "Recipe: loss.label: expected text that is not empty, found 3; put it in quotes"),
        ({"on": "yes"}, "Recipe: loss.on: expected true or false, found 'yes'"),
        ({"seed": 3}, "Recipe: loss.seed: unknown key; did you mean train.seed?"),
        ({"dimensions": 3}, "Recipe: loss.dimensions: unknown key; "),
        ({"table": [1]}, "Recipe: loss.table: unknown key; "),
        ({"mode": "hard"}, "Recipe: loss: sample: hard needs a count"),
        ({"distance": 3}, "Recipe: loss.distance: expected a distance by name, or keys and values "
         "(name and its options), found 3"),
        ({"distance": "manhatan"},
         "Recipe: loss.distance.name: there is no 'manhatan'; did you mean manhattan? "),
        ({"distance": {"p": 3}}, "Recipe: loss.distance.p: options go with a name: give `name` as well "
         "(p is an option of minkowski)"),
        ({"distance": {"name": "minkowski"}},
         "Recipe: loss.distance.p: missing; expected a number of at least 1"),
        ({"distance": {"name": "minkowski", "p": 0.5}},
         "Recipe: loss.distance.p: expected a number of at least 1, found 0.5"),
        ({"distance": {"name": "minkowski", "q": 1, "p": 2}}, "Recipe: loss.distance.q: unknown key; "),
    ],
)  # fmt: skip
def test_options_that_are_refused(option: dict[str, Any], message: str) -> None:
    assert refusal(name="sample", **{"needed": 1} | option).startswith(message)


def test_required_option() -> None:
    assert refusal(name="sample") == "Recipe: loss.needed: missing; expected a whole number"


def test_unknown_name_lists_what_there_is() -> None:
    message = refusal(name="tripplet")
    assert message.startswith("Recipe: loss.name: there is no 'tripplet'; did you mean triplet? known: ")
    assert all(name in message for name in names.LOSSES)


def test_options_without_a_name() -> None:
    message = refusal(needed=1)
    assert message == (
        "Recipe: loss.needed: options go with a name: give `name` as well (needed is an option of sample)"
    )


@pytest.mark.parametrize("spelling", ["inf", "Infinity", float("inf")])
def test_infinite_options(spelling: object) -> None:
    distance = {"name": "minkowski", "p": spelling}
    loss = LossRecipe(name="sample", needed=1, distance=distance)
    assert loss.options["distance"] == {"name": "minkowski", "p": float("inf")}
    assert "found nan" in refusal(name="sample", needed=1, distance={"name": "minkowski", "p": float("nan")})


def test_build_supplies_what_the_recipe_does_not_hold() -> None:
    loss = LossRecipe(name="sample", needed=4).build(dimensions=16, seed=5)
    assert isinstance(loss, Sample)
    assert loss.given == (4, 5, 16)
    sized = LossRecipe(name="needs_size").build(dimensions=64, seed=5, classes=3)
    assert isinstance(sized, NeedsSize)
    assert sized.given == (64, 3)


def test_build_needs_a_name() -> None:
    with pytest.raises(ValueError, match="once its name is chosen"):
        LossRecipe().build(dimensions=8, seed=0)


@pytest.mark.parametrize("name", sorted(names.LOSSES))
def test_every_loss_of_the_package_has_its_options(name: str) -> None:
    required = {"margin": 0.3} if "margin" in names.LOSSES[name].options else {}
    recipe = LossRecipe(name=name, **required)
    parameters = inspect.signature(names.LOSSES[name].constructor).parameters
    supplied = {"dimensions", "seed"} | ({"classes"} if name == "softmax_classification" else set())
    written = {
        key for key in parameters if key not in supplied and parameters[key].annotation != "Tensor | None"
    }
    assert recipe.options.keys() == written - {"args", "kwargs"}
    assert isinstance(recipe.build(dimensions=32, seed=1, classes=3), Loss)
