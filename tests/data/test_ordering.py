from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from sbert_triplet.data.ordering import read_ordering
from sbert_triplet.errors import DataError


def table(values: Any) -> pa.Table:
    return pa.table({"when": values, "other": pa.nulls(len(values), pa.string())})


@pytest.mark.parametrize(
    "values",
    [
        pa.array([dt.date(2024, 5, 1), dt.date(2023, 1, 1), None, dt.date(2024, 5, 1)]),
        pa.array([dt.datetime(2024, 5, 1, 9), dt.datetime(2023, 1, 1), None, dt.datetime(2024, 5, 1, 9)]),
        pa.array([7, 3, None, 7]),
        pa.array([7.5, 3.0, float("nan"), 7.5]),
        pa.array([Decimal("7.5"), Decimal("3.0"), None, Decimal("7.5")]),
        pa.array(["2024-05-01", "2023-01-01", None, "2024-05-01"]),
        pa.array(["2024-05-01T08:00:00Z", "2024-05-01 07:59:59", "  ", "2024-05-01T10:00:00+02:00"]),
        pa.array(["2024-05", "2023-01", "", "2024-05"], pa.large_string()),
    ],
    ids=["date", "timestamp", "integer", "float", "decimal", "iso-date", "iso-moments", "iso-months"],
)
def test_dates_and_numbers_are_time(values: pa.Array) -> None:
    ordering = read_ordering(table(values), "when", None)
    assert ordering.how == "time"
    assert ordering.keys.tolist() == [1, 0, -1, 1]


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["b", "a", None, "b"]),
        pa.array(["b", "a", " ", "b"]).dictionary_encode(),
        pa.array([True, False, None, True]),
        pa.array(["20240501", "12345678", None, "20240501"]),
    ],
    ids=["text", "dictionary", "boolean", "digits"],
)
def test_anything_else_is_groups(values: pa.Array) -> None:
    ordering = read_ordering(table(values), "when", None)
    assert ordering.how == "group"
    assert ordering.keys.tolist() == [0, 1, -1, 0]
    assert len(ordering.names) == 2


def test_how_makes_groups_of_numbers() -> None:
    ordering = read_ordering(table(pa.array([30, 20, 30])), "when", "group")
    assert (ordering.how, ordering.keys.tolist(), ordering.names) == ("group", [0, 1, 0], ("30", "20"))


def test_columns_in_several_chunks_are_read_whole() -> None:
    chunked = pa.chunked_array([["x", "y"], ["x", None]])
    assert read_ordering(pa.table({"when": chunked}), "when", None).keys.tolist() == [0, 1, 0, -1]


@pytest.mark.parametrize(
    ("values", "how", "message"),
    [
        (pa.array(["01/02/2024", "05/03/2024"]), None, r"row 1 .*ISO 8601"),
        (pa.array(["2024-01-01", "2024-01-02", "soon"]), None, r"row 3 .*'soon'"),
        (pa.array(["2024-13-01", "2024-01-02"]), None, r"row 1 "),
        (pa.array(["a", "b"]), "time", r"row 1 .*ISO 8601"),
        (pa.array([True, False]), "time", r"no time order"),
        (pa.array([[1], [2]]), None, r"list"),
        (pa.array([None, None], pa.string()), None, r"empty in every row"),
        (pa.array([float("nan")]), None, r"empty in every row"),
    ],
)
def test_unreadable_columns_are_refused(values: pa.Array, how: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_ordering(table(values), "when", how)


def test_a_missing_column_is_refused_with_the_columns_there_are() -> None:
    with pytest.raises(DataError, match=r"no column 'date'.*when, other"):
        read_ordering(table(pa.array([1])), "date", None)
    with pytest.raises(DataError, match=r"Columns without a role: none"):
        read_ordering(None, "date", None)
