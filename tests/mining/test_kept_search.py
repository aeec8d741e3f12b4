"""Answers of searches in files: read by later searches, finished by the next one, never another's."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbert_triplet.data.examples import IntArray
from sbert_triplet.distances.minkowski import Euclidean
from sbert_triplet.mining import kept_search
from sbert_triplet.mining.approximate import ApproximateSearch
from sbert_triplet.mining.candidates import Candidates
from sbert_triplet.mining.kept_search import FEWEST, KeptSearch
from sbert_triplet.mining.search import DenseSearch, LexicalSearch, MixedSearch, Search
from sbert_triplet.mining.space import Space

COUNT = FEWEST + 60
QUERIES = np.arange(50)
DOCUMENTS = np.arange(50, COUNT)
WORDS = ("red", "green", "apple", "pear", "dog", "cat", "house")


def text(number: int) -> str:
    return " ".join(WORDS[number * step % 7] for step in range(1, 2 + number % 5)) + f" n{number}"


def texts(ids: Any) -> list[str]:
    return [text(number) for number in ids]


def vectors(ids: IntArray) -> np.ndarray:
    """Small integers, so that products are exact and ties are true ties."""
    return np.stack([(ids * factor) % 7 - 3 for factor in (1, 3, 5, 11)], axis=1).astype(np.float32)


SPACE = Space(lambda _, ids: vectors(ids), "dot")


@dataclass
class Counted:
    """Any search, and how many queries it was given at each call. It stops at call number ``stop``."""

    search: Search
    calls: list[int] = field(default_factory=list)
    stop: int = -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.search, name)

    def __call__(self, queries: IntArray, k: int) -> Candidates:
        if len(self.calls) == self.stop:
            raise KeyboardInterrupt
        self.calls.append(len(queries))
        return self.search(queries, k)


Kept = Callable[..., tuple[KeptSearch, Counted]]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """A search whose answers are kept, 20 queries at once, and the same search counted."""
    described = kept_search._described
    monkeypatch.setattr(
        kept_search, "_described", lambda one: described(one.search if isinstance(one, Counted) else one)
    )

    def make(search: Search | None = None, **given: Any) -> tuple[KeptSearch, Counted]:
        counted = Counted(search or DenseSearch(SPACE, DOCUMENTS))
        options = {"folder": tmp_path, "texts": texts, "fingerprint": lambda _: "weights"}
        return KeptSearch(counted, **{**options, "queries_at_once": 20, **given}), counted

    return make


def assert_equal(one: Candidates, other: Candidates) -> None:
    for name in ("queries", "documents", "scores", "sources", "ranks"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


def searches() -> dict[str, Search]:
    dense, words = DenseSearch(SPACE, DOCUMENTS), LexicalSearch(SPACE, DOCUMENTS, texts)
    return {"exact": dense, "bm25": words, "mixed": MixedSearch(dense, words)}


@pytest.mark.parametrize("name", ["exact", "bm25", "mixed", "approximate"])
def test_the_same_search_again_reads_what_was_found(kept: Kept, name: str) -> None:
    if name == "approximate":
        pytest.importorskip("faiss")
        search: Search = ApproximateSearch(SPACE, DOCUMENTS, "hnsw")
    else:
        search = searches()[name]
    expected = search(QUERIES, 7)
    (first, made), (second, read) = kept(search), kept(search)
    assert_equal(first(QUERIES, 7), expected)
    assert_equal(second(QUERIES, 7), expected)
    assert (made.calls, read.calls) == ([20, 20, 10], [])
    assert first.spared.seconds == 0 < second.spared.seconds
    assert second.space is search.space
    assert second.documents is search.documents


def test_text_ids_of_another_run_do_not_matter(kept: Kept) -> None:
    first, _ = kept()
    expected = first(QUERIES, 5)
    space = Space(lambda _, ids: vectors(ids - 1000), "dot")
    moved, counted = kept(
        DenseSearch(space, DOCUMENTS + 1000), texts=lambda ids: [text(n - 1000) for n in ids]
    )
    found = moved(QUERIES + 1000, 5)
    assert counted.calls == []
    np.testing.assert_array_equal(found.documents, expected.documents + 1000)


def test_what_answers_depend_on_is_the_key(kept: Kept, tmp_path: Path) -> None:
    ways: list[Callable[[], tuple[KeptSearch, Any]]] = [
        lambda: kept(),
        lambda: kept(searches()["bm25"]),
        lambda: kept(searches()["mixed"]),
        lambda: kept(MixedSearch(searches()["bm25"], searches()["exact"])),
        lambda: kept(DenseSearch(replace(SPACE, similarity="cosine"), DOCUMENTS)),
        lambda: kept(fingerprint=lambda side: f"weights of the {side}"),
        lambda: kept(fingerprint=lambda _: "other weights"),
        lambda: kept(DenseSearch(SPACE, DOCUMENTS[1:])),
        lambda: kept(texts=lambda ids: [text(n) + ("." if n == 77 else "") for n in ids]),
    ]
    for number, way in enumerate(ways):
        for _ in range(2):
            way()[0](QUERIES[:20], 5)
            assert len(list(tmp_path.glob("search-*.npz"))) == number + 1
    for queries, k in ((QUERIES[:20], 6), (QUERIES[:19], 5), (QUERIES[19::-1], 5)):
        before = len(list(tmp_path.iterdir()))
        kept()[0](queries, k)
        assert len(list(tmp_path.iterdir())) == before + 1


def test_tiles_and_threads_are_not_in_the_key_because_answers_do_not_depend_on_them(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept()[0](QUERIES[:20], 5)
    again, counted = kept(DenseSearch(SPACE, DOCUMENTS, memory_bytes=1 << 16))
    monkeypatch.setattr("torch.get_num_threads", lambda: 77)
    assert_equal(again(QUERIES[:20], 5), DenseSearch(SPACE, DOCUMENTS)(QUERIES[:20], 5))
    assert counted.calls == []


def test_more_than_there_are_is_as_many_as_there_are(kept: Kept) -> None:
    kept()[0](QUERIES, COUNT)
    again, counted = kept()
    found = again(QUERIES, 2 * COUNT)
    assert counted.calls == []
    assert found.documents.shape == (50, len(DOCUMENTS))


@pytest.mark.parametrize("why", ["a distance without a name", "an unknown model", "few documents"])
def test_what_has_no_name_is_not_kept(kept: Kept, tmp_path: Path, why: str) -> None:
    given: dict[str, Any] = {"fingerprint": lambda _: None} if why == "an unknown model" else {}
    space = replace(SPACE, similarity=Euclidean()) if why == "a distance without a name" else SPACE
    documents = DOCUMENTS[: FEWEST - 1] if why == "few documents" else DOCUMENTS
    search = DenseSearch(space, documents)
    assert_equal(kept(search, **given)[0](QUERIES, 5), search(QUERIES, 5))
    assert list(tmp_path.iterdir()) == []


def test_no_queries_have_no_answer(kept: Kept, tmp_path: Path) -> None:
    assert kept()[0](QUERIES[:0], 5).documents.shape == (0, 5)
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_search_goes_on_with_the_first_slice_that_is_missing(kept: Kept) -> None:
    first, stopped = kept()
    stopped.stop = 2
    with pytest.raises(KeyboardInterrupt):
        first(QUERIES, 5)
    again, counted = kept()
    assert_equal(again(QUERIES, 5), DenseSearch(SPACE, DOCUMENTS)(QUERIES, 5))
    assert (stopped.calls, counted.calls) == ([20, 20], [10])


SCRIPT = """
import os, sys
from pathlib import Path
sys.path.insert(0, {here!r})
import test_kept_search as here
from sbert_triplet.mining import kept_search
from sbert_triplet.mining.search import DenseSearch

