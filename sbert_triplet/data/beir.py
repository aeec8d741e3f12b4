"""Retrieval data in the layout of BEIR (Thakur et al. 2021, arXiv:2104.08663)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.compute as pc

from sbert_triplet.data.discovery import canonical_split, stem_of, suffix_of
from sbert_triplet.data.files import load_files
from sbert_triplet.data.fingerprint import combined, fingerprint
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

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


def is_retrieval_folder(folder: Path) -> bool:
    """Whether the folder holds corpus, queries and qrels."""
    return all(_named(folder, name) for name in ("corpus", "queries")) and bool(_qrels_files(folder))


def load_retrieval_folder(
    folder: Path, *, split: str | None = None, cache_dir: Path | None = None
) -> RetrievalFolder:
    """Load ``corpus``, ``queries`` and ``qrels`` (jsonl, json, csv, tsv or parquet), and check their ids.

    ``qrels`` is a folder with one file a split, or one file, which is the split ``train``. ``split``
    keeps the judgements of one split. Raises DataError for missing columns, empty tables, ids that
    are null or repeated, judged ids that are unknown, and a pair judged twice with different scores.
    """
    notes: list[str] = []
    files = _judgement_files(folder)
    if split is not None:
        files = {name: path for name, path in files.items() if name == canonical_split(split)}
        if not files:
            found = listed(sorted(_judgement_files(folder)))
            raise DataError(f"{folder}: there are no judgements for the split {split!r}; found {found}.")
    queries = _texts(_only(folder, "queries"), ("_id", "text"), notes, cache_dir)
    corpus = _texts(_only(folder, "corpus"), ("_id", "title", "text"), notes, cache_dir)
    judgements = {
        name: _judgements(path, queries["_id"], corpus["_id"], notes, cache_dir)
        for name, path in files.items()
    }
    judged = {name: datasets.Dataset(table) for name, table in judgements.items()}
    texts = {"queries": datasets.Dataset(queries), "corpus": datasets.Dataset(corpus)}
    parts = texts | {f"qrels/{name}": part for name, part in judged.items()}
    return RetrievalFolder(
        name=folder.name or str(folder),
        origin="folder",
        queries=texts["queries"],
        corpus=texts["corpus"],
        judgements=judged,
        fingerprint=combined({name: fingerprint(part) for name, part in parts.items()}),
        notes=tuple(dict.fromkeys(notes)),
    )


def _named(folder: Path, name: str) -> list[Path]:
    return sorted(path for path in folder.glob(f"{name}.*") if suffix_of(path) and stem_of(path) == name)


def _only(folder: Path, name: str) -> Path:
    found = _named(folder, name)
    if len(found) > 1:
        raise DataError(f"{folder}: holds {' and '.join(path.name for path in found)}; keep one of them.")
    return found[0]


def _qrels_files(folder: Path) -> list[Path]:
    inside = folder / "qrels"
    if inside.is_dir():
        return sorted(path for path in inside.iterdir() if path.is_file() and suffix_of(path))
    return _named(folder, "qrels")


def _judgement_files(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in _qrels_files(folder):
        name = "train" if path.parent == folder else canonical_split(stem_of(path))
        if name in files:
            raise DataError(
                f"{folder}: {files[name].name} and {path.name} both judge the split {name!r}; keep one."
            )
        files[name] = path
    return files


def _table(path: Path, notes: list[str], cache_dir: Path | None) -> pa.Table:
    dataset, found = load_files([path], cache_dir=cache_dir, numbers=False)
    notes.extend(f"{path.name}: {note}" for note in found)
    table: pa.Table = dataset.data.table
    return table


def _texts(path: Path, wanted: tuple[str, ...], notes: list[str], cache_dir: Path | None) -> pa.Table:
    """The wanted columns first, as texts; then the further plain ones."""
    table = _table(path, notes, cache_dir)
    id_name = _find(path, table, _ID_NAMES)
    columns: dict[str, pa.ChunkedArray] = {"_id": _ids(path, table, id_name)}
    for name in wanted[1:]:
        if name == "title" and name not in table.column_names:
            columns[name] = pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
            continue
        columns[name] = table[_find(path, table, (name,))]
        if not _is_text(columns[name].type):
            raise DataError(f"{path}: column {name!r} holds {columns[name].type}, not text.")
    _refuse_repeated(path, columns["_id"])
    left_out = []
    for name in table.column_names:
        if name not in columns and name != id_name:
            if pa.types.is_nested(table[name].type):
                left_out.append(name)
            else:
                columns[name] = table[name]
    if left_out:
        notes.append(f"{path.name}: nested columns not used: {listed(left_out)}")
    return pa.table(columns)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _find(path: Path, table: pa.Table, names: Sequence[str]) -> str:
    for name in names:
        if name in table.column_names:
            return name
    raise DataError(f"{path}: needs a column {names[0]!r}; it has {listed(table.column_names)}.")


def _ids(path: Path, table: pa.Table, name: str) -> pa.ChunkedArray:
    column = table[name]
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py() + 1
        raise DataError(f"{path}: {column.null_count} rows have no {name!r}, first row {row}.")
    if pa.types.is_floating(column.type) or pa.types.is_nested(column.type):
        raise DataError(f"{path}: column {name!r} holds {column.type}; an id is a text or an integer.")
    return column.cast(pa.string())


def _refuse_repeated(path: Path, ids: pa.ChunkedArray) -> None:
    counts = pc.value_counts(ids)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    if len(repeated):
        raise DataError(f"{path}: {_count(repeated, 'id')} occurs more than once: {_first(repeated)}.")


def _judgements(
    path: Path, queries: pa.ChunkedArray, documents: pa.ChunkedArray, notes: list[str], cache_dir: Path | None
) -> pa.Table:
    table = _table(path, notes, cache_dir)
    found = {
        "query_id": _ids(path, table, _find(path, table, _QUERY_NAMES)),
        "document_id": _ids(path, table, _find(path, table, _DOCUMENT_NAMES)),
        "score": _scores(path, table),
    }
    for name, known, where in (("query_id", queries, "queries"), ("document_id", documents, "corpus")):
        strange = pc.unique(found[name].filter(pc.invert(pc.is_in(found[name], pc.unique(known)))))
        if len(strange):
            raise DataError(f"{path}: {_count(strange, 'id')} is not in {where}: {_first(strange)}.")
    return _once(path, pa.table(found), notes)


def _scores(path: Path, table: pa.Table) -> pa.ChunkedArray:
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
            raise DataError(f"{path}: {scores.null_count} rows have no {names[0]!r}, first row {row}.")
        return scores
    raise DataError(f"{path}: column {names[0]!r} holds something that is no number.")


def _once(path: Path, table: pa.Table, notes: list[str]) -> pa.Table:
    """One row for each judged pair."""
    pairs = table.group_by(["query_id", "document_id"], use_threads=False)
    grouped = pairs.aggregate([("score", "min"), ("score", "max"), ("score", "count")])
    if len(grouped) == len(table):
        return table
    differing = grouped.filter(pc.not_equal(grouped["score_min"], grouped["score_max"]))
    if len(differing):
        query, document = differing["query_id"][0].as_py(), differing["document_id"][0].as_py()
        raise DataError(
            f"{path}: {len(differing)} pairs are judged more than once with different scores, "
            f"first query {query!r} with document {document!r}."
        )
    notes.append(f"{path.name}: {len(table) - len(grouped)} judgements stood twice and count once")
    return pa.table(
        {**{name: grouped[name] for name in ("query_id", "document_id")}, "score": grouped["score_min"]}
    )


def _count(values: pa.Array, noun: str) -> str:
    return f"1 {noun}" if len(values) == 1 else f"each of {len(values)} {noun}s"


def _first(values: pa.Array) -> str:
    shown = ", ".join(repr(value.as_py()) for value in values[:3])
    return f"{shown}, ..." if len(values) > 3 else shown
