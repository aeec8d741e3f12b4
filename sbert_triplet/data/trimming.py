"""The limit of what is kept in the cache: beyond it the least recently used files go.

It holds for tokens, embeddings and answers of searches together, all of which can be made again; tables
of data are not touched. The environment variable ``SBERT_TRIPLET_CACHE_LIMIT`` gives another number of bytes.
"""

from __future__ import annotations

import os
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from sbert_triplet.data.cache import EMBEDDINGS, TOKENS, kept_folder
from sbert_triplet.errors import InputError

LIMIT_VARIABLE = "SBERT_TRIPLET_CACHE_LIMIT"
LIMIT = 20_000_000_000
FRESH = 3600.0
"""Seconds for which a file that was made or read is never removed."""
ABANDONED = 3 * 24 * 3600.0
"""Seconds after which what a stopped run left half made is not waited for any more."""

# Nothing else in a folder that a person named is ours.
_OURS = re.compile(r"(?P<entry>\.writing-\w+|(?:tokens|embeddings|search)-[0-9a-f]{40})\.[\w.]+")
_WHOLE = (".arrow", ".npy", ".npz")


def limit_bytes() -> int:
    """How much may be kept. Raises InputError where the environment variable is no number of bytes."""
    given = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not given:
        return LIMIT
    try:
        limit = int(given)
    except ValueError:
        limit = -1
    if limit < 0:
        raise InputError(f"the environment variable {LIMIT_VARIABLE} is {given!r}: a whole number of bytes")
    return limit


def used(file: Path) -> None:
    """Note that the file was read just now."""
    with suppress(OSError):
        os.utime(file)


def trim() -> None:
    """Remove the least recently used files beyond the limit, and what stopped runs left long ago.

    What was made or read within the last hour stays, and what another process is making.
    """
    folders = {folder for kind in (TOKENS, EMBEDDINGS) if (folder := kept_folder(*kind)) is not None}
    entries = [entry for folder in folders for entry in _entries(folder)]
    over = sum(entry.size for entry in entries) - limit_bytes()
    now = time.time()
    for entry in sorted(entries, key=lambda entry: entry.used):
        age = now - entry.used
        abandoned = not entry.whole and age > ABANDONED
        if age > FRESH and (over > 0 or abandoned) and _removed(entry):
            over -= entry.size


@dataclass(frozen=True)
class _Entry:
    """What is kept under one name: a file, and what lies beside it (a record, a lock, or half of it)."""

    files: tuple[Path, ...]
    size: int
    used: float

    @property
    def whole(self) -> bool:
        return any(file.suffix in _WHOLE and not file.name.startswith(".") for file in self.files)


def _entries(folder: Path) -> Iterator[_Entry]:
    named: dict[str, list[tuple[Path, os.stat_result]]] = defaultdict(list)
    with suppress(OSError):
        for item in os.scandir(folder):
            found = _OURS.fullmatch(item.name)
            if found is not None:
                # Another process may have removed it meanwhile.
                with suppress(OSError):
                    named[found["entry"]].append((Path(item.path), item.stat()))
    for held in named.values():
        yield _Entry(
            tuple(file for file, _ in held),
            sum(stat.st_size for _, stat in held),
            max(stat.st_mtime for _, stat in held),
        )


def _removed(entry: _Entry) -> bool:
    """Whether the files are gone now; those that another process is making stay."""
    locks = [file for file in entry.files if file.suffix == ".lock"]
    try:
        with _held(locks):
            # A record without its file is harmless, a file without its record is made again.
            for file in sorted(entry.files, key=lambda file: file.suffix in (".json", ".lock")):
                file.unlink(missing_ok=True)
    except (Timeout, OSError, NotImplementedError):
        return False
    return True


@contextmanager
def _held(locks: Iterable[Path]) -> Iterator[None]:
    held: list[FileLock] = []
    try:
        for lock in locks:
            held.append(FileLock(lock, timeout=0))
            held[-1].acquire()
        yield
    finally:
        for each in held:
            each.release()
