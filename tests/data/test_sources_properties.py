"""Whatever text a table holds comes back from a file as it went in."""

from __future__ import annotations

import csv
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import datasets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sbert_triplet.data.sources import load_source, take_rows
from sbert_triplet.errors import DataError

COLUMNS = ("anchor", "positive", "label")
# A text that no csv reader can take for a number or for nothing, with quotes, marks and line breaks.
marks = st.sampled_from(list('",;\t|\n\r\\ \u2028\x85\ufeff'))
texts = st.text(st.one_of(marks, st.characters(exclude_categories=["Cs"], exclude_characters="\0"))).map(
    lambda text: f"{text}x"
)
cells = st.one_of(st.none(), texts)
tables = st.lists(st.tuples(cells, cells, texts), min_size=1, max_size=8)
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def loaded(name: str, content: bytes) -> Iterator[datasets.Dataset]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        yield load_source(path, cache_dir=Path(folder) / "cache").dataset  # type: ignore[union-attr]


def rows_of(dataset: datasets.Dataset) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in COLUMNS) for row in dataset.to_list()]


def as_csv(rows: list[tuple[str | None, ...]], delimiter: str, end: str, quoting: int) -> bytes:
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
        writer.writerows([COLUMNS, *rows])
        file.seek(0)
        return file.read().encode()


# Python's writer leaves a carriage return unquoted unless it is part of the line end.
@quick
@given(tables, st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\n", csv.QUOTE_ALL), ("\r\n", csv.QUOTE_ALL)]))
def test_csv(rows: list[tuple[str | None, ...]], form: tuple[str, int]) -> None:
    with loaded("a.csv", as_csv(rows, ",", *form)) as found:
        assert rows_of(found) == rows


@quick
@given(tables)
def test_tsv_with_every_cell_quoted(rows: list[tuple[str | None, ...]]) -> None:
    with loaded("a.tsv", as_csv(rows, "\t", "\n", csv.QUOTE_ALL)) as found:
        assert rows_of(found) == rows


@quick
@given(tables, st.booleans(), st.sampled_from([None, 1]))
def test_json_and_jsonl(rows: list[tuple[str | None, ...]], ascii_only: bool, indent: int | None) -> None:
    objects = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    lines = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in objects)
    # A lone object in a .json file is refused: it may be one row, and a mapping of columns as well.
    for name, content in (
        ("a.jsonl", lines),
        ("a.json" if len(rows) > 1 else "a.ndjson", lines),
        ("b.json", json.dumps(objects, ensure_ascii=ascii_only, indent=indent)),
        ("c.json", json.dumps({"about": [1], "data": objects}, ensure_ascii=ascii_only, indent=indent)),
    ):
        with loaded(name, content.encode()) as found:
            assert rows_of(found) == rows


@quick
@given(tables)
def test_parquet_and_rows_in_memory(rows: list[tuple[str | None, ...]]) -> None:
    objects = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    given_rows = load_source(objects)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "a.parquet"
        given_rows.dataset.to_parquet(path)  # type: ignore[union-attr]
        found = load_source(path, cache_dir=Path(folder) / "cache")
        assert rows_of(found.dataset) == rows  # type: ignore[union-attr]
        assert found.fingerprint == given_rows.fingerprint


@quick
@given(st.lists(st.one_of(st.none(), st.integers(-(10**17), 10**17)), min_size=1, max_size=8))
def test_csv_integers(numbers: list[int | None]) -> None:
    content = "n,t\n" + "".join(f"{'' if number is None else number},x\n" for number in numbers)
    with loaded("a.csv", content.encode()) as found:
        assert found["n"][:] == numbers


@quick
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1, max_size=8))
def test_csv_fractions(numbers: list[float]) -> None:
    small = [number for number in numbers if abs(number) < 1e15] + [0.5]
    content = "n,t\n" + "".join(f"{number!r},x\n" for number in small)
    with loaded("a.csv", content.encode()) as found:
        assert found["n"][:] == small


@quick
@given(
    st.sampled_from(["a.csv", "a.tsv", "a.json", "a.jsonl", "a.parquet", "a.csv.gz", "a.jsonl.gz"]),
    st.one_of(
        st.binary(max_size=200),
        st.text('{}[]",:\n\r\t ab1\\\ufeffü', max_size=60).map(str.encode),
    ),
)
def test_junk_is_read_or_refused(name: str, content: bytes) -> None:
    said = name
    try:
        with loaded(name, content) as found:
            assert len(found) > 0
    except DataError as error:
        said = str(error)
    assert name in said
    assert "\n" not in said


@quick
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_a_larger_limit_keeps_the_rows_of_a_smaller_one(size: int, one: int, other: int) -> None:
    rows = datasets.Dataset.from_dict({"n": list(range(size))})
    few, many = (take_rows(rows, limit)["n"][:] for limit in sorted((one, other)))
    assert len(few) == min(one, other, size)
    assert set(few) <= set(many)
    assert few == sorted(few)
