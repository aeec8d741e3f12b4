"""The list of a checkpoint's files with their sizes and digests, by which a damaged one is known."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbert_triplet.data.durable import flush, sha256_of

NAME = "manifest.json"
FORMAT = 1
LARGEST = 16 << 20
"""Bytes of a manifest: a larger one is none of ours, and is not read."""
_OWN_DIGEST = "sha256"


class BadCheckpointError(Exception):
    """A folder is no whole checkpoint; says why."""


@dataclass(frozen=True)
class Manifest:
    """What is sealed: the ``step``, what the ``run`` says of itself, and ``files`` by their path inside."""

    step: int
    run: Mapping[str, Any]
    files: Mapping[str, Mapping[str, Any]]

    @property
    def bytes(self) -> int:
        """Of all files together."""
        return sum(int(file["bytes"]) for file in self.files.values())

    def as_json(self) -> dict[str, Any]:
        """With a digest of its own."""
        content = {"format": FORMAT, "step": self.step, "run": dict(self.run), "files": dict(self.files)}
        return {**content, _OWN_DIGEST: _digest_of(content)}


def seal(folder: Path, step: int, run: Mapping[str, Any]) -> Manifest:
    """Flush every file of ``folder`` to the disk and write its manifest, last."""
    files: dict[str, dict[str, Any]] = {}
    for file in sorted(_files(folder)):
        flush(file)
        files[file.relative_to(folder).as_posix()] = {"bytes": file.stat().st_size, "sha256": sha256_of(file)}
    manifest = Manifest(step, run, files)
    place = folder / NAME
    place.write_text(json.dumps(manifest.as_json(), indent=1), encoding="utf-8")
    flush(place)
    for inside in sorted({file.parent for file in _files(folder)} | {folder}):
        flush(inside)
    return manifest


def verified(folder: Path) -> Manifest:
    """The manifest of ``folder``, all of whose files are as it says, and no others are there.

    Raises BadCheckpointError.
    """
    try:
        manifest = _read(folder / NAME)
        there = {file.relative_to(folder).as_posix(): file for file in _files(folder)}
    except OSError as error:
        raise BadCheckpointError(f"it cannot be read ({error})") from error
    there.pop(NAME, None)
    if missing := sorted(set(manifest.files) - set(there)):
        raise BadCheckpointError(f"{missing[0]} is missing")
    if strangers := sorted(set(there) - set(manifest.files)):
        raise BadCheckpointError(f"{strangers[0]} is no file of its manifest")
    for name, file in sorted(there.items()):
        _refuse_changed(name, file, manifest.files[name])
    return manifest


def _read(file: Path) -> Manifest:
    if not file.is_file():
        raise BadCheckpointError(f"{NAME} is missing")
    if file.stat().st_size > LARGEST:
        raise BadCheckpointError(f"{NAME} is larger than any manifest")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        digest = content.pop(_OWN_DIGEST)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise BadCheckpointError(f"{NAME} cannot be read") from error
    if digest != _digest_of(content):
        raise BadCheckpointError(f"{NAME} is damaged")
    if content.get("format") != FORMAT:
        raise BadCheckpointError(f"its format is {content.get('format')}, and this version reads {FORMAT}")
    if not _complete(content):
        raise BadCheckpointError(f"{NAME} does not name the step, the run and the files with their digests")
    return Manifest(content["step"], content["run"], content["files"])


def _complete(content: Mapping[str, Any]) -> bool:
    """Whether everything is there, and of its kind: a digest that fits says nothing of that."""
    step, run, files = (content.get(key) for key in ("step", "run", "files"))
    return (
        (type(step) is int and step >= 0)
        and isinstance(run, dict)
        and isinstance(files, dict)
        and all(isinstance(file, dict) and type(file.get("bytes")) is int for file in files.values())
        and all(isinstance(file.get("sha256"), str) for file in files.values())
    )


def _files(folder: Path) -> Iterator[Path]:
    """All files inside; refuses what is neither a file nor a folder of its own, such as a link."""
    for item in folder.iterdir():
        mode = item.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from _files(item)
        elif stat.S_ISREG(mode):
            yield item
        else:
            raise BadCheckpointError(f"{item.name} is neither a file nor a folder")


def _refuse_changed(name: str, file: Path, sealed: Mapping[str, Any]) -> None:
    size = file.stat().st_size
    if size != sealed["bytes"]:
        raise BadCheckpointError(f"{name} has {size:,} bytes, and had {sealed['bytes']:,}")
    try:
        digest = sha256_of(file)
    except OSError as error:
        raise BadCheckpointError(f"{name} cannot be read ({error})") from error
    if digest != sealed["sha256"]:
        raise BadCheckpointError(f"{name} is damaged: its SHA-256 is another")


def _digest_of(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
