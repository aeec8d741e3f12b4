"""The allocator's settings, by which freed memory is used again, and the cores that a container grants."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from sbert_triplet.training.machine import granted_cores, keep_freed_memory

FAULTS = """
import resource
import torch
from sbert_triplet.training.machine import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(4 << 20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
kept = keep_freed_memory()
faults()
print(int(kept), plain, faults())
"""
glibc = pytest.mark.skipif(
    not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc", reason="glibc alone has it"
)


def measured(**environment: str) -> tuple[int, int, int]:
    kept = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    command = [sys.executable, "-c", FAULTS]
    found = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True)
    kept_or_not, plain, again = map(int, found.stdout.split())
    return kept_or_not, plain, again


@glibc
def test_large_tensors_are_not_mapped_anew() -> None:
    kept, plain, again = measured()
    assert kept == 1
    assert plain > 20 * 100
    assert again < plain / 20


@glibc
@pytest.mark.parametrize("name", ["MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD"])
def test_the_persons_own_settings_are_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(_: None) -> None:
        pytest.fail("the allocator was asked")

    monkeypatch.setattr("ctypes.CDLL", asked)
    monkeypatch.setenv(name, "65536")
    assert not keep_freed_memory()


@glibc
@pytest.mark.long
def test_the_persons_own_settings_hold() -> None:
    kept, _, again = measured(MALLOC_MMAP_MAX_="65536")
    assert kept == 0
    assert again > 20 * 100


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "350000 100000\n"}, 3),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "what\n"}, None),
        ({}, None),
    ],
)
def test_cores_that_a_container_grants(tmp_path: Path, files: dict[str, str], cores: int | None) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert granted_cores(tmp_path) == cores
