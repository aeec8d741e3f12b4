"""Lines, progress and errors for people at a terminal."""

from __future__ import annotations

import shlex
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

import typer

from sbert_triplet.data.redaction import redacted
from sbert_triplet.errors import SbertTripletError, StoppedError
from sbert_triplet.processes import launched, leads

SECONDS_BETWEEN_LINES = 15.0
WRONG_INPUT, MACHINE_FAILED, BUG = 2, 3, 70
FOUND_BY_ALL = frozenset({WRONG_INPUT, 128 + signal.SIGINT, 128 + signal.SIGTERM})


class Terminal:
    """Prints lines; shows progress as a bar on a terminal and as a line now and then elsewhere.

    Of several processes of one run only the leading one speaks.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._what = ""
        self._next_line = 0.0

    def say(self, line: str) -> None:
        """Print a line, above any bar."""
        if not leads():
            return
        self._close()
        typer.echo(spelled_out(line))

    def progress(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are done."""
        if not leads():
            return
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
    def command(without: Sequence[str] = ()) -> str:
        """The command line as typed, to repeat the run; ``without`` options that say how it is begun.

        Of several processes with the launcher that begins as many of them.
        """
        return shlex.join([*launched(), *(word for word in sys.argv[1:] if word not in without)])

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
def guarded(debug: bool, *, libraries: bool = True) -> Iterator[None]:
    """Run a verb: quiet libraries, one clear line for an error, and the exit code of its kind.

    ``libraries``: whether the verb needs those below at all; importing them takes seconds.
    """
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        with warnings.catch_warnings():
            if libraries:
                quiet()
            warnings.showwarning = _show_warning
            yield
    except KeyboardInterrupt as error:
        _leave("stopped", 130, error, debug)
    except _TerminatedError:
        if leads():
            typer.echo("stopped", err=True)
        raise
    except (BrokenPipeError, typer.Exit, typer.Abort):
        raise
    except Exception as error:
        _leave(*_explained(error), error, debug)
    finally:
        signal.signal(signal.SIGTERM, before)


def quiet() -> None:
    """Keep bars and chatter of the libraries below out of what a person reads."""
    import datasets
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", category=FutureWarning)


def _explained(error: Exception) -> tuple[str, int]:
    """What to say, and the exit code."""
    from sbert_triplet.pipeline.failures import machine_error

    if isinstance(error, StoppedError):
        return str(error), error.exit_code
    if isinstance(error, SbertTripletError):
        return f"error: {error}", error.exit_code
    if (machine := machine_error(error)) is not None:
        return f"error: {machine}", machine.exit_code
    if isinstance(error, PermissionError):
        return f"error: {error.filename or error}: no permission to read or write here", WRONG_INPUT
    if isinstance(error, OSError):
        return f"error: {type(error).__name__}: {error}", MACHINE_FAILED
    report = "Run again with --debug and please report what it prints"
    return f"internal error: {type(error).__name__}: {error}\n{report}", BUG


def _leave(message: str, code: int, error: BaseException, debug: bool) -> NoReturn:
    if debug:
        typer.echo(redacted("".join(traceback.format_exception(error))), err=True, nl=False)
    # What is wrong with the input, or a signal that ends all of them, every process finds; one says it.
    if leads() or code not in FOUND_BY_ALL:
        typer.echo(spelled_out(redacted(message)), err=True)
    raise typer.Exit(code) from None


class _TerminatedError(SystemExit):
    """SIGTERM came. It is told where this is caught: the signal may have come in the middle of a line."""


def _terminated(*_: object) -> NoReturn:
    raise _TerminatedError(128 + signal.SIGTERM)


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: object, **__: object
) -> None:
    """One line for what this package warns of; what libraries say to programmers is left out."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("warnings", ""):
        frame = frame.f_back
    if (
        leads()
        and frame is not None
        and frame.f_globals.get("__name__", "").partition(".")[0] == "sbert_triplet"
    ):
        typer.echo(spelled_out(redacted(f"warning  {message}")), err=True)


def spelled_out(text: str) -> str:
    """The text with what steers a terminal, or that no file can hold, spelled with backslashes."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(sign if sign.isprintable() or sign == "\n" else repr(sign)[1:-1] for sign in text)
