"""What mining refuses: in one line, before anything is encoded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.errors import InputError
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.marks import Marks
from sbert_triplet.mining.rules import Rules

NOTHING = np.zeros((0, 2), dtype=np.int64)


@pytest.mark.parametrize(
    ("rows", "documents", "changes", "message"),
    [
        ([(0, 1)], [], {}, "the corpus is empty"),
        (
            [(0, 1)],
            [1, 2],
            {"rules": Rules(negatives=3)},
            "the corpus has 2 documents, too few for 3 negatives",
        ),
        ([(0, 1)], [1, 2], {"rules": Rules(range_min=5)}, "from rank 5 on: at least 6 are needed"),
        ([], [1, 2], {}, r"these rows \(pairs\) have none"),
        ([(0, 99)], [1, 2], {}, "positive 99 is not in the texts, which have ids 0 to 39"),
        ([(77, 1)], [1, 2], {}, "query 77 is not in the texts"),
        ([(0, 1)], [1, 40], {}, "document 40 is not in the texts"),
        ([(0, 1)], [1, 2], {"known": np.array([[0, 41]])}, "known positive 41 is not in the texts"),
        ([(0, 1)], [1, 2], {"marks": Marks(NOTHING, np.array([[0, 1]]), NOTHING)}, "marked as a negative"),
        ([(0, 1)], [1, 2], {"marks": Marks(NOTHING, NOTHING, np.array([[0, 50]]))}, "marked as ignore 50"),
    ],
)
def test_bad_input_is_one_line_before_anything_is_encoded(
    world: Callable[..., Any],
    pairs: Callable[..., Examples],
    rows: list[tuple[int, int]],
    documents: list[int],
    changes: dict[str, Any],
    message: str,
) -> None:
    here = world(count=40)
    rules = changes.pop("rules", Rules())
    with pytest.raises(InputError, match=message) as caught:
        mine(pairs(*rows), here.search(documents), here.texts, rules, **changes)
    assert "\n" not in str(caught.value)
    assert here.encoded == []


def test_a_query_without_a_positive_is_named(world: Callable[..., Any]) -> None:
    here = world(count=40)
    judged = Examples(
        Kind.RETRIEVAL,
        np.array([0, 5, 5]),
        np.array([4, 7, 8]),
        positives=np.array([1, 2, 3]),
        scores=np.array([1.0, 0, 0]),
    )
    with pytest.raises(
        InputError, match=r"row 8: the query 'word5 only5' has no positive \(queries like this: 1\)"
    ):
        mine(judged, here.search(range(1, 9)), here.texts, Rules())
    scored = Examples(
        Kind.SCORED, np.array([0]), np.array([0]), positives=np.array([1]), scores=np.array([0.5])
    )
    with pytest.raises(InputError, match=r"\(scored pairs\) have none"):
        mine(scored, here.search(range(1, 9)), here.texts, Rules())
    assert here.encoded == []


def test_documents_ascend_without_repeats(world: Callable[..., Any], pairs: Callable[..., Examples]) -> None:
    here = world()
    with pytest.raises(ValueError, match="ascend without repeats"):
        mine(pairs((0, 1)), here.search([3, 2, 2]), here.texts, Rules())
