"""A full disk, a limit on files, no memory: one clear error, and nothing half-written."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from sbert_triplet.errors import InputError, MachineError
from sbert_triplet.pipeline import job
from sbert_triplet.pipeline.failures import machine_error
from sbert_triplet.pipeline.folder import RunFolder

if TYPE_CHECKING:
    from tests.pipeline.conftest import Tables, Train

Usage = namedtuple("Usage", "total used free")
PREDICTIONS = {"predictions", "predictions/items.parquet", "predictions/map.parquet"}


class SafetensorError(Exception):
    """Stands for errors of libraries that wrap what the system said in words of their own."""


def chained(error: Exception, cause: Exception) -> Exception:
    try:
        raise error from cause
    except Exception as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), r"the disk is full \(/x/y\): make room"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (chained(RuntimeError("cannot write"), OSError(errno.ENOSPC, "full")), "the disk is full"),
        (OSError(errno.EFBIG, "File too large", "/x/y"), r"lets no file grow this large \(/x/y\)"),
        (MemoryError(), r"memory ran out: set train.chunk_tokens \(to 4096"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "memory ran out",
        ),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "memory ran out"),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling it"),
            "memory ran out",
        ),
    ],
)
def test_what_the_machine_is_to_blame_for(error: Exception, message: str) -> None:
    found = machine_error(error)
    assert found is not None
    assert found.exit_code == 3
    with pytest.raises(MachineError, match=message):
        raise found


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), OSError(errno.ENOENT, "gone"), ValueError("the batch is out of memory of rows")],
)
def test_what_the_machine_is_not_to_blame_for(error: Exception) -> None:
    assert machine_error(error) is None


def test_too_little_room_is_refused_before_training(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**12, 10**12, 10**6))
    with pytest.raises(
        MachineError, match=r"out/run: 1 MB are free on this disk and the run needs about 68 MB"
    ):
        train(tables.write("mine.csv", tables.pairs()), "out/run")
    assert not Path("out").exists()


def test_a_disk_that_fills_up_while_the_predictions_are_written(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(table: object, file: Path, **_: Any) -> None:
        file.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(MachineError, match=r"the disk is full .*items\.parquet"):
        train(tables.write("mine.csv", tables.pairs()))
    left = {item.name for item in Path("out").iterdir()}
    assert left == {"recipe.yaml", "data.json", "log.jsonl", "checkpoints", "predictions"}
    assert list(Path("out/predictions").iterdir()) == []


def test_a_disk_that_fills_up_before_training_leaves_no_folder(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: RunFolder, name: str, value: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", name)

    monkeypatch.setattr(RunFolder, "write_json", full)
    with pytest.raises(MachineError, match=r"the disk is full \(data\.json\)"):
        train(tables.write("mine.csv", tables.pairs()), "runs/new")
    assert not Path("runs").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_a_real_limit_on_the_size_of_files(tables: Tables, tiny_folder: Path, train: Train) -> None:
    """The weights of the tiny encoder take more than 50,000 bytes, all else that is written takes less."""
    import resource

    data = tables.write("mine.csv", tables.pairs())
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(MachineError, match=r"step 2 could not be written .*too large.*ulimit -f"):
            train(data, smoke=False, model=str(tiny_folder), train={"max_steps": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    left = {str(item.relative_to("out")) for item in Path("out").rglob("*")}
    assert left == {"recipe.yaml", "data.json", "log.jsonl"}


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="a file system in memory")
def test_a_disk_that_is_really_full(
    tables: Tables, tiny_folder: Path, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tables.write("mine.csv", tables.pairs())
    Path("small").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", "small"]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only the administrator may mount a small disk")
    try:
        with pytest.raises(MachineError, match=r"small/run: 0 MB are free on this disk"):
            train(data, "small/run", smoke=False, model=str(tiny_folder))
        assert list(Path("small").iterdir()) == []
        monkeypatch.setattr(job, "_needed_bytes", lambda _: 0)
        with pytest.raises(MachineError, match=r"no room for the checkpoint of step 2: it needs .* are free"):
            train(data, "small/run", smoke=False, model=str(tiny_folder), train={"max_steps": 2})
        left = {item.name for item in (Path("small") / "run").iterdir()}
        assert left == {"recipe.yaml", "data.json", "log.jsonl"}
    finally:
        subprocess.run(["umount", "small"], check=True)


def test_running_out_of_memory_in_training(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(job, "train", exhausted)
    with pytest.raises(MachineError, match=r"memory ran out: set train\.chunk_tokens .* train\.batch_size"):
        train(tables.write("mine.csv", tables.pairs()))
    assert not Path("out").exists()


def test_stopped_before_the_first_step_leaves_no_folder(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(tables.write("mine.csv", tables.pairs()))
    assert not Path("out").exists()


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of the system, because an administrator may write everywhere."""
    Path("closed").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match=r"closed: no permission to write here; name another folder"):
        RunFolder(Path("closed") / "deep" / "run").refuse_unless_free(overwrite=False)


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid"), reason="permissions of POSIX")
def test_a_folder_without_permission() -> None:
    if os.geteuid() == 0:
        pytest.skip("the administrator may write everywhere")
    Path("closed").mkdir(mode=0o500)
    with pytest.raises(InputError, match="no permission to write here"):
        RunFolder(Path("closed") / "run").refuse_unless_free(overwrite=False)


def test_a_file_in_the_way() -> None:
    Path("file").write_text("x")
    for path in ("file", "file/run", "file/deep/run"):
        with pytest.raises(InputError, match=r"is a file; name another folder with --out"):
            RunFolder(Path(path)).refuse_unless_free(overwrite=True)
