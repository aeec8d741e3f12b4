"""Files that would fill memory or disk, that are damaged, or that hold what no table can: one clear error."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.data import delimited, json_files, parquet_files, text_files, unpacking
from sbert_triplet.data.headers import MOST_COLUMNS
from sbert_triplet.data.nested import MOST_DEPTH
from sbert_triplet.data.sources import load_source
from sbert_triplet.errors import DataError

Refused = Callable[[str, bytes], str]
PAIR = {"question": "how?", "answer": "so"}


@pytest.fixture
def refused(tmp_path: Path) -> Refused:
    """``refused(name, content)``: what is said of such a file, with its path as its name alone."""

    def said(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            load_source(tmp_path / name, cache_dir=tmp_path / "cache")
        return str(caught.value).replace(str(tmp_path / name), name)

    return said


def loaded(path: Path) -> list[dict[str, Any]]:
    return load_source(path, cache_dir=path.parent / "cache").dataset.to_list()  # type: ignore[union-attr]


def lists_inside(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize("depth", [50, 900, 100_000])
def test_json_nested_deeply(depth: int, refused: Refused) -> None:
    deep = json.dumps(PAIR)[:-1] + ', "more": ' + "[" * depth + "]" * depth + "}"
    lines = json.dumps(PAIR) + "\n" + deep
    for name, content in (("t.jsonl", lines), ("t.json", f"[{json.dumps(PAIR)},\n{deep}]")):
        message = refused(name, content.encode())
        assert message.startswith(f"{name}: ")
        assert "line 2" in message
        assert "nested" in message


def test_parquet_nested_deeply(refused: Refused, tmp_path: Path) -> None:
    deep = pa.array([1])
    for _ in range(MOST_DEPTH):
        deep = pa.StructArray.from_arrays([deep], ["a"])
    pq.write_table(pa.table({"question": ["a"], "more": deep}), tmp_path / "t.parquet")
    message = refused("t.parquet", (tmp_path / "t.parquet").read_bytes())
    assert message == f"t.parquet: column 'more' is nested more than {MOST_DEPTH} deep."


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet"])
def test_every_format_refuses_too_many_columns(name: str, refused: Refused, tmp_path: Path) -> None:
    row = {f"c{number}": "x" for number in range(MOST_COLUMNS + 1)}
    mark = "\t" if name == "t.tsv" else ","
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "t.parquet")
    content = {
        "t.jsonl": json.dumps(row).encode(),
        "t.json": json.dumps([row]).encode(),
        "t.parquet": (tmp_path / "t.parquet").read_bytes(),
    }.get(name, f"{mark.join(row)}\n{mark.join(row.values())}\n".encode())
    message = refused(name, content)
    assert "1,001 columns" in message
    assert message.startswith(f"{name}: ")


def test_columns_are_counted_over_all_rows(refused: Refused) -> None:
    """Rows that have a key of their own each would make a table as wide as it is long."""
    rows = "\n".join(json.dumps({**PAIR, f"k{number}": "x"}) for number in range(MOST_COLUMNS))
    assert "1,002 columns" in refused("t.jsonl", rows.encode())


def test_a_zero_far_behind_the_head(refused: Refused) -> None:
    lines = ["question,answer", *(f"how {number}?,so" for number in range(9_000))]
    lines[8_000] = "how\0?,so"
    assert len("\n".join(lines[:8_000])) > 1 << 16
    message = refused("t.csv", "\n".join(lines).encode())
    assert message == "t.csv: is not text: line 8001, character 4 is zero, as in binary files."


def test_utf_32_is_named(refused: Refused) -> None:
    content = "question,answer\nhow?,so\n".encode("utf-32")
    assert refused("t.csv", content) == "t.csv: is text in UTF-32; save it as UTF-8."


def test_the_place_of_an_undecodable_byte(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    """Found piece by piece, also where a piece ends within a letter and where the file does."""
    monkeypatch.setattr(text_files, "_PIECE_BYTES", 5)
    line = "ä,öüß€\n".encode()
    assert "line 3, byte 8 of the line (0xFF)" in refused("a.csv", 2 * line + line[:7] + b"\xff" + line[7:])
    assert "line 2, byte 13 of the line (0xE2)" in refused("b.csv", line + line[:-1] + b"\xe2\x82")


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.json"])
def test_lines_and_values_without_end(name: str, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (text_files, json_files, delimited):
        monkeypatch.setattr(module, "LONGEST", 1_000)
    monkeypatch.setattr(json_files, "_CHUNK", 100)
    long = "x" * 3_000
    if name.startswith("t.j"):
        message = refused(name, f'[{json.dumps(PAIR)},\n{{"question": "{long}"}}]'.encode())
        content = f'{json.dumps(PAIR)}\n{{"question": "{long}"}}'
        message = refused(name, content.encode()) if name == "t.jsonl" else message
    else:
        mark = "\t" if name == "t.tsv" else ","
        message = refused(name, f"a{mark}b\n{long}{mark}c\n".encode())
    assert message.startswith(f"{name}: line 2")
    assert "1,000 characters" in message


def test_a_quote_that_is_never_closed_ends_with_the_longest_row(
    refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delimited, "LONGEST", 1_000)
    rows = "".join(f"how {number}?,so\n" for number in range(500))
    message = refused("t.csv", f'question,answer\nhow?,so\n"why?,so\n{rows}'.encode())
    assert "t.csv: line 3: a row of more than" in message
    assert "is a double quote never closed?" in message


def test_gzip_that_unpacks_too_far(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ALLOWED_BYTES", 100_000)
    monkeypatch.setattr(unpacking, "MOST_TIMES", 20)
    rows = b"question,answer\n" + b"how?,so\n" * 50_000
    packed = gzip.compress(rows)
    message = refused("t.csv.gz", packed)
    assert message.startswith(f"t.csv.gz: is {len(packed):,} bytes and unpacks to more than 100,000")
    monkeypatch.setattr(unpacking, "_SMALL_BYTES", 0)
    assert refused("t.csv.gz", packed) == message


def test_gzip_of_ordinary_texts_unpacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ALLOWED_BYTES", 1_000)
    draw = np.random.default_rng(1)
    rows = [{"question": f"how {draw.integers(10**9)}?", "answer": "so"} for _ in range(500)]
    lines = "\n".join(map(json.dumps, rows)).encode()
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(lines))
    assert len(lines) > 10 * 1_000
    assert loaded(tmp_path / "t.jsonl.gz") == rows


def test_parquet_that_unpacks_too_far(refused: Refused, tmp_path: Path) -> None:
    """One text in very many rows: 6 GB in a file of some kilobytes."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 6_000, pa.int32()), pa.array(["x" * 1_000_000]))
    pq.write_table(pa.table({"question": [str(n) for n in range(6_000)], "answer": texts}), tmp_path / "t")
    content = (tmp_path / "t").read_bytes()
    assert len(content) < 200_000
    before = pa.total_allocated_bytes()
    assert "unpacks to more than 1,073,741,824" in refused("t.parquet", content)
    assert pa.total_allocated_bytes() - before < 10_000_000


