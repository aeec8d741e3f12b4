from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.data.components import components, number_by_appearance, rows_with_any


def brute_force(columns: list[list[int]]) -> list[int]:
    """Merges rows pair by pair until nothing changes."""
    rows = [set(texts) for texts in zip(*columns, strict=True)]
    labels = list(range(len(rows)))
    changed = True
    while changed:
        changed = False
        for i in range(len(rows)):
            for j in range(i):
                if labels[i] != labels[j] and rows[i] & rows[j]:
                    old, new = max(labels[i], labels[j]), min(labels[i], labels[j])
                    labels = [new if label == old else label for label in labels]
                    changed = True
    order = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    return [order[label] for label in labels]


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=12))
def test_components_of_two_columns_equal_brute_force(pairs: list[tuple[int, int]]) -> None:
    columns = [[pair[0] for pair in pairs], [pair[1] for pair in pairs]]
    found = components([np.array(column, dtype=np.int64) for column in columns])
    assert found.tolist() == brute_force(columns)


def test_components_cross_columns_and_are_numbered_by_their_first_row() -> None:
    anchors, positives = np.array([900, 5, 7, 3]), np.array([901, 7, 1, 4])
    assert components([anchors, positives]).tolist() == [0, 1, 1, 2]


def test_components_of_one_column_are_its_equal_values() -> None:
    assert components([np.array([40, 2, 40, 7, 2])]).tolist() == [0, 1, 0, 2, 1]


def test_numbers_by_appearance_of_text() -> None:
    assert number_by_appearance(np.array(["b", "a", "b", "c"])).tolist() == [0, 1, 0, 2]


def test_rows_with_any_looks_in_every_column() -> None:
    columns = [np.array([1, 2, 3]), np.array([4, 5, 6])]
    assert rows_with_any(columns, np.array([3, 4])).tolist() == [True, False, True]
