"""Local tables: csv, tsv, json, jsonl and parquet; one file, or several of one table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import datasets
import pyarrow as pa

from sbert_triplet.data.cache import arrow_dataset, cache_folder, common_schema, new_file, open_arrow
from sbert_triplet.data.delimited import DelimitedReader
from sbert_triplet.data.discovery import FORMATS, UNDERSTOOD, suffix_of
from sbert_triplet.data.durable import sha256_of
from sbert_triplet.data.json_files import json_tables
from sbert_triplet.data.parquet_files import parquet_tables
from sbert_triplet.data.rows import RowTables
from sbert_triplet.data.text_files import reading
from sbert_triplet.data.unpacking import refuse_small_bomb
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

_READER_VERSION = 2
"""Part of the names of tables that are kept: another one where the rules of reading change."""


def load_files(
    paths: list[Path], *, cache_dir: Path | None = None, numbers: bool = True
) -> tuple[datasets.Dataset, tuple[str, ...]]:
    """The rows of the files, one after the other, as one memory-mapped table; and what is worth telling.

    The table is an Arrow file in the cache folder, named by the files' content, so the next load only
    maps it. ``numbers``: columns of csv files that hold nothing but numbers become numbers.

    The readers are the package's own, because those of ``datasets`` change cells: pandas makes the
    text "NA" null, and pyarrow's JSON reader makes texts that look like dates into dates.

    Raises DataError, naming file, row and line, for what cannot be read; MachineError for a full disk.
    """
    kinds = sorted({FORMATS[suffix] for path in paths if (suffix := suffix_of(path))})
    unreadable = [path for path in paths if not suffix_of(path)]
    if unreadable:
        raise DataError(
            f"{unreadable[0]}: cannot tell what it holds by its name; understood are {UNDERSTOOD}."
        )
    if len(kinds) > 1:
        names = listed(path.name for path in paths)
        raise DataError(
            f"files of different formats ({', '.join(kinds)}): {names}; name those of one format."
        )
    target = (cache_dir or cache_folder()) / "tables" / f"{_content_key(paths, numbers)}.arrow"
    kept = _kept(target)
    if kept is not None:
        return kept
    dataset, notes = _read(paths, kinds[0], target, numbers)
    with new_file(target.with_suffix(".json")) as written:
        record = {"sha256": sha256_of(target), "notes": notes}
        written.write_text(json.dumps(record), encoding="utf-8")
    return dataset, tuple(notes)


def _kept(target: Path) -> tuple[datasets.Dataset, tuple[str, ...]] | None:
    """The table that an earlier load kept, and its notes; None where none is there as it was written."""
    notes_file = target.with_suffix(".json")
    if not (target.is_file() and notes_file.is_file()):
        return None
    try:
        record = json.loads(notes_file.read_text(encoding="utf-8"))
        if record["sha256"] == sha256_of(target):
            return open_arrow(target), tuple(record["notes"])
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    target.unlink(missing_ok=True)
    return None


def _content_key(paths: list[Path], numbers: bool) -> str:
    """One name for the same content: the cached table does not depend on where the files lie."""
    total = hashlib.sha256(f"{_READER_VERSION} {numbers}".encode())
    for path in paths:
        with reading(path):
            digest = sha256_of(path)
        total.update(f"{suffix_of(path)}{path.suffix.lower()}".encode() + bytes.fromhex(digest))
    return total.hexdigest()[:40]


def _read(paths: list[Path], kind: str, target: Path, numbers: bool) -> tuple[datasets.Dataset, list[str]]:
    delimited, rows = DelimitedReader(numbers), RowTables()
    read = {
        "csv": delimited.tables,
        "json": lambda path: json_tables(path, rows),
        "parquet": parquet_tables,
    }[kind]

    def tables() -> Iterator[pa.Table]:
        first: tuple[Path, list[str]] | None = None
        for path in paths:
            with reading(path):
                refuse_small_bomb(path)
            for table in read(path):
                first = first or (path, table.column_names)
                if kind != "json" and set(first[1]) != set(table.column_names):
                    raise DataError(_different_columns(first, (path, table.column_names)))
                yield table

    def settle(schemas: list[pa.Schema]) -> pa.Schema:
        try:
            return delimited.schema(schemas) if kind == "csv" else common_schema(schemas)
        except pa.ArrowException as error:
            names = listed(path.name for path in paths)
            raise DataError(f"{names}: a column changes its type between rows or files ({error}).") from error

    return arrow_dataset(target, tables(), settle), delimited.notes


def _different_columns(first: tuple[Path, list[str]], second: tuple[Path, list[str]]) -> str:
    sides = [f"{path.name} has {listed(names)}" for path, names in (first, second)]
    return (
        f"{first[0].parent}: the files hold different columns: {'; '.join(sides)}. Name those of one table."
    )
