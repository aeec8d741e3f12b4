"""Held-out texts in a plane, before and after: coloured by class, or by hit and miss. Never in Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sbert_triplet.errors import InputError
from sbert_triplet.reporting import charts, numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.record import RunRecord
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.text import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
MODELS = (("base", "Base"), ("tuned", "Tuned"))
METHODS = (("", "principal components"), ("umap_", "UMAP"))
CLASS_LIMIT = 40
"""Characters shown of a class's name."""
OTHERS, NO_ROLE = "other classes", "text"


@dataclass(frozen=True)
class Kind:
    """Points that look alike: their name, and how they are drawn."""

    name: str
    colour: str
    marker: str
    size: float = 10.0


def draw(run: RunRecord) -> Section | None:
    """None where the run kept no map."""
    table = None if run.map_file is None else _read(run.map_file)
    if table is None or not table.num_rows:
        return None
    columns = {name: table.column(name).to_pylist() for name in ("role", "class", "base_hit", "tuned_hit")}
    by_class = any(name is not None for name in columns["class"])
    kinds, of_points = _by_class(columns["class"]) if by_class else _by_hit(columns)
    parts: list[Html] = []
    for prefix, method in METHODS:
        names = [f"{model}_{prefix}{axis}" for model, _ in MODELS for axis in "xy"]
        if set(names) <= set(table.column_names):
            parts.append(_panels(run, table, prefix, method, kinds, of_points))
    if not parts:
        return None
    about = (
        f"{numbers.count(table.num_rows)} held-out texts in a plane, under both models; the second plane is "
        "turned to lie as near the first as it can, and both have the same scale."
    )
    legend = charts.legend(*((kind.name, kind.colour, kind.marker) for kind in kinds))
    shares = [numbers.number(run.part("map").get(f"{model}_share")) for model, _ in MODELS]
    note = (
        f"By principal components a plane shows {numbers.share(shares[0])} of the spread of all dimensions "
        f"for the base model and {numbers.share(shares[1])} for the tuned one: texts that lie together here "
        "may be far apart."
    )
    html = join([paragraph(about), legend, *parts, paragraph(note, class_="muted") if all(shares) else None])
    return Section("map", "Map of held-out texts", html)


def _read(path: Path) -> pa.Table:
    try:
        names = pq.read_schema(path).names
        return pq.read_table(path, columns=[name for name in names if name not in ("text", "item")])
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path}: not readable as parquet ({error}); run the job again to write it anew"
        ) from error


def _by_class(classes: Sequence[str | None]) -> tuple[list[Kind], Mapping[str, list[int]]]:
    """The most frequent classes, each in its own colour and shape, and the others together."""
    frequent = [name for name, _ in Counter(classes).most_common(len(charts.CLASSES)) if name is not None]
    kinds = [
        Kind(shorten(name, CLASS_LIMIT)[0], colour, marker, 14.0)
        for name, colour, marker in zip(frequent, charts.CLASSES, charts.MARKERS, strict=False)
    ]
    places = [frequent.index(name) if name in frequent else -1 for name in classes]
    if -1 in places:
        kinds.insert(0, Kind(OTHERS, charts.BASE, "o", 6.0))
        places = [place + 1 for place in places]
    return kinds, {model: places for model, _ in MODELS}


def _by_hit(columns: Mapping[str, Sequence[Any]]) -> tuple[list[Kind], Mapping[str, list[int]]]:
    """Hit, miss, and the texts of which neither is said, by their roles."""
    silent = [
        str(role) for role, hit in zip(columns["role"], columns["tuned_hit"], strict=True) if hit is None
    ]
    name = " and ".join(dict.fromkeys(silent)) or NO_ROLE
    kinds = [
        Kind(name, charts.BASE, "o", 6.0),
        Kind("hit", charts.TUNED, "o"),
        Kind("miss", charts.WORSE, "D"),
    ]
    places = {
        model: [0 if hit is None else 1 if hit else 2 for hit in columns[f"{model}_hit"]]
        for model, _ in MODELS
    }
    used = sorted({place for found in places.values() for place in found})
    return [kinds[place] for place in used], {
        model: [used.index(place) for place in found] for model, found in places.items()
    }


def _panels(
    run: RunRecord,
    table: pa.Table,
    prefix: str,
    method: str,
    kinds: Sequence[Kind],
    of_points: Mapping[str, list[int]],
) -> Html:
    points = {
        model: np.stack(
            [
                np.asarray(table.column(f"{model}_{prefix}{axis}").to_numpy(), dtype=np.float64)
                for axis in "xy"
            ],
            axis=1,
        )
        for model, _ in MODELS
    }
    reach = max(float(np.abs(found).max(initial=0.0)) for found in points.values()) * 1.04 or 1.0
    drawn = []
    for model, title in MODELS:
        places = np.array(of_points[model])
        counts = ", ".join(
            f"{numbers.count((places == n).sum().item())} {kind.name}" for n, kind in enumerate(kinds)
        )
        drawn.append(
            charts.chart(
                f"map-{prefix}{model}".replace("_", ""),
                f"{title}, by {method}",
                f"Held-out texts under the {model} model, by {method}: {counts}",
                _scatter(points[model], places, kinds, reach),
                charts.WIDTH,
            )
        )
    return element("div", *drawn, class_="charts two")


def _scatter(
    points: FloatArray, places: np.ndarray[Any, np.dtype[np.int64]], kinds: Sequence[Kind], reach: float
) -> Callable[[Axes], None]:
    def paint(axes: Axes) -> None:
        for number, kind in enumerate(kinds):
            own = points[places == number]
            axes.plot(
                own[:, 0],
                own[:, 1],
                linestyle="none",
                marker=kind.marker,
                markersize=kind.size**0.5,
                color=kind.colour,
                markeredgewidth=0,
                alpha=0.75,
            )
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
        axes.set_aspect("equal")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)

    return paint
