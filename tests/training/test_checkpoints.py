"""Checkpoints: whole or not there, verified before anything is read, rotated without a gap."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.errors import MachineError
from sbert_triplet.training import checkpoints as module
from sbert_triplet.training.checkpoints import (
    Checkpoints,
    newest,
    remove_remains,
    set_aside_after,
    steps_of,
)
from sbert_triplet.training.manifest import NAME, BadCheckpointError, seal, verified


def written(folder: Path) -> None:
    """Three files, one of them in a folder inside."""
    (folder / "weights").write_bytes(bytes(range(256)) * 4)
    (folder / "state.json").write_text('{"step": 1}')
    (folder / "inside").mkdir()
    (folder / "inside" / "more").write_bytes(b"more")


def saved(checkpoints: Checkpoints, *steps: int) -> None:
    for step in steps:
        with checkpoints.staged(step) as folder:
            written(folder)
    checkpoints.settle()


@pytest.fixture
def sealed(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-7"
    folder.mkdir()
    written(folder)
    seal(folder, 7, {"data": "abc"})
    return folder


def test_a_whole_one_verifies(sealed: Path) -> None:
    manifest = verified(sealed)
    assert (manifest.step, manifest.run) == (7, {"data": "abc"})
    assert sorted(manifest.files) == ["inside/more", "state.json", "weights"]
    assert manifest.bytes == 1024 + 11 + 4


FILES = ["weights", "state.json", "inside/more", NAME]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["deleted", "emptied", "cut", "flipped", "longer", "a link"])
def test_a_damaged_file_is_found(sealed: Path, name: str, damage: str) -> None:
    file = sealed / name
    content = file.read_bytes()
    flipped = content[:2] + bytes([content[2] ^ 1]) + content[3:]
    changed = {"emptied": b"", "cut": content[:-1], "flipped": flipped, "longer": content + b" "}
    file.unlink()
    if damage == "a link":
        elsewhere = sealed.parent / "elsewhere"
        elsewhere.write_bytes(content)
        file.symlink_to(elsewhere)
    elif damage != "deleted":
        file.write_bytes(changed[damage])
    if (name, damage) == (NAME, "longer"):
        assert verified(sealed)  # a blank after the JSON changes nothing that it says
        return
    with pytest.raises(
        BadCheckpointError, match=r"missing|bytes, and had|damaged|cannot be read|neither a file"
    ):
        verified(sealed)


def test_every_bit_of_a_manifest_counts(sealed: Path) -> None:
    """It is refused, or says the same: a blank may become a tab."""
    file = sealed / NAME
    content, said = file.read_bytes(), verified(sealed)
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            assert verified(sealed) == said
        except BadCheckpointError:
            continue


def test_a_file_that_no_manifest_names_is_refused(sealed: Path) -> None:
    (sealed / "rng_state.pth").write_bytes(b"pickle")
    with pytest.raises(BadCheckpointError, match=r"^rng_state\.pth is no file of its manifest$"):
        verified(sealed)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[" * 100_000, "cannot be read"),
        (b"null", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b" " * (17 << 20), "larger than any manifest"),
    ],
)
def test_a_hostile_manifest_is_refused(sealed: Path, content: bytes, why: str) -> None:
    (sealed / NAME).write_bytes(content)
    with pytest.raises(BadCheckpointError, match=why):
        verified(sealed)


FILE = {"bytes": 1, "sha256": "0"}


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"run": {}, "files": {}},
        {"step": "7", "run": {}, "files": {}},
        {"step": True, "run": {}, "files": {}},
        {"step": -1, "run": {}, "files": {}},
        {"step": 7, "run": [], "files": {}},
        {"step": 7, "files": {}},
        {"step": 7, "run": {}, "files": ["weights"]},
        {"step": 7, "run": {}, "files": {"weights": 1}},
        {"step": 7, "run": {}, "files": {"weights": {**FILE, "bytes": "1"}}},
        {"step": 7, "run": {}, "files": {"weights": {**FILE, "sha256": None}}},
        {"step": 7, "run": {}, "files": {"weights": {"bytes": 1}}},
    ],
)
def test_a_manifest_whose_digest_fits_may_still_lack_something(sealed: Path, content: dict[str, Any]) -> None:
    whole = {"format": 1, **content}
    digest = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()
    (sealed / NAME).write_text(json.dumps({**whole, "sha256": digest}))
    found, passed = newest(sealed.parent)
    assert found is None
    why = "manifest.json does not name the step, the run and the files with their digests"
    assert [(each.folder, each.why) for each in passed] == [(sealed, why)]


def test_names_in_a_manifest_lead_nowhere_else(sealed: Path) -> None:
    (sealed.parent / "secret").write_text("x")
    content = json.loads((sealed / NAME).read_text())
    content["files"]["../secret"] = content["files"].pop("weights")
    (sealed / NAME).write_text(json.dumps(content))
    with pytest.raises(BadCheckpointError, match="damaged"):
        verified(sealed)


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2, best_step=lambda: 2)
    saved(checkpoints, 1, 2, 3, 4, 5)
    assert steps_of(tmp_path) == [2, 4, 5]
    assert sorted(item.name for item in tmp_path.iterdir()) == [
        "checkpoint-2",
        "checkpoint-4",
        "checkpoint-5",
    ]


def test_the_newest_that_verifies_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    saved(Checkpoints(tmp_path, keep=9, run={"data": "x"}), 3, 10, 20, 30)
    (tmp_path / "checkpoint-30" / "weights").unlink()
    (tmp_path / "checkpoint-20").rename(tmp_path / "checkpoint-40")
    (tmp_path / "checkpoint-abc").mkdir()
    found, passed = newest(tmp_path)
    assert found is not None
    assert (found.step, found.folder.name, found.run) == (10, "checkpoint-10", {"data": "x"})
    assert [(each.folder.name, each.why) for each in passed] == [
        ("checkpoint-40", "its manifest is that of step 20"),
        ("checkpoint-30", "weights is missing"),
    ]


def test_none_is_found_where_there_is_none(tmp_path: Path) -> None:
    assert newest(tmp_path / "nowhere") == (None, [])


def test_what_is_being_written_is_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    with checkpoints.staged(4) as folder:
        written(folder)
        assert newest(tmp_path) == (None, [])
    checkpoints.settle()
    assert steps_of(tmp_path) == [4]


def _fail_while_staged(checkpoints: Checkpoints, error: Exception | None = None) -> None:
    with checkpoints.staged(5) as folder:
        written(folder)
        raise error or OSError("no space")


def test_a_failure_while_it_is_written_leaves_what_was_there(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, bytes_needed=1000)
    saved(checkpoints, 4)
    with pytest.raises(MachineError, match=r"step 5 could not be written \(no space\).*step 4 is whole"):
        _fail_while_staged(checkpoints)
    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint-4"]
    assert verified(tmp_path / "checkpoint-4")


def test_a_failure_while_it_is_flushed_is_told_at_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    saved(checkpoints, 4)

    def failing(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with checkpoints.staged(5) as folder:
        written(folder)
        monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(MachineError, match=r"step 5 could not be written.*No space left"):
        checkpoints.settle()
    monkeypatch.undo()
    saved(checkpoints, 6)
    assert steps_of(tmp_path) == [4, 6]


def test_a_disk_that_is_too_small_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path, bytes_needed=10_000_000)
    saved(checkpoints, 1)
    checkpoints = Checkpoints(tmp_path, bytes_needed=10_000_000_000)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2_000_000_000))
    with pytest.raises(
        MachineError, match=r"step 2: it needs 10\.0 GB, and 2\.0 GB are free.*step 1 is whole"
    ):
        saved(checkpoints, 2)
    assert steps_of(tmp_path) == [1]


def test_remains_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    saved(Checkpoints(tmp_path), 4)
    for name in (".checkpoint-5.part", ".checkpoint-3.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights").write_bytes(b"half")
    remove_remains(tmp_path)
    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint-4"]


def _damaged(folder: Path, *steps: int) -> None:
    for step in steps:
        (folder / f"checkpoint-{step}" / "weights").write_bytes(b"")


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("best", [3, None])
def test_damaged_and_strange_ones_are_never_kept_in_the_place_of_a_good_one(
    keep: int, best: int | None, tmp_path: Path
) -> None:
    """Without a word of which were passed over: later names do not count."""
    saved(Checkpoints(tmp_path, keep=9), 3, 6, 9)
    _damaged(tmp_path, 6, 9)
    (tmp_path / "checkpoint-99999").mkdir()
    saved(Checkpoints(tmp_path, keep=keep, best_step=lambda: best), 4)
    found, _ = newest(tmp_path)
    assert found is not None
    assert found.step == 4
    assert steps_of(tmp_path) == ([4] if keep == 1 and best is None else [3, 4]) + [6, 9, 99999]


def test_those_that_were_passed_over_lie_aside_until_a_new_one_is_whole(tmp_path: Path) -> None:
    saved(Checkpoints(tmp_path, keep=9), 3, 6, 9)
    _damaged(tmp_path, 6, 9)
    (tmp_path / "checkpoint-007").mkdir()
    set_aside_after(tmp_path, 3)
    remove_remains(tmp_path)
    assert newest(tmp_path)[1] == []
    names = {item.name for item in tmp_path.iterdir()}
    assert names == {"checkpoint-3", ".checkpoint-6.bad", ".checkpoint-9.bad", "checkpoint-007"}
    saved(Checkpoints(tmp_path, keep=2), 4, 6)
    assert {item.name for item in tmp_path.iterdir()} == {"checkpoint-4", "checkpoint-6", "checkpoint-007"}
    assert verified(tmp_path / "checkpoint-6").step == 6


def test_one_that_fails_to_verify_takes_no_name_and_is_not_called_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = Checkpoints(tmp_path)
    saved(checkpoints, 3)

    def spoiled(folder: Path) -> object:
        if (folder / "weights").is_file() and "6" in folder.name:
            (folder / "weights").write_bytes(b"y")
        return verified(folder)

    monkeypatch.setattr(module, "verified", spoiled)
    with pytest.raises(MachineError, match=r"step 6 could not be written.*The one of step 3 is whole"):
        saved(checkpoints, 6)
    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint-3"]


def test_a_damaged_one_is_not_called_whole(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    saved(checkpoints, 3, 4)
    _damaged(tmp_path, 4)
    with pytest.raises(MachineError, match="The one of step 3 is whole"):
        _fail_while_staged(checkpoints)
    _damaged(tmp_path, 3)
    with pytest.raises(MachineError, match=r"None of the earlier ones is whole\. Make room, or name"):
        _fail_while_staged(checkpoints)


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA error: out of memory"), MemoryError(), OSError(12, "Cannot allocate memory")]
)
def test_memory_that_runs_out_is_no_disk_that_is_full(error: Exception, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    saved(checkpoints, 4)
    with pytest.raises(
        MachineError, match=r"memory ran out while .* step 5 .*step 4 is whole: free some mem"
    ):
        _fail_while_staged(checkpoints, error)
    assert [item.name for item in tmp_path.iterdir()] == ["checkpoint-4"]
