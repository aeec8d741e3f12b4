"""The items that gained and lost most, read from ``predictions/items.parquet``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from sbert_triplet.errors import InputError
from sbert_triplet.reporting.numbers import compact

_RESULTS = tuple(f"{model}_top{what}" for model in ("base", "tuned") for what in ("", "_relevant", "_class"))
_NUMBERS = ("item", "row", "base", "tuned")


@dataclass(frozen=True)
class Result:
    """One text of a ranking; ``relevant`` is None where that was not written down.

    ``label``: the text's class, where it is one of known class.
    """

    text: str
    relevant: bool | None
    label: str | None = None


@dataclass(frozen=True)
class Item:
    """A query, pair, triplet or labelled text: its values, its rankings if any, and its other columns.

    The first field is a text, where there is one. ``others``: further metrics, each with both values.
    """

    number: int
    base: float
    tuned: float
    fields: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, float, float], ...] = ()
    base_top: tuple[Result, ...] = ()
    tuned_top: tuple[Result, ...] = ()


@dataclass(frozen=True)
class Movers:
    """``gained`` and ``lost``: the furthest first. Counts are of all items with both values."""

    gained: tuple[Item, ...]
    lost: tuple[Item, ...]
    better: int
    worse: int
    equal: int


def read_movers(path: Path, most: int) -> Movers | None:
    """At most ``most`` items that gained and as many that lost; None where values of a model are absent.

    The two columns of values decide, and of the texts only the chosen rows are kept. Equal
    differences stand in the order of the file. Raises InputError where the file is no parquet.
    """
    try:
        names = pq.read_schema(path).names
        if not {"base", "tuned"} <= set(names):
            return None
        values = pq.read_table(path, columns=["base", "tuned"])
        base, tuned = (_floats(values.column(name)) for name in ("base", "tuned"))
        difference = np.nan_to_num(tuned - base, nan=0.0)
        order = np.argsort(-difference, kind="stable")
        up = order[difference[order] > 0][:most]
        down = np.argsort(difference, kind="stable")
        down = down[difference[down] < 0][:most]
        chosen = ds.dataset(path).take(pa.array(np.concatenate([up, down]))).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: not readable as parquet ({error}); run the job again to write it anew"
        ) from error
    items = tuple(_item(row, place) for row, place in zip(chosen, [*up, *down], strict=True))
    known = np.isfinite(base) & np.isfinite(tuned)
    return Movers(
        gained=items[: len(up)],
        lost=items[len(up) :],
        better=int((difference[known] > 0).sum()),
        worse=int((difference[known] < 0).sum()),
        equal=int((difference[known] == 0).sum()),
    )


def _floats(column: pa.ChunkedArray) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(column.cast(pa.float64()).fill_null(np.nan).to_numpy(), dtype=np.float64)


def _item(row: dict[str, Any], place: int) -> Item:
    measured = [
        name.removeprefix("base ")
        for name in row
        if name.startswith("base ") and f"tuned {name.removeprefix('base ')}" in row
    ]
    known = {*_RESULTS, *_NUMBERS, *(f"{model} {name}" for name in measured for model in ("base", "tuned"))}
    given = [(name, value) for name, value in row.items() if name not in known and value is not None]
    # Texts come first, since the first one is what the item is known by.
    fields = sorted(given, key=lambda field: isinstance(field[1], int | float))
    return Item(
        number=place if row.get("item") is None else int(row["item"]),
        base=float(row["base"]),
        tuned=float(row["tuned"]),
        fields=tuple((name, _text(value)) for name, value in fields),
        others=tuple(
            (name, _number(row[f"base {name}"]), _number(row[f"tuned {name}"])) for name in measured
        ),
        base_top=_ranking(row, "base_top"),
        tuned_top=_ranking(row, "tuned_top"),
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")


def _ranking(row: Mapping[str, Any], name: str) -> tuple[Result, ...]:
    texts = row.get(name) or ()
    marks, labels = row.get(f"{name}_relevant") or (), row.get(f"{name}_class") or ()
    found = islice(zip_longest(texts, marks, labels), len(texts))
    return tuple(
        Result(_text(text), None if mark is None else bool(mark), None if label is None else str(label))
        for text, mark, label in found
    )


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return "\n".join(_text(part) for part in value)
    if isinstance(value, float):
        return compact(value)
    return "" if value is None else str(value)
