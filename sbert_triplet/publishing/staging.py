"""Folders that are there whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from sbert_triplet.data.durable import flush
from sbert_triplet.errors import InputError

MARK = "config_sentence_transformers.json"
"""What every folder that is written here holds, and by which one that may be replaced is known."""


def refuse_unless_free(folder: Path, *, overwrite: bool = False) -> None:
    """Raise InputError where something is in the way; with ``overwrite`` a model is not."""
    if folder.is_file():
        raise InputError(f"{folder}: is a file; name another folder with --out")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MARK).is_file():
        raise InputError(f"{folder}: holds files that are no model's; name another folder with --out")
    if not overwrite:
        raise InputError(
            f"{folder}: holds a model; name another folder with --out, or give --overwrite to replace it"
        )


@contextlib.contextmanager
def whole_folder(folder: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into, which becomes ``folder`` when the block ends, flushed to the disk.

    Where the block raises nothing of it stays, and ``folder`` is as it was. Raises InputError as
    ``refuse_unless_free``.
    """
    refuse_unless_free(folder, overwrite=overwrite)
    staged, aside = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "replaced"))
    for remains in (staged, aside):
        shutil.rmtree(remains, ignore_errors=True)
    staged.mkdir(parents=True)
    try:
        yield staged
        _flush_all(staged)
    except BaseException:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(aside)
    staged.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def _flush_all(folder: Path) -> None:
    for item in sorted(folder.rglob("*"), reverse=True):
        flush(item)
    flush(folder)
