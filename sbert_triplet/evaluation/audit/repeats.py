"""Rows that repeat or contradict each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.wording import times
from sbert_triplet.evaluation.audit.findings import Finding, about_rows

MANY = 0.01
"""Share of the rows from which on duplicates are a warning."""


def equal_rows(columns: Sequence[pa.ChunkedArray]) -> IntArray:
    """(N,) numbers that are equal where all cells of two rows are exactly equal, null to null."""
    encoded = [column.combine_chunks().dictionary_encode(null_encoding="encode") for column in columns]
    return row_codes(*(_whole(column).indices.to_numpy(zero_copy_only=False) for column in encoded))


def row_codes(*columns: NDArray[np.generic]) -> IntArray:
    """(N,) numbers from 0, equal where two rows are equal in every column."""
    codes = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        values = np.unique(column, return_inverse=True)[1].reshape(-1)
        size = int(values.max()) + 1 if len(values) else 1
        codes = np.unique(codes * size + values, return_inverse=True)[1].reshape(-1)
    return codes


def pair_codes(examples: Examples, unordered: bool) -> IntArray:
    """(N,) numbers, equal where anchor and positive are, in either order if ``unordered``."""
    if examples.positives is None:
        return row_codes(examples.anchors)
    if unordered:
        low, high = (
            np.minimum(examples.anchors, examples.positives),
            np.maximum(examples.anchors, examples.positives),
        )
        return row_codes(low, high)
    return row_codes(examples.anchors, examples.positives)


def duplicates(examples: Examples, exact_rows: IntArray | None) -> list[Finding]:
    """Rows that say again what an earlier row said: the same texts with the same label or score.

    With ``exact_rows``, (N,) numbers as of ``equal_rows``, exact copies are told from rows that
    are equal only after normalising.
    """
    codes = _what_rows_say(examples)
    if exact_rows is None:
        found = [("duplicate-rows", "equal after normalising", _repeated(codes))]
    else:
        exact = _repeated(row_codes(codes, exact_rows))
        found = [
            ("exact-duplicates", "exactly equal", exact),
            (
                "normalised-duplicates",
                "equal but for case, white space or Unicode form",
                _repeated(codes) & ~exact,
            ),
        ]
    return [
        about_rows(
            code,
            "warning" if rows.sum() > MANY * len(examples) else "note",
            f"{times(int(rows.sum()), 'row repeats', 'rows repeat')} an earlier row ({what}). Remove them "
            "unless they should weigh more.",
            examples.row_numbers[rows],
        )
        for code, what, rows in found
        if rows.any()
    ]


def conflicts(examples: Examples) -> list[Finding]:
    """The same text under different classes; the same pair with different labels or scores."""
    said: NDArray[np.generic]
    if examples.kind in (Kind.LABELLED, Kind.NLI) and examples.labels is not None:
        said, what, fix = examples.labels, "labels", "Keep the right label of each."
    elif examples.kind in (Kind.SCORED, Kind.RETRIEVAL) and examples.scores is not None:
        said, what, fix = examples.scores, "scores", "Keep one score of each, or their mean."
    else:
        return []
    codes = pair_codes(examples, unordered=examples.kind is Kind.SCORED)
    size = len(examples)
    contradicted = np.bincount(np.unique(codes * size + row_codes(said)) // size) > 1
    if not contradicted.any():
        return []
    rows = contradicted[codes]
    noun = "text" if examples.kind is Kind.LABELLED else "pair"
    message = (
        f"{times(int(contradicted.sum()), f'{noun} stands', f'{noun}s stand')} with different {what}, in "
        f"{int(rows.sum()):,} rows. {fix}"
    )
    return [about_rows(f"conflicting-{what}", "warning", message, examples.row_numbers[rows])]


def _what_rows_say(examples: Examples) -> IntArray:
    columns: list[NDArray[np.generic]] = [pair_codes(examples, unordered=examples.kind is Kind.SCORED)]
    if examples.labels is not None:
        columns.append(examples.labels)
    if examples.scores is not None:
        columns.append(examples.scores)
    if examples.negatives is not None:
        columns.append(_set_codes(examples))
    return row_codes(*columns)


def _set_codes(examples: Examples) -> NDArray[np.uint64]:
    """(N,) a 64-bit sum over each row's negatives: equal for equal sets, in whatever order."""
    assert examples.negatives is not None
    values = examples.negatives.values.astype(np.uint64) + np.uint64(1)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(values, dtype=np.uint64)])
    offsets = examples.negatives.offsets
    difference: NDArray[np.uint64] = sums[offsets[1:]] - sums[offsets[:-1]]
    return difference


def _repeated(codes: IntArray) -> NDArray[np.bool_]:
    """(N,) whether an earlier row has the same code."""
    repeated = np.ones(len(codes), dtype=bool)
    repeated[np.unique(codes, return_index=True)[1]] = False
    return repeated


def _whole(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
