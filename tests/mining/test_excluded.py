"""What mining never gives as a negative, however deep it must look for others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sbert_triplet.data.examples import Examples
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.marks import Marks
from sbert_triplet.mining.mined import Mined
from sbert_triplet.mining.rules import Rules


def negatives(mined: Mined, query: int) -> list[int]:
    """Text ids of the negatives of a query's first row."""
    found: list[int] = mined.negatives[int(np.flatnonzero(mined.queries == query)[0])].tolist()
    return found


def test_the_search_goes_deeper_where_much_is_excluded(
    world: Callable[..., Any], pairs: Callable[..., Examples]
) -> None:
    """Query 0 has 60 positives, all nearer than anything else; the other queries have one."""
    count = 100
    vectors = np.stack([np.ones(count), -np.arange(count)], axis=1)
    vectors[0] = vectors[1] = vectors[2] = [0, 1]
    here = world(vectors=vectors, count=count)
    rows = [(0, positive) for positive in range(3, 63)] + [(1, 3), (2, 3)]
    asked: list[tuple[int, int]] = []
    search = here.search(range(3, count))

    class Spy:
        space, documents = search.space, search.documents

        def __call__(self, queries: np.ndarray, k: int) -> Any:
            asked.append((len(queries), k))
            return search(queries, k)

    mined = mine(
        pairs(*rows), Spy(), here.texts, Rules(negatives=2, range_max=4, near_equal=None, transitive_hops=0)
    )
    assert negatives(mined, 0) == [63, 64]
    assert negatives(mined, 1) == [4, 5]
    assert asked[0][0] == 3
    assert all(queries == 1 for queries, _ in asked[1:])
    assert max(k for _, k in asked) <= count - 3
    # Down to the fourth that is left: 60 positives and 4 for one query, 1 and 4 for the others.
    assert mined.counts.looked_at == 64 + 5 + 5
    assert mined.counts.removed["known_positive"] == 62


def test_white_space_variants_and_near_equal_texts_are_no_negatives(
    world: Callable[..., Any], pairs: Callable[..., Examples]
) -> None:
    """A table that keeps variants apart, as texts from elsewhere may be."""

    class Apart:
        rows = (
            "how to pay",
            "pay by card or cash",
            " Pay  by card or CASH\n",
            "pay by card or cash now",
            "no",
        )

        def __len__(self) -> int:
            return 5

        def texts(self, ids: Any) -> list[str]:
            return [self.rows[i] for i in ids]

    here = world(vectors=np.array([[1, 0], [5, 0], [4, 0], [3, 0], [2, 0]]), count=5)
    rules = Rules(near_equal=0.8, negatives=1)
    mined = mine(pairs((0, 1)), here.search(range(5)), Apart(), rules)  # type: ignore[arg-type]
    assert mined.negatives.values.tolist() == [4]
    assert mined.counts.removed["equal"] == 1
    assert mined.counts.removed["near_equal"] == 1
    assert mined.suspects["document_id"].to_pylist() == [3]


def test_transitive_positives_and_known_pairs_of_other_rows(
    one_query: Any, pairs: Callable[..., Examples]
) -> None:
    rows = pairs((0, 1), (9, 1), (9, 3))
    with_links = mine(rows, one_query.search(range(10)), one_query.texts, Rules(near_equal=None))
    assert negatives(with_links, 0)[0] == 4
    without = mine(
        rows, one_query.search(range(10)), one_query.texts, Rules(near_equal=None, transitive_hops=0)
    )
    assert negatives(without, 0)[0] == 3
    known = mine(
        rows, one_query.search(range(10)), one_query.texts, Rules(near_equal=None), known=np.array([[0, 4]])
    )
    assert negatives(known, 0)[0] == 5


def test_marks_are_honoured(one_query: Any, pairs: Callable[..., Examples]) -> None:
    rows, search = pairs((0, 1), (0, 2)), one_query.search(range(10))
    marks = Marks(np.array([[0, 3]]), np.array([[0, 4]]), np.array([[0, 7]]))
    mined = mine(
        rows, search, one_query.texts, Rules(negatives=2, relative_margin=0.05, near_equal=None), marks=marks
    )
    # 4 scores as high as the better positive, and is taken at the person's word; 3 and 7 are out.
    assert negatives(mined, 0) == [4, 8]
    assert mined.counts.removed["marked"] == 2
    assert 4 not in mined.suspects["document_id"].to_pylist()
    window = Rules(negatives=2, range_min=3, near_equal=None)
    assert negatives(mine(rows, search, one_query.texts, window, marks=marks), 0) == [4, 8]
