"""One measurement of the throughput benchmark in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isolated import GB, REFUSED, limit_memory
from throughput_cases import SYSTEMS

if TYPE_CHECKING:
    from throughput_train import Task

SCRIPT = Path(__file__).with_name("throughput.py")
PRODUCTS, TRAINING, PROFILE = "products", "training", "profile"


@dataclass(frozen=True)
class Job:
    """``kind`` of measurement and what it is told; ``gigabytes``: of memory, no limit on a GPU."""

    kind: str
    told: dict[str, Any]
    system: str = ""
    gigabytes: float = 0.0


@dataclass(frozen=True)
class Found:
    """``outcome``: done, out of so much memory, out of time, or what failed; ``figures`` by name."""

    outcome: str
    figures: dict[str, float]

    @property
    def done(self) -> bool:
        return self.outcome == "done"


def alone(job: Job, seconds: float) -> Found:
    """The job in a new process, stopped after ``seconds``."""
    command = [sys.executable, str(SCRIPT), "--child", json.dumps(asdict(job))]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Found("out of time", {})
    if any(sign in ended.stderr for sign in (*REFUSED, "CUDA out of memory")) or ended.returncode == -9:
        return Found(f"out of {job.gigabytes:g} GB" if job.gigabytes else "out of memory", {})
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        return Found(f"failed: {last}", {})
    return Found(**json.loads(ended.stdout.strip().splitlines()[-1]))


def child(job: Job) -> Found:
    """The job in this process."""
    if job.gigabytes:
        limit_memory(int(job.gigabytes * GB))
    return Found("done", {PRODUCTS: _products, TRAINING: _training, PROFILE: _profile}[job.kind](job))


def _products(job: Job) -> dict[str, float]:
    from throughput_needs import product_rate

    return {"rate": product_rate(**job.told)}


def _training(job: Job) -> dict[str, float]:
    from throughput_train import Clock, trained

    task = _task(job)
    return asdict(trained(SYSTEMS[job.system], task, Clock(task)))


def _profile(job: Job) -> dict[str, float]:
    from throughput_profile import profiled

    return profiled(SYSTEMS[job.system], _task(job))


def _task(job: Job) -> Task:
    from throughput_train import Task

    from sbert_triplet.terminal import quiet

    quiet()
    return Task(**job.told)
