"""What a finished run folder says item by item and step by step, and how results keep it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
DIGITS = 4
"""Of values by item in the results."""


def values_by_item(out: Path) -> tuple[FloatArray, FloatArray]:
    """The main metric of each held-out item for base and tuned model, in the order of the test rows."""
    items = pq.read_table(out / "predictions" / "items.parquet", columns=["item", "row", "base", "tuned"])
    order = np.argsort(items["row"].to_numpy(), kind="stable")
    return items["base"].to_numpy()[order], items["tuned"].to_numpy()[order]


def log_entries(out: Path) -> list[dict[str, Any]]:
    """The lines of ``log.jsonl``; none where there is no such file."""
    file = out / "log.jsonl"
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def as_text(values: FloatArray) -> str:
    """Values by item as one text, which a file of results holds on one line."""
    return " ".join(f"{value:.{DIGITS}f}".rstrip("0").rstrip(".") for value in values)


def as_values(text: str) -> FloatArray:
    """What ``as_text`` wrote."""
    return np.array([float(word) for word in text.split()])
