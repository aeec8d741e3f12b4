"""SHA-256 of what a table says, whatever it was stored in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BATCH_ROWS = 10_000


def fingerprint(dataset: datasets.Dataset) -> str:
    """SHA-256 (hex) over the column names and the values, row by row.

    The same rows give the same value on every machine, from every file format and in every
    chunking: widths of integers and floats, kinds of strings and dictionaries do not count;
    the order of rows and of columns does.
    """
    columns = {name: _Column() for name in dataset.column_names}
    for table in _tables(dataset):
        for name, column in columns.items():
            for chunk in table[name].chunks:
                column.add(chunk)
    digests = [[name, column.digest()] for name, column in columns.items()]
    return hashlib.sha256(json.dumps([len(dataset), digests]).encode()).hexdigest()


def combined(parts: dict[str, str]) -> str:
    """One SHA-256 (hex) over several named ones."""
    return hashlib.sha256(json.dumps(sorted(parts.items())).encode()).hexdigest()


def _tables(dataset: datasets.Dataset) -> Iterator[pa.Table]:
    if dataset.column_names:
        yield from dataset.with_format("arrow").iter(batch_size=_BATCH_ROWS)


class _Column:
    """Running hashes of one column: which rows are null, lengths, and values, each a stream of its own.

    Streams that are joined across chunks do not depend on where the chunks end.
    """

    def __init__(self) -> None:
        self._streams: dict[str, hashlib._Hash] = {}
        self._kinds: dict[str, str] = {}

    def add(self, array: pa.Array) -> None:
        self._add("", array)

    def digest(self) -> list[list[str]]:
        streams = [[path, stream.hexdigest()] for path, stream in sorted(self._streams.items())]
        return streams + [[path, kind] for path, kind in sorted(self._kinds.items())]

    def _update(self, path: str, values: bytes | pa.Buffer) -> None:
        self._streams.setdefault(path, hashlib.sha256()).update(values)

    def _add(self, path: str, array: pa.Array) -> None:
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        kind, add = _handler(array.type)
        if kind != "null":
            self._kinds[path] = kind
        self._update(f"{path}?", array.is_valid().cast(pa.uint8()).to_numpy(zero_copy_only=False).tobytes())
        add(self, path, array)

    def _add_nothing(self, path: str, array: pa.Array) -> None:
        """The row of nulls is in the stream of validity already."""

    def _add_number(self, path: str, array: pa.Array) -> None:
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values)
        self._update(path, values.astype(values.dtype.newbyteorder("<")).tobytes())

    def _add_bytes(self, path: str, array: pa.Array) -> None:
        array = array.fill_null(b"" if pa.types.is_large_binary(array.type) else "")
        lengths = pc.binary_length(array).to_numpy(zero_copy_only=False)
        self._update(f"{path}#", lengths.astype("<i8").tobytes())
        if len(array) and lengths.any():
            _, offsets, data = array.buffers()
            bounds = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
            self._update(path, data.slice(int(bounds[0]), int(bounds[-1] - bounds[0])))

    def _add_list(self, path: str, array: pa.Array) -> None:
        lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        self._update(f"{path}#", lengths.astype("<i8").tobytes())
        self._add(f"{path}[]", array.flatten())

    def _add_struct(self, path: str, array: pa.Array) -> None:
        for field, child in zip(array.type, array.flatten(), strict=True):
            self._add(f"{path}.{field.name}", child)


_Add = Callable[[_Column, str, pa.Array], None]


def _casting(kind: pa.DataType, add: _Add) -> _Add:
    return lambda column, path, array: add(column, path, array.cast(kind))


def _handler(kind: pa.DataType) -> tuple[str, _Add]:
    """A name that formats share, and how values of the type are hashed."""
    types = pa.types
    if types.is_null(kind):
        return "null", _Column._add_nothing
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "string", _casting(pa.large_string(), _Column._add_bytes)
    if types.is_boolean(kind):
        return "bool", _casting(pa.uint8(), _Column._add_number)
    if types.is_integer(kind):
        return "int", _casting(pa.uint64() if kind == pa.uint64() else pa.int64(), _Column._add_number)
    if types.is_floating(kind):
        return "float", _casting(pa.float64(), _Column._add_number)
    if types.is_struct(kind):
        return "struct", _Column._add_struct
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return "list", _Column._add_list
    if types.is_temporal(kind) and not types.is_interval(kind):
        whole = pa.int32() if kind.bit_width == 32 else pa.int64()
        return str(kind), _casting(whole, _Column._add_number)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "binary", _casting(pa.large_binary(), _Column._add_bytes)
    return str(kind), _as_text


def _as_text(column: _Column, path: str, array: pa.Array) -> None:
    texts = [None if value is None else repr(value) for value in array.to_pylist()]
    column._add_bytes(path, pa.array(texts, type=pa.large_string()))
