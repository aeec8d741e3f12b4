"""The operations that training on a batch needs, and the rate at which a machine multiplies matrices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from isolated import median_seconds
from numpy.typing import NDArray

PRODUCTS = 5
"""Products between two looks at the clock."""


@dataclass(frozen=True)
class Shape:
    """An encoder of BERT's kind: ``layers`` of ``width`` dimensions, ``inner`` of them in between."""

    layers: int
    width: int
    inner: int


def shape_of(folder: Path) -> Shape:
    """By the model's configuration."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    return Shape(config.num_hidden_layers, config.hidden_size, config.intermediate_size)


def operations(shape: Shape, lengths: NDArray[np.int64]) -> float:
    """Floating-point operations of forward and backward over texts of these real lengths.

    A product of a weight of p values with a token is 2p operations, so the linear layers (four of
    width x width, two of width x inner) take 2 (4 w^2 + 2 w i) a layer and token. Scores and weighted
    values of a text of L tokens take 2 L w each a layer and token, together 4 L w. Backward takes
    twice what forward does, once for the inputs and once for the weights, hence 3 times all of it.
    Embeddings, norms, activations, the loss and the optimizer are not counted, nor is padding or what
    a gradient cache computes again.
    """
    weights = 4 * shape.width**2 + 2 * shape.width * shape.inner
    linear = 2.0 * weights * float(lengths.sum())
    attention = 4.0 * shape.width * float((lengths.astype(np.float64) ** 2).sum())
    return 3.0 * shape.layers * (linear + attention)


def product_rate(width: int, inner: int, precision: str, device: str) -> float:
    """Operations a second of (n, width) x (width, inner), n = 4,096, and 65,536 on a GPU; the median."""
    import torch

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    rows = 65536 if device == "cuda" else 4096
    generator = torch.Generator(device).manual_seed(0)
    left = torch.randn(rows, width, generator=generator, device=device).to(dtype)
    right = torch.randn(width, inner, generator=generator, device=device).to(dtype)
    out = left @ right

    def products() -> None:
        for _ in range(PRODUCTS):
            torch.mm(left, right, out=out)
        if device == "cuda":
            torch.cuda.synchronize()

    products()
    return PRODUCTS * 2.0 * rows * width * inner / median_seconds(products, most=200)
