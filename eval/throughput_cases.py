"""What the throughput benchmark measures: work loads, systems, and the figures aimed at."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

PAIR, TRIPLET = ("anchor", "positive"), ("anchor", "positive", "negative")
LARGE, TRIAL = 1800, 128
"""A batch that needs a gradient cache on the CPU, and the smaller one on which ST's ways are tried for it."""
CPU_BATCHES, GPU_BATCHES = (64, LARGE), (64, 512, 4096)


@dataclass(frozen=True)
class Workload:
    """A data set: ``source`` below DATA, or one that every machine has, and its columns of texts."""

    source: str
    columns: tuple[str, ...]
    words: str
    steps: int
    """How many are timed in a process, unless said otherwise."""


WORKLOADS = {
    "docstrings": Workload("docstrings:", PAIR, "docstrings", 1),
    "medquad": Workload("medquad/train.parquet", PAIR, "medquad", 1),
    "nli": Workload("nli/triplets_train.parquet", TRIPLET, "nli triplets", 3),
    "multi30k": Workload("multi30k/train.parquet", PAIR, "multi30k captions", 4),
}


@dataclass(frozen=True)
class System:
    """Who trains, and how.

    ``ours``: this package's trainer, else that of sentence-transformers. ``cached``: with a gradient cache
    of ``tokens`` real tokens at once, there also of ``texts`` texts. ``merged``: all columns in one forward
    pass. ``attention``: the name of an attention other than the encoder's own choice. ``compiled``: the
    encoder goes through torch.compile.
    """

    words: str
    ours: bool = False
    cached: bool = False
    texts: int = 32
    tokens: int | None = None
    merged: bool = False
    attention: str | None = None
    compiled: bool = False


SYSTEMS = {
    "ours": System("this package", ours=True),
    "ours cached": System("this package, cache of 1,024 tokens", ours=True, cached=True, tokens=1024),
    "ours compiled": System("this package, torch.compile", ours=True, compiled=True),
    "st": System("ST"),
    "st merged": System("ST, merged columns", merged=True),
    "st compiled": System("ST, torch.compile", compiled=True),
    "st flash": System("ST, flash attention", attention="flash_attention_2"),
    "st cached": System("ST, cached loss", cached=True),
    "st cached 512": System("ST, cached loss of 512 tokens", cached=True, tokens=512),
    "st cached 2048": System("ST, cached loss of 2,048 tokens", cached=True, tokens=2048),
    "st cached 65536": System("ST, cached loss of 65,536 tokens", cached=True, tokens=65536),
}


@dataclass(frozen=True)
class Case:
    """One comparison: the systems of either side, as it comes first, on the same batches.

    ``trial``: the batch on which the fastest of ``st`` is found, where the whole one would take too long.
    """

    workload: str
    batch: int
    precision: str
    model: str
    device: str
    ours: tuple[str, ...]
    st: tuple[str, ...]
    trial: int | None = None

    @property
    def systems(self) -> tuple[str, ...]:
        return self.ours + self.st


NAMES = ("workload", "batch", "precision", "model", "device")
"""What a case differs by from every other."""


def cpu_cases(
    workloads: Iterable[str],
    batches: Iterable[int],
    precisions: Iterable[str],
    models: Iterable[str],
    large: int = LARGE,
    trial: int = TRIAL,
) -> Iterator[Case]:
    """bf16 before fp32. Batches from ``large`` on are of docstrings only, and in the first of them alone."""
    wanted = sorted(precisions)
    ours, st = ("ours", "ours cached"), ("st", "st merged", "st cached 512", "st cached 2048")
    cached = ("st cached", "st cached 512", "st cached 2048")
    for model in models:
        for precision in wanted:
            for workload in workloads:
                for batch in batches:
                    if batch < large:
                        yield Case(workload, batch, precision, model, "cpu", ours, st)
                    elif workload == "docstrings" and precision == wanted[0]:
                        yield Case(workload, batch, precision, model, "cpu", ("ours cached",), cached, trial)


def gpu_cases(
    workloads: Iterable[str], batches: Iterable[int], models: Iterable[str], flash: bool
) -> Iterator[Case]:
    """In bf16. ``flash``: whether flash attention is installed."""
    ours = ("ours", "ours cached", "ours compiled")
    st = ("st", "st merged", "st compiled", "st cached 65536", *(["st flash"] if flash else []))
    for model in models:
        for workload in workloads:
            yield from (Case(workload, batch, "bf16", model, "cuda", ours, st) for batch in batches)


@dataclass(frozen=True)
class Target:
    """At least ``faster`` times as fast as ST tuned, at most ``memory`` of its peak, in bf16.

    ``rate``: the share of the matrix-product rate to reach.
    """

    faster: float
    memory: float | None = None
    rate: float | None = None


TARGETS = {
    ("docstrings", 64): Target(2.2, 0.6, 0.40),
    ("medquad", 64): Target(1.8, 0.7),
    ("nli", 64): Target(1.4, 0.9),
    ("multi30k", 64): Target(1.15, 1.0),
    ("docstrings", LARGE): Target(2.0, 0.6),
}
GPU_TARGET = Target(1.5)


def target_of(case: dict[str, Any]) -> Target | None:
    """What is aimed at in a case, where anything is."""
    if case["precision"] != "bf16":
        return None
    return GPU_TARGET if case["device"] == "cuda" else TARGETS.get((case["workload"], case["batch"]))
