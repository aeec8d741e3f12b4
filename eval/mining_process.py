"""One measurement of the mining benchmark in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isolated import GB, REFUSED, limit_memory

SCRIPT = Path(__file__).with_name("mining.py")
SEARCH, ENCODE, VECTORS, VERB = "search", "encode", "vectors", "verb"
CACHE = "SBERT_TRIPLET_CACHE"
PARTS_OF_CACHE = ("SBERT_TRIPLET_TOKEN_CACHE", "SBERT_TRIPLET_EMBEDDING_CACHE")


@dataclass(frozen=True)
class Job:
    """``kind`` of measurement and what it is told; ``gigabytes`` of memory, 0 for no limit."""

    kind: str
    told: dict[str, Any]
    gigabytes: float = 0.0


@dataclass(frozen=True)
class Found:
    """``outcome``: done, out of so much memory, out of time, or what failed; ``figures`` by name."""

    outcome: str
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.outcome == "done"


def alone(job: Job, seconds: float) -> Found:
    """The job in a new process, stopped after ``seconds``."""
    command = [sys.executable, str(SCRIPT), "--child", json.dumps(asdict(job))]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return Found("out of time")
    if any(sign in ended.stderr for sign in REFUSED) or ended.returncode == -9:
        return Found(f"out of {job.gigabytes:g} GB" if job.gigabytes else "out of memory")
    if ended.returncode != 0:
        last = (ended.stderr.strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        return Found(f"failed: {last}")
    return Found(**json.loads(ended.stdout.strip().splitlines()[-1]))


def child(job: Job) -> Found:
    """The job in this process."""
    if job.gigabytes:
        limit_memory(int(job.gigabytes * GB))
    return Found("done", {SEARCH: _search, ENCODE: _encode, VECTORS: _vectors, VERB: _verb}[job.kind](job))


def _search(job: Job) -> dict[str, float]:
    from mining_cases import WAYS
    from mining_search import mined

    return mined(WAYS[job.told["way"]], Path(job.told["folder"]), Path(job.told["answer"]))


def _encode(job: Job) -> dict[str, float]:
    from mining_encoding import timed

    return timed(**job.told)


def _vectors(job: Job) -> dict[str, float]:
    from mining_encoding import write_vectors

    return write_vectors(**job.told)


def _verb(job: Job) -> dict[str, float]:
    from mining_verb import carried_out

    return carried_out(**job.told)


@contextmanager
def only_cache(folder: Path) -> Iterator[None]:
    """Everything that this package keeps on disk is kept in ``folder``."""
    before = {name: os.environ.pop(name) for name in (CACHE, *PARTS_OF_CACHE) if name in os.environ}
    os.environ[CACHE] = str(folder)
    try:
        yield
    finally:
        del os.environ[CACHE]
        os.environ.update(before)
