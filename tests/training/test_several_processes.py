"""Two processes of the same run do what one does."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from sbert_triplet.losses.names import LOSSES

pytestmark = pytest.mark.long
RUNS = [
    f"{name} {dtype}"
    for name in ("ranking", "mined", "scored", "few")
    for dtype in (torch.float32, torch.float64)
]
ROUTED = ("routes after one encoder", "an encoder for each side")
EVERY = [
    f"{name} {torch.float64}"
    for name in (*(set(LOSSES) - {"simcse"}), "nested", "frozen encoder", "several data sets", *ROUTED)
]
EVERY.sort()
TABLES = ["columns of pairs", "a column with labels"]
Found = dict[str, dict[str, Any]]
TwoProcesses = Callable[..., list[tuple[int, str]]]


@pytest.fixture(scope="module")
def ranks(two_processes: TwoProcesses, tmp_path_factory: pytest.TempPathFactory) -> list[Found]:
    """What each of two processes found."""
    folder = tmp_path_factory.mktemp("ranks")
    for code, output in two_processes("several_processes.py", folder):
        assert code == 0, output[-3000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone(every_run: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What one process finds."""
    found: Found = every_run.everything(tmp_path_factory.mktemp("alone"))
    return found


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], close: float) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=close, rtol=0, msg=name)


@pytest.mark.parametrize("run", RUNS + EVERY + TABLES)
def test_gradients_and_weights_are_those_of_one_process(run: str, ranks: list[Found], alone: Found) -> None:
    exact = "float64" in run
    expected, found = alone[run], ranks[0][run]
    assert found["losses"] == pytest.approx(expected["losses"], abs=1e-12 if exact else 1e-5)
    assert len(found["gradients"]) == len(expected["gradients"]) > 2
    for one, other in zip(found["gradients"], expected["gradients"], strict=True):
        assert_close(one, other, 1e-12 if exact else 2e-6)
    assert_close(found["weights"], expected["weights"], 1e-12 if exact else 1e-6)
    if not run.startswith("few"):
        assert max(float(tensor.abs().max()) for tensor in expected["gradients"][0].values()) > 1e-2


@pytest.mark.parametrize("run", RUNS + EVERY + TABLES)
def test_both_processes_end_with_equal_weights(run: str, ranks: list[Found]) -> None:
    one, other = (found[run]["weights"] for found in ranks)
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.mark.parametrize("run", EVERY)
def test_the_graph_of_one_group_at_a_time_gives_them_too(run: str, ranks: list[Found], alone: Found) -> None:
    """One process keeps the whole graph, each of two that of a group."""
    expected, found = alone[run], ranks[0][f"cached {run}"]
    assert found["losses"] == pytest.approx(expected["losses"], abs=1e-11)
    for one, other in zip(found["gradients"], expected["gradients"], strict=True):
        assert_close(one, other, 1e-11)
    assert_close(found["weights"], expected["weights"], 1e-11)
    assert_close(ranks[1][f"cached {run}"]["weights"], found["weights"], 0.0)


@pytest.mark.parametrize("run", RUNS)
def test_the_best_weights_are_put_back_in_every_process(run: str, ranks: list[Found], alone: Found) -> None:
    for found in ranks:
        assert_close(found[run]["best"], alone[run]["best"], 1e-12 if "float64" in run else 1e-6)


@pytest.mark.parametrize("run", RUNS)
def test_the_work_is_shared(run: str, ranks: list[Found], alone: Found) -> None:
    for one, other, whole in zip(
        ranks[0][run]["texts"], ranks[1][run]["texts"], alone[run]["texts"], strict=True
    ):
        assert one == other
        assert len(one) == 2
        assert sum(one) == sum(whole)
        if not run.startswith("few"):
            assert min(one) >= sum(one) // 4


def test_two_views_of_a_text_differ_wherever_they_are_encoded(ranks: list[Found], alone: Found) -> None:
    for found in (*ranks, alone):
        assert min(found["views"]["differences"]) > 1e-4
    assert ranks[0]["views"] == ranks[1]["views"]


def test_parameters_of_the_loss_are_among_what_is_compared(alone: Found) -> None:
    assert "loss.scale.log_scale" in alone[RUNS[0]]["gradients"][0]
    assert alone[RUNS[0]]["gradients"][0]["loss.scale.log_scale"].abs() > 1e-4
