"""How far a small file may unpack: archives that grow without end are refused."""

from __future__ import annotations

import gzip
from pathlib import Path

from sbert_triplet.errors import DataError

ALLOWED_BYTES = 64 << 20
"""What every gzip file may unpack to, however small it is."""
ALLOWED_SPELLED_OUT = 1 << 30
"""The same of a parquet file, which keeps a text that stands in many rows once."""
MOST_TIMES = 200
"""How many times its own size a larger one may; texts unpack to 3 to 30 times."""
_SMALL_BYTES, _PIECE_BYTES = 4 << 20, 1 << 20


def most_bytes(path: Path, allowed: int) -> int:
    """The bytes that the file may unpack to; ``allowed``: however small it is."""
    return max(allowed, MOST_TIMES * path.stat().st_size)


def unpacks_too_far(path: Path, most: int) -> DataError:
    """The refusal of a file that holds more than ``most`` bytes."""
    return DataError(
        f"{path}: is {path.stat().st_size:,} bytes and unpacks to more than {most:,}, as files do "
        "that are made to fill memory or disk. If it is meant so, unpack it and name the unpacked table."
    )


def refuse_small_bomb(path: Path) -> None:
    """Raise DataError for a small gzip file that unpacks too far, before any of it is taken for rows.

    Of a larger one what it unpacks to takes long to read in any case, and ends at the same bound.
    """
    if path.name.lower().endswith(".gz") and path.stat().st_size <= _SMALL_BYTES:
        with BoundedGzip(path) as file:
            while file.read(_PIECE_BYTES):
                pass


class BoundedGzip(gzip.GzipFile):
    """A gzip file to read; raises DataError once it has unpacked to more than ``most_bytes``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "rb")
        self._path, self._most = path, most_bytes(path, ALLOWED_BYTES)

    def read(self, size: int | None = -1) -> bytes:
        return self._counted(super().read(size))

    def read1(self, size: int = -1) -> bytes:
        return self._counted(super().read1(size))

    def readline(self, size: int | None = -1) -> bytes:
        return self._counted(super().readline(size))

    def _counted(self, piece: bytes) -> bytes:
        if self.tell() > self._most:
            raise unpacks_too_far(self._path, self._most)
        return piece
