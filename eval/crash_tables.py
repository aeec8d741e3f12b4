"""Malformed tables and hostile recipes, thousands of them, given to `check` and `train` in one process.

A case ends in one of two ways: it works, and every row is counted; or exit code 2, with an error that
names the file and, where there is one, the row or the column. A traceback, another exit code, a row that is
neither used nor counted, code that was run, more time or more memory than the bounds: a failure.

    python eval/crash_tables.py NUMBER [NUMBER]                 cases by their numbers, with what was said
    python eval/crash_tables.py --processes NUMBER [NUMBER]     the same, each as a process of its own
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn
from unittest.mock import patch

from crash_judged import MOST_SECONDS, Ended, Tally, failures
from hostile_files import FILES, LARGE_FILES
from hostile_recipes import RECIPES
from hostile_rows import Case
from hostile_texts import LARGE_TEXTS, TEXTS
from hostile_written import Make

ORDINARY: tuple[Make, ...] = (*TEXTS, *FILES, *RECIPES)
LARGE: tuple[Make, ...] = (*LARGE_TEXTS, *LARGE_FILES)
EVERY_LARGE, EVERY_TRAINED, EVERY_KEPT = 100, 50, 1_000
"""Of so many cases one is large, one is trained on, and after one the figures are kept."""
SPLIT_WITH = ("sbert_triplet.pipeline.checking_alone", "sbert_triplet.pipeline.job")
"""What a process has imported before others are split off."""
SMALL = ("--smoke", "--set", "evaluate.general=false", "--set", "train.precision=fp32")
SMALL += ("--set", "train.chunk_tokens=0")


def case_of(number: int, seed: int = 1) -> tuple[str, Case]:
    """The verb and the case of a number; the same ones at every call."""
    draw = random.Random(f"{seed} {number}")
    make = draw.choice(LARGE if number % EVERY_LARGE == EVERY_LARGE - 1 else ORDINARY)
    return "train" if number % EVERY_TRAINED == EVERY_TRAINED - 2 else "check", make(draw)


def words_of(verb: str, case: Case) -> list[str]:
    """The arguments of the command line."""
    return [verb, case.source, "--out", "out", *SMALL, *case.words]


@contextlib.contextmanager
def laid_out(case: Case, folder: Path) -> Iterator[Path]:
    """The files of a case in a folder of their own, which is the current one; removed afterwards."""
    place = Path(tempfile.mkdtemp(dir=folder))
    for name, content in case.files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    try:
        with contextlib.chdir(place), patch.dict(os.environ, SBERT_TRIPLET_CACHE=str(place / ".cache")):
            yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


class Runner:
    """Runs cases in this process, each as the command line would, with one tiny encoder for all.

    Building the encoder, timing a step and drawing the report take longest and see nothing of the table.
    """

    def __init__(self, folder: Path) -> None:
        from typer.main import get_command

        from sbert_triplet.cli import app

        self.folder, self.command = folder, get_command(app)

    @contextlib.contextmanager
    def ready(self) -> Iterator[None]:
        """Everything that is replaced while cases run."""
        from sbert_triplet.encoding.tiny import tiny_encoder
        from sbert_triplet.pipeline import job, plan, start

        letters = [" ".join("abcdefghijklmnopqrstuvwxyz0123456789?.,-")]
        caches = {"SBERT_TRIPLET_TOKEN_CACHE": "off", "SBERT_TRIPLET_EMBEDDING_CACHE": "off"}
        made: dict[str, Any] = {}

        def encoder(*_: object, **__: object) -> Any:
            from copy import deepcopy

            if "model" not in made:
                made["model"] = tiny_encoder(letters)
            return deepcopy(made["model"])

        with (
            patch.dict(os.environ, {**caches, "HF_HUB_OFFLINE": "1"}),
            patch("huggingface_hub.constants.HF_HUB_OFFLINE", True),
            patch.object(start, "tiny_encoder", encoder),
            patch.object(plan, "_measured", lambda *_: ("fp32", 0.01)),
            patch.object(job, "write_report", lambda _: None),
        ):
            yield

    def run(self, verb: str, case: Case) -> Ended:
        """Run a case; one that takes too long is stopped and ends with 124."""
        from typer.testing import CliRunner

        with laid_out(case, self.folder) as place, _alarm():
            before, start = _peak(reset=True), time.monotonic()
            with patch("typer.testing._get_command", lambda _: self.command):
                try:
                    result = CliRunner().invoke(_ANY, words_of(verb, case))
                except _TooLongError:
                    return Ended(124, "", None, time.monotonic() - start, 0, False)
            seconds, grown = time.monotonic() - start, _peak() - before
            raised = result.exception
            crashed = raised is not None and not isinstance(raised, SystemExit)
            output = result.output + (f"\nTraceback: {raised!r}" if crashed else "")
            return Ended(
                result.exit_code, output, _counted(place), seconds, grown, (place / "marker").exists()
            )


def as_process(verb: str, case: Case, folder: Path) -> Ended:
    """A case as a process of its own, split off this one, so that the libraries are not imported again.

    This one must not have started any thread: whatever those held would be held in the new one for ever.
    """
    with laid_out(case, folder) as place:
        start = time.monotonic()
        child = os.fork()
        if child == 0:
            _become(["sbert-triplet", *words_of(verb, case)], folder / "output.txt")
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output = (folder / "output.txt").read_text(encoding="utf-8", errors="replace")
        marked = (place / "marker").exists()
        return Ended(code, output, _counted(place), time.monotonic() - start, 0, marked)


def _become(words: list[str], output: Path) -> NoReturn:
    """Be the command line of these words, from its start to its exit code; never returns."""
    code = 1
    try:
        signal.alarm(MOST_SECONDS)
        with output.open("w", encoding="utf-8") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv, sys.stdout, sys.stderr = words, os.fdopen(1, "w"), os.fdopen(2, "w")
        from sbert_triplet.cli import main as command_line

        command_line()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def tables(numbers: Sequence[int], seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Run cases of these numbers in this process: how they ended, after each thousand and at the end."""
    runner, tally, start = Runner(folder), Tally(), time.monotonic()
    with runner.ready():
        for number in numbers:
            verb, case = case_of(number, seed)
            tally.add(number, verb, case, runner.run(verb, case))
            if tally.cases % EVERY_KEPT == 0 or number == numbers[-1]:
                yield {"seed": seed, **tally.figures(), "seconds": round(time.monotonic() - start, 1)}


