"""Loading the state of an optimizer: rates that were changed on purpose hold, other parameters are told."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR

from sbert_triplet.errors import InputError
from sbert_triplet.training.resuming import loading_optimizer


def made(rate: float, decay: float, size: int = 1) -> tuple[torch.optim.AdamW, LambdaLR]:
    """Two groups, of which the second has no decay; the rate falls by a tenth of itself each step."""
    groups: list[dict[str, Any]] = [
        {"params": [torch.ones(2, requires_grad=True) for _ in range(size)], "weight_decay": decay},
        {"params": [torch.ones(3, requires_grad=True)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=rate)
    return optimizer, LambdaLR(optimizer, lambda step: 1 - step / 10)


def after(steps: int) -> tuple[dict[str, Any], dict[str, Any]]:
    optimizer, scheduler = made(0.4, 0.1)
    for _ in range(steps):
        optimizer.step()
        scheduler.step()
    return copy.deepcopy(optimizer.state_dict()), scheduler.state_dict()


@pytest.mark.parametrize(
    ("changed", "rates", "decays"),
    [(False, [0.28, 0.24], [0.1, 0.0]), (True, [0.7, 0.6], [0.5, 0.0])],
    ids=["as it was", "changed"],
)
def test_rates_and_decay_after_a_checkpoint(changed: bool, rates: list[float], decays: list[float]) -> None:
    optimizer, scheduler = made(1.0, 0.5)
    state, schedule = after(3)
    with loading_optimizer(optimizer, scheduler, "checkpoint-3", changed=changed):
        optimizer.load_state_dict(state)
        scheduler.load_state_dict(schedule)
    assert [group["weight_decay"] for group in optimizer.param_groups] == decays
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rates[0]] * 2)
    assert scheduler.get_last_lr() == pytest.approx([rates[0]] * 2)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([rates[1]] * 2)


def test_other_parameters_are_told() -> None:
    optimizer, scheduler = made(1.0, 0.5, size=2)
    state, _ = after(1)
    with (
        pytest.raises(InputError, match=r"^checkpoint-1: other parameters .*train\.freeze, loss and losses"),
        loading_optimizer(optimizer, scheduler, "checkpoint-1", changed=True),
    ):
        optimizer.load_state_dict(state)
