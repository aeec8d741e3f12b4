"""The allocator's settings: freed memory is used again instead of being mapped anew."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

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
def test_the_persons_own_settings_are_left_alone() -> None:
    kept, _, again = measured(MALLOC_MMAP_MAX_="65536")
    assert kept == 0
    assert again > 20 * 100
