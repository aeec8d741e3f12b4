"""Attention with dropout on the processor, against attention written out with the same draws."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from sbert_triplet.encoding import cpu_attention
from sbert_triplet.encoding.borders import Borders, Rule, Scope
from sbert_triplet.encoding.cpu_attention import attend_with_dropout
from sbert_triplet.encoding.dropout import kept, kept_scale

LENGTHS = (7, 7, 7, 5, 5, 2, 1)
SCOPES = [Scope(), Scope(causal=True), Scope(reach=2), Scope(True, 2)]
HEADS = 3


def drawn(lengths: tuple[int, ...] = LENGTHS, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(7)
    made = [torch.randn(sum(lengths), HEADS, 4, generator=generator, dtype=torch.float64) for _ in range(3)]
    return [part.to(dtype).requires_grad_() for part in made]


def kept_by_draws(lengths: tuple[int, ...], rule: Rule) -> list[Tensor]:
    """(H, L, L) of each text: 1 where the next draws of torch's generator keep a share, else 0."""
    masks = []
    for length, group in itertools.groupby(lengths):
        texts, step = len(list(group)), max(1, cpu_attention.BLOCK // (HEADS * length**2))
        for start in range(0, texts, step):
            some = min(step, texts - start)
            masks += kept((some * HEADS, length, length), rule.dropout).view(some, HEADS, length, length)
    return masks


def written_out(inputs: list[Tensor], lengths: tuple[int, ...], rule: Rule) -> Tensor:
    """One text after the other, by ordinary differentiable operations."""
    rows = []
    masks = kept_by_draws(lengths, rule)
    for keep, *text in zip(masks, *(part.split(lengths) for part in inputs), strict=True):
        query, key, value = (part.transpose(0, 1) for part in text)
        scores = query @ key.transpose(1, 2) * (4**-0.5 if rule.scale is None else rule.scale)
        places = torch.arange(scores.shape[-1])
        ahead = places[None] - places[:, None]
        hidden = (ahead > 0) if rule.scope.causal else torch.zeros_like(ahead, dtype=torch.bool)
        if rule.scope.reach is not None:
            hidden = hidden | (ahead.abs() > rule.scope.reach)
        shares = torch.softmax(scores.masked_fill(hidden, -torch.inf), -1)
        rows.append((shares * keep * kept_scale(rule.dropout) @ value).transpose(0, 1))
    return torch.cat(rows)


def gradients(found: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(8), dtype=torch.float64)
    return list(torch.autograd.grad((found * weights.to(found)).sum(), inputs))


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("scale", [None, 0.9])
@pytest.mark.parametrize("block", [cpu_attention.BLOCK, 2 * HEADS * 49, 1])
def test_values_and_gradients_under_the_same_draws(
    monkeypatch: pytest.MonkeyPatch, scope: Scope, scale: float | None, block: int
) -> None:
    monkeypatch.setattr(cpu_attention, "BLOCK", block)
    inputs, rule = drawn(), Rule(scope, 0.3, scale)
    torch.manual_seed(5)
    found = attend_with_dropout(*inputs, Borders(LENGTHS), rule)
    torch.manual_seed(5)
    wanted = written_out(inputs, LENGTHS, rule)
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=0)
    for one, other in zip(gradients(found, inputs), gradients(wanted, inputs), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("scope", SCOPES)
def test_numerical_differences_agree(scope: Scope) -> None:
    lengths = (4, 4, 3, 1)

    def attention(*inputs: Tensor) -> Tensor:
        torch.manual_seed(11)
        return attend_with_dropout(*inputs, Borders(lengths), Rule(scope, 0.25))

    assert torch.autograd.gradcheck(attention, drawn(lengths))


def test_the_mean_over_draws_is_attention_without_dropout() -> None:
    query, key, value = (part.detach() for part in drawn(dtype=torch.float32))
    wanted = written_out([query, key, value], LENGTHS, Rule())
    torch.manual_seed(0)
    draws = torch.stack(
        [attend_with_dropout(query, key, value, Borders(LENGTHS), Rule(dropout=0.4)) for _ in range(2000)]
    )
    error = draws.std(0) / 2000**0.5
    # 5 standard errors, for every one of some 400 numbers.
    assert ((draws.mean(0) - wanted).abs() <= 5 * error + 1e-6).all()


def test_inputs_are_left_as_they_were() -> None:
    inputs = drawn()
    before = [part.detach().clone() for part in inputs]
    found = attend_with_dropout(*inputs, Borders(LENGTHS), Rule(dropout=0.5))
    given = torch.randn_like(found)
    copy = given.clone()
    found.backward(given)
    assert torch.equal(given, copy)
    assert all(torch.equal(part, old) for part, old in zip(inputs, before, strict=True))


def test_queries_may_lie_in_memory_in_any_order() -> None:
    inputs = drawn()
    strided = [part.detach().transpose(0, 1).contiguous().transpose(0, 1).requires_grad_() for part in inputs]
    results = []
    for parts in (inputs, strided):
        torch.manual_seed(2)
        found = attend_with_dropout(*parts, Borders(LENGTHS), Rule(dropout=0.2))
        results.append([found, *gradients(found, parts)])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_half_precision_is_rounded_once() -> None:
    halves = drawn(dtype=torch.bfloat16)
    wide = [part.detach().float().requires_grad_() for part in halves]
    torch.manual_seed(2)
    found = attend_with_dropout(*halves, Borders(LENGTHS), Rule(dropout=0.2))
    torch.manual_seed(2)
    wanted = attend_with_dropout(*wide, Borders(LENGTHS), Rule(dropout=0.2))
    assert torch.equal(found, wanted.bfloat16())
    for one, other in zip(gradients(found, halves), gradients(wanted, wide), strict=True):
        assert one.dtype == torch.bfloat16
        torch.testing.assert_close(one.float(), other, atol=3e-2, rtol=2e-2)
