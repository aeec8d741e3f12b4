"""Embeddings of a batch of any size: encoded without a graph, and again, a part at a time, for the gradient.

Gao, Zhang, Han and Callan (2021, arXiv 2101.06983). The gradient of the loss with respect to the
embeddings needs no encoder; with it each part is encoded once more, under the same draws of dropout,
and its graph lives only until its own backward pass is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from sbert_triplet.encoding.memory import failing_together

Features = Mapping[str, Any]
Encode = Callable[[nn.Module, Features], Tensor]


def encode_whole(model: nn.Module, parts: Sequence[Features], encode: Encode) -> Tensor:
    """(U, D): ``encode(model, part)`` of all parts, in their order, with their whole graph."""
    rows = torch.cat([encode(model, part) for part in parts])
    if rows.requires_grad and getattr(model, "find_unused_parameters", False):
        # At each call the wrapper took what that part alone does not use, the other route of a model for
        # queries and documents, for parameters without a gradient in this step.
        cast(Any, model).reducer.prepare_for_backward([rows])
    return rows


def encode_in_parts(model: nn.Module, parts: Sequence[Features], encode: Encode) -> Tensor:
    """(U, D): ``encode(model, part)`` of all parts, in their order, with the graph of one part at a time.

    Value and gradient are those of the parts encoded with the whole graph kept, up to the order of
    additions. A wrapper for several processes synchronises gradients once, in the last part's backward
    pass. Draws of dropout come from torch's default generators.
    """
    if not torch.is_grad_enabled() or not any(parameter.requires_grad for parameter in model.parameters()):
        with torch.no_grad():
            return torch.cat([encode(model, part) for part in parts])
    apply: Callable[..., Tensor] = _InParts.apply
    # The output has a gradient only where an input has one, and the parts' tokens have none.
    return apply(torch.zeros((), requires_grad=True), model, tuple(parts), encode)


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, trigger: Tensor, model: nn.Module, parts: tuple[Features, ...], encode: Encode
    ) -> Tensor:
        del trigger
        ctx.given, ctx.draws, rows = (model, parts, encode), [], []
        device = next(model.parameters()).device
        for part in parts:
            ctx.draws.append(generator_states(device))
            rows.append(encode(model, part))
        ctx.sizes = [len(some) for some in rows]
        ctx.autocast = (
            device.type,
            torch.get_autocast_dtype(device.type),
            torch.is_autocast_enabled(device.type),
        )
        return torch.cat(rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, ...]:
        model, parts, encode = cast(tuple[nn.Module, tuple[Features, ...], Encode], ctx.given)
        device = next(model.parameters()).device
        kind, dtype, enabled = ctx.autocast
        work = list(zip(parts, torch.split(grads[0], ctx.sizes), ctx.draws, strict=True))

        def again(part: Features, draws: list[Tensor]) -> Tensor:
            restore_generators(device, draws)
            with torch.enable_grad(), torch.autocast(kind, dtype=dtype, enabled=enabled):
                return encode(model, part)

        with _generators_kept(device):
            with failing_together(device):
                with _unsynchronised(model):
                    for part, grad, draws in work[:-1]:
                        torch.autograd.backward(again(part, draws), grad)
                part, grad, draws = work[-1]
                rows = again(part, draws)
            torch.autograd.backward(rows, grad)
        return None, None, None, None


def _unsynchronised(model: nn.Module) -> AbstractContextManager[None]:
    """Gradients stay in this process, where ``model`` is a wrapper that would join them."""
    no_sync = getattr(model, "no_sync", None)
    if no_sync is not None:
        joined: AbstractContextManager[None] = no_sync()
        return joined
    return _unsharded_sync(model) if hasattr(model, "set_requires_gradient_sync") else nullcontext()


@contextmanager
def _unsharded_sync(model: Any) -> Iterator[None]:
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def generator_states(device: torch.device) -> list[Tensor]:
    """Of the generators that work on ``device`` draws from."""
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    elif device.type == "mps":
        states.append(torch.mps.get_rng_state())
    return states


def restore_generators(device: torch.device, states: list[Tensor]) -> None:
    """Have the same numbers drawn as after ``generator_states``."""
    torch.set_rng_state(states[0])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states[1], device)
    elif device.type == "mps":
        torch.mps.set_rng_state(states[1])


@contextmanager
def _generators_kept(device: torch.device) -> Iterator[None]:
    states = generator_states(device)
    try:
        yield
    finally:
        restore_generators(device, states)
