"""The cells of a batch as texts and numbers, whatever the columns hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.data.templates import columns_of, parse_template

BoolArray = NDArray[np.bool_]
BATCH_ROWS = 16_384
"""Rows that are read at a time: what bounds the memory."""


@dataclass(frozen=True)
class TextCells:
    """Texts of R rows. ``values``: large strings, one a row, or for a list column all items one after
    the other with ``offsets`` (R + 1,) of the rows. ``not_text``: where a value was something other
    than text (then null in ``values``).
    """

    values: pa.Array
    not_text: BoolArray
    offsets: IntArray | None = None

    def rows(self) -> IntArray:
        """The row of each value."""
        if self.offsets is None:
            return np.arange(len(self.values), dtype=np.int64)
        return np.repeat(np.arange(len(self.offsets) - 1, dtype=np.int64), np.diff(self.offsets))


def batches(dataset: datasets.Dataset, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """The columns as Arrow tables of a bounded number of rows, each with the number of its first row."""
    first = 0
    for batch in dataset.select_columns(list(columns)).with_format("arrow").iter(batch_size=BATCH_ROWS):
        yield first, batch
        first += batch.num_rows


def read_texts(batch: pa.Table, role: str, features: datasets.Features) -> TextCells:
    """The texts of a role: of a column, or of a template, in which a null is an empty text."""
    if role in batch.column_names:
        return _column_texts(batch, role, features)
    template = parse_template(role, batch.column_names)
    parts: list[pa.Array | str] = [template.literals[0]]
    not_text = np.zeros(batch.num_rows, dtype=bool)
    for name, literal in zip(template.columns, template.literals[1:], strict=True):
        cells = _column_texts(batch, name, features)
        not_text |= cells.not_text
        parts += [pc.fill_null(cells.values, ""), literal]
    strings = [part if isinstance(part, pa.Array) else pa.scalar(part, pa.large_string()) for part in parts]
    joined = pc.binary_join_element_wise(*strings, pa.scalar("", pa.large_string()))
    # ASCII kernels: the UTF-8 ones raise on cells with broken bytes, which the scan has yet to name.
    return TextCells(pc.ascii_trim_whitespace(joined), not_text)


def role_columns(role: str, features: datasets.Features) -> tuple[str, ...]:
    """The columns that a role reads."""
    return columns_of(role, list(features))


def read_numbers(batch: pa.Table, column: str) -> FloatArray:
    """(R,) float64; NaN for null and for what is no number. Numbers written as text count."""
    array = one_array(batch, column)
    if pa.types.is_null(array.type):
        return np.full(len(array), np.nan)
    if is_string(array.type):
        return _parse_numbers(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    numbers = array.cast(pa.float64(), safe=False)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)


def one_array(batch: pa.Table, column: str) -> pa.Array:
    """A column of a batch as one array, extension types unwrapped."""
    array = batch.column(column).combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], array.type)
    return array.storage if isinstance(array.type, pa.BaseExtensionType) else array


def read_strings(array: pa.Array) -> list[str | None]:
    """The cells of a string array; broken bytes become the replacement character."""
    return [cell and cell.decode(errors="replace") for cell in array.cast(pa.large_binary()).to_pylist()]


def is_string(type: pa.DataType) -> bool:
    return bool(pa.types.is_string(type) or pa.types.is_large_string(type) or pa.types.is_string_view(type))


def is_list(type: pa.DataType) -> bool:
    return bool(pa.types.is_list(type) or pa.types.is_large_list(type) or pa.types.is_fixed_size_list(type))


def is_json(feature: object) -> bool:
    """Whether a column holds JSON values of mixed types (``datasets.Json``, where it exists)."""
    return type(feature).__name__ == "Json"


def _column_texts(batch: pa.Table, column: str, features: datasets.Features) -> TextCells:
    array = one_array(batch, column)
    if is_list(array.type):
        return _list_texts(array)
    if is_json(features[column]):
        return _json_texts(array)
    feature = features[column]
    if isinstance(feature, datasets.ClassLabel):
        names = pa.array(feature.names, pa.large_string())
        known = pc.if_else(pc.and_(pc.greater_equal(array, 0), pc.less(array, len(names))), array, None)
        array = names.take(known)
    return TextCells(array.cast(pa.large_string()), np.zeros(len(array), dtype=bool))


def _list_texts(array: pa.Array) -> TextCells:
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
    values = pc.list_flatten(array)
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths, dtype=np.int64)])
    return TextCells(values.cast(pa.large_string()), np.zeros(len(values), dtype=bool), offsets)


def _json_texts(array: pa.Array) -> TextCells:
    values = [cell and json.loads(cell) for cell in read_strings(array)]
    not_text = np.array([value is not None and not isinstance(value, str) for value in values], dtype=bool)
    strings = [value if isinstance(value, str) else None for value in values]
    return TextCells(pa.array(strings, pa.large_string()), not_text)


def _parse_numbers(array: pa.Array) -> FloatArray:
    trimmed = pc.ascii_trim_whitespace(array.cast(pa.large_string()))
    try:
        numbers = trimmed.cast(pa.float64())
    except pa.ArrowInvalid:
        return np.array([_number(text) for text in trimmed.cast(pa.large_binary()).to_pylist()])
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)


def _number(text: bytes | None) -> float:
    try:
        return float("nan" if text is None or b"_" in text else text)
    except ValueError:
        return float("nan")
