"""How a run is carried out, and what is left of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sbert_triplet.evaluation.audit import Audit
from sbert_triplet.processes import leads

Say = Callable[[str], None]
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Options:
    """How a run is carried out; nothing of this changes its result.

    ``say`` is given lines for people, ``progress`` (what, done, all) while something takes long.
    ``command`` is what repeats the run. ``decisions`` are those that a resolved recipe recorded. ``resume``:
    go on from the newest checkpoint in the run folder, where there is one; ``force``: also where recipe or
    data have changed since.
    """

    overwrite: bool = False
    resume: bool = False
    force: bool = False
    smoke: bool = False
    require_gain: bool = False
    device: str | None = None
    command: str | None = None
    say: Say = print
    progress: Progress | None = None
    decisions: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, ``report.json`` as read, and the audit of the data, where one was made."""

    folder: Path
    report: Mapping[str, Any]
    audit: Audit | None = None

    @property
    def model(self) -> Path:
        """The model to ship."""
        return self.folder / "model"

    @property
    def better(self) -> bool:
        """Whether ``model`` is shown better than the base model, which ships where dev chose it as well."""
        return self.report.get("verdict") == "better" and self.report.get("shipped") != "base"


@contextmanager
def working_place(out: Path, options: Options) -> Iterator[tuple[Path, Path, Options]]:
    """A folder for passing files, and where and how this process works: only the leading one is heard."""
    with tempfile.TemporaryDirectory(prefix="sbert-triplet-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        if not leads():
            out, options = scratch / "run", replace(options, say=lambda _: None, progress=None)
        yield scratch, out, options
