"""Where the time of training goes, by stage."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from throughput_cases import System
from throughput_train import Clock, Task, trained
from torch.profiler import ProfilerActivity, profile

from sbert_triplet.training.ahead import WAITING

WITH_PARENTS = {
    "data": rf"DataLoader|^{WAITING}$",
    "optimizer": r"Optimizer\.|_foreach_|_fused_adam|linalg_vector_norm",
    "dropout and random numbers": r"[Dd]ropout|random_|bernoulli",
    "attention": r"^_?Attention|_AttentionBackward|scaled_dot_product|varlen|flash",
}
"""Operations, and what they call."""

OTHER, BETWEEN = "other operations", "between operations"
ALONE = {
    BETWEEN: r"^_[A-Za-z]+$",
    "copies and casts": r"^aten::(copy_|_to_copy|to|cat|clone|contiguous|fill_|zero_|zeros|empty.*)$|^Memcpy",
}
ENCODER = {
    "matrix products": r"addmm|::mm$|linear|matmul|bmm|MmBackward",
    "normalisation and activations": r"layer_norm|LayerNorm|gelu|Gelu|tanh|Tanh|relu|silu",
    "embeddings": r"embedding|Embedding",
}


def profiled(system: System, task: Task) -> dict[str, float]:
    """Seconds of the timed steps by stage; of a GPU the time of its kernels.

    What no operation accounts for is Python and waiting, or an idle GPU. The profiler itself takes time.
    """
    on_gpu = task.device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    recorder = profile(activities=activities)
    clock = Clock(task, begin=recorder.start, end=recorder.stop)
    spent = trained(system, task, clock)
    stages: defaultdict[str, float] = defaultdict(float)
    events: Any = recorder.events  # not annotated in torch
    for event in events() or ():
        taken = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        stages[_stage(event)] += taken / 10**6
    stages[BETWEEN] = max(spent.seconds - sum(stages.values()), 0.0)
    return dict(sorted(stages.items(), key=lambda item: -item[1]))


def _stage(event: Any) -> str:
    name = str(event.name)
    chain = [name, *_callers(event)]
    for stages, names in ((WITH_PARENTS, chain), (ALONE, [name]), (ENCODER, chain)):
        for stage, pattern in stages.items():
            if any(re.search(pattern, each) for each in names):
                return stage
    return OTHER


def _callers(event: Any) -> Iterator[str]:
    while (event := event.cpu_parent) is not None:
        yield str(event.name)
