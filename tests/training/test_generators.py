"""Random generators go on where they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from safetensors.torch import load, save

from sbert_triplet.training.generators import generators, set_generators

CPU = torch.device("cpu")


def draws() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        random.gauss(0, 1),
        float(np.random.random()),
        float(np.random.standard_normal()),
        float(torch.rand(())),
        float(torch.randn(())),
    ]


@pytest.mark.parametrize("before", range(3))
def test_they_draw_again_what_they_drew(before: int) -> None:
    """Also in the middle of a pair of normal draws, of which the second is kept."""
    random.seed(before)
    np.random.seed(before)
    torch.manual_seed(before)
    for _ in range(before):
        random.gauss(0, 1)
        np.random.standard_normal()
    kept = load(save(generators(CPU)))
    expected = draws()
    draws()
    set_generators(kept, CPU)
    assert draws() == expected
