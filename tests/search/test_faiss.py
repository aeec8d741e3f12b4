"""The embedded store: graph, files written anew, damage, what a killed process leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

faiss = pytest.importorskip("faiss")

from sbert_triplet.search.filters import conditions_of  # noqa: E402
from sbert_triplet.search.store import About, Count, Passage, Record, StoreError  # noqa: E402
from sbert_triplet.search.stores import open_store  # noqa: E402

D = 32


def filled(folder: Path, count: int = 400, option: str = "", **given: Any) -> Any:
    store = open_store(f"faiss:{folder}{option}")
    collection = store.open(store.create(About("f", "m", D, **given)))
    collection.upsert(records(count), rows(count))
    return collection


def rows(count: int, seed: int = 1) -> np.ndarray[Any, Any]:
    drawn = np.random.default_rng(seed).standard_normal((count, D)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def records(count: int, first: int = 0) -> list[Record]:
    from sbert_triplet.search.ingest import digest_of

    return [
        Record(str(n), Passage(0, 0, 1), "t", {"n": n}, digest_of("t", {"n": n}))
        for n in range(first, first + count)
    ]


def ids(collection: Any, query: Any, k: int = 10, where: Any = None) -> list[list[str]]:
    return [[one.record.id for one in some] for some in collection.search(query, k, conditions_of(where))]


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8", "binary"])
def test_graph_with_later_rows_deletions_and_filters(tmp_path: Path, precision: str) -> None:
    """Beside the same passages compared one by one, at the same precision."""
    exact = filled(tmp_path / "exact", precision=precision)
    graph = filled(tmp_path / "graph", option="?hnsw_from=100", precision=precision)
    assert graph.exact
    graph.settle()
    assert not graph.exact
    for one in (exact, graph):
        one.upsert(records(20, 400), rows(20, 2))
        assert one.delete([str(n) for n in range(0, 400, 7)]) == 58
    queries = rows(20, 3)
    for where in (None, {"n": {"lt": 300}}, {"n": {"lt": 50}}, {"n": [1, 2, 410]}):
        expected, found = ids(exact, queries, 10, where), ids(graph, queries, 10, where)
        shared = [len(set(a) & set(b)) / len(a) for a, b in zip(expected, found, strict=True)]
        # Of 32 signs many are equally far: which of these are candidates is open.
        assert np.mean(shared) > (0.85 if precision == "binary" else 0.97)
        assert [len(some) for some in found] == [len(some) for some in expected]
    assert ids(graph, rows(20, 2), 1) == [[str(n)] for n in range(400, 420)]
    assert graph.verify() == []


def test_mostly_deleted_files_are_written_anew(tmp_path: Path) -> None:
    collection = filled(tmp_path / "i")
    before = (tmp_path / "i/1/vectors-1.values").stat().st_size
    collection.delete([str(n) for n in range(300)])
    expected = ids(collection, rows(5, 4))
    collection.settle()
    assert [file.name for file in (tmp_path / "i/1").glob("vectors*")] == ["vectors-2.values"]
    assert (tmp_path / "i/1/vectors-2.values").stat().st_size == before // 4
    assert ids(collection, rows(5, 4)) == expected
    assert collection.verify() == []
    collection.upsert(records(1), rows(1))
    assert ids(collection, rows(1), 1) == [["0"]]


def test_rows_that_nobody_acknowledged_are_replaced(tmp_path: Path) -> None:
    """A process that was killed between the embeddings and the database."""
    filled(tmp_path / "i", 10).close()
    with (tmp_path / "i/1/vectors-1.values").open("ab") as file:
        file.write(b"\xff" * (3 * 4 * D + 7))
    collection = open_store(f"faiss:{tmp_path / 'i'}").open("1")
    assert collection.count() == Count(10, 10)
    assert collection.verify() == []
    collection.upsert(records(2, 10), rows(2, 5))
    assert ids(collection, rows(2, 5), 1) == [["10"], ["11"]]
    assert collection.verify() == []


def test_a_reader_sees_what_another_process_wrote(tmp_path: Path) -> None:
    writer = filled(tmp_path / "i", 10)
    reader = open_store(f"faiss:{tmp_path / 'i'}").open("1")
    assert ids(reader, rows(1), 1) == [["0"]]
    writer.upsert(records(1, 50), rows(1, 9))
    assert ids(reader, rows(1, 9), 1) == [["50"]]
    writer.delete(["50"])
    assert ids(reader, rows(1, 9), 1) != [["50"]]


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    filled(tmp_path / "i", 10).close()
    file = tmp_path / "i/1/vectors-1.values"
    content = bytearray(file.read_bytes())
    content[5 * 4 * D] ^= 1
    file.write_bytes(content)
    (fault,) = open_store(f"faiss:{tmp_path / 'i'}").open("1").verify()
    assert fault == "passage 0 of document '5' is damaged: its SHA-256 is another"


def test_short_and_missing_files_are_refused(tmp_path: Path) -> None:
    filled(tmp_path / "i", 10).close()
    file = tmp_path / "i/1/vectors-1.values"
    file.write_bytes(file.read_bytes()[:-1])
    store = open_store(f"faiss:{tmp_path / 'i'}")
    with pytest.raises(StoreError, match="1,279 bytes"):
        store.open("1")
    (tmp_path / "i/1/passages.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="cannot be read"):
        store.open("1")


def test_a_damaged_graph_is_not_read(tmp_path: Path) -> None:
    collection = filled(tmp_path / "i", option="?hnsw_from=100")
    expected = ids(collection, rows(5, 4))
    collection.settle()
    collection.close()
    (file,) = (tmp_path / "i/1").glob("graph-*")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    again = open_store(f"faiss:{tmp_path / 'i'}?hnsw_from=100").open("1")
    assert again.exact
    assert ids(again, rows(5, 4)) == expected
    assert "settle" in again.verify()[0]
    again.settle()
    assert not again.exact


@pytest.mark.parametrize("url", ["faiss:", "faiss:x?hnsw=3", "faiss:x?hnsw_from=many", "nowhere:x", "x"])
def test_wrong_urls(url: str) -> None:
    with pytest.raises(StoreError, match="--store"):
        open_store(url)


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match=r"thesis\.tex"):
        open_store(f"faiss:{tmp_path}").create(About("f", "m", D))
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]
