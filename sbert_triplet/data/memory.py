"""Tables that are already in memory: a ``datasets.Dataset``, or a list of dictionaries."""

from __future__ import annotations

from typing import Any

import datasets
import pyarrow as pa

from sbert_triplet.data.cache import common_schema, fit
from sbert_triplet.data.discovery import canonical_split
from sbert_triplet.data.rows import RowTables
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

IN_MEMORY = "rows given in Python"


def dataset_of_rows(rows: list[dict[str, Any]]) -> datasets.Dataset:
    """The rows as a table; a key that a row lacks is null there. Raises DataError naming row and column."""
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(
                f"{IN_MEMORY}: row {number} is a {type(row).__name__}; every row is a dictionary."
            )
    if not rows:
        raise DataError(f"{IN_MEMORY}: there are none.")
    tables = list(RowTables().tables(IN_MEMORY, ((None, row) for row in rows)))
    try:
        schema = common_schema([table.schema for table in tables])
        return datasets.Dataset(pa.concat_tables([fit(table, schema) for table in tables]))
    except pa.ArrowException as error:
        raise DataError(f"{IN_MEMORY}: a column changes its type between rows ({error}).") from error


def pick_split(splits: datasets.DatasetDict, split: str | None, name: str = IN_MEMORY) -> datasets.Dataset:
    """One split of several: the named one, else ``train``, else the only one."""
    names = [str(found) for found in splits]
    if split in names:
        return splits[split]
    alike = [found for found in names if canonical_split(found) == canonical_split(split or "train")]
    if len(alike) == 1:
        return splits[alike[0]]
    if split is None and len(names) == 1:
        return splits[names[0]]
    raise DataError(f"{name}: there is no split {split or 'train'!r}; name one of {listed(names)}.")
