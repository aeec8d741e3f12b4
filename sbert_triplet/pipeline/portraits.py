"""Base and tuned model on the same sample of held-out rows: similarities, health, and a map of the texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sbert_triplet.data.parquet import write_parquet
from sbert_triplet.evaluation.histograms import edges_over, histograms
from sbert_triplet.evaluation.plane import neighbour_plane, principal_plane, turned
from sbert_triplet.evaluation.portrait import Portrait
from sbert_triplet.evaluation.results import FloatArray
from sbert_triplet.evaluation.sample import Sample
from sbert_triplet.nearest import row_similarities

Texts = Callable[[Sequence[int]], list[str]]
MAP = "map.parquet"
NOT_HITS = frozenset({"document", "positive"})
"""Texts that are searched for: whether an item is a hit is said of the text that is asked with."""


def similarities_record(base: Portrait, tuned: Portrait) -> dict[str, Any]:
    """``similarities`` of ``report.json``: histograms under both models, on one axis where they compare."""
    shared = base.similarity == tuned.similarity
    both = edges_over(base.near, tuned.near)
    found = {}
    for name, portrait in (("base", base), ("tuned", tuned)):
        edges = both if shared else edges_over(portrait.near)
        found[name] = {
            "function": portrait.similarity,
            "edges": [round(float(edge), 6) for edge in edges],
            "groups": histograms(portrait.near, edges),
        }
    return found


def health_record(base: Portrait, tuned: Portrait) -> dict[str, Any]:
    """``health`` of ``report.json``; ``same_text``: mean cosine of a text's embeddings before and after."""
    found: dict[str, Any] = {"base": base.health.as_json(), "tuned": tuned.health.as_json()}
    if base.rows.shape == tuned.rows.shape and len(base.rows):
        found["same_text"] = float(row_similarities(base.rows, tuned.rows).mean())
    return found


def write_map(
    file: Path,
    sample: Sample,
    base: Portrait,
    tuned: Portrait,
    *,
    texts: Texts,
    class_names: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    """Where each text of the sample lies under both models, as parquet; returns ``map`` of ``report.json``.

    Columns: ``role``, ``item``, ``text``, ``class`` (or null), ``base_hit`` and ``tuned_hit`` (or null), and
    coordinates: ``base_x``, … by principal components, ``base_umap_x``, … where umap-learn is installed.
    """
    items = np.concatenate([block.items for block in sample.texts])
    columns: dict[str, pa.Array] = {
        "role": pa.array([block.role for block in sample.texts for _ in block.ids]),
        "item": pa.array(items),
        "text": pa.array(
            [text for block in sample.texts for text in texts(block.ids.tolist())], pa.large_string()
        ),
        "class": _classes(sample, class_names),
        "base_hit": _hits(sample, base),
        "tuned_hit": _hits(sample, tuned),
    }
    planes = [principal_plane(each.rows, unit=each.similarity == "cosine") for each in (base, tuned)]
    columns |= _coordinates("", planes[0].points, planes[1].points)
    methods = ["pca"]
    first = neighbour_plane(base.rows, unit=base.similarity == "cosine", seed=seed)
    second = (
        None if first is None else neighbour_plane(tuned.rows, unit=tuned.similarity == "cosine", seed=seed)
    )
    if first is not None and second is not None:
        columns |= _coordinates("umap_", first, second)
        methods.append("umap")
    write_parquet(pa.table(columns), file)
    return {
        "texts": len(sample),
        "methods": methods,
        "base_share": planes[0].share,
        "tuned_share": planes[1].share,
    }


def _coordinates(name: str, base: FloatArray, tuned: FloatArray) -> dict[str, pa.Array]:
    planes = {"base": base, "tuned": turned(tuned, base)}
    return {
        f"{model}_{name}{axis}": pa.array(points[:, place], pa.float32())
        for model, points in planes.items()
        for place, axis in enumerate("xy")
    }


def _classes(sample: Sample, names: Sequence[str]) -> pa.Array:
    if sample.classes is None:
        return pa.nulls(len(sample), pa.large_string())
    return pa.array([names[number] for number in sample.classes.tolist()], pa.large_string())


def _hits(sample: Sample, portrait: Portrait) -> pa.Array:
    if portrait.hits is None:
        return pa.nulls(len(sample), pa.bool_())
    found: list[bool | None] = []
    for block in sample.texts:
        said = block.role not in NOT_HITS
        found += [bool(hit) if said else None for hit in portrait.hits[block.items].tolist()]
    return pa.array(found, pa.bool_())
