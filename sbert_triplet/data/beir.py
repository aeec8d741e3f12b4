"""Retrieval data in the layout of BEIR (Thakur et al. 2021, arXiv:2104.08663)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from sbert_triplet.data.beir_files import is_retrieval_folder, judgement_files, only_file
from sbert_triplet.data.discovery import canonical_split
from sbert_triplet.data.files import load_files
from sbert_triplet.data.fingerprint import combined, fingerprint
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

__all__ = ["RetrievalFolder", "is_retrieval_folder", "load_retrieval_folder", "retrieval_of_tables"]

_ID_NAMES = ("_id", "id")
_QUERY_NAMES = ("query-id", "query_id", "qid")
_DOCUMENT_NAMES = ("corpus-id", "corpus_id", "document_id", "doc_id", "docid", "pid")
_SCORE_NAMES = ("score", "relevance", "rel", "label")


@dataclass(frozen=True)
class RetrievalFolder:
    """Queries, documents and judgements.

    ``queries``: _id, text; ``corpus``: _id, title, text; further plain columns of the files follow
    these. ``judgements``: split name -> query_id, document_id, score. Every id is a text, occurs
    once in its table, and every judged id is known.
    """

    name: str
    origin: str
    queries: datasets.Dataset
    corpus: datasets.Dataset
    judgements: dict[str, datasets.Dataset]
    fingerprint: str
    notes: tuple[str, ...] = ()


def load_retrieval_folder(
    folder: Path, *, split: str | None = None, cache_dir: Path | None = None
) -> RetrievalFolder:
    """Load ``corpus``, ``queries`` and ``qrels`` (jsonl, json, csv, tsv or parquet), and check their ids.

    ``qrels`` is a folder with one file a split, or one file, which is the split ``train``. ``split``
    keeps the judgements of one split. Raises DataError for missing columns, empty tables, ids that
    are null or repeated, judged ids that are unknown, and a pair judged twice with different scores.
    """
    notes: list[str] = []
    files = judgement_files(folder)
    if split is not None:
        files = {name: path for name, path in files.items() if name == canonical_split(split)}
        if not files:
            found = listed(sorted(judgement_files(folder)))
            raise DataError(f"{folder}: there are no judgements for the split {split!r}; found {found}.")
    queries = _queries(_read(only_file(folder, "queries"), notes, cache_dir), notes)
    corpus = _corpus(_read(only_file(folder, "corpus"), notes, cache_dir), notes)
    judgements = {
        name: _judgements(_read(path, notes, cache_dir), queries["_id"], corpus["_id"], notes)
        for name, path in files.items()
    }
    return _folder(folder.name or str(folder), "folder", queries, corpus, judgements, notes)


def retrieval_of_tables(
    name: str,
    origin: str,
    *,
    queries: datasets.Dataset,
    corpus: datasets.Dataset,
    judgements: Mapping[str, datasets.Dataset],
) -> RetrievalFolder:
    """Three tables that lie apart (of the Hub, mostly), with the columns and checks of a folder.

    ``judgements``: by split. ``name`` is what messages call the three. Raises as ``load_retrieval_folder``.
    """
    notes: list[str] = []
    asked = _queries(_of(name, "queries", queries), notes)
    ranked = _corpus(_of(name, "corpus", corpus), notes)
    judged = {
        split: _judgements(_of(name, f"qrels/{split}", table), asked["_id"], ranked["_id"], notes)
        for split, table in judgements.items()
    }
    return _folder(name, origin, asked, ranked, judged, notes)


@dataclass(frozen=True)
class _Read:
    """A table, and what it is called: ``where`` in errors, ``short`` in notes."""

    where: str
    short: str
    table: pa.Table


def _read(path: Path, notes: list[str], cache_dir: Path | None) -> _Read:
    dataset, found = load_files([path], cache_dir=cache_dir, numbers=False)
    notes.extend(f"{path.name}: {note}" for note in found)
    return _Read(str(path), path.name, dataset.data.table)


def _of(name: str, part: str, dataset: datasets.Dataset) -> _Read:
    return _Read(f"{name}, {part}", part, dataset.with_format("arrow")[:])


def _folder(
    name: str,
    origin: str,
    queries: pa.Table,
    corpus: pa.Table,
    judgements: Mapping[str, pa.Table],
    notes: Sequence[str],
) -> RetrievalFolder:
    judged = {split: datasets.Dataset(table) for split, table in judgements.items()}
    texts = {"queries": datasets.Dataset(queries), "corpus": datasets.Dataset(corpus)}
    parts = texts | {f"qrels/{split}": part for split, part in judged.items()}
    return RetrievalFolder(
        name=name,
        origin=origin,
        queries=texts["queries"],
        corpus=texts["corpus"],
        judgements=judged,
        fingerprint=combined({part: fingerprint(table) for part, table in parts.items()}),
        notes=tuple(dict.fromkeys(notes)),
    )


def _queries(read: _Read, notes: list[str]) -> pa.Table:
    return _texts(read, ("_id", "text"), notes)


def _corpus(read: _Read, notes: list[str]) -> pa.Table:
    return _texts(read, ("_id", "title", "text"), notes)


def _texts(read: _Read, wanted: tuple[str, ...], notes: list[str]) -> pa.Table:
    """The wanted columns first, as texts; then the further plain ones."""
    where, table = read.where, read.table
    id_name = _find(where, table, _ID_NAMES)
    columns: dict[str, pa.ChunkedArray] = {"_id": _ids(where, table, id_name)}
    for name in wanted[1:]:
        if name == "title" and name not in table.column_names:
            columns[name] = pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
            continue
        columns[name] = table[_find(where, table, (name,))]
        if not _is_text(columns[name].type):
            raise DataError(f"{where}: column {name!r} holds {columns[name].type}, not text.")
    _refuse_repeated(where, columns["_id"])
    left_out = []
    for name in table.column_names:
        if name not in columns and name != id_name:
            if pa.types.is_nested(table[name].type):
                left_out.append(name)
            else:
                columns[name] = table[name]
    if left_out:
        notes.append(f"{read.short}: nested columns not used: {listed(left_out)}")
    return pa.table(columns)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _find(where: str, table: pa.Table, names: Sequence[str]) -> str:
    for name in names:
        if name in table.column_names:
            return name
    raise DataError(f"{where}: needs a column {names[0]!r}; it has {listed(table.column_names)}.")


def _ids(where: str, table: pa.Table, name: str) -> pa.ChunkedArray:
    column = table[name]
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py() + 1
        raise DataError(f"{where}: {column.null_count} rows have no {name!r}, first row {row}.")
    if pa.types.is_floating(column.type) or pa.types.is_nested(column.type):
        raise DataError(f"{where}: column {name!r} holds {column.type}; an id is a text or an integer.")
    return column.cast(pa.string())


def _refuse_repeated(where: str, ids: pa.ChunkedArray) -> None:
    counts = pc.value_counts(ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        raise DataError(f"{where}: {_count(repeated, 'id')} occurs more than once: {_first(repeated)}.")


def _judgements(
    read: _Read, queries: pa.ChunkedArray, documents: pa.ChunkedArray, notes: list[str]
) -> pa.Table:
    where, table = read.where, read.table
    found = {
        "query_id": _ids(where, table, _find(where, table, _QUERY_NAMES)),
        "document_id": _ids(where, table, _find(where, table, _DOCUMENT_NAMES)),
        "score": _scores(where, table),
    }
    for name, known, those in (("query_id", queries, "queries"), ("document_id", documents, "corpus")):
        strange = pc.unique(found[name].filter(pc.invert(pc.is_in(found[name], pc.unique(known)))))
        if len(strange):
            raise DataError(f"{where}: {_count(strange, 'id')} is not in {those}: {_first(strange)}.")
    return _once(read, pa.table(found), notes)


def _scores(where: str, table: pa.Table) -> pa.ChunkedArray:
    names = [name for name in _SCORE_NAMES if name in table.column_names]
    if not names:
        return pa.chunked_array([pa.repeat(pa.scalar(1, pa.int64()), table.num_rows)])
    column = table[names[0]]
    for kind in (pa.int64(), pa.float64()):
        try:
            scores = column.cast(kind)
        except pa.ArrowInvalid:
            continue
        if scores.null_count:
            row = pc.index(scores.is_null(), True).as_py() + 1
            raise DataError(f"{where}: {scores.null_count} rows have no {names[0]!r}, first row {row}.")
        row = pc.index(pc.is_finite(scores), False).as_py() + 1
        if row:
            raise DataError(f"{where}: column {names[0]!r} in row {row} is no finite number.")
        return scores
    raise DataError(f"{where}: column {names[0]!r} holds something that is no number.")


def _once(read: _Read, table: pa.Table, notes: list[str]) -> pa.Table:
    """One row for each judged pair."""
    pairs = table.group_by(["query_id", "document_id"], use_threads=False)
    grouped = pairs.aggregate([("score", "min"), ("score", "max"), ("score", "count")])
    if len(grouped) == len(table):
        return table
    differing = grouped.filter(pc.not_equal(grouped["score_min"], grouped["score_max"]))
    if len(differing):
        query, document = differing["query_id"][0].as_py(), differing["document_id"][0].as_py()
        raise DataError(
            f"{read.where}: {len(differing)} pairs are judged more than once with different scores, "
            f"first query {query!r} with document {document!r}."
        )
    notes.append(f"{read.short}: {len(table) - len(grouped)} judgements stood twice and count once")
    return pa.table(
        {**{name: grouped[name] for name in ("query_id", "document_id")}, "score": grouped["score_min"]}
    )


def _count(values: pa.Array, noun: str) -> str:
    return f"1 {noun}" if len(values) == 1 else f"each of {len(values)} {noun}s"


def _first(values: pa.Array) -> str:
    shown = ", ".join(repr(value.as_py()) for value in values[:3])
    return f"{shown}, ..." if len(values) > 3 else shown
