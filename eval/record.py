"""How every measurement is written down: command, commit, machine, figures; no local paths."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from sbert_triplet.pipeline.environment import environment
from sbert_triplet.pipeline.folder import finite

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "eval" / "results"
GENERATED = ("eval/results", "eval/claims.md")
"""What measurements write: it does not change what is measured."""


def commit() -> str:
    """The commit that was measured, marked where other files than those ``GENERATED`` differ from it."""
    named = _git("rev-parse", "--short=12", "HEAD").stdout.strip()
    changed = _git("diff", "--quiet", "HEAD", "--", ".", *(f":!{made}" for made in GENERATED)).returncode
    return f"{named}-dirty" if named and changed else named or "unknown"


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)


def command() -> str:
    """The command line, with folders outside the repository shortened to their last name."""
    words = []
    for word in sys.argv:
        path = Path(word)
        words.append(path.name if path.is_absolute() or ".." in path.parts else word)
    return shlex.join(["python", *words])


def measured_by() -> dict[str, str]:
    """The command and the commit of a part of the figures."""
    return {"command": command(), "commit": commit()}


def read(name: str) -> Any:
    """The figures in ``eval/results/NAME.json``."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))["results"]


def read_if_there(name: str) -> Any:
    """As ``read``; None where nothing was measured yet."""
    return read(name) if (RESULTS / f"{name}.json").is_file() else None


def write(name: str, figures: Any) -> Path:
    """Write ``eval/results/NAME.json``."""
    file = RESULTS / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    record = {**measured_by(), "machine": environment(), "results": figures}
    file.write_text(json.dumps(finite(record), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file
