"""Reading files: every cell as written, and for what cannot be read the place where it is."""

from __future__ import annotations

import csv
import gzip
import json
import random
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.data.sources import Table, load_source
from sbert_triplet.errors import DataError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def load(name: str, content: str | bytes) -> Table:
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    loaded = load_source(path)
    assert isinstance(loaded, Table)
    return loaded


def columns(name: str, content: str | bytes) -> dict[str, list[object]]:
    found: dict[str, list[object]] = load(name, content).dataset.to_dict()
    return found


def refused(name: str, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        load(name, content)
    message = str(caught.value)
    assert name in message
    assert "\n" not in message
    return message


class TestDelimited:
    def test_words_that_pandas_takes_for_nothing_stay_text(self) -> None:
        words = ["NA", "null", "nan", "None", "N/A", "NaN", "-", "#N/A", "true"]
        assert columns("a.csv", "t,u\n" + "".join(f"{word},x\n" for word in words))["t"] == words

    def test_an_empty_cell_is_null(self) -> None:
        assert columns("a.csv", 'a,b\n,x\n"",y\n') == {"a": [None, None], "b": ["x", "y"]}

    @pytest.mark.parametrize(
        ("cells", "expected"),
        [
            (["1", "-2", ""], [1, -2, None]),
            ([" 1", "2 "], [1, 2]),
            (["0", "10"], [0, 10]),
            (["1", "2.5", ".5", "1e-3", "-0.0"], [1.0, 2.5, 0.5, 0.001, 0.0]),
            (["999999999999999999"], [999999999999999999]),
            # Identifiers, telephone numbers and words are no numbers.
            (["007", "010"], ["007", "010"]),
            (["+41791234567"], ["+41791234567"]),
            (["12345678901234567890"], ["12345678901234567890"]),
            (["1234567890123456789", "1.5"], ["1234567890123456789", "1.5"]),
            (["1e999"], ["1e999"]),
            (["1", "nan"], ["1", "nan"]),
            (["1", "inf"], ["1", "inf"]),
            (["1", "1,5"], ["1", "1,5"]),
            (["1_000"], ["1_000"]),
            (["٣"], ["٣"]),
            ([" a ", "b"], [" a ", "b"]),
            (["", ""], [None, None]),
        ],
    )
    def test_numbers_are_what_nothing_else_can_be(self, cells: list[str], expected: list[object]) -> None:
        quoted = "".join(f'"{cell}",x\n' for cell in cells)
        found = load("a.csv", "n,t\n" + quoted).dataset
        assert found["n"][:] == expected
        kinds = {int: "int64", float: "float64", str: "string", type(None): "string"}
        assert found.features["n"].dtype == kinds[type(expected[0])]

    def test_one_word_far_down_makes_the_column_text(self) -> None:
        found = columns("a.csv", "n\n" + "1\n" * 25_000 + "x\n")["n"]
        assert found == ["1"] * 25_000 + ["x"]

    def test_one_fraction_far_down_makes_the_column_fractions(self) -> None:
        found = load("a.csv", "n\n" + "1\n" * 25_000 + "0.5\n").dataset
        assert found.features["n"].dtype == "float64"
        assert found["n"][:] == [1.0] * 25_000 + [0.5]

    def test_quoted_cells(self) -> None:
        found = columns("a.csv", 'a,b\r\n"x\r\ny","he said ""hi"", twice"\r\n5" pipe,z\r\n')
        assert found == {"a": ["x\r\ny", '5" pipe'], "b": ['he said "hi", twice', "z"]}

    @pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_byte_order_mark_and_line_ends(self, mark: bytes, end: str) -> None:
        found = columns("a.csv", mark + end.join(["a,b", "x,ü", "y,z", ""]).encode())
        assert found == {"a": ["x", "y"], "b": ["ü", "z"]}

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
    def test_encodings_with_a_mark(self, encoding: str) -> None:
        assert columns("a.csv", "a,b\nü,z\n".encode(encoding)) == {"a": ["ü"], "b": ["z"]}

    def test_packed(self) -> None:
        assert columns("a.csv.gz", gzip.compress(b"a,b\nx,y\n", mtime=0)) == {"a": ["x"], "b": ["y"]}
        assert columns("a.tsv.gz", gzip.compress(b"a\tb\nx\ty\n", mtime=0)) == {"a": ["x"], "b": ["y"]}

    def test_a_cell_of_megabytes(self) -> None:
        limit = csv.field_size_limit()
        found = columns("a.csv", f"a,b\n{'x' * 5_000_000},y\n")
        assert found == {"a": ["x" * 5_000_000], "b": ["y"]}
        assert csv.field_size_limit() == limit

    def test_blank_lines_are_no_rows(self) -> None:
        assert columns("a.csv", "\n\na,b\n\nx,y\n\n\nz,w\n") == {"a": ["x", "z"], "b": ["y", "w"]}

    @pytest.mark.parametrize(
        ("content", "expected", "note"),
        [
            ("a;b\nx, y;1\nz;2\n", {"a": ["x, y", "z"], "b": [1, 2]}, "separated by semicolon"),
            ("a|b\nx;y|1\n", {"a": ["x;y"], "b": [1]}, "separated by bar"),
            ("a\tb\nx\ty\n", {"a": ["x"], "b": ["y"]}, "separated by tab"),
            ("a,b\nx;y,z;w\n", {"a": ["x;y"], "b": ["z;w"]}, None),
            ("text\nplain; simple\n", {"text": ["plain; simple"]}, None),
        ],
    )
    def test_delimiters(self, content: str, expected: dict[str, list[object]], note: str | None) -> None:
        loaded = load("a.csv", content)
        assert loaded.dataset.to_dict() == expected
        assert loaded.notes == ((note,) if note else ())

    def test_tabs_with_and_without_quoting(self) -> None:
        assert columns("a.tsv", 'a\tb\n"x\ty"\t1\n') == {"a": ["x\ty"], "b": [1]}
        loaded = load("b.tsv", 'a\tb\n"hello" she said\tx\n5" pipe\ty\n')
        assert loaded.dataset.to_dict() == {"a": ['"hello" she said', '5" pipe'], "b": ["x", "y"]}
        assert loaded.notes == ("separated by tab, double quotes taken as they stand",)

    def test_a_column_without_a_name(self) -> None:
        assert columns("a.csv", ",text\n0,x\n1,y\n") == {"column_1": [0, 1], "text": ["x", "y"]}

    def test_several_files_make_one_table(self) -> None:
        Path("d").mkdir()
        Path("d/1.csv").write_text("a,n\nx,1\n")
        Path("d/2.csv").write_text("n,a\n2.5,y\n")
        loaded = load_source("d")
        assert loaded.dataset.to_dict() == {"a": ["x", "y"], "n": [1.0, 2.5]}  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "is empty"),
            (" \n\n", "is empty"),
            ("a,b\n", "has a header (a, b) and no rows"),
            ('"a\nb",c\n', "has a header ('a\\nb', c) and no rows"),
            (",".join(f"c{k}" for k in range(30)), "c19, and 10 more) and no rows"),
            ("a,b\n1,2\nx,y,z\n", "row 2 (line 3) has 3 cells, the header has 2 (a, b)"),
            ('a,b\n"1\n2",3\nx\n', "row 2 (line 4) has 1 cells"),
            ("a,b,a\n1,2,3\n", "'a' more than once"),
            ('a,b\nx,y\n"open,z\nu,v\n', "line 3: a double quote opens a cell here and is never closed"),
            ('a,b\n"x" y,z\n', "line 2: text follows the closing double quote"),
            ("a,b\nx,y\ncafé,z\n".encode("latin-1"), "line 3, byte 4 of the line (0xE9) is not UTF-8"),
            ("a,b\nü,y\n".encode("utf-16")[:-1], "starts like UTF-16"),
            (random.Random(0).randbytes(5000), "is not text"),
            (b"PAR1....", "is parquet"),
            (b"PK\x03\x04....", "Excel"),
            (gzip.compress(b"a,b\nx,y\n", mtime=0), "let its name end in .gz"),
        ],
    )
    def test_what_cannot_be_read(self, content: str | bytes, said: str) -> None:
        assert said in refused("a.csv", content)

    def test_undecodable_bytes_far_down(self) -> None:
        content = b"a,b\n" + b"x,y\n" * 100_000 + b"x,\xff\n"
        assert "line 100002, byte 3 of the line (0xFF)" in refused("a.csv", content)

    def test_packed_files_that_are_cut_or_not_packed(self) -> None:
        whole = gzip.compress(random.Random(0).randbytes(3000).hex().encode())
        assert "cut short" in refused("a.csv.gz", whole[:500])
        assert "is not a gzip file" in refused("b.csv.gz", b"a,b\nx,y\n")


