"""The short form of what is done to runs on purpose, and of what saving costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.long
Load = Callable[[str], Any]


def test_short_form(load: Load) -> None:
    """Kills of ours and of the stock trainer, each file damaged, full disks, tables, what saving costs."""
    command = load("crash")
    kept: list[int] = []
    arguments = command.parsed(["--short"])
    results = command.measured(arguments, {}, lambda found: kept.append(len(found)))
    assert sorted(set(kept)) == [1, 2, 3, 4, 5, 6]
    killed = sum(run["inside a save"] + run["elsewhere"] for run in results["kills"])
    assert killed == 6
    assert all(run["identical"] and not run["traceback"] for run in results["kills"])
    assert 1 <= len(results["stock"]) <= 2
    damage = results["damage"]
    assert damage["taken"] == 0
    assert damage["passed over"] + damage["harmless"] == damage["cases"] == 4 * damage["files"]
    assert len(results["disk"]) == 3
    for run in results["disk"]:
        assert (run["exit code"], run["space named"], run["traceback"]) == (3, True, False)
        assert run["identical"]
        assert (run["last good"], run["passed over"]) == (9, 0)
    tables = results["tables"]
    assert (tables["cases"], tables["failed"]) == (100, [])
    assert set(tables["ends"]) == {"works", "refused"}
    with_, without = results["cost"]
    assert with_["steps"] == without["steps"] > 1
    assert 0 < without["saving_seconds"] < with_["saving_seconds"] < with_["seconds"]
    assert "| SIGKILL, resumed | 6, 3 inside a save | 6 |" in command.table(results)
