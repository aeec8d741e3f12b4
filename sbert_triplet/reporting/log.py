"""The training log (``log.jsonl``) as series to draw."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_STEP_FIGURES = ("loss", "learning_rate", "grad_norm")


@dataclass(frozen=True)
class Series:
    """Values over training: ``steps`` (S,) and ``values`` (S,), finite; ``undefined`` were left out."""

    steps: FloatArray
    values: FloatArray
    undefined: int = 0

    @classmethod
    def from_points(cls, points: Iterable[tuple[float, float]]) -> Series:
        table = np.array(list(points), dtype=np.float64).reshape(-1, 2)
        finite = np.isfinite(table[:, 1])
        return cls(table[finite, 0], table[finite, 1], int((~finite).sum()))

    def __len__(self) -> int:
        return len(self.steps)

    def binned(self, bins: int) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Steps, means, lowest and highest values of at most ``bins`` runs of neighbours: each (bins,)."""
        edges = np.linspace(0, len(self), min(bins, len(self)) + 1).astype(np.int64)[:-1]
        lengths = np.diff(np.append(edges, len(self)))
        return (
            np.add.reduceat(self.steps, edges) / lengths,
            np.add.reduceat(self.values, edges) / lengths,
            np.minimum.reduceat(self.values, edges),
            np.maximum.reduceat(self.values, edges),
        )


@dataclass(frozen=True)
class TrainingLog:
    """``steps``: loss, learning_rate, grad_norm; ``stats``: what the loss reported; ``dev``: metrics.

    ``left_out``: the steps that never reached the weights.
    """

    steps: Mapping[str, Series] = field(default_factory=dict)
    stats: Mapping[str, Series] = field(default_factory=dict)
    dev: Mapping[str, Series] = field(default_factory=dict)
    resumed_after: tuple[int, ...] = ()
    left_out: tuple[int, ...] = ()
    unreadable_lines: int = 0

    def __bool__(self) -> bool:
        return bool(self.steps or self.stats or self.dev)


def read_log(path: Path) -> TrainingLog:
    """The log at ``path``, empty if there is none.

    A line that is no JSON object (a job killed while writing leaves one) is counted and left out.
    A resumed job says so in a line of its own. Where the steps go back, they were done again: the later
    lines stand.
    """
    if not path.is_file():
        return TrainingLog()
    entries: list[tuple[int, dict[str, Any]]] = []
    resumed: list[int] = []
    unreadable = 0
    latest = -1
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if not line.strip():
                continue
            entry = _entry(line)
            if entry is None:
                unreadable += 1
                continue
            if "loss" in entry[1]:
                if entry[0] <= latest:
                    entries = [earlier for earlier in entries if earlier[0] < entry[0]]
                    resumed.append(entry[0] - 1)
                latest = entry[0]
            if entry[1].get("resumed") and entry[0] not in resumed:
                resumed.append(entry[0])
            entries.append(entry)
    return TrainingLog(
        steps=_by_name((step, {key: entry.get(key) for key in _STEP_FIGURES}) for step, entry in entries),
        stats=_by_name((step, entry.get("stats")) for step, entry in entries),
        dev=_by_name((step, entry.get("dev")) for step, entry in entries),
        resumed_after=tuple(resumed),
        left_out=tuple(step for step, entry in entries if "left_out" in entry),
        unreadable_lines=unreadable,
    )


def _entry(line: str) -> tuple[int, dict[str, Any]] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    step = entry.get("step") if isinstance(entry, dict) else None
    return (int(step), entry) if isinstance(step, int | float) and math.isfinite(step) else None


def _by_name(rows: Iterable[tuple[int, object]]) -> dict[str, Series]:
    points: dict[str, list[tuple[float, float]]] = {}
    for step, figures in rows:
        for name, value in figures.items() if isinstance(figures, dict) else ():
            if isinstance(value, int | float) and not isinstance(value, bool):
                points.setdefault(str(name), []).append((float(step), float(value)))
    return {name: Series.from_points(found) for name, found in points.items()}
