"""Attention within texts that lie one after the other, on whatever the device does best."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from inspect import signature

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from sbert_triplet.encoding.borders import Borders, Group, Rule, Scope
from sbert_triplet.encoding.cpu_attention import attend_with_dropout
from sbert_triplet.encoding.dropout import can_drop

_logger = logging.getLogger(__name__)
HALF = (torch.float16, torch.bfloat16)
Kernel = Callable[[Tensor, Tensor, Tensor, Borders, Rule], Tensor]


def attend(query: Tensor, key: Tensor, value: Tensor, borders: Borders, rule: Rule) -> Tensor:
    """(T, H, d) queries, (T, K, d) keys and values, K dividing H -> (T, H, d): attention within each text."""
    query, key, value = (_of_autocast(part) for part in (query, key, value))
    kernel = variable_length_kernel(query, rule)
    if kernel is not None:
        return kernel(query, key, value, borders, rule)
    repeats = query.shape[1] // key.shape[1]
    if repeats > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    if query.device.type != "cpu":
        return _in_groups(borders.alike, query, key, value, borders, rule)
    # The processor's kernels are several times slower in half precision, to which autocast would return.
    with torch.autocast("cpu", enabled=False):
        if can_drop(rule.dropout):
            return attend_with_dropout(query, key, value, borders, rule)
        wide = torch.promote_types(query.dtype, torch.float32)
        found = _in_groups(borders.equal, query.to(wide), key.to(wide), value.to(wide), borders, rule)
        return found.to(query.dtype)


def _of_autocast(values: Tensor) -> Tensor:
    """In the type of an accelerator's autocast; rotary positions have queries and keys leave it."""
    device = values.device.type
    if device == "cpu" or values.dtype != torch.float32 or not torch.is_autocast_enabled(device):
        return values
    return values.to(torch.get_autocast_dtype(device))


def variable_length_kernel(query: Tensor, rule: Rule) -> Kernel | None:
    """The kernel of the device that takes texts of any length at once, where there is one.

    torch's own has no dropout; flash-attn's has, where that package is installed.
    """
    if query.device.type != "cuda" or query.dtype not in HALF or not _flash_takes(query):
        return None
    if rule.dropout == 0.0 and _torch_has_varlen():
        return _torch_varlen
    return _flash_varlen if _flash_is_installed() else None


def _flash_takes(query: Tensor) -> bool:
    """Flash attention wants an Ampere or newer, and heads of at most 256 numbers in steps of eight."""
    width: int = query.shape[-1]
    return width % 8 == 0 and width <= 256 and torch.cuda.get_device_capability(query.device) >= (8, 0)


@cache
def _torch_has_varlen() -> bool:
    """Older releases have no such kernel, or one without windows and shared heads."""
    if find_spec("torch.nn.attention.varlen") is None:
        return False
    from torch.nn.attention.varlen import varlen_attn

    return {"window_size", "enable_gqa"} <= set(signature(varlen_attn).parameters)


@cache
def _flash_is_installed() -> bool:
    """One that was built for another torch can be found and cannot be imported."""
    if find_spec("flash_attn") is None:
        return False
    try:
        from flash_attn import flash_attn_varlen_func
    except Exception as error:  # a library that does not fit fails in any way
        _logger.warning("flash_attn is installed and not used: it cannot be imported (%s)", error)
        return False
    return callable(flash_attn_varlen_func)


def _torch_varlen(query: Tensor, key: Tensor, value: Tensor, borders: Borders, rule: Rule) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    found = varlen_attn(
        query,
        key,
        value,
        *_bounds(borders, query.device),
        scale=rule.scale,
        window_size=_window(rule.scope),
        enable_gqa=key.shape[1] != query.shape[1],
    )
    return found if isinstance(found, Tensor) else found[0]


def _flash_varlen(query: Tensor, key: Tensor, value: Tensor, borders: Borders, rule: Rule) -> Tensor:
    from flash_attn import flash_attn_varlen_func

    found: Tensor = flash_attn_varlen_func(
        query,
        key,
        value,
        *_bounds(borders, query.device),
        dropout_p=rule.dropout,
        softmax_scale=rule.scale,
        causal=rule.scope.causal,
        window_size=_window(rule.scope),
        deterministic=torch.are_deterministic_algorithms_enabled(),
    )
    return found


def _bounds(borders: Borders, device: torch.device) -> tuple[Tensor, Tensor, int, int]:
    """Where the texts of the queries and of the keys begin and end, and the tokens of the longest of each."""
    ends, longest = borders.ends(device), max(borders.lengths)
    return ends, ends, longest, longest


def _window(scope: Scope) -> tuple[int, int]:
    """Tokens seen to the left and to the right, -1 for all."""
    reach = -1 if scope.reach is None else scope.reach
    return reach, 0 if scope.causal else reach


def _in_groups(
    groups: tuple[Group, ...], query: Tensor, key: Tensor, value: Tensor, borders: Borders, rule: Rule
) -> Tensor:
    sizes = [group.tokens for group in groups]
    # One split has one backward that joins the parts; a slice each would fill a whole gradient each.
    parts = zip(groups, *(torch.split(part, sizes) for part in (query, key, value)), strict=True)
    return torch.cat([_attend_to_group(group, q, k, v, borders, rule) for group, q, k, v in parts])


def _attend_to_group(
    group: Group, query: Tensor, key: Tensor, value: Tensor, borders: Borders, rule: Rule
) -> Tensor:
    scope, length, device = rule.scope, group.longest, query.device
    mask = scope.mask(length, device) if scope.limits(length) else None
    places = None
    if group.tokens < group.texts * length:
        places, real = borders.in_rectangle(group, device)
        mask = _with_padding(real, scope)
    found = scaled_dot_product_attention(
        _heads_first(query, group, places),
        _heads_first(key, group, places),
        _heads_first(value, group, places),
        attn_mask=mask,
        dropout_p=rule.dropout,
        is_causal=scope.causal and mask is None,
        scale=rule.scale,
    ).transpose(1, 2)
    return found.reshape(query.shape) if places is None else found.flatten(0, 1).index_select(0, places)


def _heads_first(tokens: Tensor, group: Group, places: Tensor | None) -> Tensor:
    """(t, H, d) -> (texts, H, longest, d), with zeros but for the ``places`` (t,) of the rectangle's rows."""
    shape = (group.texts, group.longest, *tokens.shape[1:])
    if places is not None:
        # Places, not a mask: a device has to be waited for to count a mask.
        rows = group.texts * group.longest
        tokens = tokens.new_zeros(rows, *tokens.shape[1:]).index_copy(0, places, tokens)
    return tokens.view(shape).transpose(1, 2)


def _with_padding(real: Tensor, scope: Scope) -> Tensor:
    """(texts, 1, 1 or L, L) bool of what is seen; where rows could be empty, every place sees itself."""
    seen, length = real[:, None, None, :], real.shape[1]
    if not scope.causal and not scope.limits(length):
        return seen
    itself = torch.eye(length, dtype=torch.bool, device=real.device)
    return (seen & scope.mask(length, real.device)) | itself
