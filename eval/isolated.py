"""One measurement in a process of its own: seconds, peak memory above the input, and a limit of memory.

A process that has run nothing else has a peak that is its own. Linux only: the peak is read from
/proc and the limit is one that other systems do not enforce.
"""

from __future__ import annotations

import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

GB = 10**9
PROCESS = Path("/proc/self")
DONE, OUT_OF_MEMORY = "done", "out of memory"
REFUSED = (
    "can't allocate memory",
    "not enough memory",
    "bad_alloc",
    "Cannot allocate memory",
    "CUDA out of memory",
)
"""How torch and the allocators below it say that the limit was reached."""


@dataclass(frozen=True)
class Cost:
    """``outcome``: done, out of memory, out of time, or what failed. ``peak``: bytes above the input."""

    outcome: str
    seconds: float = 0.0
    peak: int = 0
    value: float = 0.0
    gradient: float = 0.0

    @property
    def done(self) -> bool:
        return self.outcome == DONE


@dataclass(frozen=True)
class Found:
    """``outcome``: done, out of so much memory, out of time, or what failed; ``figures`` by name."""

    outcome: str
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.outcome == DONE


def refuse_other_systems() -> None:
    if not sys.platform.startswith("linux"):
        sys.exit("This measurement reads /proc and limits the memory of a process: run it on Linux.")


def refuse_less_memory(size: int) -> None:
    """Stop where the machine would run out before a process reaches its limit of ``size`` bytes."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:") and (free := int(line.split()[1]) * 1024) < size:
            sys.exit(f"{free / GB:.1f} GB are free, and a process may take {size / GB:.1f} GB: free some")


def measured_alone(command: Sequence[str], seconds: float) -> Cost:
    """The cost that ``command`` prints as its last line; it is stopped after ``seconds``."""
    outcome, line = _last_line(command, seconds)
    return Cost(**json.loads(line)) if outcome == DONE else Cost(outcome)


def in_a_process(script: Path, job: Mapping[str, Any], gigabytes: float, seconds: float) -> Found:
    """What ``script --child JOB`` prints as its last line; it is stopped after ``seconds``.

    ``gigabytes``: the limit that the job sets itself, 0 for none.
    """
    outcome, line = _last_line([sys.executable, str(script), "--child", json.dumps(job)], seconds)
    if outcome == OUT_OF_MEMORY and gigabytes:
        outcome = f"out of {gigabytes:g} GB"
    return Found(**json.loads(line)) if outcome == DONE else Found(outcome)


def _last_line(command: Sequence[str], seconds: float) -> tuple[str, str]:
    """What became of it, and the last line that it printed."""
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return "out of time", ""
    if any(sign in ended.stderr for sign in REFUSED) or ended.returncode == -9:
        return OUT_OF_MEMORY, ""
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        return f"failed: {last}", ""
    return DONE, ended.stdout.strip().splitlines()[-1]


def limit_memory(size: int) -> None:
    """Let no more than ``size`` bytes of writable memory be taken by this process, libraries included."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def peak_above(step: Callable[[], None]) -> tuple[float, int]:
    """Seconds of ``step``, and the peak of resident memory during it above what there was before."""
    gc.collect()
    before = _status("VmRSS")
    (PROCESS / "clear_refs").write_text("5")
    start = time.perf_counter()
    step()
    seconds = time.perf_counter() - start
    return seconds, max(_status("VmHWM") - before, 0)


def median_seconds(step: Callable[[], None], budget: float = 1.0, most: int = 20) -> float:
    """Seconds of ``step``: the median of as many runs as fit in the budget, at least one."""
    taken: list[float] = []
    while not taken or (sum(taken) < budget and len(taken) < most):
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def tell(cost: Cost) -> None:
    """Print a cost as the last line of this process."""
    print(json.dumps(asdict(cost)))


def _status(name: str) -> int:
    for line in (PROCESS / "status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {name}")
