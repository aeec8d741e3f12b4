"""All random generators of a process as tensors, so that no pickle has to be read to put them back."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

_PYTHON, _NUMPY, _TORCH, _CUDA = "python", "numpy", "torch", "cuda"
_NONE = float("nan")
"""In the place of the second half of a pair of normal draws, where there is none."""


def generators(device: torch.device) -> dict[str, Tensor]:
    """The states of Python's, numpy's and torch's generators, and of that of a CUDA ``device``."""
    version, words, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = np.random.get_state(legacy=True)
    assert (kind, version) == ("MT19937", 3)
    states = {
        _PYTHON: torch.tensor(words, dtype=torch.int64),
        f"{_PYTHON}.gauss": torch.tensor(_NONE if gauss is None else gauss, dtype=torch.float64),
        _NUMPY: torch.from_numpy(np.asarray(keys, dtype=np.int64)),
        f"{_NUMPY}.place": torch.tensor([int(place), int(has_gauss)]),
        f"{_NUMPY}.gauss": torch.tensor(float(cached), dtype=torch.float64),
        _TORCH: torch.random.get_rng_state(),
    }
    if device.type == "cuda":
        states[_CUDA] = torch.cuda.get_rng_state(device)
    return states


def set_generators(states: Mapping[str, Tensor], device: torch.device) -> None:
    """Put back what ``generators`` gave; a CUDA generator where there is one now and was one then."""
    gauss = float(states[f"{_PYTHON}.gauss"])
    words: tuple[Any, ...] = tuple(states[_PYTHON].tolist())
    random.setstate((3, words, None if gauss != gauss else gauss))
    place, has_gauss = states[f"{_NUMPY}.place"].tolist()
    keys = states[_NUMPY].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, place, has_gauss, float(states[f"{_NUMPY}.gauss"])))
    torch.random.set_rng_state(states[_TORCH].cpu())
    if device.type == "cuda" and _CUDA in states:
        torch.cuda.set_rng_state(states[_CUDA].cpu(), device)
