"""Embeddings of many texts without gradients: for evaluation, mining and search."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import truncate_embeddings

from sbert_triplet.encoding.groups import plan_groups
from sbert_triplet.encoding.tokens import Side, TokenTable

FloatMatrix = NDArray[np.float32]
IntArray = NDArray[np.int64]
Progress = Callable[[int, int], None]
"""Called with the number of texts done and the number of all."""

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
GROUP_TOKENS = {"cpu": 2048, "cuda": 65536, "mps": 8192}


def group_tokens(device: torch.device) -> int:
    """The token budget of one forward pass that suits the device."""
    return GROUP_TOKENS.get(device.type, 8192)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Autocast for the precision; nothing for fp32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=PRECISIONS[precision])


def encode(
    model: SentenceTransformer,
    tokens: TokenTable,
    side: Side,
    ids: IntArray,
    *,
    precision: str = "fp32",
    budget: int | None = None,
    progress: Progress | None = None,
) -> FloatMatrix:
    """Embed the texts of ``ids`` as ``encode_query``, ``encode_document`` or ``encode`` would.

    Returns (n, D) float32 in the order of ``ids``. A text that appears several times is encoded
    once; long texts come first, so that too little memory shows at once.
    """
    unique, back = np.unique(ids, return_inverse=True)
    tokens.add(side, unique)
    form = tokens.form(side)
    device = model.device
    done = 0
    out: FloatMatrix | None = None
    with evaluating(model), torch.inference_mode(), autocast(device, precision):
        for group in plan_groups(tokens.lengths(form, unique), budget or group_tokens(device)):
            embeddings = forward(model, tokens.features(form, unique[group]), device)
            embeddings = truncate_embeddings(embeddings, model.truncate_dim)
            if out is None:
                out = np.empty((len(unique), embeddings.shape[1]), dtype=np.float32)
            out[group] = embeddings.float().cpu().numpy()
            done += len(group)
            if progress is not None:
                progress(done, len(unique))
    if out is None:
        return np.zeros((0, model.get_embedding_dimension() or 0), dtype=np.float32)
    return out[back]


def forward(model: torch.nn.Module, features: dict[str, object], device: torch.device) -> torch.Tensor:
    """One call of ``model(features)``: (n, D) sentence embeddings."""
    moved = {
        name: value.to(device, non_blocking=True) if isinstance(value, torch.Tensor) else value
        for name, value in features.items()
    }
    task = moved.pop("task", None)
    result = model(moved, task=task) if task is not None else model(moved)
    embeddings: torch.Tensor = result["sentence_embedding"]
    return embeddings


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """The model without dropout, put back as it was afterwards."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
