"""Anchors with what belongs to them and what does not, by kind of data."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.data.contrastive import contrastive_rows, positive_rows, queries_without_positive
from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind

E, N, C = 0, 1, 2
TRIPLE = st.tuples(st.integers(0, 5), st.integers(10, 15), st.integers(0, 2))


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def judged(kind: Kind, rows: list[tuple[int, int, int]]) -> Examples:
    """Rows of (anchor, second text, NLI label or grade)."""
    anchors, seconds, marks = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    return Examples(
        kind,
        anchors=anchors,
        row_numbers=np.arange(len(rows)) + 100,
        positives=seconds,
        labels=marks if kind is Kind.NLI else None,
        label_names=("entailment", "neutral", "contradiction") if kind is Kind.NLI else (),
        scores=marks.astype(float) if kind is Kind.RETRIEVAL else None,
        kept=pa.table({"place": np.arange(len(rows))}),
    )


def as_lists(examples: Examples) -> list[tuple[int, int, list[int]]]:
    assert examples.positives is not None
    assert examples.negatives is not None
    return [
        (int(anchor), int(positive), examples.negatives[row].tolist())
        for row, (anchor, positive) in enumerate(zip(examples.anchors, examples.positives, strict=True))
    ]


def test_contradictions_of_a_premise_are_the_negatives_of_its_entailments() -> None:
    examples = judged(
        Kind.NLI,
        [(1, 10, C), (0, 11, E), (1, 12, E), (2, 13, N), (1, 14, C), (1, 15, E), (3, 16, C)],
    )
    found = contrastive_rows(examples)
    assert as_lists(found) == [(0, 11, []), (1, 12, [10, 14]), (1, 15, [10, 14])]
    assert found.labels is None
    assert found.row_numbers.tolist() == [101, 102, 105]
    assert found.kept is not None
    assert found.kept["place"].to_pylist() == [1, 2, 5]


def test_queries_of_which_no_document_is_judged_relevant_are_told() -> None:
    examples = judged(Kind.RETRIEVAL, [(0, 10, 2), (1, 11, 0), (0, 12, 0), (1, 14, 0), (2, 10, 0)])
    assert queries_without_positive(examples) == [
        "2 training queries have no document that is judged above 0 (the first in row 102 of the "
        "judgements): nothing is trained or mined for them"
    ]
    assert queries_without_positive(judged(Kind.RETRIEVAL, [(0, 10, 2), (0, 11, 0)])) == []


def test_documents_judged_not_relevant_are_the_negatives_of_the_query() -> None:
    examples = judged(Kind.RETRIEVAL, [(0, 10, 2), (1, 11, 0), (0, 12, 0), (0, 13, 1), (1, 14, 0)])
    found = contrastive_rows(examples)
    assert as_lists(found) == [(0, 10, [12]), (0, 13, [12])]
    assert found.scores is not None
    assert found.scores.tolist() == [2.0, 1.0]


@pytest.mark.parametrize("kind", [Kind.PAIRS, Kind.TRIPLETS, Kind.LABELLED, Kind.SCORED])
def test_other_kinds_stay_as_they_are(kind: Kind) -> None:
    examples = Examples(kind, ids(0, 1), ids(0, 1), positives=ids(2, 3), scores=np.array([0.0, 1.0]))
    assert contrastive_rows(examples) is examples
    assert positive_rows(examples).tolist() == [0, 1]


@pytest.mark.parametrize("kind", [Kind.NLI, Kind.RETRIEVAL])
def test_unjudged_rows_are_all_positive(kind: Kind) -> None:
    examples = Examples(
        kind, ids(0, 1), ids(0, 1), positives=ids(2, 3), negatives=Ragged.from_lists([[4], []])
    )
    assert contrastive_rows(examples) is examples
    assert positive_rows(examples).tolist() == [0, 1]


def test_rows_without_a_positive_one_give_no_rows() -> None:
    found = contrastive_rows(judged(Kind.NLI, [(0, 10, C), (1, 11, N)]))
    assert len(found) == 0
    assert found.negatives is not None
    assert len(found.negatives) == 0


def test_a_kind_of_two_texts_without_the_second_is_refused() -> None:
    with pytest.raises(ValueError, match="no second text"):
        contrastive_rows(Examples(Kind.NLI, ids(0), ids(0), labels=ids(0)))


@given(st.sampled_from([Kind.NLI, Kind.RETRIEVAL]), st.lists(TRIPLE, max_size=30))
def test_as_found_by_looking_at_every_pair_of_rows(kind: Kind, rows: list[tuple[int, int, int]]) -> None:
    examples = judged(kind, rows)
    good = {E} if kind is Kind.NLI else {1, 2}
    bad = {C} if kind is Kind.NLI else {0}
    expected = [
        (anchor, second, [other for query, other, mark in rows if query == anchor and mark in bad])
        for anchor, second, mark in rows
        if mark in good
    ]
    found = contrastive_rows(examples)
    assert as_lists(found) == expected
    assert positive_rows(examples).tolist() == [place for place, row in enumerate(rows) if row[2] in good]
    assert found.row_numbers.tolist() == examples.row_numbers[positive_rows(examples)].tolist()
