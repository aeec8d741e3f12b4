"""Rules that contradict themselves, and counts as people and programs read them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sbert_triplet.errors import InputError
from sbert_triplet.mining.rules import FilterCounts, Rules


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"negatives": 0}, "negatives is 0"),
        ({"range_min": -1}, "range_min is -1"),
        ({"range_min": 5, "range_max": 5}, "range_min 5 and range_max 5: no rank"),
        ({"range_min": 9, "range_max": 5}, "range_max must be larger"),
        (
            {"negatives": 4, "range_min": 2, "range_max": 5},
            "from range_min 2 to range_max 5 there are 3 ranks",
        ),
        ({"min_score": 0.5, "max_score": 0.4}, "min_score 0.5 is above max_score 0.4"),
        ({"relative_margin": -0.1}, "relative_margin is -0.1"),
        ({"absolute_margin": float("nan")}, "absolute_margin is nan"),
        ({"max_score": float("inf")}, "max_score is inf"),
        ({"near_equal": 0.0}, "near_equal is 0.0"),
        ({"near_equal": 1.1}, "near_equal is 1.1"),
        ({"transitive_hops": -1}, "transitive_hops is -1"),
        ({"transitive_size": 1}, "transitive_size is 1"),
        ({"choice": "best"}, "choice is 'best'.*top, random, spread"),
    ],
)
def test_contradictions_are_refused_in_one_line(values: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Rules(**values)
    assert "\n" not in str(caught.value)


def test_the_window_has_ten_ranks_for_a_negative_unless_it_is_given() -> None:
    assert Rules(negatives=3, range_min=4).depth == 34
    assert Rules(negatives=3, range_max=7).depth == 7
    assert Rules(negatives=3, range_min=4, range_max=7).depth == 7
    assert Rules(min_score=0.5, max_score=0.5).depth == 10


def test_counts_add_up_and_print() -> None:
    one = FilterCounts(2, 10, {"self": 1, "max_score": 3}, 4, 6, 2, 0)
    two = FilterCounts(1, 5, {"self": 0, "max_score": 2, "rank_window": 1}, 0, 3, 1, 1)
    both = FilterCounts() + one + two
    assert both == FilterCounts(3, 15, {"self": 1, "max_score": 5, "rank_window": 1}, 4, 9, 3, 1)
    assert both.left == 8
    assert both.lines() == [
        "15 candidates of 3 queries; taken away:",
        "             1 self (6.7 %)",
        "             5 max_score (33.3 %)",
        "             1 rank_window (6.7 %)",
        "4 negatives chosen of 8 left; 9 were asked for",
        "3 queries have fewer than asked, 1 of them none",
    ]
    assert json.loads(json.dumps(both.as_json())) == {
        "queries": 3,
        "looked_at": 15,
        "removed": {"self": 1, "max_score": 5, "rank_window": 1},
        "left": 8,
        "chosen": 4,
        "asked": 9,
        "queries_with_fewer": 3,
        "queries_with_none": 1,
    }
    assert FilterCounts(1, 3, {"self": 0}, 3, 3).lines()[1:] == [
        "  nothing",
        "3 negatives chosen of 3 left; 3 were asked for",
    ]
