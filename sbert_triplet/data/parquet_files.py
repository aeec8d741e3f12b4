"""Parquet files read so that damage is an error that names the file, and memory stays within a bound."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sbert_triplet.data.cache import plain
from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.headers import MOST_COLUMNS, refuse_names
from sbert_triplet.data.nested import MOST_DEPTH, TOO_DEEP, depth_of
from sbert_triplet.data.text_files import reading
from sbert_triplet.data.unpacking import ALLOWED_SPELLED_OUT, most_bytes, unpacks_too_far
from sbert_triplet.data.wording import first_line, listed
from sbert_triplet.errors import DataError

_BATCH_ROWS = 10_000
_BATCH_BYTES = 64 << 20


def parquet_tables(path: Path) -> Iterator[pa.Table]:
    """The rows of one file. Raises DataError with column and row."""
    try:
        with reading(path), _opened(path) as file:
            yield from _tables(path, file)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise
        problem = first_line(error).rstrip(".")
        raise DataError(f"{path}: is no parquet file, or not a complete one ({problem}).") from error


def _opened(path: Path) -> pq.ParquetFile:
    """The file, with texts that repeat kept once: spelled out they could be far larger than the file."""
    with pq.ParquetFile(path) as file:
        if file.metadata.num_columns > MOST_COLUMNS:
            raise DataError(
                f"{path}: has {file.metadata.num_columns:,} columns (those inside of others counted), and at "
                f"most {MOST_COLUMNS:,} are read. Keep those of texts, labels and scores."
            )
        fields = list(file.schema_arrow)
    texts = [
        field.name for field in fields if pa.types.is_string(field.type) or pa.types.is_binary(field.type)
    ]
    return pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True)


def _tables(path: Path, file: pq.ParquetFile) -> Iterator[pa.Table]:
    names, claimed, most = (
        file.schema_arrow.names,
        file.metadata.num_rows,
        most_bytes(path, ALLOWED_SPELLED_OUT),
    )
    refuse_names(str(path), names)
    for field in file.schema_arrow:
        if depth_of(field.type) > MOST_DEPTH:
            raise DataError(f"{path}: column {field.name!r} is {TOO_DEEP}.")
        try:
            datasets.Features.from_arrow_schema(pa.schema([_with_list(field)]))
        except ValueError as error:
            raise DataError(
                f"{path}: column {field.name!r} holds {field.type}, which is not read. Leave it out."
            ) from error
    if not names:
        raise DataError(f"{path}: has no columns.")
    if claimed == 0:
        raise DataError(f"{path}: has columns ({listed(names)}) and no rows.")
    groups = (file.metadata.row_group(at) for at in range(file.metadata.num_row_groups))
    if sum(group.total_byte_size for group in groups) > most:
        raise unpacks_too_far(path, most)
    rows = unpacked = 0
    for batch in file.iter_batches(_BATCH_ROWS):
        for name, column in zip(names, batch.columns, strict=True):
            _refuse_damaged(path, rows + 1, name, column)
        sizes = _text_bytes(batch)
        unpacked += int(sizes.sum()) + sum(map(_own_bytes, batch.columns))
        if unpacked > most:
            raise unpacks_too_far(path, most)
        yield from _pieces(batch, sizes)
        rows += batch.num_rows
    if rows != claimed:
        raise DataError(f"{path}: says that it has {claimed:,} rows, and holds {rows:,}. Get a whole copy.")


def _pieces(batch: pa.RecordBatch, sizes: IntArray) -> Iterator[pa.Table]:
    """The rows of a batch in tables of a bounded size; ``sizes``: (rows,) the bytes of their texts."""
    ends, first = np.cumsum(sizes), 0
    while first < batch.num_rows:
        before = ends[first - 1] if first else 0
        last = max(int(np.searchsorted(ends, before + _BATCH_BYTES, side="right")), first + 1)
        yield plain(_with_lists(pa.Table.from_batches([batch.slice(first, last - first)])))
        first = last


def _with_lists(table: pa.Table) -> pa.Table:
    """The table with maps as lists of key and value: ``datasets`` knows no maps."""
    for at, field in enumerate(table.schema):
        if pa.types.is_map(field.type):
            listed_field = _with_list(field)
            table = table.set_column(at, listed_field, table.column(at).cast(listed_field.type))
    return table


def _with_list(field: pa.Field) -> pa.Field:
    if not pa.types.is_map(field.type):
        return field
    pair = pa.struct([("key", field.type.key_type), ("value", field.type.item_type)])
    return pa.field(field.name, pa.list_(pair))


def _refuse_damaged(path: Path, start: int, name: str, column: pa.Array) -> None:
    # A dictionary holds texts of other batches as well: those are met there, with their rows.
    used = pc.unique(column.indices).drop_null() if pa.types.is_dictionary(column.type) else None
    try:
        texts = column if used is None else column.dictionary.take(used)
        texts.validate(full=True)
    except pa.ArrowException as error:
        broken = re.search(r"UTF8 sequence at string index (\d+)", str(error))
        if broken is None:
            where, what = f"rows {start} and following", first_line(error).rstrip(".")
        else:
            at = int(broken[1])
            if used is not None:
                at = int(pc.index(column.indices, used[at]).as_py())
            where, what = f"row {start + at}", "the text is not UTF-8"
        raise DataError(f"{path}: column {name!r}, {where}: {what}.") from error


def _text_bytes(batch: pa.RecordBatch) -> IntArray:
    """(rows,) the bytes of texts that are kept once, spelled out."""
    total = np.zeros(batch.num_rows, dtype=np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and _is_bytes(column.type.value_type):
            lengths = pc.binary_length(column.dictionary).cast(pa.int64())
            total += pc.fill_null(lengths.take(column.indices), 0).to_numpy(zero_copy_only=False)
    return total


def _own_bytes(column: pa.Array) -> int:
    """The bytes of a column without the texts that are kept once: those serve other batches as well."""
    return int((column.indices if pa.types.is_dictionary(column.type) else column).nbytes)


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(kind)
        or types.is_binary(kind)
        or types.is_large_string(kind)
        or types.is_large_binary(kind)
    )
