"""Which files lie where: formats by name, splits beside each other, nearest names of a missing one."""

from __future__ import annotations

import difflib
import glob
import re
from pathlib import Path

from sbert_triplet.errors import DataError

FORMATS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".parquet": "parquet",
}
UNDERSTOOD = ".csv, .tsv, .json, .jsonl, .ndjson (each also with .gz) and .parquet"

_SPLITS = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "devel": "dev",
    "development": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "testing": "test",
}
_TOKENS = re.compile(r"[A-Za-z]+|[^A-Za-z]+")
_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


def suffix_of(path: Path) -> str | None:
    """The suffix that says how to read the file, in lower case and without ``.gz``; None for others."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"] and suffixes[-2:-1] != [".parquet"]:
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in FORMATS else None


def stem_of(path: Path) -> str:
    """The file's name without the suffixes that ``suffix_of`` understands."""
    name = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    return Path(name).stem if suffix_of(path) else name


def canonical_split(name: str) -> str:
    """``train``, ``dev`` or ``test`` for their common spellings; any other name as it is."""
    return _SPLITS.get(name.lower(), name)


def data_files(folder: Path) -> list[Path]:
    """The files of a folder that can be read, in order of name; of its subfolders if it holds none itself."""
    for pattern in ("*", "**/*"):
        found = sorted(path for path in folder.glob(pattern) if path.is_file() and suffix_of(path))
        visible = [p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts)]
        if visible:
            return visible
    return []


def discover_splits(path: str | Path) -> dict[str, list[Path]]:
    """The splits that lie beside each other, by name: ``train``, ``dev`` and ``test``, each in order of name.

    ``path`` is a folder, or one file, whose siblings are those that differ from it in the name of the
    split only (``pairs_train.jsonl`` and ``pairs_test.jsonl``). The name of the split is a word of the
    file's name, or the folder it lies in. Files without such a word are the split ``train`` when no
    file has one; otherwise they belong to no split and are left out.
    """
    path = Path(path)
    if path.is_dir():
        files = data_files(path)
    else:
        files = [other for other in data_files(path.parent) if _family(other) == _family(path)] or [path]
    splits: dict[str, list[Path]] = {}
    for file in files:
        name = _split_of(file, path if path.is_dir() else path.parent)
        splits.setdefault(name or "", []).append(file)
    unnamed = splits.pop("", [])
    if not splits:
        return {"train": unnamed} if unnamed else {}
    order = {name: position for position, name in enumerate(("train", "dev", "test"))}
    return dict(sorted(splits.items(), key=lambda item: order[item[0]]))


def _words(path: Path) -> list[str]:
    return _TOKENS.findall(_SHARD.sub("", stem_of(path)))


def _split_of(path: Path, root: Path) -> str | None:
    folders = path.relative_to(root).parts[:-1] if path.is_relative_to(root) else ()
    for word in [*reversed(_words(path)), *reversed(folders)]:
        if word.lower() in _SPLITS:
            return _SPLITS[word.lower()]
    return None


def _family(path: Path) -> tuple[str | None, tuple[str, ...]]:
    """What files share that differ only in the name of their split."""
    words = _words(path)
    for position in reversed(range(len(words))):
        if words[position].lower() in _SPLITS:
            words[position] = "*"
            break
    else:
        words.append(path.name)
    return suffix_of(path), tuple(words)


def find_files(pattern: str) -> list[Path]:
    """The readable files that a glob pattern matches, in order of name."""
    found = sorted(Path(name) for name in glob.glob(pattern, recursive=True))  # noqa: PTH207
    return [path for path in found if path.is_file() and suffix_of(path)]


def missing(path: Path) -> DataError:
    """What to say of a path that does not exist: the nearest names there are."""
    folder = path.parent
    if not folder.is_dir():
        return DataError(f"no file or folder {path}: its folder {folder} does not exist.")
    names = [other.name for other in folder.iterdir() if other.is_dir() or suffix_of(other)]
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.8)
    stems = difflib.get_close_matches(path.stem, [stem_of(folder / name) for name in names], n=3)
    near += [name for name in sorted(names) if stem_of(folder / name) in stems and name not in near]
    if near:
        return DataError(f"no file or folder {path}; did you mean {' or '.join(near)}?")
    listed = ", ".join(sorted(names)[:5]) or "nothing that can be read"
    return DataError(f"no file or folder {path}; {folder.absolute()} holds {listed}.")
