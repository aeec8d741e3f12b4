"""Mining from end to end, by hand: rules, marks, several positives, the cross-encoder, what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.rules import Rules


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, [3, 4, 5]),
        ({"max_score": 8.0}, [4, 5, 6]),
        ({"max_score": 8.0, "min_score": 5.0}, [4, 5]),
        ({"absolute_margin": 0.0}, [6, 7, 8]),
        ({"absolute_margin": 3.0}, [8, 9]),
        ({"relative_margin": 0.05}, [7, 8, 9]),
        ({"relative_margin": 0.5}, [7, 8, 9]),
        ({"range_min": 2}, [5, 6, 7]),
        ({"range_min": 2, "range_max": 5}, [5, 6, 7]),
        ({"range_min": 2, "range_max": 5, "relative_margin": 0.05}, [7]),
        ({"choice": "spread"}, [4, 6, 8]),
    ],
)
def test_rules_by_hand(
    by_query: Any, one_query: Any, pairs: Callable[..., Examples], rules: dict[str, Any], expected: list[int]
) -> None:
    """The least positive scores 4, so that margins do not follow the better one. Positives have no rank."""
    values = {"negatives": 3, "near_equal": None} | rules
    mined = mine(pairs((0, 1), (0, 2)), one_query.search(range(10)), one_query.texts, Rules(**values))
    assert [document for document, _ in by_query(mined)[0]] == expected
    assert mined.positive_scores.tolist() == [8, 4]
    assert mined.negatives.offsets.tolist() == [0, len(expected), 2 * len(expected)]


def test_counts_by_filter(one_query: Any, pairs: Callable[..., Examples]) -> None:
    rules = Rules(negatives=3, range_min=1, range_max=5, max_score=8.0, relative_margin=0.05, near_equal=None)
    mined = mine(pairs((0, 1), (0, 2)), one_query.search(range(10)), one_query.texts, rules)
    # 3, 1, 4, 5, 2, 6, 7 stand down to the fifth that is no positive.
    assert mined.counts.looked_at == 7
    assert mined.counts.removed == {
        "self": 0,
        "equal": 0,
        "known_positive": 2,
        "transitive": 0,
        "max_score": 1,
        "relative_margin": 3,
        "rank_window": 0,
    }
    assert (mined.counts.left, mined.counts.chosen, mined.counts.short) == (1, 1, 1)


def test_the_library_counts_the_window_over_survivors_and_this_over_ranks(
    by_query: Any, one_query: Any, pairs: Callable[..., Examples]
) -> None:
    """With a margin that takes ranks 0 to 3, range_min 2 skips 3 and 4, not the survivors 7 and 8."""
    rules = Rules(negatives=3, range_min=2, range_max=7, relative_margin=0.05, near_equal=None)
    mined = mine(pairs((0, 1), (0, 2)), one_query.search(range(10)), one_query.texts, rules)
    assert [document for document, _ in by_query(mined)[0]] == [7, 8, 9]


def test_random_choice_depends_on_no_order(
    by_query: Any, world: Callable[..., Any], pairs: Callable[..., Examples]
) -> None:
    here = world(count=60, seed=3)
    rows = [(query, 20 + query) for query in range(12)]
    rules = Rules(negatives=3, choice="random", range_max=20)
    answers = []
    for order, memory_bytes in ((rows, 1 << 28), (rows[::-1], 1 << 28), (rows[5:] + rows[:5], 1)):
        answers.append(
            by_query(
                mine(pairs(*order), here.search(range(10, 60)), here.texts, rules, memory_bytes=memory_bytes)
            )
        )
    assert answers[0] == answers[1] == answers[2]
    few = by_query(mine(pairs(*rows[:3]), here.search(range(10, 60)), here.texts, rules))
    assert few == {query: answers[0][query] for query in range(3)}
    other = by_query(mine(pairs(*rows), here.search(range(10, 60)), here.texts, rules, salt=(13, 1)))
    assert other != answers[0]


def test_a_cross_encoder_decides_over_candidates_and_positives(
    by_query: Any, one_query: Any, pairs: Callable[..., Examples]
) -> None:
    """Its scores turn the order around: 9 becomes the hardest, and the positives 1 and 2 score 40 and 60."""
    order = {one_query.texts.text(i): 10.0 * i for i in range(10)} | {
        one_query.texts.text(1): 40.0,
        one_query.texts.text(2): 60.0,
    }

    def score(given: list[tuple[str, str]]) -> list[float]:
        assert {query for query, _ in given} == {one_query.texts.text(0)}
        return [order[document] for _, document in given]

    rules = Rules(negatives=2, absolute_margin=0.0, near_equal=None)
    mined = mine(pairs((0, 1), (0, 2)), one_query.search(range(10)), one_query.texts, rules, rescore=score)
    assert by_query(mined)[0] == [(4, 40.0), (3, 30.0)]
    assert mined.positive_scores.tolist() == [40, 60]
    assert mined.counts.removed["absolute_margin"] == 5
    top = mine(
        pairs((0, 1)),
        one_query.search(range(10)),
        one_query.texts,
        Rules(negatives=2, near_equal=None),
        rescore=score,
    )
    # Without margins too, where the library would leave the similarities.
    assert by_query(top)[0] == [(9, 90.0), (8, 80.0)]


def test_judgements_and_nli_are_mined_for_rows_that_belong_together(world: Callable[..., Any]) -> None:
    here = world(count=30)
    anchors, positives = np.array([0, 0, 1, 1]), np.array([10, 11, 12, 13])
    judged = Examples(
        Kind.RETRIEVAL, anchors, np.arange(4), positives=positives, scores=np.array([2.0, 0, 0, 1])
    )
    mined = mine(judged, here.search(range(10, 30)), here.texts, Rules(near_equal=None, transitive_hops=0))
    assert mined.rows.tolist() == [0, 3]
    assert mined.positives.tolist() == [10, 13]


def test_negatives_are_added_behind_those_given(one_query: Any, pairs: Callable[..., Examples]) -> None:
    plain = pairs((0, 1), (0, 2))
    mined = mine(plain, one_query.search(range(10)), one_query.texts, Rules(negatives=2, near_equal=None))
    triplets = mined.added_to(plain)
    assert triplets.kind is Kind.TRIPLETS
    assert triplets.negatives is not None
    assert [triplets.negatives[row].tolist() for row in range(2)] == [[3, 4], [3, 4]]
    given = Examples(
        Kind.TRIPLETS,
        plain.anchors,
        plain.row_numbers,
        positives=plain.positives,
        negatives=Ragged.from_lists([[9, 4], []]),
    )
    both = mine(
        given, one_query.search(range(10)), one_query.texts, Rules(negatives=2, near_equal=None)
    ).added_to(given)
    assert both.negatives is not None
    assert [both.negatives[row].tolist() for row in range(2)] == [[9, 4, 3], [3, 4]]


def test_rows_without_a_negative_stay(one_query: Any, pairs: Callable[..., Examples]) -> None:
    rows = pairs((0, 1))
    mined = mine(rows, one_query.search(range(10)), one_query.texts, Rules(max_score=-100.0))
    examples = mined.added_to(rows)
    assert len(examples) == 1
    assert examples.negatives is not None
    assert examples.negatives[0].tolist() == []
    assert (mined.counts.empty, mined.counts.chosen) == (1, 0)


def test_progress_counts_queries_to_the_end(
    world: Callable[..., Any], pairs: Callable[..., Examples]
) -> None:
    here = world(count=40)
    seen: list[tuple[int, int]] = []
    rows = pairs(*((query, 20) for query in range(9)))
    search = here.search(range(10, 40))
    mine(
        rows,
        search,
        here.texts,
        Rules(),
        memory_bytes=1,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(done, 9) for done in range(1, 10)]
