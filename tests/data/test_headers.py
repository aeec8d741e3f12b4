"""Names of columns that cannot be names."""

from __future__ import annotations

import pytest

from sbert_triplet.data.headers import LONGEST_NAME, MOST_COLUMNS, refuse_names
from sbert_triplet.errors import DataError


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["a", "b", "a"], "names the column 'a' more than once"),
        ([f"c{n}" for n in range(MOST_COLUMNS + 1)], "has 1,001 columns, and at most 1,000 are read"),
        (["a", "b" * (LONGEST_NAME + 1)], "column 2 has a name of 1,001 characters, and 1,000 are allowed"),
        (["a\0"], r"column 1 has a name ('a\x00') that is not text"),
        (["\ud83d"], r"column 1 has a name ('\ud83d') that is not text"),
    ],
)
def test_names_of_columns(names: list[str], problem: str) -> None:
    with pytest.raises(DataError, match=r"^t\.csv: ") as caught:
        refuse_names("t.csv", names)
    assert problem in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_most_and_the_longest_names_are_taken() -> None:
    refuse_names("t.csv", [f"c{n}" for n in range(MOST_COLUMNS - 1)] + ["n" * LONGEST_NAME])
