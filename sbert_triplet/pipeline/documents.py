"""The documents that search ranks: of every split, and of ``data.corpus``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence

import datasets
import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.bad_cells import BadCells
from sbert_triplet.data.build import build_examples
from sbert_triplet.data.cells import scan_cells
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.data.templates import columns_of
from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import DataError

IntArray = NDArray[np.int64]
DOCUMENT_COLUMNS = ("text", "document", "passage", "body", "content")


def document_role(dataset: datasets.Dataset, positives: Sequence[str], name: str) -> str:
    """The column or template that holds the documents of a corpus.

    That of the positives where the corpus has it, else a column with the name of a document, else
    the only column. Raises DataError where none of these is there.
    """
    names = list(dataset.column_names)
    for role in positives:
        with contextlib.suppress(DataError):
            columns_of(role, names)
            return role
    found = [column for column in DOCUMENT_COLUMNS if column in names]
    if found or len(names) == 1:
        return (found or names)[0]
    wanted = ", ".join([*positives, *(column for column in DOCUMENT_COLUMNS if column not in positives)])
    raise DataError(
        f"data.corpus: {name} has the columns {', '.join(names)}, and none of these names is one of a "
        f"document ({wanted}); rename the column of the documents to text"
    )


def scan_documents(dataset: datasets.Dataset, role: str) -> BadCells:
    """The documents that cannot be used."""
    return scan_cells(dataset, _roles(role))


def document_ids(dataset: datasets.Dataset, role: str, texts: TextTable, bad: BadCells) -> IntArray:
    """Text ids of the documents, without the bad ones."""
    return build_examples(dataset, _roles(role), texts, skip=bad.rows).anchors


def pool_of(parts: Iterable[Examples], documents: Sequence[IntArray]) -> IntArray:
    """The text ids of every document that any split or corpus knows."""
    found = list(documents)
    for part in parts:
        if part.positives is not None and part.kind not in (Kind.SCORED, Kind.LABELLED):
            found.append(part.positives)
        if part.negatives is not None:
            found.append(part.negatives.values)
    return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


def documents_seen(train: Examples, test: Examples, given: IntArray | None = None) -> float | None:
    """The share of the documents that are right for test queries and occur in training rows.

    ``given``: text ids of negatives that rows had for a part of the training.
    """
    if train.positives is None or test.positives is None or not len(test):
        return None
    relevant = test.positives
    if test.kind is Kind.RETRIEVAL and test.scores is not None:
        relevant = relevant[test.scores > 0]
    documents, seen = np.unique(relevant), train.positives
    if train.negatives is not None:
        seen = np.concatenate([seen, train.negatives.values])
    if given is not None:
        seen = np.concatenate([seen, given])
    return float(np.isin(documents, seen).mean()) if len(documents) else None


def _roles(role: str) -> Roles:
    return Roles(kind=Kind.LABELLED, anchor=role)
