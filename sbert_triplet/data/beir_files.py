"""Which files of a folder are its queries, its documents and its judgements."""

from __future__ import annotations

from pathlib import Path

from sbert_triplet.data.discovery import canonical_split, stem_of, suffix_of
from sbert_triplet.errors import DataError


def is_retrieval_folder(folder: Path) -> bool:
    """Whether the folder holds corpus, queries and qrels."""
    return all(_named(folder, name) for name in ("corpus", "queries")) and bool(_qrels_files(folder))


def _named(folder: Path, name: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"{name}.*") if suffix_of(path) and stem_of(path) == name)


def only_file(folder: Path, name: str) -> Path:
    """The file of that name, ``corpus`` or ``queries``. Raises DataError where there are several."""
    found = _named(folder, name)
    if len(found) > 1:
        raise DataError(f"{folder}: holds {' and '.join(path.name for path in found)}; keep one of them.")
    return found[0]


def _qrels_files(folder: Path) -> list[Path]:
    inside = folder / "qrels"
    if inside.is_dir():
        return sorted(path for path in inside.iterdir() if path.is_file() and suffix_of(path))
    return _named(folder, "qrels")


def judgement_files(folder: Path) -> dict[str, Path]:
    """The file of judgements of each split. Raises DataError where two are of one split."""
    files: dict[str, Path] = {}
    for path in _qrels_files(folder):
        name = "train" if path.parent == folder else canonical_split(stem_of(path))
        if name in files:
            raise DataError(
                f"{folder}: {files[name].name} and {path.name} both judge the split {name!r}; keep one."
            )
        files[name] = path
    return files