TWO_OBJECTS = '{"t": "x", "n": 1}', '{"t": "y", "m": ["p", "q"]}'
TWO_ROWS = [{"t": "x", "n": 1, "m": None}, {"t": "y", "n": None, "m": ["p", "q"]}]


class TestJson:
    @pytest.mark.parametrize(
        ("name", "form"),
        [
            ("a.jsonl", "{}\n{}"),
            ("a.ndjson", "\ufeff{}\r\n\r\n{}\r\n"),
            ("a.json", "[{}, {}]"),
            ("a.json", " [\n {} ,\n\n {}\n]\n"),
            ("a.json", '{{"version": [1, {{"a": "}}"}}], "data": [{}, {}], "more": {{}}}}'),
            ("a.json", "{}\n{}\n"),
            ("a.jsonl", "[{}, {}]"),
        ],
    )
    def test_forms(self, name: str, form: str) -> None:
        assert load(name, form.format(*TWO_OBJECTS)).dataset.to_list() == TWO_ROWS

    def test_packed(self) -> None:
        content = gzip.compress("\n".join(TWO_OBJECTS).encode())
        assert load("a.jsonl.gz", content).dataset.to_list() == TWO_ROWS

    def test_values_stay_as_they_are(self) -> None:
        row = {"d": "2020-01-01", "t": "12:30", "s": "007", "e": "", "u": "\u2028 \x85", "b": True, "x": 1.5}
        row |= {"message": {"role": "user", "content": "hi"}, "type": "user", "z": "a\0b"}
        found = load("a.jsonl", json.dumps(row) + "\n").dataset
        assert found.to_list() == [row]
        assert found.features["d"].dtype == "string"

    def test_kinds_that_widen(self) -> None:
        lines = [{"n": 1, "l": [], "k": None}] * 15_000 + [{"n": 0.5, "l": ["x"], "k": "late"}]
        found = load("a.jsonl", "\n".join(map(json.dumps, lines))).dataset
        assert found[0] == {"n": 1.0, "l": [], "k": None}
        assert found[15_000] == lines[15_000]

    def test_values_longer_than_a_piece_of_the_file(self) -> None:
        rows = [{"t": "x" * 3_000_000, "n": 10**15}, {"t": "é" * 1_500_000, "n": 7}]
        assert load("a.json", json.dumps(rows, indent=1, ensure_ascii=False)).dataset.to_list() == rows

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("a.jsonl", "", "is empty"),
            ("a.json", "  \n", "is empty"),
            ("a.json", "[]", "holds no rows"),
            ("a.json", '{"data": []}', "holds no rows"),
            ("a.json", '{"t": "x"}', "holds a single object (keys: 't')"),
            ("a.json", "12", "where an object or an array should begin"),
            ("a.json", '[{"t": 1},\n{"t": 2', "line 2 is not valid JSON: the file ends in the midst"),
            ("a.json", '[{"t": 1}', "line 1 is not valid JSON: the file ends too early"),
            ("a.json", '[{"t": 1},]', "line 1 is not valid JSON"),
            ("a.json", '[{"t": 1}] x', "'x' follows the end"),
            ("a.json", '[{"t": 1}\n{"t": 2}]', "line 2 is not valid JSON"),
            ("a.json", "[1]", "holds a number, not an object"),
            ("a.json", "[" * 100_000, "nested too deeply"),
            ("a.json", '{"a": 1, "a": 2}', "'a' stands twice"),
            ("a.json", '{["a"]: 1}', "an array stands where a key should"),
            ("a.json", '[{"a": 1, "a": 2}]', "'a' stands twice"),
            ("a.jsonl", '{"t": "x"}\n{"t": \n', "line 2 is not valid JSON"),
            ("a.jsonl", '{"t": "x"}\n\n["y"]\n', "line 3 holds an array"),
            ("a.jsonl", "{}\n", "row 1 (line 1) is an object without keys"),
            ("a.jsonl", '{"a": 1, "a": 2}\n', "line 1 is not valid JSON: the key 'a' stands twice"),
            (
                "a.jsonl",
                '{"a": "x"}\n\n{"a": 1}\n',
                "'a' holds a number in row 2 (line 3), and a text",
            ),
            ("a.jsonl", '{"a": ["x", 1]}\n', "column 'a' in row 1 (line 1)"),
            ("a.jsonl", '{"a": ["x"]}\n' * 10_000 + '{"a": [1]}\n', "a column changes its type"),
            (
                "a.jsonl",
                '{"a": "x"}\n{"a": "y \\udc00"}',
                "'a' in row 2 (line 2): half of a surrogate",
            ),
            ("a.jsonl", '{"a": 1}\n{"a": 1' + "0" * 30 + "}", "in row 2 (line 2): the number 10"),
            ("a.jsonl", '{"a": "é"}'.encode("latin-1"), "line 1, byte 8 of the line (0xE9)"),
            ("a.jsonl", b"\x00\x01\x02", "is not text"),
        ],
    )
    def test_what_cannot_be_read(self, name: str, content: str | bytes, said: str) -> None:
        assert said in refused(name, content)


