"""What a file of embeddings holds, by precision; rows are added at the end and read through a memory map.

fp32 and fp16: the numbers. int8: 127 steps to each side of 0 and a scale for each row, which under cosine
gives it length 1 again. binary: the sign of each dimension, by which passages are searched, and beside them
the int8 form, by which what was found is put in order (Yamada, Asai and Hajishirzi 2021, arXiv 2106.00882).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.durable import flush
from sbert_triplet.search.store import FloatMatrix, StoreError

Array = NDArray[Any]
STEPS = 127
_FORMS: Mapping[str, Mapping[str, str]] = {
    "fp32": {"values": "<f4"},
    "fp16": {"values": "<f2"},
    "int8": {"codes": "i1", "scales": "<f4"},
    "binary": {"bits": "u1", "codes": "i1", "scales": "<f4"},
}


@dataclass(frozen=True)
class Columns:
    """The files of ``rows`` embeddings of D ``dimensions`` in ``folder``, whose names begin with ``stem``.

    Rows beyond these may lie in the files: they were never acknowledged, and the next ones replace them.
    """

    folder: Path
    stem: str
    precision: str
    dimensions: int
    rows: int
    unit: bool

    @property
    def files(self) -> dict[str, Path]:
        """By what they hold."""
        return {name: self.folder / f"{self.stem}.{name}" for name in _FORMS[self.precision]}

    def encoded(self, embeddings: FloatMatrix) -> dict[str, Array]:
        """What each of the files is given for embeddings (n, D)."""
        if self.precision in ("fp32", "fp16"):
            return {"values": embeddings.astype(_FORMS[self.precision]["values"])}
        largest = np.abs(embeddings).max(axis=1, keepdims=True)
        codes = np.rint(embeddings / np.where(largest == 0, 1, largest) * STEPS).astype(np.int8)
        if self.unit:
            lengths = np.linalg.norm(codes.astype(np.float32), axis=1, keepdims=True)
            scales = 1 / np.where(lengths == 0, 1, lengths)
        else:
            scales = largest / STEPS
        found: dict[str, Array] = {"codes": codes, "scales": scales.astype("<f4")}
        if self.precision == "binary":
            found["bits"] = np.packbits(embeddings > 0, axis=1)
        return found

    def append(self, made: Mapping[str, Array]) -> Columns:
        """Write rows after those that there are, onto the disk; the files with these rows."""
        for name, file in self.files.items():
            values = np.ascontiguousarray(made[name], dtype=_FORMS[self.precision][name])
            with file.open("r+b" if file.exists() else "w+b") as opened:
                opened.seek(self.rows * self._row_bytes(name))
                opened.write(values.tobytes())
                opened.truncate()
                opened.flush()
                os.fsync(opened.fileno())
        if not self.rows:
            flush(self.folder)
        added = len(next(iter(made.values())))
        return Columns(self.folder, self.stem, self.precision, self.dimensions, self.rows + added, self.unit)

    def refuse_short(self) -> None:
        """Raise StoreError where a file is missing or holds fewer rows than it should."""
        for name, file in self.files.items():
            needed = self.rows * self._row_bytes(name)
            there = file.stat().st_size if file.is_file() else 0
            if there < needed:
                raise StoreError(
                    f"{file}: has {there:,} bytes, and {self.rows:,} embeddings need {needed:,}: the file is "
                    "damaged; bring it back from a copy, or index the documents anew in another place"
                )

    def numbers(self, rows: NDArray[np.int64]) -> FloatMatrix:
        """(n, D) float32 of some rows, as the finest form keeps them; a view of the file if it can be."""
        chosen = _together(rows)
        if "values" in self.files:
            return np.asarray(self._maps["values"][chosen], dtype=np.float32)
        codes = np.asarray(self._maps["codes"][chosen], dtype=np.float32)
        return codes * np.asarray(self._maps["scales"][chosen], dtype=np.float32)

    def bits(self, rows: NDArray[np.int64]) -> Array:
        """(n, D / 8) signs of some rows, of a binary index."""
        return np.asarray(self._maps["bits"][_together(rows)])

    def taken(self, rows: NDArray[np.int64]) -> dict[str, Array]:
        """Some rows as the files hold them, to be appended to others."""
        return {name: np.asarray(self._maps[name][rows]) for name in self.files}

    def bytes_of(self, rows: NDArray[np.int64]) -> list[bytes]:
        """Of each of the rows all that the files hold, for a digest."""
        return _joined({name: self._maps[name][rows] for name in self.files})

    @cached_property
    def _maps(self) -> dict[str, Array]:
        return {name: self._map(name, file) for name, file in self.files.items()}

    def _map(self, name: str, file: Path) -> Array:
        shape = (self.rows, self._width(name))
        if not self.rows:
            return np.zeros(shape, dtype=_FORMS[self.precision][name])
        # What torch is to read has to be writable; nothing that is written to such a map reaches the file.
        return np.memmap(file, dtype=_FORMS[self.precision][name], mode="c", shape=shape)

    def _width(self, name: str) -> int:
        return {"scales": 1, "bits": -(-self.dimensions // 8)}.get(name, self.dimensions)

    def _row_bytes(self, name: str) -> int:
        return self._width(name) * np.dtype(_FORMS[self.precision][name]).itemsize


def row_bytes(made: Mapping[str, Array], precision: str) -> list[bytes]:
    """As ``Columns.bytes_of``, of rows that are about to be written."""
    form = _FORMS[precision]
    return _joined({name: np.ascontiguousarray(made[name], dtype=form[name]) for name in form})


def _together(rows: NDArray[np.int64]) -> slice | NDArray[np.int64]:
    """Rows that follow each other as a slice, which copies nothing."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return slice(int(rows[0]), int(rows[-1]) + 1)
    return rows


def _joined(parts: Mapping[str, Array]) -> list[bytes]:
    return [
        b"".join(np.ascontiguousarray(row).tobytes() for row in together)
        for together in zip(*parts.values(), strict=True)
    ]
