"""One measurement of the mining benchmark in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from isolated import GB, Found, in_a_process, limit_memory

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


def alone(job: Job, seconds: float) -> Found:
    """The job in a new process, stopped after ``seconds``."""
    return in_a_process(SCRIPT, asdict(job), job.gigabytes, seconds)


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
