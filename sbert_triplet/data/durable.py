"""Files that are whole or absent, and stay after the machine loses its power."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def flush(path: Path) -> None:
    """Have a file, or the names in a folder, reach the disk."""
    if path.is_dir() and os.name == "nt":
        return  # Windows has no handle of a folder that could be flushed
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(file: Path) -> str:
    """Of the content, in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A path beside ``file`` to write to, which takes its name once it is on the disk; else it goes."""
    staged = file.with_name(f".{file.name}.part")
    try:
        yield staged
        flush(staged)
        staged.replace(file)
        flush(file.parent)
    finally:
        staged.unlink(missing_ok=True)
