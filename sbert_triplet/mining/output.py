"""Mined negatives as a table that other tools read."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import datasets
import numpy as np
import pyarrow as pa

from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.splits import Texts
from sbert_triplet.mining.mined import Mined
from sbert_triplet.mining.suspects import write_table

Format = Literal["triplet", "n-tuple"]
_ROWS_AT_ONCE = 10_000


def as_dataset(mined: Mined, texts: Texts, *, format: Format = "triplet") -> datasets.Dataset:
    """Texts, text ids and scores of mined rows.

    ``triplet``: columns anchor, positive, negative, their ids (``anchor_id``, ...), and ``scores``, that of
    the positive and that of the negative; one row for each negative. ``n-tuple``: negative_1, negative_2, ...
    to the largest number found, and ``scores`` of the positive and of each negative; one row for each row
    that has as many, with a warning that counts those with fewer, which a table without holes cannot hold.
    """
    if format == "triplet":
        counts = np.diff(mined.negatives.offsets)
        rows = np.repeat(np.arange(len(mined)), counts)
        negatives, scores = mined.negatives.values[:, None], mined.scores[:, None]
        return _dataset(mined, rows, negatives, scores, ["negative"], texts)
    if format != "n-tuple":
        raise ValueError(f"unknown format {format!r}; it is triplet or n-tuple")
    counts = np.diff(mined.negatives.offsets)
    width = int(counts.max(initial=0))
    rows = np.flatnonzero((counts == width) & (width > 0))
    if len(rows) < len(mined):
        warnings.warn(
            f"{len(mined) - len(rows):,} of {len(mined):,} rows have fewer than {width} negatives and are "
            "left out of the n-tuples; triplets hold them all",
            RuntimeWarning,
            stacklevel=2,
        )
    places = mined.negatives.offsets[rows][:, None] + np.arange(width)
    names = [f"negative_{number}" for number in range(1, width + 1)]
    return _dataset(mined, rows, mined.negatives.values[places], mined.scores[places], names, texts)


def write_dataset(dataset: datasets.Dataset, path: Path) -> None:
    """The rows as one parquet file, complete or absent. Raises MachineError where it cannot be written."""
    write_table(dataset.with_format("arrow")[:], path)


def _dataset(
    mined: Mined,
    rows: IntArray,
    negatives: IntArray,
    scores: np.ndarray[tuple[int, int], np.dtype[np.float64]],
    names: list[str],
    texts: Texts,
) -> datasets.Dataset:
    """``negatives`` and ``scores``: (n, M) for the mined rows ``rows`` (n,)."""
    ids = {"anchor": mined.queries[rows], "positive": mined.positives[rows]}
    ids |= {name: np.ascontiguousarray(negatives[:, place]) for place, name in enumerate(names)}
    every = np.concatenate([mined.positive_scores[rows, None], scores], axis=1)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        name: _strings(part, texts) for name, part in ids.items()
    }
    columns |= {f"{name}_id": pa.array(part) for name, part in ids.items()}
    offsets = pa.array(np.arange(len(rows) + 1, dtype=np.int32) * every.shape[1], pa.int32())
    columns["scores"] = pa.ListArray.from_arrays(offsets, pa.array(every.ravel()))
    return datasets.Dataset(pa.table(columns))


def _strings(ids: IntArray, texts: Texts) -> pa.ChunkedArray:
    chunks = [
        pa.array(list(texts(ids[first : first + _ROWS_AT_ONCE])), pa.string())
        for first in range(0, len(ids), _ROWS_AT_ONCE)
    ]
    return pa.chunked_array(chunks, type=pa.string())
