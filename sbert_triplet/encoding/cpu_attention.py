"""Attention with dropout on the CPU, in blocks that stay in the processor's cache.

Scores and probabilities are fp32 (fp64 for such inputs) and never kept: the backward pass computes
them again from queries and keys, as FlashAttention does (Dao et al., 2022, arXiv 2205.14135). What
is kept of (L, L) size is one byte an element, what dropout kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sbert_triplet.encoding.borders import Borders, Rule, Scope
from sbert_triplet.encoding.dropout import kept, kept_scale

BLOCK = 1 << 19
"""Scores that are computed at once."""


def attend_with_dropout(query: Tensor, key: Tensor, value: Tensor, borders: Borders, rule: Rule) -> Tensor:
    """(T, H, d) each -> (T, H, d): attention within each text, shares dropped as ``rule`` says."""
    apply: Callable[..., Tensor] = _Attention.apply
    return apply(query, key, value, borders, rule)


class _Block(NamedTuple):
    """``texts`` of ``length`` tokens each, which are rows of the pack from ``start`` on."""

    start: int
    texts: int
    length: int

    def heads_first(self, tokens: Tensor, wide: torch.dtype) -> Tensor:
        """(T, H, d) of the pack -> (texts * H, L, d) of the block, a copy."""
        heads, width = tokens.shape[1:]
        part = tokens[self.start : self.start + self.texts * self.length]
        part = part.view(self.texts, self.length, heads, width).transpose(1, 2)
        part = part.to(wide, copy=True, memory_format=torch.contiguous_format)
        return part.view(self.texts * heads, self.length, width)

    def put(self, into: Tensor, values: Tensor) -> None:
        """(texts * H, L, d) of the block into (T, H, d) of the pack."""
        heads, width = into.shape[1:]
        part = into[self.start : self.start + self.texts * self.length]
        part = part.view(self.texts, self.length, heads, width)
        part.copy_(values.view(self.texts, heads, self.length, width).transpose(1, 2))


def _blocks(borders: Borders, heads: int) -> Iterator[_Block]:
    token = 0
    for group in borders.equal:
        step = max(1, BLOCK // (heads * group.longest**2))
        for text in range(0, group.texts, step):
            texts = min(step, group.texts - text)
            yield _Block(token, texts, group.longest)
            token += texts * group.longest


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, borders: Borders, rule: Rule) -> Tensor:
        wide, scale = _wide(query), _scale(query, rule)
        out = torch.empty_like(query, memory_format=torch.contiguous_format)
        keeps = []
        for block in _blocks(borders, query.shape[1]):
            q, k, v = (block.heads_first(part, wide) for part in (query, key, value))
            share = _shares(q.mul_(scale), k, rule.scope)
            keep = kept(tuple(share.shape), rule.dropout)
            block.put(out, torch.bmm(share.mul_(keep.to(wide)), v.mul_(kept_scale(rule.dropout))))
            keeps.append(keep)
        ctx.save_for_backward(query, key, value, out, *keeps)
        ctx.given = borders, rule
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, *keeps = ctx.saved_tensors
        borders, rule = ctx.given
        scale = _scale(query, rule)
        (grad,) = grads
        wide = _wide(query)
        inputs = (query, key, value)
        into = [torch.empty_like(part, memory_format=torch.contiguous_format) for part in inputs]
        for block, keep in zip(_blocks(borders, query.shape[1]), keeps, strict=True):
            q, k, v, g, o = (block.heads_first(part, wide) for part in (*inputs, grad, out))
            share = _shares(q.mul_(scale), k, rule.scope)
            level = (o.mul_(g)).sum(-1, keepdim=True)
            mask = keep.to(wide)
            pull = torch.bmm(g.mul_(kept_scale(rule.dropout)), v.transpose(1, 2)).mul_(mask)
            pull.sub_(level).mul_(share)
            block.put(into[0], torch.bmm(pull, k).mul_(scale))
            block.put(into[1], torch.bmm(pull.transpose(1, 2), q))
            block.put(into[2], torch.bmm(share.mul_(mask).transpose(1, 2), g))
        return (*into, None, None)


def _shares(query: Tensor, key: Tensor, scope: Scope) -> Tensor:
    """(n, L, L): what share of its attention each token gives to each."""
    scores = torch.bmm(query, key.transpose(1, 2))
    length = scores.shape[-1]
    if scope.causal or scope.limits(length):
        scores.masked_fill_(~scope.mask(length, scores.device), -torch.inf)
    return torch.softmax(scores, dim=-1)


def _wide(values: Tensor) -> torch.dtype:
    return torch.float64 if values.dtype == torch.float64 else torch.float32


def _scale(query: Tensor, rule: Rule) -> float:
    width: int = query.shape[-1]
    return width**-0.5 if rule.scale is None else rule.scale
