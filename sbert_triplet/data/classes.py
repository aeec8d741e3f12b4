"""Classes of rows that were read apart: one number for one name, and which of them are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind


def with_common_classes(parts: Mapping[str, Examples]) -> dict[str, Examples]:
    """Labelled parts that were read apart, with the same number for the same class name."""
    labelled = [part for part in parts.values() if part.kind is Kind.LABELLED]
    names = tuple(sorted({name for part in labelled for name in part.label_names}))
    place = {name: number for number, name in enumerate(names)}

    def moved(part: Examples) -> Examples:
        if part.kind is not Kind.LABELLED or part.labels is None or part.label_names == names:
            return part
        numbers = np.array([place[name] for name in part.label_names], dtype=np.int64)
        return replace(part, labels=numbers[part.labels], label_names=names)

    return {name: moved(part) for name, part in parts.items()}


def classes_unseen(train: Examples, held_out: Mapping[str, Examples]) -> list[str]:
    """A note for each held-out split with rows of classes that no training row has."""
    notes = []
    for name, part in held_out.items():
        if train.labels is None or part.labels is None or part.kind is not Kind.LABELLED or not len(part):
            continue
        unseen = ~np.isin(part.labels, train.labels)
        if unseen.any():
            notes.append(
                f"{int(unseen.sum()):,} of {len(part):,} {name} rows are of classes that no training row "
                "has: 1-NN and centroids cannot find these"
            )
    return notes
