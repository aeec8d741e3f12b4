"""Embeddings straight into a given array, and embeddings kept in files."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding import encode as encoding
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.encode import encode, memory_mapped
from sbert_triplet.encoding.tokens import TokenTable

Table = Callable[..., TokenTable]
IDS = np.array([9, 0, 4, 4, 2, 7, 9, 9])


@pytest.mark.parametrize("budget", [1, 30, 5000])
def test_rows_are_written_in_the_order_of_the_ids(
    encoder: SentenceTransformer,
    texts: list[str],
    table: Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    budget: int,
) -> None:
    monkeypatch.setattr(encoding, "_COPIED_AT_ONCE", 2)
    rows = memory_mapped(tmp_path / "rows.npy", len(IDS), 32)
    calls: list[tuple[int, int]] = []
    found = encode(
        encoder,
        table(encoder),
        "text",
        IDS,
        budget=budget,
        progress=lambda *call: calls.append(call),
        out=rows,
    )
    assert found is rows
    expected = encoder.encode([texts[number] for number in IDS])
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    del rows, found
    np.testing.assert_allclose(np.load(tmp_path / "rows.npy"), expected, atol=1e-6)
    assert calls[-1] == (5, 5)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_long_texts_come_first(encoder: SentenceTransformer, table: Table) -> None:
    tokens, written = table(encoder), []

    class Watched(np.ndarray[Any, Any]):
        def __setitem__(self, places: Any, values: Any) -> None:
            written.extend(places)
            super().__setitem__(places, values)

    ids = np.arange(9)
    encode(encoder, tokens, "text", ids, budget=1, out=np.empty((9, 32), dtype=np.float32).view(Watched))
    lengths = tokens.lengths(0, ids)[written]
    assert sorted(written) == ids.tolist()
    assert lengths.tolist() == sorted(lengths, reverse=True)


@pytest.mark.parametrize("shape", [(3, 32), (5, 32), (4, 31), (4,)])
def test_an_array_of_another_shape_is_refused(
    encoder: SentenceTransformer, table: Table, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match="out has"):
        encode(encoder, table(encoder), "text", np.arange(4), out=np.zeros(shape, dtype=np.float32))


def test_no_ids_leave_the_array_alone(encoder: SentenceTransformer, table: Table) -> None:
    out = np.zeros((0, 32), dtype=np.float32)
    assert encode(encoder, table(encoder), "text", np.zeros(0, dtype=np.int64), out=out) is out


def test_the_room_on_the_disk_is_taken_at_once(tmp_path: Path) -> None:
    file = tmp_path / "rows.npy"
    rows = memory_mapped(file, 1000, 64)
    assert (rows.shape, rows.dtype) == ((1000, 64), np.float32)
    if hasattr(file.stat(), "st_blocks"):
        assert file.stat().st_blocks * 512 >= 1000 * 64 * 4


def test_an_embedder_keeps_many_rows_in_files(
    encoder: SentenceTransformer, texts: list[str], table: Table, tmp_path: Path
) -> None:
    passed: list[int] = []
    embedder = Embedder(
        encoder,
        table(encoder),
        progress=lambda done, total: passed.append(total),
        scratch=tmp_path,
        in_memory=3 * 32 * 4,
    )

    def assert_found(ids: list[int], embedder: Embedder = embedder) -> None:
        found = embedder("text", np.array(ids))
        np.testing.assert_allclose(found, encoder.encode([texts[number] for number in ids]), atol=1e-6)

    assert_found([0, 2])
    assert not list(tmp_path.iterdir())
    assert_found([3, 7, 0, 7, 9])
    assert_found([1])
    assert_found([2, 4, 5, 6])
    assert len(list(tmp_path.rglob("*.npy"))) == 2
    assert_found([9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0])
    assert_found([3, 9])
    assert len(passed) == len([(0, 2), (3, 7, 9), (1,), (4, 5, 6), (8,)])
    del embedder, assert_found
    gc.collect()
    assert not list(tmp_path.iterdir())


def test_without_room_on_the_disk_rows_stay_in_memory(
    encoder: SentenceTransformer, table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    embedder = Embedder(encoder, table(encoder), scratch=tmp_path, in_memory=0)
    np.testing.assert_allclose(embedder("text", np.array([1])), encoder.encode(["a dog"]), atol=1e-6)
    assert not list(tmp_path.rglob("*.npy"))
    with pytest.raises(OSError, match="No space"):
        memory_mapped(tmp_path / "rows.npy", 5, 5)


def test_rows_that_lie_together_in_a_file_are_not_copied(
    encoder: SentenceTransformer, table: Table, tmp_path: Path
) -> None:
    embedder = Embedder(encoder, table(encoder), scratch=tmp_path, in_memory=0)
    every = embedder("text", np.arange(8))
    assert np.shares_memory(every, embedder("text", np.array([2, 3, 4])))
    assert not np.shares_memory(every, embedder("text", np.array([2, 4])))
    with pytest.raises(ValueError, match="read-only"):
        every[0] = 0
    np.testing.assert_array_equal(embedder("text", np.array([3, 2])), every[[3, 2]])
