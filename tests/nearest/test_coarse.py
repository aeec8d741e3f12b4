"""The precision of products is chosen by a trial."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sbert_triplet.nearest import coarse as module
from sbert_triplet.nearest.coarse import Coarse
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


@pytest.mark.parametrize(
    ("seconds", "dtype"),
    [((3.0, 1.0), torch.bfloat16), ((1.4, 1.0), torch.float32), ((1.0, 5.0), torch.float32)],
)
def test_the_precision_is_chosen_by_a_trial(
    monkeypatch: pytest.MonkeyPatch, seconds: tuple[float, float], dtype: torch.dtype
) -> None:
    taken = iter(seconds)
    monkeypatch.setattr(module, "_seconds", lambda left, right: next(taken))
    assert module.coarse_precision.__wrapped__(torch.device("cpu")) == dtype


def test_a_product_that_does_not_keep_to_its_bound_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_seconds", lambda left, right: 1.0 if left.dtype == torch.bfloat16 else 9.0)
    monkeypatch.setitem(module.ROUNDING, torch.bfloat16, 2.0**-12)
    assert module.coarse_precision.__wrapped__(torch.device("cpu")) == torch.float32
