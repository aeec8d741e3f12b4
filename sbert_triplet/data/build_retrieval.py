"""Queries, documents and judgements (the BEIR layout) become Examples."""

from __future__ import annotations

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sbert_triplet.data.cell_reading import batches, read_numbers, read_texts
from sbert_triplet.data.examples import Examples, IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.texts import TextTable, text_ids
from sbert_triplet.errors import DataError


def build_retrieval(
    queries: datasets.Dataset,
    corpus: datasets.Dataset,
    judgements: datasets.Dataset,
    texts: TextTable,
) -> tuple[Examples, IntArray]:
    """One row for each judgement, and (N,) the text ids of all documents of the corpus, in its order.

    ``queries``: columns _id, text. ``corpus``: _id, text, and title where there is one: a document is
    its title, a new line, its text. ``judgements``: query_id, document_id, score (the grade; above 0 is
    relevant). ``kept`` holds the query and document ids as given. Raises DataError for a missing
    column, an id that is null, comes twice or is judged and not there, a query without text, and a
    grade that is no finite number. A document without text is the empty text.
    """
    query_ids, query_texts = _collection(queries, "queries", texts, blank_allowed=False)
    document_ids, document_texts = _collection(corpus, "corpus", texts, blank_allowed=True)
    _need(judgements, "judgements", ("query_id", "document_id", "score"))
    table = pa.table({name: _ids(judgements, "judgements", name) for name in ("query_id", "document_id")})
    grades = [read_numbers(batch, "score") for _, batch in batches(judgements, ["score"])]
    scores = np.concatenate([np.zeros(0), *grades])
    if not np.isfinite(scores).all():
        raise DataError(
            f"judgements: row {np.flatnonzero(~np.isfinite(scores))[0] + 1}: score is no finite number"
        )
    examples = Examples(
        kind=Kind.RETRIEVAL,
        anchors=query_texts[_found(table["query_id"], query_ids, "query_id", "queries")],
        positives=document_texts[_found(table["document_id"], document_ids, "document_id", "the corpus")],
        row_numbers=np.arange(len(judgements), dtype=np.int64),
        scores=scores,
        kept=table,
    )
    return examples, document_texts


def _collection(
    dataset: datasets.Dataset, where: str, texts: TextTable, *, blank_allowed: bool
) -> tuple[pa.Array, IntArray]:
    """The ids of a collection and the text ids that belong to them."""
    _need(dataset, where, ("_id", "text"))
    ids = _ids(dataset, where, "_id")
    counts = pc.value_counts(ids)
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise DataError(
            f"{where}: _id {twice[0]['values'].as_py()!r} comes {twice[0]['counts'].as_py()} times"
        )
    titled = where == "corpus" and "title" in dataset.column_names
    role, columns = ("{title}\n{text}", ["title", "text"]) if titled else ("{text}", ["text"])
    parts = [np.zeros(0, dtype=np.int64)]
    for first, batch in batches(dataset, columns):
        cells = read_texts(batch, role, dataset.features)
        found = text_ids(cells.values, texts)
        blank = texts.lookup("")
        blank_rows = np.flatnonzero(found == (-1 if blank is None else blank))
        if blank_rows.size and not blank_allowed:
            raise DataError(f"{where}: row {first + int(blank_rows[0]) + 1}: no text")
        parts.append(found)
    return ids, np.concatenate(parts)


def _need(dataset: datasets.Dataset, where: str, columns: tuple[str, ...]) -> None:
    missing = [name for name in columns if name not in dataset.column_names]
    if missing:
        raise DataError(f"{where}: no column {missing[0]!r}; there are {', '.join(dataset.column_names)}")


def _ids(dataset: datasets.Dataset, where: str, column: str) -> pa.Array:
    """The ids of a column as strings, whatever type they were written in."""
    parts = [batch.column(column).cast(pa.large_string()) for _, batch in batches(dataset, [column])]
    chunks = [chunk for part in parts for chunk in part.chunks]
    ids = pa.concat_arrays(chunks) if chunks else pa.array([], pa.large_string())
    if ids.null_count:
        row = np.flatnonzero(ids.is_null().to_numpy(zero_copy_only=False))[0]
        raise DataError(f"{where}: row {row + 1}: {column} is null")
    return ids


def _found(wanted: pa.ChunkedArray, ids: pa.Array, column: str, where: str) -> IntArray:
    """The positions of the wanted ids."""
    at: IntArray = pc.fill_null(pc.index_in(wanted, value_set=ids), -1).to_numpy().astype(np.int64)
    unknown = np.flatnonzero(at < 0)
    if unknown.size:
        row = int(unknown[0])
        raise DataError(
            f"judgements: row {row + 1}: {column} {wanted[row].as_py()!r} is not in {where} "
            f"({unknown.size:,} of {len(at):,} judgements are like this)"
        )
    return at
