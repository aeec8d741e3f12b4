"""Several Examples of one kind as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sbert_triplet.data.examples import Examples, FloatArray, IntArray, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.errors import DataError


def concatenate(parts: Sequence[Examples]) -> Examples:
    """The rows of all parts, in their order; the parts share one kind and one text table.

    Classes are merged by name; kept columns are joined, null where a part lacks one, as text where
    their types do not go together; a part without weights weighs 1 a row, one without negatives has
    none. Row numbers stay those of each part's source. Raises DataError for no parts and for parts of
    different kinds.
    """
    if not parts:
        raise DataError("there is no data to put together")
    kinds = sorted({part.kind.value for part in parts})
    if len(kinds) > 1:
        raise DataError(f"data of different kinds ({', '.join(kinds)}) cannot be put together in one table")
    labels, label_names = _labels(parts)
    positives = [part.positives for part in parts if part.positives is not None]
    scores = [part.scores for part in parts if part.scores is not None]
    return Examples(
        kind=parts[0].kind,
        anchors=np.concatenate([part.anchors for part in parts]),
        row_numbers=np.concatenate([part.row_numbers for part in parts]),
        positives=np.concatenate(positives) if positives else None,
        negatives=_negatives(parts),
        labels=labels,
        label_names=label_names,
        scores=np.concatenate(scores) if scores else None,
        weights=_weights(parts),
        kept=_kept(parts),
    )


def _labels(parts: Sequence[Examples]) -> tuple[IntArray | None, tuple[str, ...]]:
    labels = [(part.labels, part.label_names) for part in parts if part.labels is not None]
    if not labels:
        return None, ()
    if parts[0].kind is Kind.NLI:
        return np.concatenate([codes for codes, _ in labels]), labels[0][1]
    names = sorted({name for _, own in labels for name in own})
    position = {name: at for at, name in enumerate(names)}
    moved = [np.array([position[name] for name in own], dtype=np.int64)[codes] for codes, own in labels]
    return np.concatenate(moved), tuple(names)


def _negatives(parts: Sequence[Examples]) -> Ragged | None:
    if all(part.negatives is None for part in parts):
        return None
    values, counts = [], []
    for part in parts:
        own = part.negatives
        values.append(np.zeros(0, dtype=np.int64) if own is None else own.values)
        counts.append(np.zeros(len(part), dtype=np.int64) if own is None else np.diff(own.offsets))
    offsets = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(np.concatenate(counts))])
    return Ragged(np.concatenate(values), offsets)


def _weights(parts: Sequence[Examples]) -> FloatArray | None:
    if all(part.weights is None for part in parts):
        return None
    return np.concatenate([np.ones(len(part)) if part.weights is None else part.weights for part in parts])


def _kept(parts: Sequence[Examples]) -> pa.Table | None:
    names = list(
        dict.fromkeys(name for part in parts if part.kept is not None for name in part.kept.column_names)
    )
    if not names:
        return None
    columns = {}
    for name in names:
        own = [
            None if part.kept is None or name not in part.kept.column_names else part.kept[name]
            for part in parts
        ]
        type = _common_type([column.type for column in own if column is not None])
        chunks: list[pa.Array] = []
        for part, column in zip(parts, own, strict=True):
            chunks += [pa.nulls(len(part), type)] if column is None else pc.cast(column, type).chunks
        columns[name] = pa.chunked_array(chunks, type)
    return pa.table(columns)


def _common_type(types: Sequence[pa.DataType]) -> pa.DataType:
    """The type that holds all of them; large strings where there is none."""
    schemas = [pa.schema([("column", type)]) for type in types]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.large_string()
