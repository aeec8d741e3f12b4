"""The precision of products is chosen by a trial."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sbert_triplet.nearest import coarse as module
from sbert_triplet.nearest.coarse import ROUNDING, Coarse
from sbert_triplet.nearest.similarities import Table


def test_lengths_and_what_is_left_out() -> None:
    values = np.array([[1.0, 2.0**-9], [3.0, -4.0], [0.0, 0.0]], dtype=np.float32)
    table = Table(values, "dot", torch.device("cpu"), "documents")
    found = Coarse.of(table, 0, 3, torch.bfloat16)
    assert found.vectors.tolist() == [[1.0, 2.0**-9], [3.0, -4.0], [0.0, 0.0]]
    assert found.lengths.tolist() == pytest.approx([(1 + 2.0**-18) ** 0.5, 5.0, 0.0])
    assert found.residuals.tolist() == [0.0, 0.0, 0.0]
    # 1 + 2^-9 lies between two numbers of bf16, 1 and 1 + 2^-7.
    odd = Table(np.array([[1 + 2.0**-9, 0.0]], dtype=np.float32), "dot", torch.device("cpu"), "documents")
    assert Coarse.of(odd, 0, 1, torch.bfloat16).residuals.tolist() == [2.0**-9]
    assert Coarse.of(odd, 0, 1, torch.float32).residuals.tolist() == [0.0]
    # Squares of these are 0 and infinite in float32.
    far = Table(
        np.array([[3e-30, 0], [3e30, 4e30]], dtype=np.float32), "dot", torch.device("cpu"), "documents"
    )
    assert Coarse.of(far, 0, 2, torch.float32).lengths.tolist() == pytest.approx([3e-30, 5e30])


@pytest.mark.parametrize(
    ("seconds", "dtype"), [((3.0, 1.0), torch.bfloat16), ((1.4, 1.0), torch.float32), ((1, 5), torch.float32)]
)
def test_the_precision_is_chosen_by_a_trial(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], dtype: torch.dtype
) -> None:
    taken = dict(zip((torch.float32, torch.bfloat16), seconds, strict=True))
    monkeypatch.setattr(module, "_seconds", lambda left, right: taken[left.dtype])
    assert module.coarse_precision.__wrapped__(torch.device("cpu")) == dtype


@pytest.mark.parametrize(
    ("wrong", "dtype"),
    [((torch.bfloat16,), torch.float32), ((torch.float32,), torch.bfloat16), (list(ROUNDING), None)],
)
def test_a_product_that_does_not_keep_to_its_bound_is_not_used(
    monkeypatch: pytest.MonkeyPatch, wrong: list[torch.dtype], dtype: torch.dtype | None
) -> None:
    monkeypatch.setattr(module, "_seconds", lambda left, right: 1.0 if left.dtype == torch.bfloat16 else 9.0)
    for each in wrong:
        monkeypatch.setitem(module.ROUNDING, each, -1e-3)
    assert module.coarse_precision.__wrapped__(torch.device("cpu")) == dtype
