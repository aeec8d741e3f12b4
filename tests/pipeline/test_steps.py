"""How many steps a run has, also where something is done between them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.pipeline.steps import Pace, choose_steps
from sbert_triplet.recipe.reading import recipe_from


@given(st.floats(0.01, 10), st.none() | st.integers(1, 20), st.floats(0, 100), st.floats(0.01, 500))
def test_no_step_more_and_none_less_than_there_is_time_for(
    per_step: float, every: int | None, between: float, seconds: float
) -> None:
    pace = Pace(per_step, every, between)
    steps = pace.steps_within(seconds)
    taken = [pace.seconds(count) for count in (steps, steps + 1)]
    assert taken[0] <= seconds * (1 + 1e-9)
    assert taken[1] >= seconds * (1 - 1e-9)


def test_seconds_by_hand() -> None:
    pace = Pace(2.0, 3, 10.0)
    # Something after steps 3 and 6; after the last step nothing.
    assert [pace.pauses(steps) for steps in range(8)] == [0, 0, 0, 0, 1, 1, 1, 2]
    assert pace.seconds(3) == 6
    assert pace.seconds(7) == 34
    assert [pace.steps_within(seconds) for seconds in (1.9, 6, 17.9, 18, 22, 33.9, 34)] == [
        0,
        3,
        3,
        4,
        6,
        6,
        7,
    ]
    assert Pace(2.0).seconds(7) == 14
    assert Pace(2.0).steps_within(15) == 7


@pytest.mark.parametrize(
    ("section", "steps"),
    [
        ({"epochs": 2}, 20),
        ({"epochs": 2, "max_steps": 15}, 15),
        ({"epochs": 2, "max_seconds": 34}, 7),
        ({"epochs": 0.5, "max_seconds": 34}, 5),
        ({"max_seconds": 1}, 1),
        ({}, 30),
    ],
)
def test_the_first_of_the_limits_counts(section: dict[str, Any], steps: int) -> None:
    recipe = recipe_from({"data": "a.csv", "train": section}, origin="test")
    assert choose_steps(recipe, 100, 10, Pace(2.0, 3, 10.0)) == steps
