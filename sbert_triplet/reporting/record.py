"""What a run left in its folder, read for the report: whatever is not there is simply not reported."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sbert_triplet.errors import InputError
from sbert_triplet.evaluation.verdict import reading
from sbert_triplet.reporting.log import TrainingLog, read_log
from sbert_triplet.reporting.numbers import number

FORMAT = 1
_FURTHER = ("low", "high", "p_value", "n", "groups", "adjusted_p", "detectable", "needed")


@dataclass(frozen=True)
class Change:
    """Base against tuned in one metric; ``low`` to ``high`` is the 95 % interval of ``difference``.

    The others are those of ``evaluation.results.Comparison``.
    """

    name: str
    base: float | None
    tuned: float | None
    difference: float | None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    n: float | None = None
    groups: float | None = None
    adjusted_p: float | None = None
    detectable: float | None = None
    needed: float | None = None
    approximate: bool = False

    @classmethod
    def from_json(cls, name: str, entry: object) -> Change:
        """An entry of ``report.json``; a missing difference is worked out."""
        figures = mapping(entry)
        base, tuned = number(figures.get("base")), number(figures.get("tuned"))
        difference = number(figures.get("difference"))
        if difference is None and base is not None and tuned is not None:
            difference = tuned - base
        rest = {key: number(figures.get(key)) for key in _FURTHER}
        return cls(name, base, tuned, difference, approximate=figures.get("approximate") is True, **rest)

    @property
    def decisive_p(self) -> float | None:
        """What chance is judged by: ``adjusted_p``, and ``p_value`` where nothing is adjusted."""
        return self.p_value if self.adjusted_p is None else self.adjusted_p

    @property
    def reading(self) -> Literal["better", "worse", "open"]:
        """What interval and p-value say: clear of 0 above, clear of 0 below, or neither."""
        said = (self.low, self.high, self.decisive_p)
        found = reading(*(math.nan if each is None else each for each in said))
        return "open" if found == "not shown better" else found


@dataclass(frozen=True)
class RunRecord:
    """A run folder as read. ``report`` is ``report.json``, ``data`` is ``data.json`` (empty if absent)."""

    folder: Path
    report: Mapping[str, Any]
    data: Mapping[str, Any]
    recipe: str | None
    log: TrainingLog

    @property
    def items_file(self) -> Path | None:
        """The file of results per query or pair, if the run kept one."""
        path = self.folder / "predictions" / "items.parquet"
        return path if path.is_file() else None

    @property
    def map_file(self) -> Path | None:
        """The file of places of held-out texts, if the run kept one."""
        path = self.folder / "predictions" / "map.parquet"
        return path if path.is_file() else None

    @property
    def name(self) -> str:
        return str(self.report.get("name") or self.folder.name)

    @property
    def main_metric(self) -> str | None:
        """The metric that the verdict speaks of: the one named, else the first."""
        named = self.report.get("main_metric")
        metrics = mapping(self.report.get("metrics"))
        return str(named) if named in metrics else next(iter(metrics), None)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Every metric, the main one first."""
        metrics = mapping(self.report.get("metrics"))
        ordered = sorted(metrics, key=lambda name: name != self.main_metric)
        return tuple(Change.from_json(name, metrics[name]) for name in ordered)

    def part(self, name: str) -> Mapping[str, Any]:
        """A part of ``report.json`` that is a mapping; empty if it is absent or something else."""
        return mapping(self.report.get(name))


def read_run(folder: Path) -> RunRecord:
    """The run in ``folder``.

    Raises InputError where ``report.json`` is absent, broken, or of a later format than this.
    """
    path = folder / "report.json"
    if not path.is_file():
        raise InputError(f"{folder}: no report.json, so this is no finished run; give the folder of one")
    report = read_object(path)
    if not isinstance(report.get("format", FORMAT), int) or report.get("format", FORMAT) > FORMAT:
        raise InputError(
            f"{path}: format {report['format']!r}, and this version reads up to {FORMAT}; "
            "draw the report with the version that trained the model, or a later one"
        )
    data = folder / "data.json"
    recipe = folder / "recipe.yaml"
    return RunRecord(
        folder=folder,
        report=report,
        data=read_object(data) if data.is_file() else {},
        recipe=recipe.read_text(encoding="utf-8", errors="replace") if recipe.is_file() else None,
        log=read_log(folder / "log.jsonl"),
    )


def mapping(value: object) -> Mapping[str, Any]:
    """``value`` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def read_object(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file of a run. Raises InputError where it holds none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: not readable as JSON ({error}); run the job again to write it anew"
        ) from error
    if not isinstance(value, Mapping):
        raise InputError(f"{path}: holds a {type(value).__name__} where an object is expected")
    return value
