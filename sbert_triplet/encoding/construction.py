"""Embeddings in a file while they are made: what a stopped run has finished, the next one keeps."""

from __future__ import annotations

import json
import logging
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.cache import EMBEDDINGS, new_file, tell_not_kept
from sbert_triplet.encoding.encode import memory_mapped
from sbert_triplet.errors import MachineError

IntArray = NDArray[np.int64]
FloatMatrix = NDArray[np.float32]
Shape = tuple[int, int]

EVERY = 5.0
"""Seconds between two entries in the record."""
WRITING = 20.0
"""How many times longer than writing it took they are at least, however slow the disk is."""
_BYTES_AT_ONCE = 64 << 20
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """(n, D) embeddings of a file; making them took ``seconds``, those of stopped runs with it."""

    rows: FloatMatrix
    seconds: float


def read_kept(file: Path, shape: Shape) -> Kept | None:
    """The embeddings of a file, memory-mapped; None where there is none of this shape, whole and sound."""
    if not file.is_file():
        return None
    try:
        rows, record = _mapped(file, shape, "r"), _read_record(file)
        return Kept(rows, float(record["seconds"])) if record["crc32"] == _checksum(rows) else None
    except Exception:  # a damaged file may fail in any way, and is made again
        return None


class Construction:
    """The file of ``file`` that is being made, by one process at a time: the ledger of an encoding.

    ``rows`` (n, D) are those of the file under another name, which becomes ``file`` last. A record beside
    it says which groups are done, after their rows have reached the disk. Raises OSError where the disk has
    no room for the rows.
    """

    def __init__(self, file: Path, shape: Shape) -> None:
        self.file, self.part = file, _part(file)
        self._done, self._seconds = np.zeros(0, dtype=bool), 0.0
        self._noting, self._every = True, EVERY
        self._started = self._noted = time.perf_counter()
        try:
            rows, record = _mapped(self.part, shape, "r+"), _read_record(file)
            self._done, self._seconds = _done_of(record), float(record["seconds"])
        except Exception:  # nothing was begun, or what is left of it is of no use
            # A record must never speak of another file than the one beside it.
            _record_of(file).unlink(missing_ok=True)
            # And another run may still read the file that lies here.
            self.part.unlink(missing_ok=True)
            rows = memory_mapped(self.part, *shape)
        self.rows: FloatMatrix = rows

    def left(self, groups: int) -> IntArray:
        """The groups that are not done; from here on the time is counted."""
        if len(self._done) != groups:
            self._done, self._seconds = np.zeros(groups, dtype=bool), 0.0
        self._started = self._noted = time.perf_counter()
        return np.flatnonzero(~self._done)

    def wrote(self, groups: IntArray) -> None:
        """Remember that these are done, and say so in the record every so often."""
        self._done[groups] = True
        if time.perf_counter() - self._noted >= self._every:
            self.note()

    @property
    def seconds(self) -> float:
        """What was spent so far, in stopped runs as well."""
        return self._seconds + time.perf_counter() - self._started

    def note(self, **more: Any) -> None:
        """Write the record. Where that fails, a warning is given and none is written any more."""
        if not self._noting:
            return
        start = time.perf_counter()
        done = {"groups": len(self._done), "done": np.packbits(self._done).tobytes().hex()}
        try:
            _flush(self.rows)
            with new_file(_record_of(self.file)) as written:
                record = {**done, "seconds": round(self.seconds, 3), **more}
                written.write_text(json.dumps(record), encoding="utf-8")
        except (OSError, MachineError) as error:
            self._noting = False
            tell_not_kept(_logger, self.file.parent, "embeddings", EMBEDDINGS, error)
        self._noted = time.perf_counter()
        self._every = max(EVERY, WRITING * (self._noted - start))

    def finish(self) -> Kept:
        """The rows, all of which are made, under the name of ``file``."""
        seconds, shape = round(self.seconds, 3), self.rows.shape
        self.note(crc32=_checksum(self.rows), seconds=seconds)
        # Windows does not rename what is mapped.
        del self.rows
        found = self.part
        if self._noting:
            try:
                found = self.part.replace(self.file)
            except OSError as error:
                tell_not_kept(_logger, self.file.parent, "embeddings", EMBEDDINGS, error)
        return Kept(_mapped(found, (shape[0], shape[1]), "r"), seconds)


class Joined:
    """The same rows as another process of the run is making on this machine, which remembers what is done."""

    def __init__(self, file: Path, shape: Shape) -> None:
        self.rows = _mapped(_part(file), shape, "r+")
        self._started, self._seconds = time.perf_counter(), 0.0
        with suppress(OSError, ValueError, KeyError):
            self._seconds = float(_read_record(file)["seconds"])

    def left(self, groups: int) -> IntArray:
        """None: the other process knows."""
        del groups
        self._started = time.perf_counter()
        return np.zeros(0, dtype=np.int64)

    def wrote(self, groups: IntArray) -> None:
        """The other process notes it."""

    def finish(self) -> Kept:
        """The rows, whatever name they have by now."""
        rows = self.rows[:]
        rows.flags.writeable = False
        return Kept(rows, self._seconds + time.perf_counter() - self._started)


def _part(file: Path) -> Path:
    return file.with_name(f"{file.name}.part")


def _record_of(file: Path) -> Path:
    return file.with_suffix(".json")


def _read_record(file: Path) -> Mapping[str, Any]:
    return dict(json.loads(_record_of(file).read_text(encoding="utf-8")))


def _done_of(record: Mapping[str, Any]) -> NDArray[np.bool_]:
    bits = np.frombuffer(bytes.fromhex(record["done"]), dtype=np.uint8)
    return np.unpackbits(bits, count=int(record["groups"])).astype(bool)


def _mapped(file: Path, shape: Shape, mode: Literal["r", "r+"]) -> FloatMatrix:
    # Opened for writing, a file that was cut off would be filled up with zeros instead of being refused.
    rows: FloatMatrix = np.load(file, mmap_mode="r", allow_pickle=False)
    if rows.shape != shape or rows.dtype != np.float32 or not rows.flags.c_contiguous:
        raise ValueError(f"{file} holds something else than embeddings of the shape {shape}")
    return rows if mode == "r" else np.load(file, mmap_mode=mode, allow_pickle=False)


def _flush(rows: FloatMatrix) -> None:
    if isinstance(rows, np.memmap):
        rows.flush()


def _checksum(rows: FloatMatrix) -> int:
    step = max(1, _BYTES_AT_ONCE // (4 * rows.shape[1]))
    total = 0
    for start in range(0, len(rows), step):
        total = zlib.crc32(rows[start : start + step].data, total)
    return total