def test_parquet_with_texts_kept_once_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_files, "_BATCH_BYTES", 50)
    monkeypatch.setattr(parquet_files, "_BATCH_ROWS", 7)
    rows = [
        {"question": f"how {n}?", "answer": None if n % 5 == 0 else "so" * (n % 3), "n": n} for n in range(40)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "t.parquet", use_dictionary=True)
    tables = list(parquet_files.parquet_tables(tmp_path / "t.parquet"))
    assert len(tables) > 6
    assert all(table.schema.types == [pa.string(), pa.string(), pa.int64()] for table in tables)
    assert pa.concat_tables(tables).to_pylist() == rows
    assert loaded(tmp_path / "t.parquet") == rows


def test_different_texts_are_counted_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 texts of 60 bytes in 40 batches, each of which brings the texts of those before it along."""
    monkeypatch.setattr(parquet_files, "_BATCH_ROWS", 50)
    monkeypatch.setattr(parquet_files, "ALLOWED_SPELLED_OUT", 400_000)
    monkeypatch.setattr(unpacking, "MOST_TIMES", 1)
    texts = [f"{number:060d}" for number in range(2_000)]
    pq.write_table(pa.table({"question": texts}), tmp_path / "t.parquet")
    tables = list(parquet_files.parquet_tables(tmp_path / "t.parquet"))
    assert pa.concat_tables(tables)["question"].to_pylist() == texts
    monkeypatch.setattr(parquet_files, "ALLOWED_SPELLED_OUT", 100_000)
    with pytest.raises(DataError, match="unpacks to more than 100,000"):
        list(parquet_files.parquet_tables(tmp_path / "t.parquet"))


@pytest.mark.parametrize("use_dictionary", [True, False])
def test_broken_text_in_parquet_is_found_by_row(
    use_dictionary: bool, refused: Refused, tmp_path: Path
) -> None:
    cells = [b"same", b"other"] * 3_000
    cells[4_500] = b"br\xffken"
    texts = pa.array(cells, pa.binary()).view(pa.string())
    pq.write_table(pa.table({"question": texts}), tmp_path / "t", use_dictionary=use_dictionary)
    message = refused("t.parquet", (tmp_path / "t").read_bytes())
    assert message == "t.parquet: column 'question', row 4501: the text is not UTF-8."


def test_parquet_with_maps(tmp_path: Path) -> None:
    maps = pa.array([[("k", 1), ("l", 2)], None, []], pa.map_(pa.string(), pa.int64()))
    pq.write_table(pa.table({"question": ["a", "b", "c"], "more": maps}), tmp_path / "t.parquet")
    pairs = [[{"key": "k", "value": 1}, {"key": "l", "value": 2}], None, []]
    assert [row["more"] for row in loaded(tmp_path / "t.parquet")] == pairs


def test_parquet_with_a_type_that_is_not_read(refused: Refused, tmp_path: Path) -> None:
    maps = pa.array([[[("k", 1)]]], pa.list_(pa.map_(pa.string(), pa.int64())))
    pq.write_table(pa.table({"question": ["a"], "more": maps}), tmp_path / "t")
    message = refused("t.parquet", (tmp_path / "t").read_bytes())
    assert message.startswith("t.parquet: column 'more' holds list<")
    assert message.endswith("which is not read. Leave it out.")


def test_a_checksum_of_a_parquet_page_is_looked_at(refused: Refused, tmp_path: Path) -> None:
    """A flipped bit that leaves the text readable is found where the file has checksums."""
    table = pa.table({"question": ["an unusual question"], "answer": ["so"]})
    plain: dict[str, Any] = {"use_dictionary": False, "write_statistics": False, "compression": "none"}
    pq.write_table(table, tmp_path / "t", write_page_checksum=True, **plain)
    content = bytearray((tmp_path / "t").read_bytes())
    content[content.index(b"unusual")] ^= 1
    assert "crc checksum" in refused("t.parquet", bytes(content)).lower()


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied", "gone", "record"])
def test_a_kept_table_that_was_damaged_is_read_anew(damage: str, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("\n".join([json.dumps(PAIR)] * 3), encoding="utf-8")
    assert loaded(tmp_path / "t.jsonl") == [PAIR] * 3
    (kept,) = (tmp_path / "cache" / "tables").glob("*.arrow")
    content = bytearray(kept.read_bytes())
    content[content.index(b"how?")] ^= 1
    if damage == "record":
        kept.with_suffix(".json").write_text('["notes of an earlier form"]', encoding="utf-8")
    elif damage == "gone":
        kept.unlink()
    else:
        kept.write_bytes({"flipped": bytes(content), "cut": content[:-100], "emptied": b""}[damage])
    assert loaded(tmp_path / "t.jsonl") == [PAIR] * 3


def test_a_kept_table_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t.jsonl").write_text(json.dumps(PAIR), encoding="utf-8")
    loaded(tmp_path / "t.jsonl")
    monkeypatch.setattr("sbert_triplet.data.files.arrow_dataset", None)
    assert loaded(tmp_path / "t.jsonl") == [PAIR]


def test_a_grade_that_is_no_finite_number_is_found_by_file_and_row(tmp_path: Path) -> None:
    parts = {"queries": [{"_id": "q", "text": "a"}], "corpus": [{"_id": "d", "text": "b"}]}
    for name, rows in parts.items():
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\tnan\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"qrels\.tsv: column 'score' in row 1 is no finite number"):
        load_source(tmp_path, cache_dir=tmp_path / "cache")


def test_rows_given_in_python_are_held_to_the_same(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="column 'more' in row 2: nested more than"):
        load_source([PAIR, {**PAIR, "more": lists_inside(100)}])
    with pytest.raises(DataError, match="1,001 columns"):
        load_source([{f"c{number}": "x" for number in range(MOST_COLUMNS + 1)}])
    assert isinstance(load_source([PAIR]).dataset, datasets.Dataset)  # type: ignore[union-attr]
