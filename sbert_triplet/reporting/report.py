"""Draws the report of a run from what the run left in its folder."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sbert_triplet.errors import MachineError
from sbert_triplet.reporting.page import page
from sbert_triplet.reporting.record import RunRecord, read_run
from sbert_triplet.reporting.section import Section
from sbert_triplet.reporting.sections import SECTIONS
from sbert_triplet.reporting.text import markdown_escape


@dataclass(frozen=True)
class ReportFiles:
    """Where the report was written."""

    html: Path
    markdown: Path


def write_report(run: Path) -> ReportFiles:
    """Write ``report.html`` and ``report.md`` into the run folder.

    Reads ``report.json``, and what is there of ``log.jsonl``, ``data.json``, ``recipe.yaml`` and
    ``predictions/items.parquet``; a part that is absent leaves its section out. The page shows the
    person's texts and is for the person; ``report.md`` holds figures alone. Each file is replaced
    whole, or stays as it was.

    Raises InputError where the folder holds no readable run, MachineError where it cannot be written to.
    """
    record = read_run(run)
    sections = [section for draw in SECTIONS if (section := draw(record)) is not None]
    paths = ReportFiles(run / "report.html", run / "report.md")
    _replace({paths.html: page(record, sections), paths.markdown: _markdown(record, sections)})
    return paths


def _markdown(run: RunRecord, sections: Sequence[Section]) -> str:
    parts = [f"# {markdown_escape(run.name)}: tuned against base"]
    parts += [f"## {section.title}\n\n{section.markdown}" for section in sections if section.markdown]
    return "\n\n".join(parts) + "\n"


def _replace(texts: Mapping[Path, str]) -> None:
    """Write every file beside its place first, and only then put them all in place."""
    written: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            written[path] = Path(name)
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        for path, temporary in written.items():
            temporary.chmod(0o644)
            temporary.replace(path)
    except OSError as error:
        raise MachineError(
            f"{path}: the report could not be written ({error.strerror}); make room or permit writing, "
            f"then run: sbert-triplet report {path.parent}"
        ) from error
    finally:
        for temporary in written.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