found, calls = DenseSearch.__call__, []
def counted(self, queries, k):
    if len(calls) == 2:
        os._exit(9)
    calls.append(len(queries))
    return found(self, queries, k)
DenseSearch.__call__ = counted
search = DenseSearch(here.SPACE, here.DOCUMENTS)
kept_search.KeptSearch(search, Path({folder!r}), here.texts, lambda _: "weights", 20)(here.QUERIES, 5)
"""


def test_what_lies_in_the_folder_in_the_middle_of_a_search_is_gone_on_with(
    kept: Kept, tmp_path: Path
) -> None:
    """What a process leaves that is killed there: a copy of its files."""
    running, left = tmp_path / "running", tmp_path / "left"

    class Copying(DenseSearch):
        calls = 0

        def __call__(self, queries: IntArray, k: int) -> Candidates:
            if self.calls == 2:
                shutil.copytree(running, left)
            self.calls += 1
            return super().__call__(queries, k)

    search = Copying(SPACE, DOCUMENTS)
    kept(search, folder=running)[0](QUERIES, 5)
    again, counted = kept(search, folder=left)
    assert_equal(again(QUERIES, 5), DenseSearch(SPACE, DOCUMENTS)(QUERIES, 5))
    assert counted.calls == [10]


@pytest.mark.long
def test_a_killed_process_leaves_whole_slices(kept: Kept, tmp_path: Path) -> None:
    script = SCRIPT.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=120)
    assert done.returncode == 9
    again, counted = kept()
    assert_equal(again(QUERIES, 5), DenseSearch(SPACE, DOCUMENTS)(QUERIES, 5))
    assert counted.calls == [10]


def other(**columns: Any) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        with np.load(file) as held:
            arrays = {name: held[name] for name in held.files}
        np.savez(file, **{name: array for name, array in (arrays | columns).items() if array is not None})

    return write


def flipped(file: Path) -> None:
    held = bytearray(file.read_bytes())
    held[400] ^= 1
    file.write_bytes(held)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:300]),
        flipped,
        other(scores=None),
        other(places=np.zeros((20, 4), dtype=np.int32)),
        other(places=np.full((20, 5), len(DOCUMENTS), dtype=np.int32)),
        other(places=np.full((20, 5), -2, dtype=np.int32)),
        other(places=np.full((20, 5), None)),
    ],
)
def test_a_damaged_file_is_made_again(kept: Kept, tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    first, _ = kept()
    expected = first(QUERIES[:20], 5)
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    damage(file)
    assert file.read_bytes() != before
    again, counted = kept()
    assert_equal(again(QUERIES[:20], 5), expected)
    assert_equal(kept()[0](QUERIES[:20], 5), expected)
    assert counted.calls == [20]


def no_room(*_: Any, **__: Any) -> Iterator[None]:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("why", ["not a folder", "full"])
def test_where_nothing_can_be_written_it_searches_without(
    kept: Kept,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    why: str,
) -> None:
    folder = tmp_path / "file" / "answers"
    if why == "full":
        monkeypatch.setattr(np, "savez", no_room)
    else:
        folder.parent.write_text("a file where the folder would be")
    search, counted = kept(folder=folder)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert_equal(search(QUERIES, 5), DenseSearch(SPACE, DOCUMENTS)(QUERIES, 5))
    assert counted.calls == [20, 20, 10] * 2
    (warning,) = [record for record in caplog.records if record.name == kept_search.__name__]
    assert str(folder) in warning.getMessage()
    assert not list(tmp_path.rglob("*.npz"))
