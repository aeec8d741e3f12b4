"""Token rows as the input of an encoder: padded to a rectangle, or packed into one sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sbert_triplet.encoding.borders import Borders
from sbert_triplet.encoding.forward import BORDERS

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """The tokens of n texts, one after the other: (T,) ``tokens`` and their ``types``, (n,) ``lengths``."""

    tokens: NDArray[np.integer[Any]]
    lengths: IntArray
    types: NDArray[np.integer[Any]] | None = None


def padded(rows: Rows, pad_id: int) -> dict[str, Any]:
    """(n, longest) tensors on the CPU; one column at least, for no encoder takes none."""
    mask = np.arange(max(int(rows.lengths.max()), 1))[None, :] < rows.lengths[:, None]

    def rectangle(values: NDArray[np.integer[Any]], empty: int) -> torch.Tensor:
        filled = np.full(mask.shape, empty, dtype=np.int64)
        filled[mask] = values
        return torch.from_numpy(filled)

    features: dict[str, Any] = {
        "input_ids": rectangle(rows.tokens, pad_id),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)),
    }
    if rows.types is not None:
        features["token_type_ids"] = rectangle(rows.types, 0)
    return features


def packed(rows: Rows, first_position: int) -> dict[str, Any]:
    """(1, T) tensors on the CPU; positions start anew, from ``first_position``, at each text.

    ``cu_seq_lens_q`` (n + 1,) and ``seq_idx`` (1, T) are what sentence-transformers' pooling reads.
    """
    ends = np.concatenate([[0], np.cumsum(rows.lengths)])
    features: dict[str, Any] = {
        "input_ids": _sequence(rows.tokens),
        "position_ids": _sequence(_positions(rows, ends[:-1], first_position)),
        "seq_idx": _sequence(np.repeat(np.arange(len(rows.lengths)), rows.lengths)),
        "cu_seq_lens_q": torch.from_numpy(ends.astype(np.int64)),
        BORDERS: Borders(tuple(rows.lengths.tolist())),
    }
    if rows.types is not None:
        features["token_type_ids"] = _sequence(rows.types)
    return features


def _positions(rows: Rows, starts: IntArray, first: int) -> IntArray:
    """(T,) the places of tokens in their texts, counted from ``first``.

    Encoders that begin after the padding's position give it to padding tokens, wherever they are, and
    count only the others. A text that spells such a token has one that is not masked.
    """
    counts = np.ones(len(rows.tokens), dtype=np.int64)
    if first:
        counts[rows.tokens == first - 1] = 0
    counted = np.concatenate([[0], np.cumsum(counts)])
    places = counted[:-1] - np.repeat(counted[starts], rows.lengths)
    positions: IntArray = np.where(counts, places + first, first - 1)
    return positions


def first_position(model: nn.Module) -> int:
    """The position of a text's first token: after the padding's own in encoders of RoBERTa's kind, else 0."""
    for module in model.modules():
        padding = getattr(module, "padding_idx", None)
        if isinstance(padding, int) and isinstance(
            getattr(module, "position_embeddings", None), nn.Embedding
        ):
            return padding + 1
    return 0


def _sequence(values: NDArray[np.integer[Any]]) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64))[None]
