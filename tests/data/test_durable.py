"""Files that are whole or absent."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sbert_triplet.data.durable import flush, sha256_of, whole


def test_a_file_takes_its_name_when_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with whole(file) as staged:
        staged.write_text("one")
        assert not file.exists()
    assert file.read_text() == "one"
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_what_fails_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")

    def stopped(staged: Path) -> None:
        staged.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), whole(file) as staged:
        stopped(staged)
    assert file.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.json"]


def test_digest_and_flush(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"content")
    assert sha256_of(file) == hashlib.sha256(b"content").hexdigest()
    flush(file)
    flush(tmp_path)
    with pytest.raises(FileNotFoundError):
        flush(tmp_path / "absent")
