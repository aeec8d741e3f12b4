"""The limit of the cache: the least recently used goes, and nothing that anybody needs now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from sbert_triplet.data.trimming import ABANDONED, FRESH, LIMIT_VARIABLE, limit_bytes, trim, used
from sbert_triplet.errors import InputError

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Put:
    """``put(name, age)``: a file of 1,000 bytes in the cache that was used so many hours ago."""
    monkeypatch.setenv("SBERT_TRIPLET_TOKEN_CACHE", str(tmp_path / "tokens"))
    monkeypatch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", str(tmp_path / "embeddings"))

    def write(name: str, hours: float) -> Path:
        file = tmp_path / ("tokens" if name.startswith("tokens") else "embeddings") / name
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(b"x" * 1000)
        then = time.time() - 3600 * hours
        os.utime(file, (then, then))
        return file

    return write


def name(kind: str, letter: str, suffix: str) -> str:
    return f"{kind}-{letter * 40}.{suffix}"


def left(*files: Path) -> list[bool]:
    return [file.exists() for file in files]


def test_the_least_recently_used_goes_first_whatever_it_is(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, answers, tokens, new = (
        put(name("embeddings", "a", "npy"), 5),
        put(name("search", "b", "npz"), 7),
        put(name("tokens", "c", "arrow"), 6),
        put(name("tokens", "d", "arrow"), 4),
    )
    monkeypatch.setenv(LIMIT_VARIABLE, "4000")
    trim()
    assert left(rows, answers, tokens, new) == [True] * 4
    monkeypatch.setenv(LIMIT_VARIABLE, "2500")
    trim()
    assert left(rows, answers, tokens, new) == [True, False, False, True]
    used(rows)
    monkeypatch.setenv(LIMIT_VARIABLE, "1000")
    trim()
    assert left(rows, new) == [True, False]


def test_what_lies_beside_a_file_goes_with_it(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [put(name("embeddings", "a", suffix), 5) for suffix in ("npy", "json", "lock")]
    newer = [put(name("embeddings", "b", suffix), hours) for suffix, hours in (("npy", 9), ("json", 2))]
    monkeypatch.setenv(LIMIT_VARIABLE, "2000")
    trim()
    assert left(*files) == [False] * 3
    assert left(*newer) == [True] * 2


def test_nothing_fresh_and_nothing_of_others_is_removed(put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = FRESH / 3600
    mine = put(name("embeddings", "a", "npy"), 0.9 * hours)
    others = [put(file, 99 * hours) for file in ("thesis.npy", "embeddings.npy", "search-1.npz", ".profile")]
    monkeypatch.setenv(LIMIT_VARIABLE, "0")
    trim()
    assert left(mine, *others) == [True] * 5


def test_what_is_being_made_stays_and_what_was_left_goes(put: Put) -> None:
    hours = ABANDONED / 3600
    begun, given_up, written = (
        put(name("embeddings", "a", "npy.part"), 0.9 * hours),
        put(name("embeddings", "b", "npy.part"), 1.1 * hours),
        put(".writing-k3j_9.npz", 1.1 * hours),
    )
    held = put(name("embeddings", "c", "npy.part"), 2 * hours)
    lock = put(name("embeddings", "c", "lock"), 2 * hours)
    whole = put(name("search", "d", "npz"), 2 * hours)
    with FileLock(lock):
        then = time.time() - 3600 * 2 * hours
        os.utime(lock, (then, then))
        trim()
    assert left(begun, given_up, written, held, lock, whole) == [True, False, False, True, True, True]


def test_a_limit_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limit_bytes() == 20_000_000_000
    monkeypatch.setenv(LIMIT_VARIABLE, "5000")
    assert limit_bytes() == 5000
    for wrong in ("20 GB", "-1", "1e9"):
        monkeypatch.setenv(LIMIT_VARIABLE, wrong)
        with pytest.raises(InputError, match=f"{LIMIT_VARIABLE} is '{wrong}'"):
            limit_bytes()


def test_switched_off_and_missing_folders_are_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBERT_TRIPLET_TOKEN_CACHE", "off")
    monkeypatch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", str(tmp_path / "nowhere"))
    trim()
    assert list(tmp_path.iterdir()) == []
