"""Documents out of a corpus: a file, a folder, data of retrieval, or a data set on the Hub; row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from sbert_triplet.data.beir import RetrievalFolder
from sbert_triplet.data.sources import Source, load_source
from sbert_triplet.data.templates import Template, parse_template
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError
from sbert_triplet.search.ingest import Document, plain_metadata

_IDS = ("_id", "id", "document_id", "doc_id", "docid")
_TEXTS = ("text", "body", "content", "document", "passage")
_AT_ONCE = 1000


@dataclass(frozen=True)
class Corpus:
    """Rows that are documents, and which columns are taken for what."""

    name: str
    rows: datasets.Dataset
    id: str | None
    text: Template
    metadata: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def sentence(self) -> str:
        """What was taken for what, for people."""
        text = listed(self.text.columns)
        beside = f", metadata: {listed(self.metadata)}" if self.metadata else ""
        id = self.id or "number of the row"
        return f"{self.name}: {len(self):,} documents (id: {id}, text: {text}{beside})"

    def __iter__(self) -> Iterator[Document]:
        """Documents in order, a few rows in memory at a time. Raises DataError for a row without an id."""
        for first in range(0, len(self.rows), _AT_ONCE):
            some = self.rows[first : first + _AT_ONCE]
            for place in range(len(next(iter(some.values())))):
                yield self._document(first + place, {name: some[name][place] for name in some})

    def _document(self, number: int, row: dict[str, Any]) -> Document:
        where = f"{self.name}, row {number + 1:,}"
        id = str(number + 1) if self.id is None else row[self.id]
        if id is None or isinstance(id, dict | list):
            raise DataError(f"{where}: column {self.id!r} holds no id")
        parts = [self.text.literals[0]]
        for column, literal in zip(self.text.columns, self.text.literals[1:], strict=True):
            value = row[column]
            if value is not None and not isinstance(value, str | int | float):
                raise DataError(f"{where}: column {column!r} holds {type(value).__name__}, not a text")
            parts += ["" if value is None else str(value), literal]
        text = "".join(parts).strip()
        return Document(str(id), text, plain_metadata({name: row[name] for name in self.metadata}))


def read_corpus(
    source: Source,
    *,
    id: str | None = None,
    text: str | None = None,
    metadata: Sequence[str] | None = None,
) -> Corpus:
    """The documents of ``source`` (``data.sources.load_source``); of data of retrieval its corpus.

    ``id``: the column of ids; by default one of the usual names, else the number of the row. ``text``: a
    column, or a template as ``"{title}\\n{text}"``; by default title and text where there are such.
    ``metadata``: columns; by default all others that hold plain values. Raises DataError for a column that
    is not there.
    """
    loaded = load_source(source)
    rows = loaded.corpus if isinstance(loaded, RetrievalFolder) else loaded.dataset
    columns = list(rows.column_names)
    id = id or next((name for name in _IDS if name in columns), None)
    if id is not None and id not in columns:
        raise DataError(f"{loaded.name}: there is no column {id!r} for ids; it has {listed(columns)}")
    template = _text(loaded.name, text, columns)
    if metadata is None:
        used = {id, *template.columns}
        metadata = [name for name in columns if name not in used and _is_plain(rows.features[name])]
    elif unknown := [name for name in metadata if name not in columns]:
        raise DataError(f"{loaded.name}: there is no column {unknown[0]!r}; it has {listed(columns)}")
    return Corpus(loaded.name, rows, id, template, tuple(metadata))


def read_queries(source: str) -> list[str]:
    """Queries to look at: the lines of a ``.txt`` file, else the column ``query`` or ``text`` of a source."""
    path = Path(source).expanduser()
    if path.suffix == ".txt" and path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        return [line.strip() for line in lines if line.strip()]
    loaded = load_source(source)
    rows = loaded.queries if isinstance(loaded, RetrievalFolder) else loaded.dataset
    column = next((name for name in ("query", "question", "text") if name in rows.column_names), None)
    if column is None:
        raise DataError(f"{loaded.name}: no column query or text; it has {listed(rows.column_names)}")
    return [str(value) for value in rows[column] if value]


def _text(name: str, text: str | None, columns: Sequence[str]) -> Template:
    if text is None:
        found = next((one for one in _TEXTS if one in columns), None)
        if found is None:
            raise DataError(
                f"{name}: which column is the text? Name it with --text; it has {listed(columns)}"
            )
        text = f"{{title}}\n{{{found}}}" if "title" in columns else f"{{{found}}}"
    elif text in columns:
        text = f"{{{text}}}"
    try:
        return parse_template(text, columns)
    except DataError as error:
        raise DataError(f"{name}: --text {text!r}: {error}") from error


def _is_plain(feature: Any) -> bool:
    return isinstance(feature, datasets.Value) and feature.dtype not in ("binary", "large_binary", "null")
