"""Attention within the texts of a pack: many texts one after the other in one sequence, none sees another.

transformers looks its attention up by name; a pack is encoded under a name of this package, which is
set on the encoder's configuration for the time of the call and taken back after it. Masks are looked
up by the same name, and this one has none, so that no (T, T) mask is ever made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import RLock
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface

from sbert_triplet.encoding.borders import Borders, Rule, Scope
from sbert_triplet.encoding.kernels import attend

NAME = "sbert_triplet_packed"
CHANGES_SCORES = ("position_bias", "softcap", "s_aux", "cache", "head_mask")
"""Arguments of an attention function that change what is computed; a pack knows nothing of them."""


class NotPackableError(Exception):
    """The encoder's attention asks for something that a pack cannot give."""


_borders: ContextVar[Borders | None] = ContextVar("borders", default=None)
_one_at_a_time = RLock()  # a configuration is shared by all threads


@contextmanager
def within_borders(encoder: nn.Module, borders: Borders) -> Iterator[None]:
    """What ``encoder`` computes inside attends within the texts of a pack, one thread at a time.

    Raises NotPackableError where gradient checkpointing would compute it again outside of the borders.
    """
    if encoder.training and recomputes(encoder):
        raise NotPackableError("gradient checkpointing is on")
    with _one_at_a_time:
        configurations = attention_configurations(encoder)
        before = [configuration._attn_implementation for configuration in configurations]
        token = _borders.set(borders)
        try:
            for configuration in configurations:
                configuration._attn_implementation = NAME
            yield
        finally:
            _borders.reset(token)
            for configuration, name in zip(configurations, before, strict=True):
                configuration._attn_implementation = name


def recomputes(encoder: nn.Module) -> bool:
    """Whether gradient checkpointing is on."""
    return any(getattr(module, "gradient_checkpointing", False) for module in encoder.modules())


def attention_configurations(encoder: nn.Module) -> list[Any]:
    """The configurations by which the parts of ``encoder`` look up their attention, each once."""
    found = {}
    for module in encoder.modules():
        configuration = getattr(module, "config", None)
        if hasattr(configuration, "_attn_implementation"):
            found[id(configuration)] = configuration
    return list(found.values())


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' interface: (1, H, T, d) queries, as many heads of keys or fewer -> (1, T, H, d).

    ``sliding_window`` w: a token sees the w - 1 tokens before and, unless causal, after it.
    Raises NotPackableError for what would need a mask or other scores.
    """
    borders = _borders.get()
    if borders is None:
        raise NotPackableError("attention was asked for outside of a pack")
    changed = [name for name in CHANGES_SCORES if others.get(name) is not None]
    if changed or attention_mask is not None or query.shape[0] != 1:
        raise NotPackableError(f"its attention takes {', '.join(changed) or 'a mask of its own'}")
    if query.shape[2] != borders.tokens or key.shape[2] != query.shape[2]:
        raise NotPackableError("its attention is not between the tokens of the texts")
    borders.asked += 1
    causal = bool(getattr(module, "is_causal", True) if is_causal is None else is_causal)
    scope = Scope(causal, None if sliding_window is None else sliding_window - 1)
    q, k, v = (part.squeeze(0).transpose(0, 1) for part in (query, key, value))
    return attend(q, k, v, borders, Rule(scope, dropout, scaling)).unsqueeze(0), None


AttentionInterface.register(NAME, packed_attention)
