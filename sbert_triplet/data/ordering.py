"""A kept column as time order or as groups: what ``data.split.by`` stands for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sbert_triplet.data.assignment import PART_NAMES, TRAIN, Shares
from sbert_triplet.data.components import number_by_appearance
from sbert_triplet.data.examples import IntArray
from sbert_triplet.errors import DataError

How = Literal["time", "group"]

_ISO_DATE = re.compile(r"^\d{4}-\d{2}(-\d{2}([T ].*)?)?$")
_OTHER_DATE = re.compile(r"^\d{1,4}[/.]\d{1,2}[/.]\d{1,4}\b")


@dataclass(frozen=True)
class Ordering:
    """A column read as time order or as groups.

    ``keys``: (N,) position of the row's value among the distinct values, sorted for time, in
    order of appearance for groups; -1 where the cell is empty. ``names``: the distinct values
    of groups as text, by key; empty for time.
    """

    how: How
    keys: IntArray
    names: tuple[str, ...] = ()


def read_ordering(kept: pa.Table | None, by: str, how: How | None) -> Ordering:
    """Reads column ``by``. With ``how`` None, dates and numbers are time, anything else is groups.

    Text counts as dates when every filled cell is an ISO 8601 date. Raises DataError where the
    column is missing, empty, nested, or looks like dates in another format.
    """
    names = [] if kept is None else list(kept.column_names)
    if kept is None or by not in names:
        listed = ", ".join(names) if names else "none"
        raise DataError(
            f"data.split.by: there is no column '{by}' to split by. Columns without a role: {listed}. "
            "Name one of these, or leave data.split.by out to split at random."
        )
    column = _plain(kept.column(by))
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        raise DataError(
            f"data.split.by: column '{by}' holds {column.type}; give a column of dates, numbers or text."
        )
    filled = _filled(column)
    if not filled.any():
        raise DataError(f"data.split.by: column '{by}' is empty in every row; name another column.")
    if how == "group":
        return _groups(column, filled)
    times = _times(column, filled, by, must=how == "time")
    if times is None:
        return _groups(column, filled)
    keys = np.full(len(filled), -1, dtype=np.int64)
    keys[filled] = np.unique(times, return_inverse=True)[1].reshape(-1)
    return Ordering("time", keys)


def in_time_order(keys: IntArray, shares: Shares, by: str) -> tuple[IntArray, list[str]]:
    """(N,) parts by ``keys``, (N,) positions in time from 0: oldest train, then dev, newest test.

    Rows of one time stay together; the boundaries are those that come nearest to the shares.
    """
    counts, wanted = np.bincount(keys), shares.wanted()
    if len(counts) <= len(wanted):
        raise DataError(
            f"data.split.by: '{by}' has only {len(counts)} distinct values, too few for {1 + len(wanted)} "
            "splits in time order. Name a finer column, or set a share to 0."
        )
    parts = np.full(len(keys), TRAIN, dtype=np.int64)
    notes, end = [], len(counts)
    for done, (part, share, cap) in enumerate(wanted):
        aim = share * len(keys) if cap is None else min(share * len(keys), cap)
        reserved = len(wanted) - done
        newest = np.cumsum(counts[reserved:end][::-1])
        values = 1 + int(np.argmin(np.abs(newest - aim)))
        rows, start = int(newest[values - 1]), end - values
        parts[(keys >= start) & (keys < end)] = part
        end = start
        if not aim / 2 <= rows <= 2 * aim:
            notes.append(
                f"{PART_NAMES[part]} holds {rows:,} rows where {aim:,.0f} were wanted: "
                f"rows of one value of '{by}' stay together."
            )
    return parts, notes


def _plain(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], type=array.type)
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _filled(column: pa.Array) -> NDArray[np.bool_]:
    """(N,) cells that are neither null, NaN nor blank."""
    filled = np.asarray(pc.is_valid(column).to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_floating(column.type):
        filled &= ~np.isnan(column.to_numpy(zero_copy_only=False).astype(np.float64))
    elif _is_text(column.type):
        filled &= np.array([bool(cell and cell.strip()) for cell in column.to_pylist()], dtype=bool)
    return filled


def _groups(column: pa.Array, filled: NDArray[np.bool_]) -> Ordering:
    rows = np.flatnonzero(filled)
    values = np.array([str(value) for value in column.take(pa.array(rows)).to_pylist()], dtype=object)
    numbers = number_by_appearance(values)
    keys = np.full(len(filled), -1, dtype=np.int64)
    keys[rows] = numbers
    first = np.unique(numbers, return_index=True)[1]
    return Ordering("group", keys, tuple(values[first]))


def _times(column: pa.Array, filled: NDArray[np.bool_], by: str, must: bool) -> NDArray[np.generic] | None:
    kind = column.type
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if pa.types.is_temporal(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        present: NDArray[np.generic] = column.filter(pa.array(filled)).to_numpy(zero_copy_only=False)
        return present
    if _is_text(kind):
        return _dates(column.to_pylist(), np.flatnonzero(filled), by, must)
    if must:
        raise DataError(f"data.split.by: column '{by}' holds {kind}, which has no time order.")
    return None


def _dates(cells: Sequence[Any], rows: IntArray, by: str, must: bool) -> NDArray[np.generic] | None:
    """Seconds since 1970 of ISO 8601 dates, or None where the column holds no dates."""
    seconds = np.array([_seconds(cells[row]) for row in rows], dtype=np.float64)
    others = rows[np.isnan(seconds)]
    if not len(others):
        return seconds
    odd = next((row for row in others if _OTHER_DATE.match(cells[row].strip())), others[0])
    if must or len(others) <= len(rows) / 2 or _OTHER_DATE.match(cells[odd].strip()):
        raise DataError(
            f"data.split.by: row {odd + 1} of column '{by}' holds {cells[odd][:40]!r}, which is no ISO 8601 "
            "date (2024-03-31 or 2024-03-31T12:00:00). Write all its dates so, or set data.split.how: group."
        )
    return None


def _seconds(cell: str) -> float:
    text = cell.strip()
    if not _ISO_DATE.match(text):
        return float("nan")
    try:
        moment = datetime.fromisoformat(text if len(text) > 7 else text + "-01")
    except ValueError:
        return float("nan")
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
