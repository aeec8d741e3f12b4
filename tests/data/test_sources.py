"""What a source is taken for, and what comes back."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.data.hub import HubId, parse_hub_id
from sbert_triplet.data.sources import (
    RetrievalFolder,
    Source,
    SourceSpec,
    Table,
    discover_splits,
    load_source,
    take_rows,
)
from sbert_triplet.errors import DataError, MachineError

ROWS = [
    {"anchor": "how do I pay", "positive": "by card"},
    {"anchor": "where is it", "positive": "on its way"},
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def table(source: Source, **options: object) -> Table:
    loaded = load_source(source, **options)  # type: ignore[arg-type]
    assert isinstance(loaded, Table)
    return loaded


def write_jsonl(path: Path, rows: list[dict[str, object]] | list[dict[str, str]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def refused(source: object, **options: object) -> str:
    with pytest.raises(DataError) as caught:
        load_source(source, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestWhatItIs:
    def test_a_file_that_exists(self, here: Path) -> None:
        write_jsonl(here / "tickets.jsonl", ROWS)
        loaded = table("tickets.jsonl")
        assert (loaded.name, loaded.origin, loaded.dataset.to_list()) == ("tickets.jsonl", "file", ROWS)

    def test_relative_to_the_current_folder_or_that_of_the_recipe_and_never_by_luck(
        self, here: Path, tmp_path: Path
    ) -> None:
        recipes = tmp_path / "recipes"
        write_jsonl(recipes / "a.jsonl", [{"x": "of the recipe"}])
        assert table("a.jsonl", folder=recipes).dataset["x"][:] == ["of the recipe"]
        write_jsonl(here / "a.jsonl", [{"x": "of the current folder"}])
        assert table("a.jsonl", folder=here).dataset["x"][:] == ["of the current folder"]
        with pytest.raises(DataError, match="there are two"):
            table("a.jsonl", folder=recipes)

    def test_a_glob_reads_its_files_in_order_of_name(self, here: Path) -> None:
        for name in "bca":
            write_jsonl(here / f"part-{name}.jsonl", [{"x": name}])
        loaded = table("part-*.jsonl")
        assert (loaded.origin, loaded.dataset["x"][:]) == ("files", ["a", "b", "c"])

    def test_a_folder_named_like_a_hub_id_is_the_folder(self, here: Path) -> None:
        write_jsonl(here / "owner" / "name" / "rows.jsonl", ROWS)
        assert table("owner/name").origin == "folder"

    def test_rows_and_dataset_in_memory(self) -> None:
        given = table(ROWS)
        assert (given.origin, given.dataset.to_list()) == ("memory", ROWS)
        assert table(datasets.Dataset.from_list(ROWS)).fingerprint == given.fingerprint

    def test_rows_that_lack_keys_are_null_there(self) -> None:
        rows = [{"a": "x"}, {"b": ["p", "q"]}, {"b": [], "c": 1.5}]
        assert table(rows).dataset.to_list() == [
            {"a": "x", "b": None, "c": None},
            {"a": None, "b": ["p", "q"], "c": None},
            {"a": None, "b": [], "c": 1.5},
        ]

    def test_a_dataset_dict_gives_its_train_split(self) -> None:
        parts = datasets.DatasetDict(
            {name: datasets.Dataset.from_list([{"x": name}]) for name in ("validation", "train")}
        )
        assert table(parts).dataset["x"][:] == ["train"]
        assert table(parts, split="dev").dataset["x"][:] == ["validation"]
        assert "validation, train" in refused(parts, split="test")

    @pytest.mark.parametrize(
        ("source", "said"),
        [
            (5, "not a int"),
            ([], "there are none"),
            ([{"a": 1}, 2], "row 2 is a int"),
            ([{"a": "x"}, {"a": object()}], "column 'a'"),
            ([{"a": "fine"}, {"a": "cut \ud83d"}], "column 'a' in row 2: half of a surrogate pair"),
            ([{"a": "x"}, {"a": 1}], "column 'a' holds a number in row 2, and a text before"),
            ([{1: "x"}], "names of columns are texts"),
            (datasets.Dataset.from_dict({"a": []}), "there are none"),
            ("", "empty"),
            ("https://example.org/rows.csv", "download the file"),
            ("docstrings:json?cap=3", "not understood"),
            ("no\0path", "no"),
            ("~nobody-of-this-name/rows.csv", "no path"),
            ("x" * 5000, "no path"),
        ],
    )
    def test_what_is_no_source(self, source: object, said: str, here: Path) -> None:
        assert said in refused(source)


class TestMissing:
    def test_names_the_nearest(self, here: Path) -> None:
        write_jsonl(here / "tickets.jsonl", ROWS)
        assert refused("tikets.jsonl").endswith("did you mean tickets.jsonl?")
        assert refused("tickets.csv").endswith("did you mean tickets.jsonl?")

    def test_names_the_nearest_beside_the_recipe(self, here: Path, tmp_path: Path) -> None:
        write_jsonl(tmp_path / "recipes" / "tickets.jsonl", ROWS)
        said = refused("tikets.jsonl", folder=tmp_path / "recipes")
        assert said.endswith("did you mean tickets.jsonl?")
        assert refused("x.csv", folder=tmp_path / "recipes").startswith("no file or folder x.csv;")

    def test_names_what_is_there(self, here: Path) -> None:
        write_jsonl(here / "tickets.jsonl", ROWS)
        assert "holds tickets.jsonl" in refused("questions.parquet")

    def test_names_the_missing_folder(self, here: Path) -> None:
        assert "its folder" in refused("nowhere/questions.parquet")

    @pytest.mark.parametrize(
        "name", ["owner/rows.csv", "data/tickets", "./owner/name", "owner/rows.jsonl.gz"]
    )
    def test_what_looks_like_a_path_never_goes_to_the_hub(
        self, name: str, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (here / "data").mkdir()
        monkeypatch.setattr("sbert_triplet.data.sources.load_hub", None)
        assert refused(name).startswith("no file or folder")

    def test_a_path_object_never_goes_to_the_hub(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sbert_triplet.data.sources.load_hub", None)
        assert refused(Path("owner/name")).startswith("no file or folder")

    def test_config_on_a_path_is_refused(self, here: Path) -> None:
        write_jsonl(here / "a.jsonl", ROWS)
        assert "belong to a data set on the Hub" in refused(SourceSpec("a.jsonl", config="x"))

    def test_a_folder_without_tables(self, here: Path) -> None:
        (here / "notes").mkdir()
        (here / "notes" / "readme.txt").write_text("x")
        assert "holds no file that can be read" in refused("notes")


class TestSplits:
    def test_files_beside_each_other(self, here: Path) -> None:
        names = ["train.jsonl", "val.jsonl", "test.jsonl"]
        for name in names:
            write_jsonl(here / "data" / name, [{"x": name}])
        found = discover_splits(here / "data")
        assert {name: [file.name for file in files] for name, files in found.items()} == {
            "train": ["train.jsonl"],
            "dev": ["val.jsonl"],
            "test": ["test.jsonl"],
        }
        assert discover_splits(here / "data" / "val.jsonl") == found
        assert table("data").dataset["x"][:] == ["train.jsonl"]
        assert table("data", split="validation").dataset["x"][:] == ["val.jsonl"]
        assert table("data/train.jsonl").dataset["x"][:] == ["train.jsonl"]
        assert table("data/train.jsonl", split="test").dataset["x"][:] == ["test.jsonl"]
        assert table(SourceSpec("data", split="test")).dataset["x"][:] == ["test.jsonl"]
        assert any("dev (val.jsonl); test (test.jsonl)" in note for note in table("data").notes)

    def test_a_file_has_siblings_of_its_own_family_only(self, here: Path) -> None:
        for name in ("pairs_train", "triplets_train", "triplets_test", "snli_dev", "test"):
            write_jsonl(here / f"{name}.jsonl", ROWS)
        write_jsonl(here / "triplets_dev.json", ROWS)
        found = discover_splits(here / "triplets_train.jsonl")
        assert {name: [file.name for file in files] for name, files in found.items()} == {
            "train": ["triplets_train.jsonl"],
            "test": ["triplets_test.jsonl"],
        }

    @pytest.mark.parametrize(
        ("name", "split"),
        [
            ("train-00000-of-00002.jsonl", "train"),
            ("my.validation.jsonl", "dev"),
            ("en/test/part1.jsonl", "test"),
            ("faq-TEST.jsonl", "test"),
            ("contest.jsonl", "train"),
            ("latest_values.jsonl", "train"),
        ],
    )
    def test_the_word_that_names_the_split(self, here: Path, name: str, split: str) -> None:
        file = write_jsonl(here / "d" / name, ROWS)
        assert discover_splits(here / "d") == {split: [file]}

    def test_shards_make_one_split(self, here: Path) -> None:
        files = [write_jsonl(here / f"train-0000{k}-of-00002.jsonl", [{"x": k}]) for k in range(2)]
        assert discover_splits(files[0]) == {"train": files}
        assert table(here).dataset["x"][:] == [0, 1]

    def test_a_folder_without_names_of_splits_is_train(self, here: Path) -> None:
        files = [write_jsonl(here / f"{name}.jsonl", ROWS) for name in ("2023", "2024")]
        assert discover_splits(here) == {"train": files}
        assert len(table(here).dataset) == 4

    def test_what_belongs_to_no_split_is_told(self, here: Path) -> None:
        for name in ("train", "test", "extra"):
            write_jsonl(here / f"{name}.jsonl", [{"x": name}])
        loaded = table(here)
        assert loaded.dataset["x"][:] == ["train"]
        assert "left out, as their names tell no split: extra.jsonl" in loaded.notes

    def test_several_without_train_must_be_chosen(self, here: Path) -> None:
        for name in ("dev", "test"):
            write_jsonl(here / f"{name}.jsonl", ROWS)
        assert "there is no split 'train' here; found dev, test" in refused(str(here))

    def test_the_only_one_is_taken(self, here: Path) -> None:
        write_jsonl(here / "test.jsonl", [{"x": "only"}])
        assert table(here).dataset["x"][:] == ["only"]

    def test_an_unknown_split(self, here: Path) -> None:
        write_jsonl(here / "train.jsonl", ROWS)
        assert "no split 'test'" in refused(str(here), split="test")
        assert "no split 'gold'" in refused("train.jsonl", split="gold")

    def test_files_of_different_tables_are_refused(self, here: Path) -> None:
        for name, column in (("a", "x"), ("b", "y")):
            pq.write_table(pa.table({column: ["1"]}), here / f"{name}.parquet")
        assert "a.parquet has x; b.parquet has y" in refused(str(here))

    def test_files_of_different_formats_are_refused(self, here: Path) -> None:
        write_jsonl(here / "a.jsonl", ROWS)
        (here / "b.csv").write_text("x\n1\n")
        assert "different formats (csv, json)" in refused(str(here))


class TestLimit:
    def test_is_spread_and_nested_and_in_order(self) -> None:
        rows = datasets.Dataset.from_dict({"n": np.arange(1000)})
        few, more = take_rows(rows, 50)["n"][:], take_rows(rows, 200)["n"][:]
        assert len(few) == 50
        assert few == sorted(few)
        assert set(few) < set(more)
        counts = np.histogram(more, bins=4, range=(0, 1000))[0]
        assert counts.min() > 30
        assert take_rows(rows, 1000) is rows

    def test_in_a_spec(self, here: Path) -> None:
        write_jsonl(here / "r.jsonl", [{"n": number} for number in range(100)])
        loaded = table(SourceSpec("r.jsonl", limit=7))
        assert len(loaded.dataset) == 7
        assert "7 of 100 rows" in loaded.notes
        assert loaded.fingerprint != table("r.jsonl").fingerprint
        assert "must be 1 or more" in refused(SourceSpec("r.jsonl", limit=0))


class TestCache:
    def test_nothing_is_written_beside_the_data(self, here: Path, cache: Path) -> None:
        write_jsonl(here / "a.jsonl", ROWS)
        loaded = table("a.jsonl")
        loaded.dataset.map(lambda row: {"more": row["anchor"]})
        assert [path.name for path in here.iterdir()] == ["a.jsonl"]
        assert not [path for path in cache.rglob("*") if path.name.startswith(".writing")]

    def test_the_table_is_mapped_from_the_cache_folder(self, here: Path, cache: Path) -> None:
        write_jsonl(here / "a.jsonl", ROWS)
        (file,) = table("a.jsonl").dataset.cache_files
        assert Path(file["filename"]).is_relative_to(cache)

    def test_the_second_load_does_not_parse(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (here / "a.csv").write_text("x;y\n1;2\n")
        first = table("a.csv")
        (here / "moved").mkdir()
        (here / "a.csv").rename(here / "moved" / "b.csv")
        monkeypatch.setattr("sbert_triplet.data.files._read", None)
        second = table("moved/b.csv")
        assert (second.fingerprint, second.notes) == (first.fingerprint, ("separated by semicolon",))

    def test_changed_content_is_read_again(self, here: Path) -> None:
        (here / "a.csv").write_text("x\n1\n")
        table("a.csv")
        (here / "a.csv").write_text("x\n2\n")
        assert table("a.csv").dataset["x"][:] == [2]

    def test_a_damaged_cache_file_is_made_again(self, here: Path, cache: Path) -> None:
        (here / "a.csv").write_text("x\n1\n")
        expected = table("a.csv").fingerprint
        for file in cache.rglob("*.arrow"):
            file.write_bytes(b"junk")
        assert table("a.csv").fingerprint == expected

    def test_nothing_stays_of_a_table_that_failed(self, here: Path, cache: Path) -> None:
        (here / "a.csv").write_text("x,y\n" + "1,2\n" * 30_000 + "1,2,3\n")
        assert "row 30001 (line 30002) has 3 cells" in refused("a.csv")
        assert [path for path in cache.rglob("*") if path.is_file()] == []

    def test_a_cache_folder_that_cannot_be_written(self, here: Path, tmp_path: Path) -> None:
        (here / "a.csv").write_text("x\n1\n")
        blocked = tmp_path / "file"
        blocked.write_text("")
        with pytest.raises(MachineError, match="SBERT_TRIPLET_CACHE"):
            load_source("a.csv", cache_dir=blocked)

    def test_a_full_disk(self, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (here / "a.csv").write_text("x\n1\n")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("sbert_triplet.data.cache._write_runs", full)
        with pytest.raises(MachineError, match="No space left"):
            load_source("a.csv")


class TestHubId:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("owner/name", HubId("owner/name")),
            ("owner/na-me_1.2:config", HubId("owner/na-me_1.2", "config")),
            ("owner/name@v1.0", HubId("owner/name", revision="v1.0")),
            ("owner/name@refs/pr/3", HubId("owner/name", revision="refs/pr/3")),
            ("owner/name[dev]", HubId("owner/name", split="dev")),
            ("owner/name:a-b@main[train]", HubId("owner/name", "a-b", "main", "train")),
            ("name", None),
            ("a/b/c", None),
            ("./owner/name", None),
            ("../name", None),
            ("owner/name[", None),
            ("C:\\data\\rows.csv", None),
        ],
    )
    def test_grammar(self, text: str, expected: HubId | None) -> None:
        assert parse_hub_id(text) == expected


class TestSharedData:
    @pytest.mark.parametrize(
        ("name", "rows", "columns"),
        [
            ("stsb/train.parquet", 5749, ["sentence1", "sentence2", "score"]),
            ("banking77/train.parquet", 10003, ["text", "label"]),
            ("nli/triplets_train.parquet", 7078, ["anchor", "positive", "negative"]),
            ("medquad", 15575, ["anchor", "positive", "source", "qtype"]),
        ],
    )
    def test_real_tables(self, shared_data: Path, name: str, rows: int, columns: list[str]) -> None:
        loaded = table(shared_data / name)
        assert (len(loaded.dataset), loaded.dataset.column_names) == (rows, columns)
        assert (
            loaded.dataset.to_dict()
            == pq.read_table(
                shared_data / name if name.endswith("parquet") else shared_data / name / "train.parquet"
            ).to_pydict()
        )

    def test_a_real_retrieval_folder(self, shared_data: Path) -> None:
        loaded = load_source(shared_data / "mlquestions")
        assert isinstance(loaded, RetrievalFolder)
        assert {name: len(rows) for name, rows in loaded.judgements.items()} == {"dev": 1500, "test": 1499}
        assert (len(loaded.queries), len(loaded.corpus)) == (2999, 9204)
