"""What CoSENT costs: no tensor over pairs of rows, at any size."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sbert_triplet.losses.batch import Embedded
from sbert_triplet.losses.names import build_loss


class Largest(TorchDispatchMode):
    """The most elements of any tensor that an operation gives, backward passes included."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(found) if isinstance(leaf, torch.Tensor)]
        self.elements = max([self.elements, *sizes])
        return found


def test_nothing_grows_with_the_pairs_of_rows() -> None:
    rows, dimensions = 20_000, 4
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(rows, dimensions, generator=generator).requires_grad_() for _ in range(2))
    scores = torch.randperm(rows, generator=generator).float()
    loss = build_loss("cosent")
    with Largest() as largest:
        output = loss(Embedded((left, right), scores=scores))
        output.value.backward()
    assert output.stats["n_valid"] == rows * (rows - 1) / 2
    assert torch.isfinite(output.value)
    assert largest.elements <= rows * dimensions
