"""What a process of this package asks of the system before it computes."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_SET_BY_PERSON = ("MALLOC_MMAP_MAX_", "MALLOC_TRIM_THRESHOLD_", "LD_PRELOAD")


def granted_cores(folder: Path = CGROUP) -> int | None:
    """Whole cores that a container's limit grants its processes, at least one; None where there is no limit.

    Libraries count those of the machine, and as many threads then wait for each other. ``folder``: where
    the limits of control groups stand, of the second version or the first.
    """
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else max(int(quota) // int(period), 1)
    with suppress(OSError, ValueError):
        first, second = (
            int((folder / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="ascii"))
            for name in ("quota", "period")
        )
        return None if first < 0 else max(first // second, 1)
    return None


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed for the next allocation; returns whether it does.

    Each large tensor is otherwise mapped anew, and the system clears its pages again at every step: a
    twentieth of the time and more. For the start of a process that is this package's own: it holds for
    the whole process, whose memory then never shrinks. Nothing is done on other systems, nor where the
    person chose an allocator or its settings (``MALLOC_MMAP_MAX_``, ``MALLOC_TRIM_THRESHOLD_``).
    """
    if not sys.platform.startswith("linux") or platform.libc_ver()[0] != "glibc":
        return False
    if any(name in os.environ for name in _SET_BY_PERSON):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, -1))
