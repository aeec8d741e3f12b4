"""Malformed tables and hostile recipes at the command line: they work, or one clear error names the place.

The cases are those of eval/crash_tables.py, which runs 20,000 of them.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

IN_PROCESS, AS_PROCESSES, PARTS = 200, 10, 4
FIRST = 100_000
"""The numbers of the long form begin at 0."""

ALONE = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""A process from which others are split off has no threads."""

Load = Callable[[str], Any]


@pytest.fixture
def crash_tables(load: Load) -> Any:
    return load("crash_tables")


@pytest.fixture
def runner(crash_tables: Any, tmp_path: Path) -> Iterator[Any]:
    made = crash_tables.Runner(tmp_path)
    with made.ready():
        yield made


@pytest.mark.parametrize("part", range(PARTS))
def test_in_one_process(part: int, crash_tables: Any, runner: Any) -> None:
    """Of 200 cases some work and most are refused, each as it should."""
    ends = set()
    for number in range(FIRST + part, FIRST + IN_PROCESS, PARTS):
        _, case = crash_tables.case_of(number)
        ended = runner.run("check", case)
        assert crash_tables.failures("check", case, ended) == [], (number, case.kind, ended.output[-1000:])
        ends.add(ended.code)
    assert ends == {0, 2}


def test_trained_on(crash_tables: Any, runner: Any, load: Load) -> None:
    """One table that only looks wrong is trained on; one with a blank cell is refused and leaves nothing."""
    rows, texts = load("hostile_rows"), load("hostile_written")
    sound = rows.sound_rows(random.Random(1), "pairs", 30)
    sound[3]["question"] += rows.UNUSUAL[0]
    case = rows.Case("unusual", {"t.csv": texts.csv_bytes(sound)}, "t.csv", "works", 30)
    ended = runner.run("train", case)
    assert crash_tables.failures("train", case, ended) == [], ended.output
    sound[4]["answer"] = " "
    case = rows.Case("blank", {"t.csv": texts.csv_bytes(sound)}, "t.csv", "refused", 30, names=(("row 5",),))
    ended = runner.run("train", case)
    assert crash_tables.failures("train", case, ended) == [], ended.output
    assert ended.counted is None


@pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="needs fork")
def test_as_processes(crash_tables: Any) -> None:
    """Ten cases as processes of their own, with exit codes of the system."""
    numbers = [str(FIRST + IN_PROCESS + number) for number in range(AS_PROCESSES)]
    command = [sys.executable, crash_tables.__file__, "--processes", *numbers]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False, env=ALONE)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stdout.count("as it should") == AS_PROCESSES


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"output": "Traceback (most recent call last):\nerror: t.csv: row 1"}, "traceback"),
        ({"code": 70}, "exit code 70"),
        ({"code": -11}, "exit code -11"),
        ({"code": 0, "counted": 30}, "works and should be refused"),
        ({"output": "error: something is wrong in row 1"}, "names no file"),
        ({"output": "error: t.csv: something is wrong"}, "does not name row 1"),
        ({"output": "error: t.csv: row 1\nerror: t.csv: row 1"}, "not one error"),
        ({"seconds": 61.0}, "too slow"),
        ({"grown": 2_000_000_000}, "grew by 2,000 MB"),
        ({"marked": True}, "code of the input was run"),
        ({"output": "error: t.csv: row 1" + 20_000 * "x"}, "printed 20,019 characters"),
    ],
)
def test_what_counts_as_a_failure(change: dict[str, Any], wrong: str, crash_tables: Any, load: Load) -> None:
    case = load("hostile_rows").Case("blank", {"t.csv": b""}, "t.csv", "refused", 30, names=(("row 1",),))
    right = {"code": 2, "output": "error: t.csv: row 1", "counted": None, "seconds": 0.1, "grown": 0}
    right["marked"] = False
    assert crash_tables.failures("check", case, crash_tables.Ended(**right)) == []
    assert wrong in crash_tables.failures("check", case, crash_tables.Ended(**{**right, **change}))


def test_a_lost_row_and_a_refused_sound_table_are_failures(crash_tables: Any, load: Load) -> None:
    case = load("hostile_rows").Case("sound", {"t.csv": b""}, "t.csv", "works", 30)
    lost = crash_tables.Ended(0, "", 29, 0.1, 0, False)
    assert crash_tables.failures("check", case, lost) == ["29 of 30 rows are counted"]
    refused = crash_tables.Ended(2, "error: t.csv: no", None, 0.1, 0, False)
    assert crash_tables.failures("check", case, refused) == ["a sound table is refused"]


def test_the_cases_of_a_number_are_the_same(crash_tables: Any) -> None:
    cases = [crash_tables.case_of(number)[1] for number in range(90)]
    assert cases == [crash_tables.case_of(number)[1] for number in range(90)]
    assert len({case.kind for case in cases}) > 20


def test_two_sources_are_told_apart(runner: Any, load: Load) -> None:
    """Of two files, that of a blank cell is named with it."""
    rows, texts = load("hostile_rows"), load("hostile_written")
    files = {}
    for place, name in enumerate(("one.csv", "two.csv")):
        sound = [
            {key: f"{text} {name}" for key, text in row.items()}
            for row in rows.sound_rows(random.Random(place), "pairs", 30)
        ]
        sound[place + 6]["answer"] = " "
        files[name] = texts.csv_bytes(sound)
    files["r.yaml"] = b"data:\n  train: [one.csv, two.csv]\n"
    ended = runner.run("check", rows.Case("two", files, "r.yaml", "refused"))
    assert ended.code == 2
    assert "Column 'one.csv: answer': 1 cell is blank." in ended.output
    assert "(row 7)" in ended.output
    assert "Column 'two.csv: answer': 1 cell is blank." in ended.output
    assert "(row 8)" in ended.output
