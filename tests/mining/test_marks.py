"""A person's marks, read from every format, and what is wrong with them said by row."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import DataError
from sbert_triplet.mining.marks import Marks, read_marks

ROWS = [
    {"query": "first query", "document": "a document", "mark": "positive"},
    {"query": "First  Query", "document": "NA", "mark": " Negative "},
    {"query": "second query", "document": "a document", "mark": "ignore"},
    {"query": "second query", "document": "17", "mark": ""},
    {"query": "unknown", "document": "a document", "mark": "positive"},
]


@pytest.fixture
def texts() -> TextTable:
    table = TextTable()
    table.add(["first query", "second query", "a document", "NA", "17"])
    return table


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        lines = [",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]
        path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_marks_are_read_by_text(tmp_path: Path, texts: TextTable, suffix: str) -> None:
    path = write(tmp_path / f"marks{suffix}", ROWS)
    marks = read_marks(path, texts.lookup, len(texts), cache_dir=tmp_path)
    assert marks.positives.tolist() == [[0, 2]]
    assert marks.negatives.tolist() == [[0, 3]]
    assert marks.ignored.tolist() == [[1, 2]]
    assert marks.unknown == 1
    assert len(marks) == 3
    assert marks.blocked.tolist() == [[0, 2], [1, 2]]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_marks_are_read_by_id_where_texts_are_missing(tmp_path: Path, texts: TextTable, suffix: str) -> None:
    rows = [
        {"query_id": 0, "document_id": 4, "mark": "negative"},
        {"query_id": 1, "document_id": 2, "mark": ""},
    ]
    marks = read_marks(write(tmp_path / f"m{suffix}", rows), texts.lookup, len(texts), cache_dir=tmp_path)
    assert (marks.negatives.tolist(), len(marks)) == ([[0, 4]], 1)


def test_texts_count_where_ids_are_there_too(tmp_path: Path, texts: TextTable) -> None:
    """Ids are of the data that the file was made from, which may have changed since."""
    rows = [{"query_id": 3, "document_id": 3, "query": "first query", "document": "17", "mark": "positive"}]
    marks = read_marks(write(tmp_path / "m.parquet", rows), texts.lookup, len(texts), cache_dir=tmp_path)
    assert marks.positives.tolist() == [[0, 4]]


def test_the_same_mark_twice_is_one(tmp_path: Path, texts: TextTable) -> None:
    path = write(tmp_path / "m.jsonl", [ROWS[0], ROWS[0]])
    assert read_marks(path, texts.lookup, len(texts), cache_dir=tmp_path).positives.tolist() == [[0, 2]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"query": "a", "document": "b"}], "no column 'mark'; there are query, document"),
        ([{"query": "a", "mark": "ignore"}], "query and document, or query_id and document_id"),
        ([ROWS[0] | {"mark": "false"}], "row 1: the mark is 'false'.*positive, negative, ignore"),
        (
            [ROWS[0], ROWS[0] | {"mark": "negative"}],
            "row 2 marks a pair as negative, and row 1 .* as positive",
        ),
        ([ROWS[3], ROWS[0] | {"query": ""}], "row 2: query is empty"),
        ([{"query_id": 0, "document_id": 5, "mark": "ignore"}], "row 1: document_id is 5; .* texts 0 to 4"),
        ([{"query_id": "x", "document_id": "1", "mark": "ignore"}], "row 1: query_id is 'x', not the number"),
    ],
)
def test_what_is_wrong_is_said_by_row(
    tmp_path: Path, texts: TextTable, rows: list[dict[str, object]], message: str
) -> None:
    path = write(tmp_path / "marks.jsonl", rows)
    with pytest.raises(DataError, match=message) as caught:
        read_marks(path, texts.lookup, len(texts), cache_dir=tmp_path)
    assert str(path) in str(caught.value)


def test_no_marks() -> None:
    marks = Marks.none()
    assert (len(marks), marks.blocked.shape) == (0, (0, 2))
    assert marks.positives.dtype == np.int64
