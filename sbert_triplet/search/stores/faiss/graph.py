"""A graph over embeddings, for collections that are too large to compare with every passage.

HNSW: Malkov and Yashunin 2018, arXiv 1603.09320; by faiss: Douze et al. 2024, arXiv 2401.08281. The graph
finds candidates; the files of embeddings put them in order. It can be made again from these at any time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss as library
import numpy as np
from numpy.typing import NDArray

from sbert_triplet.search.store import FloatMatrix
from sbert_triplet.search.stores.faiss.columns import Columns

faiss: Any = library
SIMILARITIES = ("cosine", "dot", "euclidean")
LINKS, BREADTH_BUILDING, BREADTH = 32, 128, 128
_AT_ONCE = 1 << 16
_TRAINED_ON = 1 << 16
_LIST_END = -1


class Graph:
    """A graph over the first ``rows`` rows of a collection."""

    def __init__(self, index: Any, binary: bool) -> None:
        self._index, self._binary = index, binary

    @property
    def rows(self) -> int:
        """How many rows it knows; later ones have to be compared one by one."""
        return int(self._index.ntotal)

    @classmethod
    def over(cls, columns: Columns, similarity: str) -> Graph:
        """An empty one that suits the columns."""
        width, binary = columns.dimensions, columns.precision == "binary"
        if binary:
            index = faiss.IndexBinaryHNSW(8 * -(-width // 8), LINKS)
        else:
            metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
            kinds = {"fp16": faiss.ScalarQuantizer.QT_fp16, "int8": faiss.ScalarQuantizer.QT_8bit}
            if columns.precision in kinds:
                index = faiss.IndexHNSWSQ(width, kinds[columns.precision], LINKS, metric)
                index.train(columns.numbers(np.arange(min(columns.rows, _TRAINED_ON))))
            else:
                index = faiss.IndexHNSWFlat(width, LINKS, metric)
        index.hnsw.efConstruction = BREADTH_BUILDING
        return cls(index, binary)

    @classmethod
    def read(cls, file: Path, binary: bool, *, mapped: bool = True) -> Graph:
        """One that was written; ``mapped``: from the file as it is needed, and not to be added to."""
        # Before faiss 1.11 a graph is read into memory.
        flags = getattr(faiss, "IO_FLAG_MMAP_IFC", 0) if mapped else 0
        return cls((faiss.read_index_binary if binary else faiss.read_index)(str(file), flags), binary)

    def write(self, file: Path) -> None:
        """To a file."""
        (faiss.write_index_binary if self._binary else faiss.write_index)(self._index, str(file))

    def add(self, columns: Columns) -> None:
        """The rows that it does not know yet."""
        while self.rows < columns.rows:
            part = np.arange(self.rows, min(self.rows + _AT_ONCE, columns.rows))
            rows = columns.bits(part) if self._binary else columns.numbers(part)
            self._index.add(np.ascontiguousarray(rows))

    def candidates(
        self, queries: FloatMatrix, k: int, allowed: NDArray[np.bool_] | None
    ) -> list[NDArray[np.int64]]:
        """About k of the nearest rows of each query (Q, D), in no order; ``allowed``: (rows,) which."""
        k = min(k, self.rows)
        if self._binary:
            # It searches its graph by neither filter nor breadth of the call.
            self._index.hnsw.efSearch = max(BREADTH, 2 * k)
            _, found = self._index.search(np.packbits(queries > 0, axis=1), k)
            kept = [row[row != _LIST_END] for row in found]
            return kept if allowed is None else [row[allowed[row]] for row in kept]
        options: dict[str, Any] = {"efSearch": max(BREADTH, 2 * k)}
        if allowed is not None:
            bits = np.packbits(allowed[: self.rows], bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(bits)
        _, found = self._index.search(
            np.ascontiguousarray(queries), k, params=faiss.SearchParametersHNSW(**options)
        )
        return [row[row != _LIST_END] for row in found]
