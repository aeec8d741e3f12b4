"""Lines, progress and errors for people at a terminal."""

from __future__ import annotations

import errno
import shlex
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from sbert_triplet.errors import SbertTripletError

SECONDS_BETWEEN_LINES = 15.0
MACHINE_FAILED, WRONG_INPUT, BUG = 3, 2, 1


class Terminal:
    """Prints lines; shows progress as a bar on a terminal and as a line now and then elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._what = ""
        self._next_line = 0.0

    def say(self, line: str) -> None:
        """Print a line, above any bar."""
        self._close()
        typer.echo(line)

    def progress(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        if sys.stderr.isatty():
            self._draw(what, done, total)
            return
        now = time.monotonic()
        if what != self._what:
            self._what, self._next_line = what, now + SECONDS_BETWEEN_LINES
        if now >= self._next_line:
            typer.echo(f"  {what}: {done:,} of {total:,}", err=True)
            self._next_line = now + SECONDS_BETWEEN_LINES

    @staticmethod
    def command() -> str:
        """The command line as typed, to repeat the run."""
        return shlex.join(["sbert-triplet", *sys.argv[1:]])

    def _draw(self, what: str, done: int, total: int) -> None:
        if self._bar is None or what != self._what:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._close()
            self._what = what
            self._bar = Progress(
                TextColumn("  {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(what, total=total)
        self._bar.update(self._task, completed=done, total=total)
        if done >= total:
            self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


@contextmanager
def guarded(debug: bool) -> Iterator[None]:
    """Run a verb: quiet libraries, one clear line for an error, and the exit code of its kind."""
    quiet()
    signal.signal(signal.SIGTERM, _terminated)
    try:
        yield
    except SbertTripletError as error:
        _leave(str(error), error.exit_code, error, debug)
    except KeyboardInterrupt as error:
        _leave("stopped", 130, error, debug)
    except MemoryError as error:
        _leave("memory ran out: lower train.batch_size or train.group_tokens", MACHINE_FAILED, error, debug)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            _leave(f"the disk is full ({error.filename or error})", MACHINE_FAILED, error, debug)
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            _leave(f"{error.filename}: no permission to read or write here", WRONG_INPUT, error, debug)
        _leave(f"{type(error).__name__}: {error}", MACHINE_FAILED, error, debug)
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        if _out_of_memory(error):
            _leave(
                "memory ran out: lower train.batch_size or train.group_tokens", MACHINE_FAILED, error, debug
            )
        _leave(
            f"internal error: {type(error).__name__}: {error}\nRun again with --debug; please report it",
            BUG,
            error,
            debug,
        )


def _leave(message: str, code: int, error: BaseException, debug: bool) -> NoReturn:
    if debug:
        traceback.print_exception(error)
    text = f"error: {message}".encode("utf-8", "backslashreplace").decode("utf-8")
    typer.echo(text, err=True)
    raise typer.Exit(code) from None


def _out_of_memory(error: BaseException) -> bool:
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def _terminated(*_: object) -> NoReturn:
    raise SystemExit(143)


def quiet() -> None:
    """Keep bars and chatter of the libraries below out of what a person reads."""
    import datasets
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)
