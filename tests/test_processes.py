"""What processes of one run agree on, in a process that is alone; several are in tests/mining."""

from __future__ import annotations

import os
import signal
import sys
from datetime import timedelta
from typing import Any

import pytest
import typer

from sbert_triplet.errors import StoppedError
from sbert_triplet.processes import agreed, from_all, join, machine, place, together
from sbert_triplet.terminal import Terminal, guarded


def test_a_process_that_is_alone_asks_itself() -> None:
    assert place() == (0, 1)
    assert machine() == 0
    assert agreed(3) == 3
    assert from_all("value") == ["value"]
    assert together(lambda: 7) == [7]


def test_processes_wait_for_each_other_for_as_long_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The libraries' own limits are 10 minutes and half an hour: one process may tokenise for longer."""
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    met: list[dict[str, Any]] = []

    class State:
        def __init__(self, **given: Any) -> None:
            met.append(given)

        def destroy_process_group(self) -> None: ...

    monkeypatch.setattr("accelerate.PartialState", State)
    join("cpu")
    assert met[0]["cpu"]
    assert met[0]["timeout"] >= timedelta(days=1)


def test_what_it_raises_is_raised() -> None:
    with pytest.raises(MemoryError, match="none left"):
        together(lambda: (_ for _ in ()).throw(MemoryError("none left")))


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "sbert-triplet"),
        ({"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}, "torchrun --nproc-per-node 2 -m sbert_triplet"),
        (
            {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"},
            "torchrun --nnodes 2 --nproc-per-node 4 -m sbert_triplet",
        ),
        (
            {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "ACCELERATE_MIXED_PRECISION": "no"},
            "accelerate launch --num_processes 2 -m sbert_triplet",
        ),
    ],
)
def test_the_command_names_the_launcher(
    variables: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("ACCELERATE_", "WORLD_", "LOCAL_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["sbert-triplet", "train", "a table.csv", "--resume"])
    assert Terminal.command(without=("--resume",)) == f"{words} train 'a table.csv'"


@pytest.mark.parametrize(("rank", "said"), [("0", "stopped after step 3\n"), ("1", "")])
def test_one_process_says_that_the_run_was_stopped(
    rank: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(typer.Exit) as caught, guarded(False, libraries=False):
        raise StoppedError("stopped after step 3", signal.SIGTERM)
    assert caught.value.exit_code == 143
    assert capsys.readouterr().err == said
