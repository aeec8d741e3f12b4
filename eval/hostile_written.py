"""Rows written as files of text."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable, Sequence

from hostile_rows import Case, Row

Make = Callable[[random.Random], Case]


def csv_bytes(
    rows: Sequence[Row], mark: str = ",", end: str = "\n", quoting: int = csv.QUOTE_MINIMAL
) -> bytes:
    """The rows as a file of separated values; None is an empty cell."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=mark, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(rows[0])
    writer.writerows(row.values() for row in rows)
    return file.getvalue().encode("utf-8", "surrogatepass")


def json_bytes(rows: Sequence[Row], *, lines: bool = True) -> bytes:
    """The rows as one object a line, or as one array."""
    objects = [json.dumps(row) for row in rows]
    return ("\n".join(objects) if lines else "[" + ",\n".join(objects) + "]").encode()


def written(draw: random.Random, rows: Sequence[Row]) -> tuple[str, bytes]:
    """A name and the content of a file of the rows, in some format of text."""
    ending = draw.choice(["csv", "tsv", "jsonl", "json"])
    if ending in ("csv", "tsv"):
        mark = "\t" if ending == "tsv" else draw.choice(",;")
        return f"t.{ending}", csv_bytes(rows, mark, draw.choice(["\n", "\r\n"]), csv.QUOTE_ALL)
    return f"t.{ending}", json_bytes(rows, lines=ending == "jsonl" or draw.random() < 0.3)