class TestParquet:
    def write(self, name: str, rows: pa.Table) -> Path:
        pq.write_table(rows, name)
        return Path(name)

    def test_encodings_of_text(self) -> None:
        texts = ["x", None, "y"]
        self.write(
            "a.parquet",
            pa.table(
                {
                    "plain": texts,
                    "coded": pa.array(texts).dictionary_encode(),
                    "large": pa.array(texts, pa.large_string()),
                    "view": pa.array(texts, pa.string_view()),
                }
            ),
        )
        found = load_source("a.parquet").dataset.to_dict()  # type: ignore[union-attr]
        assert list(found.values()) == [texts] * 4

    def test_names_of_classes_are_kept(self) -> None:
        features = datasets.Features(
            {"t": datasets.Value("string"), "c": datasets.ClassLabel(names=["no", "yes"])}
        )
        datasets.Dataset.from_dict({"t": ["a"], "c": [1]}, features=features).to_parquet("a.parquet")
        assert load_source("a.parquet").dataset.features["c"].names == ["no", "yes"]  # type: ignore[union-attr]

    def test_more_rows_than_a_batch(self) -> None:
        numbers = list(range(25_000))
        self.write("a.parquet", pa.table({"n": numbers}))
        assert load_source("a.parquet").dataset["n"][:] == numbers  # type: ignore[union-attr]

    def test_what_cannot_be_read(self) -> None:
        whole = self.write("w.parquet", pa.table({"t": [str(n) for n in range(5000)]})).read_bytes()
        assert "not a complete one" in refused("a.parquet", whole[:-40])
        assert "is no parquet file" in refused("b.parquet", b"")
        assert "is no parquet file" in refused("c.parquet", b"t\nx\n")
        damaged = bytearray(whole)
        damaged[200:260] = b"\xff" * 60
        assert "parquet" in refused("d.parquet", bytes(damaged))

    def test_no_rows(self) -> None:
        self.write("w.parquet", pa.table({"t": pa.array([], pa.string())}))
        assert "has columns (t) and no rows" in refused("w.parquet", Path("w.parquet").read_bytes())

    def test_text_that_is_no_utf_8(self) -> None:
        buffers = pa.array([b"fine", b"\xff\xfe"], pa.binary()).buffers()
        wrong = pa.StringArray.from_buffers(2, buffers[1], buffers[2])
        self.write("w.parquet", pa.table({"t": wrong}))
        assert "column 't', row 2: the text is not UTF-8" in refused(
            "w.parquet", Path("w.parquet").read_bytes()
        )


