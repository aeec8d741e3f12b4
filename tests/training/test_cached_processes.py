"""Two processes with a gradient cache: one synchronisation a step, and memory that runs out in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Found = dict[str, dict[str, Any]]
TwoProcesses = Callable[..., list[tuple[int, str]]]
UNDISTURBED = ("whole graph", "cached")
SHORT = ("whole graph, in the forward pass", "cached, in the forward pass", "cached, in the replay")


JOINING = "while gradients are joined"
"""In the end, since no process comes back from it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def said(two_processes: TwoProcesses, folder: Path) -> list[str]:
    """What each process printed."""
    launched = two_processes("cached_processes.py", folder, *UNDISTURBED, *SHORT, JOINING)
    return [output for _, output in launched]


@pytest.fixture(scope="module")
def ranks(said: list[str], folder: Path) -> list[Found]:
    for rank in (0, 1):
        assert (folder / f"{rank}.pt").is_file(), said[rank][-3000:]
    return [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in (0, 1)]


@pytest.mark.long
@pytest.mark.parametrize("case", UNDISTURBED)
def test_gradients_are_joined_once_a_step_and_the_encoder_is_entered_through_its_wrapper(
    case: str, ranks: list[Found]
) -> None:
    for found in (each[case] for each in ranks):
        assert len(found["joined"]) == len(found["entered"]) == 6
        for joined, entered in zip(found["joined"], found["entered"], strict=True):
            assert sorted(joined) == list(range(len(joined)))
            assert joined
            assert entered["encoder"] == entered["wrapper"] >= (4 if case == "cached" else 2)


@pytest.mark.long
@pytest.mark.parametrize("case", SHORT)
def test_a_step_is_repeated_by_both_and_the_run_ends_alike(case: str, ranks: list[Found]) -> None:
    first, second = (each[case] for each in ranks)
    assert not first["failures"]
    assert set(second["failures"]) == {3}
    assert first["told"] == second["told"]
    assert len(first["told"]) == len(second["failures"])
    assert {entry["step"] for entry in first["told"]} == {3}
    assert first["budget"] == second["budget"] <= 20
    assert first["cached"]
    assert second["cached"]
    expected = ranks[0]["whole graph"]
    assert first["rows"] == expected["rows"]
    for found in (first, second):
        for name, tensor in expected["weights"].items():
            torch.testing.assert_close(found["weights"][name], tensor, atol=1e-11, rtol=0, msg=name)


@pytest.mark.long
@pytest.mark.parametrize("case", SHORT)
def test_a_repeated_step_joins_its_gradients_once(case: str, ranks: list[Found]) -> None:
    for found in (each[case] for each in ranks):
        assert all(sorted(joined) == list(range(len(joined))) for joined in found["joined"])


@pytest.mark.long
def test_where_gradients_are_being_joined_the_process_says_what_to_do(
    said: list[str], ranks: list[Found]
) -> None:
    """The others wait in the middle of a sum; whoever launched them ends them."""
    del ranks
    assert "MachineError: step 3: memory ran out in one of several processes" in said[1]
    assert "set train.chunk_tokens to 20 or less" in said[1]
