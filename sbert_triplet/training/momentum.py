"""The momentum encoder and its queue of keys."""

from __future__ import annotations

import copy

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from sbert_triplet.losses.batch import Queue


class MomentumEncoder(nn.Module):
    """A slowly following copy of ``model``, and the last keys that it made.

    He et al. (2020, arXiv 1911.05722): parameters k <- decay k + (1 - decay) q after each optimizer
    step, keys are queued after the loss saw them. It encodes without dropout and without gradient.
    """

    keys: Tensor
    ids: Tensor
    count: Tensor

    def __init__(self, model: SentenceTransformer, decay: float, size: int) -> None:
        super().__init__()
        self.encoder = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        like = next(iter(model.parameters()))
        dtype = torch.promote_types(like.dtype, torch.float32)
        width = model.get_embedding_dimension() or 0
        self.register_buffer("keys", torch.zeros(size, width, dtype=dtype, device=like.device))
        self.register_buffer("ids", torch.full((size,), -1, device=like.device))
        self.register_buffer("count", torch.zeros((), dtype=torch.long, device=like.device))
        self._made: tuple[Tensor, Tensor] | None = None
        self.train(False)

    def train(self, mode: bool = True) -> MomentumEncoder:
        """Always without dropout."""
        del mode
        super().train(False)
        return self

    def queue(self) -> Queue:
        """The filled slots, as they are at this moment."""
        filled = min(int(self.count), len(self.ids))
        return Queue(self.keys[:filled].clone(), self.ids[:filled].clone())

    def made(self, keys: Tensor, ids: Tensor) -> None:
        """Keep the keys of a batch until its optimizer step is done; a replayed batch replaces them."""
        self._made = keys.detach(), ids

    def forget(self) -> None:
        """Of a step that is left out no key is queued."""
        self._made = None

    @torch.no_grad()
    def after_step(self, model: nn.Module) -> None:
        """Follow ``model``, and queue the keys of the step's batch."""
        for own, followed in zip(self.encoder.parameters(), model.parameters(), strict=True):
            own.lerp_(followed.to(own.dtype), 1 - self.decay)
        for held, current in zip(self.encoder.buffers(), model.buffers(), strict=True):
            held.copy_(current)
        if self._made is None:
            return
        keys, ids = (part[-len(self.ids) :] for part in self._made)
        slots = (self.count + torch.arange(len(ids), device=ids.device)) % len(self.ids)
        self.keys[slots], self.ids[slots] = keys.to(self.keys.dtype), ids
        self.count += len(ids)
        self._made = None
