"""Rows as text ids."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind

LISTS = st.lists(st.lists(st.integers(0, 50), max_size=4), max_size=8)


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(LISTS)
def test_ragged_rows_are_what_they_were_made_of(rows: list[list[int]]) -> None:
    ragged = Ragged.from_lists(rows)
    assert len(ragged) == len(rows)
    assert [ragged[place].tolist() for place in range(len(rows))] == rows
    assert ragged.values.dtype == ragged.offsets.dtype == np.int64


@given(LISTS, st.data())
def test_ragged_rows_selected_in_any_order_and_number(rows: list[list[int]], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=12)) if rows else []
    chosen = Ragged.from_lists(rows).select(np.array(places, dtype=np.int64))
    assert [chosen[place].tolist() for place in range(len(chosen))] == [rows[place] for place in places]


def whole() -> Examples:
    return Examples(
        kind=Kind.TRIPLETS,
        anchors=ids(0, 1, 2),
        row_numbers=ids(10, 11, 12),
        positives=ids(3, 4, 5),
        negatives=Ragged.from_lists([[6], [], [7, 8]]),
        labels=ids(0, 1, 0),
        label_names=("a", "b"),
        scores=np.array([0.1, 0.2, 0.3]),
        weights=np.array([1.0, 2.0, 3.0]),
        kept=pa.table({"language": ["de", "en", "fr"]}),
    )


def test_every_part_of_the_rows_is_selected() -> None:
    chosen = whole().select(ids(2, 0, 2))
    assert len(chosen) == 3
    assert chosen.anchors.tolist() == [2, 0, 2]
    assert chosen.row_numbers.tolist() == [12, 10, 12]
    assert chosen.positives is not None
    assert chosen.positives.tolist() == [5, 3, 5]
    assert chosen.negatives is not None
    assert [chosen.negatives[row].tolist() for row in range(3)] == [[7, 8], [6], [7, 8]]
    assert chosen.labels is not None
    assert chosen.labels.tolist() == [0, 0, 0]
    assert chosen.label_names == ("a", "b")
    assert chosen.scores is not None
    assert chosen.scores.tolist() == [0.3, 0.1, 0.3]
    assert chosen.weights is not None
    assert chosen.weights.tolist() == [3.0, 1.0, 3.0]
    assert chosen.kept is not None
    assert chosen.kept["language"].to_pylist() == ["fr", "de", "fr"]


def test_no_rows_selected() -> None:
    chosen = whole().select(ids())
    assert len(chosen) == 0
    assert chosen.negatives is not None
    assert len(chosen.negatives) == 0
    assert chosen.kept is not None
    assert chosen.kept.num_rows == 0


def test_absent_parts_stay_absent() -> None:
    chosen = Examples(Kind.LABELLED, ids(4, 5), ids(0, 1)).select(ids(1))
    assert (
        chosen.positives,
        chosen.negatives,
        chosen.labels,
        chosen.scores,
        chosen.weights,
        chosen.kept,
    ) == ((None,) * 6)


@pytest.mark.parametrize(
    ("kind", "labels", "scores", "expected"),
    [
        (Kind.PAIRS, None, None, [[0, 5], [1, 5], [2, 6]]),
        (Kind.TRIPLETS, None, None, [[0, 5], [1, 5], [2, 6]]),
        (Kind.NLI, [0, 2, 0, 1], None, [[0, 5], [1, 5]]),
        (Kind.NLI, None, None, [[0, 5], [1, 5], [2, 6]]),
        (Kind.RETRIEVAL, None, [1.0, 0.0, 3.0, -1.0], [[0, 5], [1, 5]]),
        (Kind.RETRIEVAL, None, None, [[0, 5], [1, 5], [2, 6]]),
        (Kind.SCORED, None, [1.0, 1.0, 1.0, 1.0], []),
    ],
)
def test_known_positives_of_each_kind(
    kind: Kind, labels: list[int] | None, scores: list[float] | None, expected: list[list[int]]
) -> None:
    examples = Examples(
        kind,
        anchors=ids(1, 2, 0, 2),
        row_numbers=ids(0, 1, 2, 3),
        positives=ids(5, 6, 5, 6),
        labels=None if labels is None else ids(*labels),
        scores=None if scores is None else np.array(scores),
    )
    known = examples.known_positives()
    assert known.shape == (len(expected), 2)
    assert known.tolist() == expected


def test_labelled_text_has_no_known_positives() -> None:
    assert Examples(Kind.LABELLED, ids(0, 1), ids(0, 1), labels=ids(0, 0)).known_positives().shape == (0, 2)