class TestFormats:
    def test_an_unknown_one(self) -> None:
        assert "understood are .csv, .tsv" in refused("a.xlsx", b"PK\x03\x04")

    def test_every_bad_file_leaves_the_folder_as_it_was(self) -> None:
        Path("a.csv").write_bytes(b"a,b\n1\n")
        with pytest.raises(DataError):
            load_source("a.csv")
        assert [path.name for path in Path().iterdir()] == ["a.csv"]

    def test_the_same_rows_give_the_same_fingerprint(self, here: Path) -> None:
        rows = pa.table({"t": ["a", None, "ü"], "n": [1, None, 3], "x": [0.25, -1.5, None]})
        pq.write_table(rows, here / "r.parquet")
        (here / "r.csv").write_text("t,n,x\na,1,0.25\n,,-1.5\nü,3,\n", encoding="utf-8")
        (here / "r.tsv").write_text("t\tn\tx\na\t1\t0.25\n\t\t-1.5\nü\t3\t\n", encoding="utf-8")
        lines = "\n".join(map(json.dumps, rows.to_pylist()))
        (here / "r.jsonl").write_text(lines, encoding="utf-8")
        (here / "r.json").write_text(json.dumps({"data": rows.to_pylist()}), encoding="utf-8")
        prints = {load_source(f"r.{kind}").fingerprint for kind in ("parquet", "csv", "tsv", "jsonl", "json")}
        assert prints == {load_source(rows.to_pylist()).fingerprint}