class _TooLongError(BaseException):
    """Raised by the alarm; no handler of errors may take it for one of the table."""


_ANY: Any = None


@contextlib.contextmanager
def _alarm() -> Iterator[None]:
    def ring(signum: int, frame: FrameType | None) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _peak(*, reset: bool = False) -> int:
    """Bytes: the most memory since the last reset, on Linux; elsewhere 0."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    if reset:
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
    return 1024 * int(lines["VmRSS" if reset else "VmHWM"].split()[0])


def _counted(place: Path) -> int | None:
    file = place / "out" / "data.json"
    if not file.is_file():
        return None
    data = json.loads(file.read_text(encoding="utf-8"))
    return int(sum(data["rows"].values()) + data["rows_set_aside"])


def main() -> None:
    """Run the cases of the numbers that are given, and print them; exit code 1 where one ended otherwise."""
    processes, numbers = "--processes" in sys.argv, [int(word) for word in sys.argv[1:] if word.isdigit()]
    failed = False
    with tempfile.TemporaryDirectory(prefix="tables-") as name:
        runner = Runner(Path(name))
        for module in SPLIT_WITH if processes else ():
            importlib.import_module(module)
        with contextlib.nullcontext() if processes else runner.ready():
            for number in numbers:
                verb, case = case_of(number)
                ended = as_process(verb, case, Path(name)) if processes else runner.run(verb, case)
                wrong = failures(verb, case, ended)
                print(
                    f"{number}: {verb}, {case.kind}, {case.expected}: {ended.code}, {wrong or 'as it should'}"
                )
                print(ended.output[:3000], flush=True)
                failed = failed or bool(wrong)
    sys.exit(int(failed))


if __name__ == "__main__":
    main()
