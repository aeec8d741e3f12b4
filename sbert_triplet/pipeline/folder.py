"""The run folder: where it lies, that nothing in it is overwritten unasked, and whole files only."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from sbert_triplet.data.durable import whole
from sbert_triplet.errors import InputError, MachineError
from sbert_triplet.pipeline.folder_lock import FolderLock
from sbert_triplet.pipeline.set_aside import SetAside, remove
from sbert_triplet.recipe.writing import HEADER
from sbert_triplet.training.checkpoints import remove_remains, steps_of

FINISHED = "report.json"
RECIPE = "recipe.yaml"
LOG = "log.jsonl"
EVALUATION, PREDICTIONS = "evaluation.json", "predictions"
UNFINISHED = ".evaluation.part"
"""Where an evaluation is written until it is whole."""
NEGATIVES, SUSPECTS = "negatives", "suspects.parquet"
OWN = (
    RECIPE,
    "data.json",
    FINISHED,
    "report.html",
    "report.md",
    LOG,
    NEGATIVES,
    "curriculum.parquet",
    "checkpoints",
    "candidate",
    "model",
    PREDICTIONS,
)


class RunFolder:
    """``path`` and what is written there. The presence of ``report.json`` means finished: what is written
    after it is drawn from it.

    A run that is replaced lies in a folder inside until the new one is finished, and comes back where
    the new one fails or is stopped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []
        self._lock = FolderLock(path)
        self._aside = SetAside(path, OWN, FINISHED)
        self._started = False

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Keep every other run out of the folder, from now on or from when it is made.

        Raises InputError where another one is in it.
        """
        return self._lock.wanted()

    @property
    def finished(self) -> bool:
        """Whether the run in it came to its end."""
        return (self.path / FINISHED).exists()

    @property
    def checkpoints(self) -> Path:
        """Where the checkpoints of the run lie."""
        return self.path / "checkpoints"

    def refuse_unless_free(self, overwrite: bool, *, resume: bool = False) -> None:
        """Raise InputError where the folder cannot be made, or a run or other files lie in it.

        A run that was being replaced when its successor was stopped comes back, unless ``resume``: then the
        successor is what is wanted.
        """
        self._refuse_unreachable()
        if not self.path.exists():
            return
        if not self.finished and (steps := steps_of(self.checkpoints)) and not overwrite:
            if resume:
                return
            raise InputError(
                f"{self.path}: holds a run that was stopped, with a checkpoint of step {max(steps):,}: go on "
                "with --resume, name another folder with --out, or give --overwrite to begin anew"
            )
        if not (resume and self._aside.there):
            self._aside.bring_back()
        if self.finished and not overwrite:
            raise InputError(
                f"{self.path}: holds a finished run; name another folder with --out or --name, "
                "or give --overwrite to replace it"
            )
        found = sorted(item.name for item in self.path.iterdir())
        if found and not self.holds_run():
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise InputError(
                f"{self.path}: holds files that are no run's ({', '.join(found[:3])}{more}); "
                "name another folder with --out"
            )

    def refuse_unless_for_check(self) -> None:
        """Raise InputError where ``data.json`` cannot be written, or is that of a run or no audit's."""
        self._refuse_unreachable()
        if (self.path / FINISHED).exists():
            raise InputError(f"{self.path}: holds a finished run; name another folder with --out")
        written = self.path / "data.json"
        if written.exists() and not _has(written, "findings"):
            raise InputError(f"{written}: is no audit's; name another folder with --out")

    def refuse_unless_for_evaluation(self, overwrite: bool) -> None:
        """Raise InputError where the folder cannot be made, or holds an evaluation or something else.

        One that was stopped while it was being written is no reason.
        """
        self._refuse_unreachable()
        if not self.path.exists():
            return
        if (self.path / EVALUATION).exists() and not overwrite:
            raise InputError(
                f"{self.path}: holds an evaluation; name another folder with --out, or give --overwrite to "
                "replace it"
            )
        found = sorted(item.name for item in self.path.iterdir())
        ours = (self.path / UNFINISHED).is_dir() or _has(self.path / EVALUATION, "models")
        if found and not ours:
            raise InputError(f"{self.path}: holds other files ({found[0]}); name another folder with --out")

    def refuse_unless_for_mining(self, overwrite: bool) -> None:
        """Raise InputError where the folder cannot be made, or a finished run or negatives lie in it."""
        if (self.path / FINISHED).exists():
            raise InputError(f"{self.path}: holds a finished run; name another folder with --out")
        self.refuse_unless_free(overwrite)
        if (self.path / NEGATIVES).exists() and not overwrite:
            raise InputError(
                f"{self.path}: holds mined negatives; name another folder with --out, "
                "or give --overwrite to replace them"
            )

    def refuse_to_replace(self, model: Path) -> None:
        """Raise InputError where the encoder to start from lies in the folder that is about to be emptied."""
        if model.exists() and self.path.resolve() in (model.resolve(), *model.resolve().parents):
            raise InputError(
                f"{self.path}: the model to start from lies in this folder, which would be emptied; "
                "name another folder with --out"
            )

    def start(self, needed_bytes: int, *, resumed: bool = False) -> None:
        """Make the folder, without what an earlier run left in it; refuse where the disk is too small.

        ``resumed``: what is in it is this run's.
        """
        free = shutil.disk_usage(_existing(self.path)).free
        if free < needed_bytes:
            raise MachineError(
                f"{self.path}: {_size(free)} are free on this disk and the run needs about "
                f"{_size(needed_bytes)}; free some, or name a folder on another disk with --out"
            )
        self._make()
        self._lock.take()
        self._remove_staged()
        remove_remains(self.checkpoints)
        self._started = True
        if not resumed:
            self._aside.put()

    def finish(self) -> None:
        """Drop what was replaced: the run is complete."""
        self._aside.drop()

    def leave(self) -> None:
        """After a failure: no half-written file stays, and no folder in which nothing was trained.

        A run with a checkpoint stays as it is, to be gone on with. What was never started is not touched: it
        may be another process's.
        """
        if not self._started or not self.path.is_dir():
            return
        self._remove_staged()
        self.drop_empty("checkpoints")
        if steps_of(self.checkpoints):
            return
        if self._aside.bring_back():
            return
        if (self.path / LOG).exists() or not self._made:
            return
        for name in OWN:
            remove(self.path / name)
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def drop_empty(self, name: str) -> None:
        """Remove a folder inside where nothing is in it."""
        with contextlib.suppress(OSError):
            (self.path / name).rmdir()

    def write_text(self, name: str, text: str) -> None:
        """The whole file or none of it."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole(target) as staged:
            staged.write_text(text, encoding="utf-8", newline="\n")

    def write_json(self, name: str, value: Any) -> None:
        """Like ``write_text``; a number that is not finite becomes null."""
        self.write_text(name, json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n")

    def _refuse_unreachable(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: is a file; name another folder with --out")
        parent = _existing(self.path)
        if not parent.is_dir():
            raise InputError(f"{self.path}: {parent} is a file; name another folder with --out")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise InputError(f"{parent}: no permission to write here; name another folder with --out")

    def holds_run(self) -> bool:
        """Whether a run made it, finished or not: by the first line of its recipe, else by its report."""
        try:
            with (self.path / RECIPE).open(encoding="utf-8") as file:
                if file.readline() == HEADER:
                    return True
        except (OSError, ValueError):
            pass
        return _has(self.path / FINISHED, "verdict")

    def _make(self) -> None:
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        self._made = missing

    def _remove_staged(self) -> None:
        for place in (self.path, self.path / PREDICTIONS, self.path / NEGATIVES):
            for staged in place.glob(".*.part"):
                remove(staged)


def finite(value: Any) -> Any:
    """Plain data with None in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value


def _has(file: Path, key: str) -> bool:
    """Whether the file holds a JSON object with that key."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(value, dict) and key in value


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((folder for folder in (path, *path.absolute().parents) if folder.exists()), Path())


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.0f} MB"
