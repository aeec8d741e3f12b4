"""The run folder: where it lies, that nothing in it is overwritten unasked, and whole files only."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from sbert_triplet.errors import InputError, MachineError

FINISHED = "report.json"
OWN = (
    "recipe.yaml",
    "data.json",
    "report.json",
    "report.html",
    "report.md",
    "log.jsonl",
    "negatives",
    "checkpoints",
    "candidate",
    "model",
    "predictions",
)


class RunFolder:
    """``path`` and what is written there. ``report.json`` is written last: its presence means finished."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def refuse_unless_free(self, overwrite: bool) -> None:
        """Raise InputError where a finished run or somebody else's files lie here."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path}: is a file; name another folder with --out")
        if not self.path.exists():
            return
        if (self.path / FINISHED).exists() and not overwrite:
            raise InputError(
                f"{self.path}: holds a finished run; name another folder with --out or --name, "
                "or give --overwrite to replace it"
            )
        strange = sorted(item.name for item in self.path.iterdir() if item.name not in OWN)
        if strange and not (self.path / "recipe.yaml").exists():
            raise InputError(
                f"{self.path}: holds files that are no run's ({', '.join(strange[:3])}); "
                "name another folder with --out"
            )

    def start(self, needed_bytes: int) -> None:
        """Make the folder, without what an earlier run left in it; refuse where the disk is too small."""
        parent = next(folder for folder in (self.path, *self.path.parents) if folder.exists())
        free = shutil.disk_usage(parent).free
        if free < needed_bytes:
            raise MachineError(
                f"{self.path}: {free / 1e9:.1f} GB are free on this disk and the run needs about "
                f"{needed_bytes / 1e9:.1f} GB; free some, or name a folder on another disk with --out"
            )
        self.path.mkdir(parents=True, exist_ok=True)
        for name in OWN:
            item = self.path / name
            if item.is_dir() and not item.is_symlink():
                shutil.rmtree(item)
            else:
                item.unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> None:
        """The whole file or none of it."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = target.with_name(f".{target.name}.part")
        try:
            with staged.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            staged.replace(target)
        finally:
            staged.unlink(missing_ok=True)

    def write_json(self, name: str, value: Any) -> None:
        """Like ``write_text``; a number that is not finite becomes null."""
        self.write_text(name, json.dumps(finite(value), indent=2, ensure_ascii=False) + "\n")


def finite(value: Any) -> Any:
    """Plain data with None in place of NaN and infinities, which JSON does not have."""
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return value
