"""How difficult each training row is, before training: what a curriculum orders rows by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.distances.tokens import token_jaccard, token_set
from sbert_triplet.encoding.tokens import Side, TokenTable

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Table = Callable[[Side, IntArray], NDArray[np.float32]]
"""The embeddings (n, D) of text ids by a reference model, such as a ``guide.GuideTable``."""
Sides = tuple[Side, Side]
BLOCK = 8192


def reference_scores(examples: Examples, table: Table, sides: Sides) -> FloatArray:
    """(N,) 1 - cos(anchor, positive) by the reference model, larger for more difficult.

    Where rows have negatives of their own it is the sigmoid of cos(anchor, negative) - cos(anchor,
    positive) for the nearest of them; a row without any counts as one whose negative is as near as
    negatives are on average. Labelled text: 1 - cos(text, mean of the other texts of its class), NaN
    for a class of one. Raises ValueError for rows that name no positive.
    """
    if examples.kind is Kind.LABELLED:
        return _from_class_means(examples, table, sides[0])
    near = _cosines(table, (sides[0], examples.anchors), (sides[1], _positives(examples, "reference")))
    given = examples.negatives
    if given is None or not len(given.values):
        return 1.0 - near
    to_negatives = negative_gaps(examples, table, sides, near) + near[_owners(given)]
    nearest = _largest(to_negatives, given, float(to_negatives.mean()))
    return 1.0 / (1.0 + np.exp(near - nearest))


def negative_gaps(
    examples: Examples, table: Table, sides: Sides, near: FloatArray | None = None
) -> FloatArray:
    """(C,) d(anchor, positive) - d(anchor, negative) in cosine distance, for each row's own negatives.

    ``near``: (N,) cosines of anchors and positives, where they are known already.
    """
    given, anchors = examples.negatives, examples.anchors
    positives = _positives(examples, "reference")
    if given is None:
        return np.zeros(0)
    if near is None:
        near = _cosines(table, (sides[0], anchors), (sides[1], positives))
    owners = _owners(given)
    return _cosines(table, (sides[0], anchors[owners]), (sides[1], given.values)) - near[owners]


def jaccard_scores(examples: Examples, texts: Callable[[Sequence[int]], list[str]]) -> FloatArray:
    """(N,) 1 - token Jaccard similarity of anchor and positive.

    Where rows have negatives of their own it is that of the anchor with the most similar of them, 0 for
    a row without any. Raises ValueError for rows that name no positive.
    """
    positives = _positives(examples, "jaccard")
    sets: dict[int, frozenset[str]] = {}

    def similar(left: IntArray, right: IntArray) -> FloatArray:
        new = [number for number in np.unique(np.concatenate([left, right])).tolist() if number not in sets]
        for start in range(0, len(new), BLOCK):
            some = new[start : start + BLOCK]
            sets.update(zip(some, map(token_set, texts(some)), strict=True))
        pairs = zip(left.tolist(), right.tolist(), strict=True)
        return np.array([token_jaccard(sets[one], sets[other]) for one, other in pairs], dtype=np.float64)

    given = examples.negatives
    if given is None or not len(given.values):
        return 1.0 - similar(examples.anchors, positives)
    return _largest(similar(examples.anchors[_owners(given)], given.values), given, 0.0)


def length_scores(examples: Examples, tokens: TokenTable, sides: Sides) -> FloatArray:
    """(N,) tokens of the row's anchor and positive together, after truncation; they must be in ``tokens``."""
    lengths = tokens.lengths(tokens.form(sides[0]), examples.anchors)
    if examples.positives is not None:
        lengths = lengths + tokens.lengths(tokens.form(sides[1]), examples.positives)
    return lengths.astype(np.float64)


def _positives(examples: Examples, score: str) -> IntArray:
    """The texts that belong to the anchors. Raises ValueError for rows that name none."""
    judged = examples.kind is Kind.SCORED or (examples.kind is Kind.NLI and examples.labels is not None)
    if examples.positives is None or judged:
        raise ValueError(
            f"{score} compares a text with one that belongs to it, which {examples.kind.described} do "
            "not name"
        )
    return examples.positives


def _owners(given: Ragged) -> IntArray:
    return np.repeat(np.arange(len(given), dtype=np.int64), np.diff(given.offsets))


def _largest(values: FloatArray, given: Ragged, otherwise: float) -> FloatArray:
    """(N,) the largest of the values (C,) of each row's negatives; ``otherwise`` without any."""
    largest = np.full(len(given), -np.inf)
    np.maximum.at(largest, _owners(given), values)
    return np.where(np.isneginf(largest), otherwise, largest)


def _unit(table: Table, side: Side, ids: IntArray) -> FloatArray:
    rows = table(side, ids).astype(np.float64)
    unit: FloatArray = rows / np.maximum(
        np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float32).tiny
    )
    return unit


def _cosines(table: Table, left: tuple[Side, IntArray], right: tuple[Side, IntArray]) -> FloatArray:
    """(n,) of two columns of texts, block by block."""
    found = np.zeros(len(left[1]))
    for start in range(0, len(found), BLOCK):
        some = slice(start, start + BLOCK)
        one, other = _unit(table, left[0], left[1][some]), _unit(table, right[0], right[1][some])
        found[some] = np.einsum("nd,nd->n", one, other)
    return found


def _from_class_means(examples: Examples, table: Table, side: Side) -> FloatArray:
    if examples.labels is None:
        raise ValueError("labelled text without labels has no classes to compare with")
    _, labels, counts = np.unique(examples.labels, return_inverse=True, return_counts=True)
    blocks = [slice(start, start + BLOCK) for start in range(0, len(labels), BLOCK)]
    sums = np.zeros((len(counts), _unit(table, side, examples.anchors[:1]).shape[1]))
    for some in blocks:
        np.add.at(sums, labels[some], _unit(table, side, examples.anchors[some]))
    scores = np.full(len(labels), np.nan)
    for some in blocks:
        rows = _unit(table, side, examples.anchors[some])
        others = sums[labels[some]] - rows
        norms = np.linalg.norm(others, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            scores[some] = 1.0 - np.einsum("nd,nd->n", rows, others) / norms
    scores[counts[labels] < 2] = np.nan
    return scores
