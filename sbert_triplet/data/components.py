"""Which rows belong together because they share texts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from sbert_triplet.data.examples import IntArray


def number_by_appearance(values: NDArray[np.generic]) -> IntArray:
    """(N,) numbers from 0, equal where ``values`` are equal, in the order in which values first appear."""
    _, first, inverse = np.unique(values, return_index=True, return_inverse=True)
    numbers = np.empty(len(first), dtype=np.int64)
    numbers[np.argsort(first, kind="stable")] = np.arange(len(first))
    result: IntArray = numbers[inverse.reshape(-1)]
    return result


def components(columns: Sequence[IntArray]) -> IntArray:
    """(N,) the component of each row, numbered in the order of its first row.

    ``columns``: each (N,) text ids. Two rows are in one component when a chain of rows leads
    from one to the other in which neighbours share a text, in whichever column it stands.
    """
    if len(columns) == 1:
        return number_by_appearance(columns[0])
    rows = len(columns[0])
    _, nodes = np.unique(np.concatenate(columns), return_inverse=True)
    nodes = nodes.reshape(len(columns), rows)
    size = int(nodes.max()) + 1 if rows else 0
    starts, ends = np.tile(nodes[0], len(columns) - 1), nodes[1:].reshape(-1)
    links = coo_matrix((np.ones(len(ends), dtype=np.int8), (starts, ends)), shape=(size, size))
    labels = connected_components(links, directed=False)[1]
    return number_by_appearance(labels[nodes[0]])


def rows_with_any(columns: Sequence[IntArray], ids: IntArray) -> NDArray[np.bool_]:
    """(N,) whether a row holds one of the text ids in one of the ``columns``, each (N,)."""
    found = np.zeros(len(columns[0]), dtype=bool)
    for column in columns:
        found |= np.isin(column, ids)
    return found
