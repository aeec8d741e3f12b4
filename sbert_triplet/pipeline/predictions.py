"""What each model made of each held-out item, as parquet."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbert_triplet.data.parquet import write_parquet
from sbert_triplet.evaluation.held_out import Part, Scored
from sbert_triplet.evaluation.metrics import Task
from sbert_triplet.evaluation.parts import Classes

IntArray = NDArray[np.int64]
Texts = Callable[[Sequence[int]], list[str]]
FIRST_RESULTS = 5
_COLUMNS = {
    Task.RETRIEVAL: ("query",),
    Task.SCORED: ("text", "other"),
    Task.PAIRS: ("text", "other"),
    Task.TRIPLETS: ("anchor", "positive", "negative"),
    Task.LABELS: ("text",),
    Task.CLUSTERING: ("text",),
}
RESERVED = frozenset({"item", "row", "class", "gold", *(name for own in _COLUMNS.values() for name in own)})
"""Columns that no model can be called."""


def write_items(file: Path, part: Part, models: Mapping[str, Scored], texts: Texts) -> None:
    """One row an item: the test row it came from, its texts, its class, the value of the part's first metric
    (or the prediction) of each model by its name, the first results of each for retrieval and the nearest
    texts of known class, with their classes, for labelled text, and the value of every other metric that is a
    mean of items.
    """
    columns: dict[str, pa.Array] = {
        "item": pa.array(np.arange(len(part.items))),
        "row": pa.array(part.rows),
    }
    for name, ids in zip(_COLUMNS[part.task], part.items.T, strict=True):
        columns[name] = pa.array(texts(ids.tolist()), pa.large_string())
    if part.classes is not None:
        columns["class"] = pa.array(_class_names(part.classes.of_items, part.classes), pa.large_string())
    elif part.gold is not None:
        columns["gold"] = pa.array(part.gold)
    metric = part.metrics[0].name
    for name, scored in models.items():
        values = scored.values[metric].per_item
        columns[name] = pa.array(values if values is not None else scored.predictions)
        if scored.top_ids is not None and part.retrieval is not None:
            columns |= _results(name, part, scored.top_ids[:, :FIRST_RESULTS], texts)
        if scored.nearest is not None and part.classes is not None:
            columns |= _nearest(name, part.classes, scored.nearest[:, :FIRST_RESULTS], texts)
    for other in part.metrics[1:]:
        for name, scored in models.items():
            if (values := scored.values[other.name].per_item) is not None:
                columns[f"{name} {other.name}"] = pa.array(values)
    write_parquet(pa.table(columns), file)


def _results(name: str, part: Part, top: IntArray, texts: Texts) -> dict[str, pa.Array]:
    assert part.retrieval is not None
    found, relevant = [], []
    for query, row in zip(part.items[:, 0], top, strict=True):
        shown = row[row >= 0].tolist()
        grades = part.retrieval.judgements.get(int(query), {})
        found.append(texts(shown))
        relevant.append([grades.get(document, 0) > 0 for document in shown])
    return {
        f"{name}_top": pa.array(found, pa.list_(pa.large_string())),
        f"{name}_top_relevant": pa.array(relevant, pa.list_(pa.bool_())),
    }


def _nearest(name: str, classes: Classes, nearest: IntArray, texts: Texts) -> dict[str, pa.Array]:
    memory = classes.memory
    assert memory is not None
    assert memory.labels is not None
    shown = [row[row >= 0] for row in nearest]
    answers = [memory.labels[places] for places in shown]
    return {
        f"{name}_top": pa.array(
            [texts(memory.anchors[places].tolist()) for places in shown], pa.list_(pa.large_string())
        ),
        f"{name}_top_class": pa.array(
            [_class_names(each, classes) for each in answers], pa.list_(pa.large_string())
        ),
        f"{name}_top_relevant": pa.array(
            [(each == own).tolist() for each, own in zip(answers, classes.of_items, strict=True)],
            pa.list_(pa.bool_()),
        ),
    }


def _class_names(numbers: IntArray, classes: Classes) -> list[str]:
    return [classes.names[number] for number in numbers.tolist()]
