"""A run that is being replaced outlasts a kill at any moment of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.pipeline.set_aside import SetAside

NAMES = ("recipe.yaml", "report.json", "checkpoints", "candidate", "model")
MARK = "report.json"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


class KilledError(BaseException):
    """In the place of SIGKILL."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Has the change of the file system of that number, from 1, end the process; 0 for never."""
    rename, rmtree, unlink = Path.rename, shutil.rmtree, Path.unlink
    done: list[int] = []

    def killed_at(number: int) -> None:
        done.clear()

        def counted(change: Callable[..., Any]) -> Callable[..., Any]:
            def made(*given: Any, **named: Any) -> Any:
                done.append(1)
                if len(done) == number:
                    raise KilledError
                return change(*given, **named)

            return made

        monkeypatch.setattr(Path, "rename", counted(rename))
        monkeypatch.setattr(Path, "unlink", counted(unlink))
        monkeypatch.setattr(shutil, "rmtree", counted(rmtree))

    return killed_at


def written(home: Path, run: str, *, finished: bool = True) -> dict[str, str]:
    """The files of a run; returns what they hold."""
    for name in NAMES:
        if name in ("checkpoints", "candidate", "model"):
            (home / name).mkdir()
            (home / name / "weights").write_text(run)
        elif finished or name != MARK:
            (home / name).write_text(run)
    return held(home)


def held(home: Path) -> dict[str, str]:
    return {
        str(file.relative_to(home)): file.read_text()
        for name in NAMES
        for file in [home / name, *(home / name).glob("*")]
        if file.is_file()
    }


def made(home: Path) -> SetAside:
    return SetAside(home, NAMES, MARK)


@pytest.mark.parametrize("moment", range(1, 8))
def test_a_kill_while_it_is_set_aside(home: Path, killed_at: Callable[[int], None], moment: int) -> None:
    old = written(home, "old")
    killed_at(moment)
    with pytest.raises(KilledError):
        made(home).put()
    killed_at(0)
    assert MARK not in held(home) or held(home) == old
    made(home).bring_back()
    assert held(home) == old
    assert sorted(item.name for item in home.iterdir()) == sorted(NAMES)


@pytest.mark.parametrize("moment", range(1, 12))
def test_a_kill_while_it_comes_back(home: Path, killed_at: Callable[[int], None], moment: int) -> None:
    old = written(home, "old")
    made(home).put()
    assert held(home) == {}
    written(home, "new", finished=False)
    killed_at(moment)
    with pytest.raises(KilledError):
        made(home).bring_back()
    assert MARK not in held(home)
    killed_at(0)
    made(home).bring_back()
    assert held(home) == old
    assert sorted(item.name for item in home.iterdir()) == sorted(NAMES)


def test_what_a_finished_run_replaced_is_dropped_and_not_brought_back(home: Path) -> None:
    written(home, "old")
    made(home).put()
    new = written(home, "new")
    assert not made(home).bring_back()
    assert held(home) == new
    assert not made(home).there


def test_an_attempt_that_failed_is_not_set_aside_in_its_place(home: Path) -> None:
    old = written(home, "old")
    made(home).put()
    written(home, "new", finished=False)
    made(home).put()
    assert held(home) == {}
    assert made(home).bring_back()
    assert held(home) == old
