"""Where tables come from: files, folders, the Hub, docstrings, or rows in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import datasets
import numpy as np

from sbert_triplet.data.beir import RetrievalFolder, is_retrieval_folder, load_retrieval_folder
from sbert_triplet.data.discovery import (
    UNDERSTOOD,
    canonical_split,
    data_files,
    discover_splits,
    find_files,
    missing,
    suffix_of,
)
from sbert_triplet.data.docstrings import load_docstrings, parse_docstrings_source
from sbert_triplet.data.files import load_files
from sbert_triplet.data.fingerprint import fingerprint
from sbert_triplet.data.hub import HubId, load_hub, parse_hub_id
from sbert_triplet.data.keys import GOLDEN, mixed
from sbert_triplet.data.memory import IN_MEMORY, dataset_of_rows, pick_split
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

__all__ = ["RetrievalFolder", "Source", "SourceSpec", "Table", "discover_splits", "load_source", "take_rows"]

_DOCSTRINGS = "docstrings:"


@dataclass(frozen=True)
class Table:
    """One table of rows.

    ``name``: short, for messages. ``origin``: what the source was taken for: "file", "files",
    "folder", "hub", "docstrings" or "memory". ``fingerprint``: SHA-256 (hex) over the rows, the
    same on every machine. ``notes``: what is worth telling the person about how it was read.
    """

    name: str
    origin: str
    dataset: datasets.Dataset
    fingerprint: str
    licence: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SourceSpec:
    """One source as a recipe writes it.

    ``source``: see ``load_source``. ``config`` and ``revision`` belong to the Hub. ``weight``: its
    share where several sources are mixed. ``limit``: at most so many rows, by ``take_rows``.
    """

    source: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    weight: float = 1.0
    limit: int | None = None


Source: TypeAlias = str | Path | SourceSpec | datasets.Dataset | datasets.DatasetDict | list[dict[str, Any]]


def load_source(
    spec: Source, *, folder: Path | None = None, split: str | None = None, cache_dir: Path | None = None
) -> Table | RetrievalFolder:
    """Load a source. A text is taken for, in this order:

    - ``docstrings:``, ``docstrings:numpy,scipy``, ``docstrings:stdlib?limit_per_package=300``;
    - a path that exists: a file, a folder of files of one table, or of corpus, queries and qrels;
    - a glob pattern (``logs/*.jsonl``);
    - ``owner/name`` on the Hub, with ``:config``, ``@revision`` and ``[split]`` as wanted, unless it
      looks like a path (a known file type, a folder that exists before the slash).

    Paths start at the current directory or at ``folder``, where only one of the two is there.
    ``split`` (before that of a SourceSpec) picks one of several splits that lie beside each other; a
    folder that holds several gives ``train`` otherwise. ``cache_dir``: where tables are kept, by
    default ``cache.cache_folder()``.

    Raises DataError for what cannot be found, read or kept in a table.
    """
    if isinstance(spec, SourceSpec):
        return _load_spec(spec, folder, split, cache_dir)
    if isinstance(spec, datasets.DatasetDict):
        spec = pick_split(spec, split)
    if isinstance(spec, datasets.Dataset):
        return _in_memory(spec)
    if isinstance(spec, list):
        return _in_memory(dataset_of_rows(spec))
    if isinstance(spec, str | Path):
        return _load_named(
            SourceSpec(str(spec), split=split), folder, cache_dir, local=isinstance(spec, Path)
        )
    raise DataError(
        "a source is a path, a Hub id, a datasets.Dataset or a list of dictionaries, "
        f"not a {type(spec).__name__}."
    )


def take_rows(dataset: datasets.Dataset, limit: int) -> datasets.Dataset:
    """At most ``limit`` rows, spread over the table and in its order.

    The choice is a function of the row's number only, so a larger limit keeps every row of a smaller one.
    """
    if limit >= len(dataset):
        return dataset
    return dataset.select(rows_taken(len(dataset), limit))


def rows_taken(count: int, limit: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(at most limit,) the rows that ``take_rows`` takes of ``count``, ascending."""
    if limit >= count:
        return np.arange(count, dtype=np.int64)
    chosen = np.argsort(mixed(np.arange(count, dtype=np.uint64) * GOLDEN), kind="stable")[:limit]
    return np.sort(chosen).astype(np.int64)


def _load_spec(
    spec: SourceSpec, folder: Path | None, split: str | None, cache_dir: Path | None
) -> Table | RetrievalFolder:
    if spec.limit is not None and spec.limit < 1:
        raise DataError(f"{spec.source}: limit is {spec.limit}; it must be 1 or more.")
    wanted = SourceSpec(spec.source, spec.config, split or spec.split, spec.revision)
    loaded = _load_named(wanted, folder, cache_dir, local=False)
    if spec.limit is None:
        return loaded
    if isinstance(loaded, RetrievalFolder):
        raise DataError(
            f"{spec.source}: limit counts rows of a table, and this is a folder of queries and documents."
        )
    kept = take_rows(loaded.dataset, spec.limit)
    notes = (*loaded.notes, f"{len(kept)} of {len(loaded.dataset)} rows")
    return Table(loaded.name, loaded.origin, kept, fingerprint(kept), loaded.licence, notes)


def _load_named(
    spec: SourceSpec, folder: Path | None, cache_dir: Path | None, *, local: bool
) -> Table | RetrievalFolder:
    text = spec.source
    if not text.strip():
        raise DataError("the name of a source is empty.")
    if text.startswith(_DOCSTRINGS) and not local:
        return _docstrings(spec, cache_dir)
    hub = None if local else hub_id_of(spec, folder)
    if hub is not None:
        dataset, licence, notes = load_hub(hub, cache_dir)
        return Table(hub.name, "hub", dataset, fingerprint(dataset), licence, notes)
    if spec.config or spec.revision:
        raise DataError(f"{text}: config and revision belong to a data set on the Hub, and this is a path.")
    path = existing(text, folder)
    if path is not None:
        return _load_path(path, spec.split, cache_dir)
    if any(mark in text for mark in "*?["):
        return _load_glob(text, folder, spec.split, cache_dir)
    if "://" in text:
        raise DataError(f"{text}: a web address is not loaded; download the file and name that.")
    raise _missing(text, folder)


def _candidates(text: str, folder: Path | None) -> list[Path]:
    path = Path(text).expanduser()
    return [path] if folder is None or path.is_absolute() else [path, folder / path]


def existing(text: str, folder: Path | None) -> Path | None:
    """Where a path lies that starts at the current directory or at ``folder``; None where it does not.

    Raises DataError where both have it, and for what can be no path.
    """
    try:
        found = [path for path in _candidates(text, folder) if path.exists()]
        if len(found) > 1 and not found[0].samefile(found[1]):
            raise DataError(
                f"{text}: there are two, {found[0].absolute()} in the current folder and "
                f"{found[1].absolute()} beside the recipe; give the whole path of the one you mean."
            )
        return found[0] if found else None
    except (OSError, ValueError, RuntimeError) as error:
        raise DataError(f"{text[:200]!r} is no path that this system knows.") from error


def _missing(text: str, folder: Path | None) -> DataError:
    problems = [missing(path) for path in _candidates(text, folder)]
    return next((problem for problem in problems if "did you mean" in str(problem)), problems[0])


def hub_id_of(spec: SourceSpec, folder: Path | None) -> HubId | None:
    """What the source is called on the Hub; None for one that is, or looks like, a path."""
    found = parse_hub_id(spec.source)
    if found is None:
        return None
    owner = found.name.split("/")[0]
    is_file = suffix_of(Path(spec.source)) or suffix_of(Path(found.name))
    if is_file or existing(spec.source, folder) or existing(owner, folder):
        return None
    return HubId(
        found.name, spec.config or found.config, spec.revision or found.revision, spec.split or found.split
    )


def _load_path(path: Path, split: str | None, cache_dir: Path | None) -> Table | RetrievalFolder:
    if path.is_file():
        files = _files_of_split(path, split) if split else [path]
        return _table(files[0].name if len(files) == 1 else path.name, "file", files, (), cache_dir)
    if is_retrieval_folder(path):
        return load_retrieval_folder(path, split=split, cache_dir=cache_dir)
    splits = discover_splits(path)
    if not splits:
        raise DataError(f"{path}: the folder holds no file that can be read ({UNDERSTOOD}).")
    files = _files_of_split(path, split or (next(iter(splits)) if len(splits) == 1 else "train"))
    return _table(f"{path.name}/", "folder", files, _folder_notes(path, splits, files), cache_dir)


def _files_of_split(path: Path, split: str) -> list[Path]:
    splits = discover_splits(path)
    if canonical_split(split) not in splits:
        raise DataError(f"{path}: there is no split {split!r} here; found {listed(splits)}.")
    return splits[canonical_split(split)]


def _folder_notes(path: Path, splits: dict[str, list[Path]], files: list[Path]) -> tuple[str, ...]:
    used = next(name for name, found in splits.items() if found == files)
    unused = [f"{name} ({_names(found)})" for name, found in splits.items() if name != used]
    notes = [f"split {used}: {_names(files)}"]
    if unused:
        notes.append(f"beside it: {'; '.join(unused)}")
    known = {file for found in splits.values() for file in found}
    left_out = [file for file in data_files(path) if file not in known]
    if left_out:
        notes.append(f"left out, as their names tell no split: {_names(left_out)}")
    return tuple(notes)


def _names(files: list[Path]) -> str:
    return listed(file.name for file in files)


def _load_glob(pattern: str, folder: Path | None, split: str | None, cache_dir: Path | None) -> Table:
    for candidate in _candidates(pattern, folder):
        files = find_files(str(candidate))
        if split:
            files = [file for file in files if file in discover_splits(file).get(canonical_split(split), [])]
        if files:
            return _table(pattern, "files", files, (f"{len(files)} files",), cache_dir)
    of_split = f" of the split {split!r}" if split else ""
    raise DataError(f"no file{of_split} matches {pattern} (understood are {UNDERSTOOD}).")


def _table(
    name: str, origin: str, files: list[Path], notes: tuple[str, ...], cache_dir: Path | None
) -> Table:
    dataset, found = load_files(files, cache_dir=cache_dir)
    return Table(name, origin, dataset, fingerprint(dataset), None, (*notes, *found))


def _docstrings(spec: SourceSpec, cache_dir: Path | None) -> Table:
    if spec.split or spec.config or spec.revision:
        raise DataError(
            f"{spec.source}: docstrings have no split, config or revision; split them by the column package."
        )
    dataset, notes = load_docstrings(parse_docstrings_source(spec.source), cache_dir=cache_dir)
    return Table(spec.source, "docstrings", dataset, fingerprint(dataset), None, notes)


def _in_memory(dataset: datasets.Dataset) -> Table:
    if not len(dataset):
        raise DataError(f"{IN_MEMORY}: there are none.")
    return Table(IN_MEMORY, "memory", dataset, fingerprint(dataset))
