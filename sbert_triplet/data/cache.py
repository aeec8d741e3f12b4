"""The package's own cache folder, and Arrow files in it that are complete or absent."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from sbert_triplet.errors import MachineError

_OUT_OF_SPACE = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
_SAME_TYPE = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}

TOKENS = ("tokens", "SBERT_TRIPLET_TOKEN_CACHE")
EMBEDDINGS = ("embeddings", "SBERT_TRIPLET_EMBEDDING_CACHE")
"""Folders of what can be made again, and the environment variables that move them or switch them off.

With embeddings lie the answers of searches over them.
"""
_told: set[tuple[Path, str]] = set()

Settle = Callable[[list[pa.Schema]], pa.Schema]


def cache_folder() -> Path:
    """Where tables are kept: ``$SBERT_TRIPLET_CACHE``, else the user's cache folder on this system."""
    chosen = os.environ.get("SBERT_TRIPLET_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"]) / "sbert_triplet"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "sbert_triplet"


def kept_folder(name: str, variable: str) -> Path | None:
    """``name`` in the cache folder, or the folder that the environment variable names; None if it is ``off``.

    For ``TOKENS`` and ``EMBEDDINGS``.
    """
    chosen = os.environ.get(variable, "")
    if chosen.lower() == "off":
        return None
    return Path(chosen).expanduser() if chosen else cache_folder() / name


def tell_not_kept(
    logger: logging.Logger, folder: Path, what: str, kind: tuple[str, str], error: Exception
) -> None:
    """Warn, once for each folder, that ``what`` cannot be kept there; the work goes on without."""
    if (folder, what) not in _told:
        _told.add((folder, what))
        logger.warning(
            "%s: %s cannot be kept there, and are made again where they are needed (%s); the environment "
            "variable %s names another folder, or is off",
            folder,
            what,
            error.__cause__ or error,
            kind[1],
        )


@contextlib.contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A path to write to; it becomes ``target`` when the block ends, and vanishes when it raises.

    Raises MachineError when the folder cannot be written to or the disk is full.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=target.suffix, dir=target.parent)
        os.close(handle)
    except OSError as error:
        raise _machine_error(target.parent, error) from error
    written = Path(name)
    try:
        yield written
        _move(written, target)
    except OSError as error:
        if ran_out_of_space(error):
            raise _machine_error(target.parent, error) from error
        raise
    finally:
        written.unlink(missing_ok=True)


def _move(written: Path, target: Path) -> None:
    try:
        written.replace(target)
    except PermissionError:
        # Windows refuses to replace a file that another process has mapped; that file was made
        # from the same content, so it serves.
        if not target.is_file():
            raise


def _machine_error(folder: Path, error: OSError) -> MachineError:
    return MachineError(
        f"cannot write to the cache folder {folder}: {error.strerror or error}. "
        "Make room, or name another folder in the environment variable SBERT_TRIPLET_CACHE."
    )


def ran_out_of_space(error: BaseException | None) -> bool:
    """Whether the disk or the quota is full, by the error or what caused it."""
    while error is not None:
        if isinstance(error, OSError) and (error.errno in _OUT_OF_SPACE or "disk space" in str(error)):
            return True
        error = error.__cause__
    return False


def arrow_dataset(target: Path, tables: Iterable[pa.Table], settle: Settle) -> datasets.Dataset:
    """Write ``tables`` to the Arrow file ``target``, and memory-map it.

    The tables may differ in their schemas: ``settle`` is given the distinct ones, in order, after
    the last table was written, and returns the schema of the file. A table is cast to it then;
    columns it lacks become null. Memory holds one table at a time.
    """
    with new_file(target) as written:
        staged = written.with_suffix(".staged")
        try:
            schemas = _write_runs(staged, tables)
            schema = settle(schemas)
            if schemas == [schema]:
                staged.replace(written)
            else:
                _write_runs(written, (fit(table, schema) for table in _read_runs(staged)), schema)
        finally:
            staged.unlink(missing_ok=True)
    return open_arrow(target)


def open_arrow(path: Path) -> datasets.Dataset:
    """The Arrow file at ``path``, memory-mapped."""
    return datasets.Dataset.from_file(str(path))


def _write_runs(path: Path, tables: Iterable[pa.Table], schema: pa.Schema | None = None) -> list[pa.Schema]:
    """Write one Arrow stream after another, a new one whenever the schema changes."""
    schemas: list[pa.Schema] = []
    writer: pa.RecordBatchStreamWriter | None = None
    current: pa.Schema | None = None
    with path.open("wb") as sink:
        if schema is not None:
            writer, current = pa.ipc.new_stream(sink, schema), schema
            schemas.append(schema)
        for table in tables:
            if writer is None or table.schema != current:
                if writer is not None:
                    writer.close()
                writer, current = pa.ipc.new_stream(sink, table.schema), table.schema
                if table.schema not in schemas:
                    schemas.append(table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
    return schemas


def _read_runs(path: Path) -> Iterator[pa.Table]:
    size = path.stat().st_size
    with path.open("rb") as source:
        while source.tell() < size:
            yield from _read_stream(source)


def _read_stream(source: IO[bytes]) -> Iterator[pa.Table]:
    with pa.ipc.open_stream(source) as reader:
        for batch in reader:
            yield pa.Table.from_batches([batch])


def fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table cast to ``schema``; columns it lacks are null, texts that become numbers are trimmed."""
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column = table[field.name]
        if pa.types.is_string(column.type) and not pa.types.is_string(field.type):
            column = pc.utf8_trim_whitespace(column)
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def plain(table: pa.Table) -> pa.Table:
    """The table with dictionary-encoded and view columns as ordinary ones."""
    for position, field in enumerate(table.schema):
        kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
        kind = _SAME_TYPE.get(kind, kind)
        if kind != field.type:
            column = table.column(position).cast(kind)
            table = table.set_column(position, pa.field(field.name, kind, field.nullable), column)
    return table


def common_schema(schemas: list[pa.Schema]) -> pa.Schema:
    """One schema that holds every given one: columns joined, integers widened to floats, null to text.

    Raises pyarrow.ArrowTypeError where a column has types that have nothing in common.
    """
    joined = schemas[0]
    if len(schemas) > 1:
        joined = pa.unify_schemas(schemas, promote_options="permissive")
    fields = [pa.field(field.name, _without_null(field.type), field.nullable) for field in joined]
    return pa.schema(fields, metadata=joined.metadata)


def _without_null(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_list(kind):
        return pa.list_(_without_null(kind.value_type))
    return kind
