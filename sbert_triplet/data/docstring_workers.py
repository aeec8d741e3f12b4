"""Parsing of Python sources spread over the processors."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sbert_triplet.data import docstring_parser
from sbert_triplet.data.docstring_parser import Pair, Task, parse_task
from sbert_triplet.errors import MachineError

Result = tuple[list[Pair], int]

_MOST_WORKERS = 8
_FILES_WORTH_A_PROCESS = 40


def parse_tasks(tasks: Sequence[Task], workers: int | None = None) -> list[Result]:
    """``parse_task`` of every task, in the order of the tasks.

    Each worker is a Python process that knows the standard library only. Few files are parsed here.
    Raises MachineError when a worker ends early.
    """
    wanted = min(workers or _processors(), _MOST_WORKERS, len(tasks))
    few = sum(len(task.files) for task in tasks) < _FILES_WORTH_A_PROCESS
    if wanted < 2 or few or not sys.executable:
        return [parse_task(task) for task in tasks]
    pending: queue.SimpleQueue[int] = queue.SimpleQueue()
    for position in sorted(range(len(tasks)), key=lambda i: -len(tasks[i].files)):
        pending.put(position)
    results: dict[int, Result] = {}
    with ThreadPoolExecutor(wanted) as threads:
        workers_done = [threads.submit(_serve, tasks, pending, results) for _ in range(wanted)]
        try:
            for done in workers_done:
                done.result()
        except BaseException:
            _empty(pending)
            raise
    return [results[position] for position in range(len(tasks))]


def _empty(pending: queue.SimpleQueue[int]) -> None:
    """So that the other workers stop after the task at hand."""
    with contextlib.suppress(queue.Empty):
        while True:
            pending.get_nowait()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _serve(tasks: Sequence[Task], pending: queue.SimpleQueue[int], results: dict[int, Result]) -> None:
    command = [sys.executable, "-I", "-S", "-X", "utf8", str(Path(docstring_parser.__file__))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8") as worker:
        try:
            while True:
                try:
                    position = pending.get_nowait()
                except queue.Empty:
                    return
                results[position] = _ask(worker, tasks[position])
        except BaseException:
            worker.kill()
            raise


def _ask(worker: subprocess.Popen[str], task: Task) -> Result:
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        worker.stdin.write(json.dumps({"files": task.files, "enough": task.enough}) + "\n")
        worker.stdin.flush()
        answer = worker.stdout.readline()
    except BrokenPipeError:
        answer = ""
    if not answer:
        raise MachineError(
            "docstrings: a process that parses Python sources was ended by the system, perhaps for lack of "
            "memory. Run again, or name fewer packages (docstrings:stdlib)."
        )
    found = json.loads(answer)
    return [Pair(*pair) for pair in found["pairs"]], found["broken"]
