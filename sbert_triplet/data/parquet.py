"""Tables of a run as parquet files that are complete or absent."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_parquet(table: pa.Table, file: Path) -> None:
    """Write ``table`` beside ``file``, in a folder that is made where it is missing, and put it in its place.

    What a killed process leaves beside it is called ``.NAME.part``. Raises OSError as the system does.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    staged = file.with_name(f".{file.name}.part")
    try:
        pq.write_table(table, staged, compression="zstd", row_group_size=1 << 16)
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)
