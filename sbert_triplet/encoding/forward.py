"""The one way into an encoder: ``model(features)``, for padded groups and for packs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from sbert_triplet.encoding.attention import recomputes, within_borders
from sbert_triplet.encoding.dropout import cheap_dropout

BORDERS = "borders"
"""The feature of a pack that says where its texts lie; the encoder itself does not see it."""


def sentence_embeddings(model: nn.Module, features: Mapping[str, Any], *, own_dropout: bool = True) -> Tensor:
    """(n, D) embeddings of the n texts of ``features``, which lie on the model's device.

    ``model`` is a SentenceTransformer or its wrapper for several devices. The features are left as they were.
    ``own_dropout``: a training encoder on the CPU draws as ``encoding.dropout`` does, else as torch does;
    so does one that computes parts of itself again for the backward pass, which happens outside.
    """
    inputs = dict(features)
    task, borders = inputs.pop("task", None), inputs.pop(BORDERS, None)
    encoder = getattr(model, "module", model)
    own_dropout &= encoder.training and inputs["input_ids"].device.type == "cpu" and not recomputes(encoder)
    with (
        within_borders(encoder, borders) if borders is not None else nullcontext(),
        cheap_dropout(encoder) if own_dropout else nullcontext(),
    ):
        result = model(inputs, task=task) if task is not None else model(inputs)
    embeddings: Tensor = result["sentence_embedding"]
    return embeddings


def moved(features: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """The features with their tensors on ``device``."""
    return {
        name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
        for name, value in features.items()
    }


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model without dropout, each of its modules put back as it was afterwards."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
