"""Attention within texts, against attention written out."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from sbert_triplet.encoding import kernels
from sbert_triplet.encoding.borders import Borders, Rule, Scope
from sbert_triplet.encoding.kernels import attend

LENGTHS = (9, 9, 8, 7, 3, 3, 3, 1, 1)
SCOPES = [Scope(), Scope(causal=True), Scope(reach=2), Scope(True, 2), Scope(reach=0), Scope(reach=50)]
CPU = torch.device("cpu")
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def written_out(query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...], rule: Rule) -> Tensor:
    """Token by token in float64, (T, H, d) and (T, K, d) -> (T, H, d)."""
    scale = query.shape[-1] ** -0.5 if rule.scale is None else rule.scale
    shared, rows, start = query.shape[1] // key.shape[1], [], 0
    for length in lengths:
        for token in range(length):
            first = 0 if rule.scope.reach is None else max(token - rule.scope.reach, 0)
            last = length if rule.scope.reach is None else min(token + rule.scope.reach + 1, length)
            seen = slice(start + first, start + (token + 1 if rule.scope.causal else last))
            for head in range(query.shape[1]):
                scores = key[seen, head // shared].double() @ query[start + token, head].double() * scale
                rows.append(torch.softmax(scores, 0) @ value[seen, head // shared].double())
        start += length
    return torch.stack(rows).view(query.shape)


def drawn(heads: int = 4, shared: int = 1, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Queries, keys and values of 8 numbers a head."""
    generator = torch.Generator().manual_seed(3)
    counts = (heads, heads // shared, heads // shared)
    made = [torch.randn(sum(LENGTHS), n, 8, generator=generator, dtype=torch.float64) for n in counts]
    return [part.to(dtype).requires_grad_() for part in made]


def gradients(found: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return list(torch.autograd.grad((found * weights.to(found)).sum(), inputs))


@pytest.mark.parametrize("shared", [1, 2, 4])
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("scale", [None, 0.7])
def test_attention_is_that_within_each_text(scope: Scope, shared: int, scale: float | None) -> None:
    inputs, rule = drawn(shared=shared), Rule(scope, scale=scale)
    found, wanted = attend(*inputs, Borders(LENGTHS), rule), written_out(*inputs, LENGTHS, rule)
    torch.testing.assert_close(found, wanted, atol=1e-12, rtol=0)
    for one, other in zip(gradients(found, inputs), gradients(wanted, inputs), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("scope", SCOPES)
def test_groups_padded_to_like_length_change_nothing(scope: Scope) -> None:
    inputs, borders, rule = drawn(), Borders(LENGTHS), Rule(scope, scale=0.5)
    assert len(borders.alike) < len(borders.equal)
    found = [kernels._in_groups(groups, *inputs, borders, rule) for groups in (borders.alike, borders.equal)]
    torch.testing.assert_close(*found, atol=1e-12, rtol=0)
    for one, other in zip(*(gradients(out, inputs) for out in found), strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=0)


@pytest.mark.parametrize("scope", SCOPES)
def test_no_place_of_a_padded_group_sees_nothing(scope: Scope) -> None:
    # Kernels differ in what they make of such a row, and some make it not a number.
    real = torch.tensor([[True] * 9, [True] * 4 + [False] * 5, [True] + [False] * 8])
    mask = kernels._with_padding(real, scope).expand(3, 1, 9, 9).squeeze(1)
    assert mask.any(-1).all()
    seen = scope.mask(9, CPU) & real[:, None, :]
    assert torch.equal(mask[real], seen[real])


def test_padded_groups_take_dropout() -> None:
    query, key, value = drawn()
    borders, ones = Borders(LENGTHS), torch.ones_like(value)
    torch.manual_seed(0)
    found = torch.stack(
        [kernels._in_groups(borders.alike, query, key, ones, borders, Rule(dropout=0.25)) for _ in range(300)]
    )
    # The shares of a token's attention sum to 1, of which a quarter is dropped and the rest scaled up.
    assert 0.97 < found.mean().item() < 1.03
    assert found.var(0).mean().item() > 0.02


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("autocast", [False, True])
def test_the_processor_computes_in_fp32_whatever_goes_in(
    dtype: torch.dtype, dropout: float, autocast: bool
) -> None:
    inputs, borders, rule = drawn(dtype=dtype), Borders(LENGTHS), Rule(dropout=dropout)
    torch.manual_seed(1)
    wanted = attend(*(part.float() for part in inputs), borders, rule)
    torch.manual_seed(1)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        found = attend(*inputs, borders, rule)
    assert found.dtype == dtype
    torch.testing.assert_close(found, wanted.to(dtype), atol=0, rtol=0)


def test_a_type_of_its_own_for_values_is_understood() -> None:
    # Under autocast, rotary positions turn queries and keys into fp32 and leave values in half precision.
    query, key, value = drawn(dtype=torch.float32)
    half, borders = value.detach().bfloat16().requires_grad_(), Borders(LENGTHS)
    for dropout in (0.0, 0.3):
        torch.manual_seed(1)
        found = attend(query, key, half, borders, Rule(dropout=dropout))
        torch.manual_seed(1)
        wanted = attend(query, key, half.float(), borders, Rule(dropout=dropout))
        assert torch.equal(found, wanted)
        assert [part.dtype for part in gradients(found, [query, key, half])][2] == torch.bfloat16


def test_inference_first_and_training_after_it() -> None:
    inputs, borders, rule = drawn(), Borders((13, 13, 12)), Rule(Scope(True, 3))
    inputs = [part[: borders.tokens] for part in (torch.cat([part, part]) for part in inputs)]
    for groups in (borders.equal, borders.alike):
        with torch.inference_mode():
            before = kernels._in_groups(groups, *(part.detach() for part in inputs), borders, rule)
        after = kernels._in_groups(groups, *inputs, borders, rule)
        assert torch.equal(before, after)
        gradients(after, inputs)


def query_of(device: str = "cuda", dtype: torch.dtype = torch.bfloat16, width: int = 64) -> Any:
    return SimpleNamespace(device=torch.device(device), dtype=dtype, shape=(10, 4, width))


@pytest.fixture
def ampere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a recent CUDA device, without flash-attn."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(kernels, "_flash_is_installed", lambda: False)


@pytest.mark.usefixtures("ampere")
def test_the_kernel_of_the_device_is_chosen_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    choose = kernels.variable_length_kernel
    assert choose(query_of(), Rule()) is kernels._torch_varlen
    assert choose(query_of(dtype=torch.float16), Rule()) is kernels._torch_varlen
    for query in (query_of("cpu"), query_of(dtype=torch.float32), query_of(width=12), query_of(width=512)):
        assert choose(query, Rule()) is None
    assert choose(query_of(), Rule(dropout=0.1)) is None
    monkeypatch.setattr(kernels, "_flash_is_installed", lambda: True)
    assert choose(query_of(), Rule(dropout=0.1)) is kernels._flash_varlen
    monkeypatch.setattr(kernels, "_torch_has_varlen", lambda: False)
    assert choose(query_of(), Rule()) is kernels._flash_varlen
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert choose(query_of(), Rule()) is None


@pytest.mark.parametrize(
    ("scope", "window"),
    [
        (Scope(), (-1, -1)),
        (Scope(causal=True), (-1, 0)),
        (Scope(reach=3), (3, 3)),
        (Scope(True, 3), (3, 0)),
    ],
)
def test_what_the_kernels_of_the_device_are_told(
    monkeypatch: pytest.MonkeyPatch, scope: Scope, window: tuple[int, int]
) -> None:
    import torch.nn.attention.varlen as real

    told: list[dict[str, Any]] = []
    bind = inspect.signature(real.varlen_attn).bind

    def varlen_attn(*given: Any, **named: Any) -> Tensor:
        told.append(dict(bind(*given, **named).arguments))
        return torch.zeros(())

    def flash_attn_varlen_func(*given: Any, **named: Any) -> Tensor:
        told.append({"ends": given[3], "longest": given[5], **named})
        return torch.zeros(())

    flash = ModuleType("flash_attn")
    vars(flash)["flash_attn_varlen_func"] = flash_attn_varlen_func
    monkeypatch.setattr(real, "varlen_attn", varlen_attn)
    monkeypatch.setitem(sys.modules, "flash_attn", flash)
    inputs, borders, rule = drawn(shared=2), Borders(LENGTHS), Rule(scope, 0.2, 0.5)
    kernels._torch_varlen(*inputs, borders, rule)
    kernels._flash_varlen(*inputs, borders, rule)
    ours, flashs = told
    assert (ours["window_size"], ours["scale"], ours["enable_gqa"]) == (window, 0.5, True)
    assert (ours["cu_seq_q"].tolist(), ours["max_q"], ours["max_k"]) == (borders.ends(CPU).tolist(), 9, 9)
    assert (flashs["window_size"], flashs["softmax_scale"], flashs["dropout_p"]) == (window, 0.5, 0.2)
    assert (flashs["causal"], flashs["longest"], flashs["deterministic"]) == (scope.causal, 9, False)
    assert flashs["ends"].dtype == torch.int32


@pytest.mark.parametrize("broken", ["not there", "built for another torch", "half of it"])
def test_a_flash_attn_that_cannot_be_used_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    monkeypatch.delitem(sys.modules, "flash_attn", raising=False)
    if broken != "not there":
        code = "raise ImportError('undefined symbol')" if broken == "built for another torch" else ""
        (tmp_path / "flash_attn.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
    kernels._flash_is_installed.cache_clear()
    try:
        assert not kernels._flash_is_installed()
        assert ("not used" in caplog.text) is (broken != "not there")
    finally:
        kernels._flash_is_installed.cache_clear()
        sys.modules.pop("flash_attn", None)


@on_cuda
@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("shared", [1, 2])
def test_the_device_computes_what_the_processor_does(scope: Scope, shared: int) -> None:
    inputs, borders, rule = drawn(shared=shared, dtype=torch.bfloat16), Borders(LENGTHS), Rule(scope)
    there = [part.detach().cuda().requires_grad_() for part in inputs]
    wanted, found = attend(*(part.double() for part in inputs), borders, rule), attend(*there, borders, rule)
    torch.testing.assert_close(found.cpu().double(), wanted, atol=3e-2, rtol=0)
    for one, other in zip(gradients(found, there), gradients(wanted, inputs), strict=True):
        torch.testing.assert_close(one.cpu(), other, atol=5e-2, rtol=0)
