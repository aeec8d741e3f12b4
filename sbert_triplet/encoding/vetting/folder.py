"""The files of one model folder: inside of it, regular, and of a size that can be read."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from sbert_triplet.errors import ModelError

LARGEST_TEXT = 100_000_000
"""Bytes of the largest file that is parsed as a whole: the largest vocabularies need a third of it."""
_TEXT = frozenset({".json", ".txt", ".jinja", ".md", ".model"})
_TEMPLATES = "additional_chat_templates"


class ModelFolder:
    """Reads a model folder for its vetting; ``name`` is what the person called the model."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.name = name
        self._homes = _homes(root)

    def refusal(self, where: str, what: str) -> ModelError:
        """The error of one line that names the model, the file (and key) and what is wrong."""
        return ModelError(f"model {self.name}: cannot be loaded: {where}: {what}")

    def has(self, file: str) -> bool:
        """Whether there is something of that name."""
        return (self.root / file).exists()

    def names(self, path: str) -> list[str]:
        """The names in the folder ``path``, in order; none where there is no such folder."""
        folder = self.root / path
        return sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []

    def vet_files(self, path: str) -> None:
        """Raise ModelError for a file of the folder ``path`` that cannot be read without harm."""
        self._inside(path)
        for name in self.names(path):
            file = joined(path, name)
            if name == _TEMPLATES:
                self.vet_files(file)
            elif not (self.root / file).is_dir():
                self._vet(file)

    def value(self, file: str) -> Any:
        """What a JSON file says. Raises ModelError where it cannot be read."""
        self._vet(file)
        try:
            return json.loads((self.root / file).read_text(encoding="utf-8"))
        except (ValueError, RecursionError, OSError) as error:
            raise self.refusal(file, f"this is no JSON that can be read ({_brief(error)})") from error

    def mapping(self, file: str) -> dict[str, Any]:
        """What a JSON file says, which is an object."""
        value = self.value(file)
        if not isinstance(value, dict):
            raise self.refusal(file, f"a JSON object is expected, and there is {type(value).__name__}")
        return value

    def vet_path(self, path: object, where: str) -> str:
        """``path`` with forward slashes, where it is relative and stays inside the folder."""
        if not isinstance(path, str):
            raise self.refusal(where, f"the path {path!r} is not a text")
        plain = PureWindowsPath(path)
        if plain.anchor or ".." in plain.parts or "\0" in path:
            raise self.refusal(where, f"the path {path!r} leaves the folder; name a folder inside of it")
        return "" if path in ("", ".") else PurePosixPath(path.replace("\\", "/")).as_posix()

    def _vet(self, file: str) -> None:
        target = self._inside(file)
        if not target.is_file():
            raise self.refusal(file, "this is not a regular file; replace it by the file that is meant")
        size = target.stat().st_size
        if Path(file).suffix.lower() in _TEXT and size > LARGEST_TEXT:
            raise self.refusal(
                file, f"{size:,} bytes; a file of this kind has at most {LARGEST_TEXT:,}: get it again"
            )

    def _inside(self, path: str) -> Path:
        place = self.root / path
        try:
            target = place.resolve()
        except (OSError, RuntimeError) as error:
            raise self.refusal(path, f"the link cannot be followed ({_brief(error)})") from error
        if not any(target.is_relative_to(home) for home in self._homes):
            raise self.refusal(
                path or str(self.root),
                f"a link that leaves the folder, to {target}; put a copy of the file in its place",
            )
        return target


def joined(path: str, name: str) -> str:
    """``name`` in the folder ``path`` of a model, both relative to it."""
    return f"{path}/{name}" if path else name


def _homes(root: Path) -> list[Path]:
    """The folder itself and, for a snapshot in the Hugging Face cache, the store of its repository."""
    folder = root.resolve()
    repository = folder.parent.parent
    if folder.parent.name == "snapshots" and repository.name.startswith("models--"):
        return [folder, repository / "blobs"]
    return [folder]


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
