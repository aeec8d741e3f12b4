"""What all triplets of a batch cost: memory of the order of the distances, and no cubic time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.names import build_loss

ROOT = Path(__file__).resolve().parents[2]
MARGIN = 0.2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of a process is read from /proc")
def test_memory_and_value_of_facenets_batch() -> None:
    """45 classes x 40 texts of 384 dimensions; the cube of 1,800 in fp32 is 23 GB."""
    command = [sys.executable, str(ROOT / "eval" / "batch_all.py"), "--child", "ours", "--sizes", "1800"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, timeout=120)
    cost = json.loads(done.stdout.splitlines()[-1])
    assert cost["outcome"] == "done"
    assert 10**7 < cost["peak"] < 150 * 10**6
    assert 0.15 < cost["value"] < 0.25
    assert cost["gradient"] > 0


def test_much_faster_than_the_cube_of_the_batch() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.nn.functional.normalize(torch.randn(192, 32, generator=generator), dim=1).requires_grad_()
    labels = torch.arange(192) // 24
    loss = build_loss("triplet", distance="euclidean", margin=MARGIN, miner="all")

    def cube() -> Tensor:
        distances = torch.cdist(x, x)
        same = labels[:, None] == labels[None]
        positive = same & ~torch.eye(len(labels), dtype=torch.bool)
        hinge = torch.relu(distances[:, :, None] + MARGIN - distances[:, None, :])
        counted = hinge * (positive[:, :, None] & ~same[:, None, :])
        return counted.sum() / (counted > 0).sum()

    def seconds(value: Callable[[], Tensor]) -> float:
        start = time.perf_counter()
        torch.autograd.grad(value(), x)
        return time.perf_counter() - start

    def sorted_sums() -> Tensor:
        return loss(Embedded((x,), labels=labels)).value

    torch.testing.assert_close(sorted_sums(), cube(), rtol=1e-5, atol=1e-6)
    pairs = [(seconds(sorted_sums), seconds(cube)) for _ in range(3)]
    assert 4 * min(pair[0] for pair in pairs) < min(pair[1] for pair in pairs)
