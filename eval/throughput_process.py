"""One measurement of the throughput benchmark in a process of its own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isolated import GB, Found, in_a_process, limit_memory
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


def alone(job: Job, seconds: float) -> Found:
    """The job in a new process, stopped after ``seconds``."""
    return in_a_process(SCRIPT, asdict(job), job.gigabytes, seconds)


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
