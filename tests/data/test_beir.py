"""Folders of queries, documents and judgements."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.data.beir import is_retrieval_folder, retrieval_of_tables
from sbert_triplet.data.sources import RetrievalFolder, SourceSpec, load_source
from sbert_triplet.errors import DataError

CORPUS: list[dict[str, object]] = [
    {"_id": "d1", "title": "Payment", "text": "Cards and cash."},
    {"_id": "d2", "title": "", "text": "We send by post."},
    {"_id": "d3", "title": "Returns", "text": "Within a month."},
]
QUERIES: list[dict[str, object]] = [{"_id": "q1", "text": "how to pay"}, {"_id": "q2", "text": "is it sent"}]
QRELS: list[tuple[object, object, object]] = [("q1", "d1", 2), ("q1", "d3", 0), ("q2", "d2", 1)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(tmp_path / "cache"))
    made = tmp_path / "faq"
    (made / "qrels").mkdir(parents=True)
    return made


def jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def tsv(
    path: Path, rows: list[tuple[object, object, object]], header: str = "query-id\tcorpus-id\tscore"
) -> None:
    lines = [header, *("\t".join(map(str, row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write(
    folder: Path,
    corpus: list[dict[str, object]] = CORPUS,
    queries: list[dict[str, object]] = QUERIES,
    qrels: list[tuple[object, object, object]] = QRELS,
) -> None:
    jsonl(folder / "corpus.jsonl", corpus)
    jsonl(folder / "queries.jsonl", queries)
    tsv(folder / "qrels" / "test.tsv", qrels)


def load(folder: Path, **options: str) -> RetrievalFolder:
    loaded = load_source(folder, **options)  # type: ignore[arg-type]
    assert isinstance(loaded, RetrievalFolder)
    return loaded


def refused(folder: Path, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def judged(loaded: RetrievalFolder, split: str) -> list[tuple[object, ...]]:
    rows = loaded.judgements[split]
    return list(zip(rows["query_id"], rows["document_id"], rows["score"], strict=True))


def test_jsonl_and_tsv(folder: Path) -> None:
    write(folder)
    loaded = load(folder)
    assert (loaded.name, loaded.origin) == ("faq", "folder")
    assert loaded.corpus.to_list() == CORPUS
    assert loaded.queries.to_list() == QUERIES
    assert loaded.judgements["test"].column_names == ["query_id", "document_id", "score"]
    assert judged(loaded, "test") == QRELS


def test_every_format_says_the_same(folder: Path, tmp_path: Path) -> None:
    write(folder)
    expected = load(folder).fingerprint
    other = tmp_path / "parquet"
    (other / "qrels").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(CORPUS), other / "corpus.parquet")
    pq.write_table(pa.Table.from_pylist(QUERIES), other / "queries.parquet")
    names = ("query-id", "corpus-id", "score")
    rows = [dict(zip(names, row, strict=True)) for row in QRELS]
    pq.write_table(pa.Table.from_pylist(rows), other / "qrels" / "test.parquet")
    assert load(other).fingerprint == expected
    jsonl(folder / "qrels" / "test.jsonl", rows)
    (folder / "qrels" / "test.tsv").unlink()
    assert load(folder).fingerprint == expected
    jsonl(folder / "corpus.jsonl", CORPUS[::-1])
    assert load(folder).fingerprint != expected


def test_ids_that_are_numbers_become_texts(folder: Path) -> None:
    """Integers in one file, the same as texts in another, and leading zeros that a number would lose."""
    write(folder, [{"_id": 7, "text": "seven"}], [{"_id": "007", "text": "who"}], [("007", 7, 1)])
    loaded = load(folder)
    assert loaded.corpus.to_list() == [{"_id": "7", "title": None, "text": "seven"}]
    assert judged(loaded, "test") == [("007", "7", 1)]


def test_texts_that_look_like_numbers_stay_texts(folder: Path) -> None:
    write(folder, qrels=[("1", "2", 1)])
    (folder / "corpus.jsonl").unlink()
    (folder / "queries.jsonl").unlink()
    (folder / "corpus.tsv").write_text("_id\ttitle\ttext\n2\t1\t007\n", encoding="utf-8")
    (folder / "queries.csv").write_text("_id,text\n1,42\n", encoding="utf-8")
    loaded = load(folder)
    assert loaded.corpus.to_list() == [{"_id": "2", "title": "1", "text": "007"}]
    assert loaded.queries.to_list() == [{"_id": "1", "text": "42"}]


def test_splits(folder: Path) -> None:
    write(folder)
    tsv(folder / "qrels" / "validation.tsv", [("q1", "d2", 1)])
    assert sorted(load(folder).judgements) == ["dev", "test"]
    assert list(load(folder, split="dev").judgements) == ["dev"]
    assert list(load(folder, split="validation").judgements) == ["dev"]
    assert load(folder, split="dev").fingerprint != load(folder).fingerprint
    assert "no judgements for the split 'train'; found dev, test" in refused(folder, split="train")
    tsv(folder / "qrels" / "dev.tsv", [("q1", "d2", 1)])
    assert "dev.tsv and validation.tsv both judge the split 'dev'" in refused(folder)


def test_one_file_of_judgements_is_the_split_train(folder: Path) -> None:
    write(folder)
    (folder / "qrels" / "test.tsv").rename(folder / "qrels.tsv")
    (folder / "qrels").rmdir()
    assert judged(load(folder), "train") == QRELS


def test_other_names_of_columns_and_scores(folder: Path) -> None:
    write(folder)
    tsv(folder / "qrels" / "test.tsv", [("q1", "d1", 0.5)], "query_id\tdoc_id\trelevance")
    assert judged(load(folder), "test") == [("q1", "d1", 0.5)]
    (folder / "qrels" / "test.tsv").write_text("qid\tpid\nq1\td1\n")
    assert judged(load(folder), "test") == [("q1", "d1", 1)]


def test_further_columns_are_kept_and_nested_ones_told(folder: Path) -> None:
    corpus = [{**row, "language": "en", "metadata": {"url": "x"}} for row in CORPUS]
    write(folder, corpus, [{**row, "metadata": {}} for row in QUERIES])
    loaded = load(folder)
    assert loaded.corpus.column_names == ["_id", "title", "text", "language"]
    assert loaded.queries.column_names == ["_id", "text"]
    assert loaded.notes == (
        "queries.jsonl: nested columns not used: metadata",
        "corpus.jsonl: nested columns not used: metadata",
    )


def test_a_judgement_that_stands_twice_counts_once(folder: Path) -> None:
    write(folder, qrels=[*QRELS, QRELS[0]])
    loaded = load(folder)
    assert judged(loaded, "test") == QRELS
    assert loaded.notes == ("test.tsv: 1 judgements stood twice and count once",)


def test_what_makes_a_retrieval_folder(folder: Path) -> None:
    write(folder)
    assert is_retrieval_folder(folder)
    (folder / "qrels" / "test.tsv").unlink()
    assert not is_retrieval_folder(folder)


def test_other_tables_beside_it_are_left_alone(folder: Path) -> None:
    write(folder)
    jsonl(folder / "question_pairs.jsonl", [{"a": "x"}])
    assert len(load(folder).corpus) == 3


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels", "said"),
    [
        ([*CORPUS, CORPUS[0]], QUERIES, QRELS, "corpus.jsonl: 1 id occurs more than once: 'd1'"),
        (
            CORPUS,
            [*QUERIES, *QUERIES],
            QRELS,
            "queries.jsonl: each of 2 ids occurs more than once: 'q1', 'q2'",
        ),
        (CORPUS, QUERIES, [("q9", "d1", 1)], "test.tsv: 1 id is not in queries: 'q9'"),
        (
            CORPUS,
            QUERIES,
            [("q1", f"x{k}", 1) for k in range(5)] * 2,
            "each of 5 ids is not in corpus: 'x0', 'x1', 'x2', ...",
        ),
        (CORPUS, QUERIES, [("q1", "d1", 1), ("q1", "d1", 2)], "1 pairs are judged more than once"),
        (CORPUS, QUERIES, [("q1", "d1", "good")], "'score' holds something that is no number"),
        (CORPUS, QUERIES, [("q1", "d1", "")], "1 rows have no 'score', first row 1"),
        (CORPUS, QUERIES, [], "no rows"),
        ([], QUERIES, QRELS, "corpus.jsonl: is empty"),
        (CORPUS, [{"_id": "q1", "question": "x"}], QRELS, "needs a column 'text'; it has _id, question"),
        (CORPUS, [{"query": "q1", "text": "x"}], QRELS, "needs a column '_id'"),
        (CORPUS, [{"_id": "q1", "text": 5}], QRELS, "column 'text' holds int64, not text"),
        (CORPUS, [*QUERIES, {"text": "lost"}], QRELS, "1 rows have no '_id', first row 3"),
        (CORPUS, [{"_id": 1.5, "text": "x"}], QRELS, "an id is a text or an integer"),
    ],
)
def test_what_is_refused(
    folder: Path,
    corpus: list[dict[str, object]],
    queries: list[dict[str, object]],
    qrels: list[tuple[object, object, object]],
    said: str,
) -> None:
    write(folder, corpus, queries, qrels)
    assert said in refused(folder)


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    write(folder)
    pq.write_table(pa.Table.from_pylist(CORPUS), folder / "corpus.parquet")
    assert "holds corpus.jsonl and corpus.parquet; keep one" in refused(folder)


def test_a_limit_is_refused(folder: Path) -> None:
    write(folder)
    with pytest.raises(DataError, match="limit counts rows of a table"):
        load_source(SourceSpec(str(folder), limit=2))


def test_tables_that_lie_apart_are_the_same_as_a_folder(folder: Path) -> None:
    write(folder)
    expected = load(folder)
    names = ("query-id", "corpus-id", "score")
    tables = {
        "queries": datasets.Dataset.from_list(QUERIES),
        "corpus": datasets.Dataset.from_list(CORPUS),
        "judgements": {
            "test": datasets.Dataset.from_list([dict(zip(names, row, strict=True)) for row in QRELS])
        },
    }
    found = retrieval_of_tables("owner/faq", "hub", **tables)  # type: ignore[arg-type]
    assert (found.name, found.origin, found.fingerprint) == ("owner/faq", "hub", expected.fingerprint)
    assert judged(found, "test") == QRELS
    tables["corpus"] = datasets.Dataset.from_list(CORPUS[:2])
    with pytest.raises(DataError, match="owner/faq, qrels/test: 1 id is not in corpus: 'd3'"):
        retrieval_of_tables("owner/faq", "hub", **tables)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["mlquestions", "cranfield", "vaswani", "cacm", "cisi", "med", "covid_faq"])
def test_real_folders(shared_data: Path, name: str) -> None:
    loaded = load(shared_data / name)
    known = set(loaded.queries["_id"][:]), set(loaded.corpus["_id"][:])
    for rows in loaded.judgements.values():
        assert set(rows["query_id"][:]) <= known[0]
        assert set(rows["document_id"][:]) <= known[1]
    files = sorted((shared_data / name / "qrels").glob("*.parquet"))
    assert {path.stem: pq.read_metadata(path).num_rows for path in files} == {
        split: len(rows) for split, rows in loaded.judgements.items()
    }
