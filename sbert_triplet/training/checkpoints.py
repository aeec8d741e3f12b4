"""Checkpoints that are there whole or not at all.

One is written into a staging folder; every file and the folder are flushed to the disk; a manifest with
sizes and digests comes last, then one rename. After a crash at any moment the checkpoints that were there
before are untouched, and the one that was being written is there or is not.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from sbert_triplet.data.durable import flush
from sbert_triplet.encoding.memory import is_out_of_memory
from sbert_triplet.errors import MachineError
from sbert_triplet.training.manifest import BadCheckpointError, seal, verified

PREFIX = "checkpoint-"
STAGED, GONE, BAD = ".part", ".old", ".bad"
SPARE = 32 << 20
"""Bytes that are left free on the disk beside a checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """One that verifies: ``run`` is what the run that wrote it said of itself."""

    folder: Path
    step: int
    run: Mapping[str, Any]


@dataclass(frozen=True)
class PassedOver:
    """One that does not verify, and why."""

    folder: Path
    why: str


class Checkpoints:
    """The checkpoints of a run in ``folder``: the last ``keep``, and that of ``best_step()`` if it is there.

    ``run``: what each says of the run, as JSON. ``bytes_needed``: of the first; later ones are expected to be
    as large as the one before. Flushing, hashing and renaming go on in a thread while training does;
    ``settle`` waits for it. Raises MachineError, here or at the next call, where one cannot be written; those
    before it are untouched then.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: int = 2,
        run: Mapping[str, Any] | None = None,
        bytes_needed: int = 0,
        best_step: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.folder, self.keep, self.run = folder, keep, dict(run or {})
        self._bytes, self._best_step = bytes_needed, best_step
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoints")
        self._sealing: Future[None] | None = None

    @contextmanager
    def staged(self, step: int) -> Iterator[Path]:
        """A folder for the files of the checkpoint of ``step``, which is there once they are sealed."""
        self.settle()
        self._refuse_full_disk(step)
        place = self.folder / f".{PREFIX}{step}{STAGED}"
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            yield place
        except (OSError, RuntimeError, MemoryError, SafetensorError) as error:
            self._give_up(step, place, error)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        best = self._best_step()
        self._sealing = self._thread.submit(self._seal, step, place, best)

    def settle(self) -> None:
        """Wait until the last checkpoint is there."""
        sealing, self._sealing = self._sealing, None
        if sealing is not None:
            sealing.result()

    def _seal(self, step: int, place: Path, best: int | None) -> None:
        target = self.folder / f"{PREFIX}{step}"
        try:
            manifest = seal(place, step, self.run)
            self._bytes = manifest.bytes
            # Before it takes the name: no checkpoint that fails stands in the place of a good one.
            verified(place)
            gone = _renamed(target, GONE) if target.exists() else None
            place.rename(target)
            flush(self.folder)
        except (OSError, BadCheckpointError) as error:
            self._give_up(step, place, error)
        if gone is not None:
            shutil.rmtree(gone, ignore_errors=True)
        _remove(self.folder, BAD)
        keep_last(self.folder, self.keep, best, step)

    def _refuse_full_disk(self, step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if free < self._bytes + SPARE:
            raise MachineError(
                f"{self.folder}: no room for the checkpoint of step {step}: it needs "
                f"{in_words(self._bytes + SPARE)}, and {in_words(free)} are free. {self._what_is_left()}"
            )

    def _give_up(self, step: int, place: Path, error: Exception) -> None:
        shutil.rmtree(place, ignore_errors=True)
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if is_out_of_memory(error):
            raise MachineError(
                f"{self.folder}: memory ran out while the checkpoint of step {step} was written ({reason}). "
                f"{self._what_is_left('free some memory')}"
            ) from error
        free = shutil.disk_usage(self.folder).free
        limit = (
            " Or raise the limit on the size of files (ulimit -f)" if "too large" in reason.lower() else ""
        )
        raise MachineError(
            f"{self.folder}: the checkpoint of step {step} could not be written ({reason}): it needs about "
            f"{in_words(self._bytes)}, and {in_words(free)} are free on this disk. "
            f"{self._what_is_left()}.{limit}"
        ) from error

    def _what_is_left(self, remedy: str = "make room") -> str:
        found, passed = newest(self.folder)
        if found is not None:
            return f"The one of step {found.step} is whole: {remedy}, and go on from it with --resume"
        earlier = "None of the earlier ones is whole" if passed else "There is no earlier one"
        elsewhere = ", or name a folder on another disk with --out" if remedy == "make room" else ""
        return f"{earlier}. {remedy.capitalize()}{elsewhere}"


def steps_of(folder: Path) -> list[int]:
    """The steps of which there is a checkpoint under its name, verified or not."""
    names = [item.name.removeprefix(PREFIX) for item in folder.glob(f"{PREFIX}*") if item.is_dir()]
    return sorted(int(name) for name in names if name.isascii() and name.isdigit() and name == str(int(name)))


def newest(folder: Path) -> tuple[Checkpoint | None, list[PassedOver]]:
    """The newest that verifies, and the newer ones that do not."""
    passed: list[PassedOver] = []
    for step in reversed(steps_of(folder)):
        place = folder / f"{PREFIX}{step}"
        try:
            manifest = verified(place)
            if manifest.step != step:
                raise BadCheckpointError(f"its manifest is that of step {manifest.step}")
        except BadCheckpointError as error:
            passed.append(PassedOver(place, str(error)))
            continue
        return Checkpoint(place, step, manifest.run), passed
    return None, passed


def keep_last(folder: Path, keep: int, best: int | None, latest: int) -> None:
    """Remove all but the last ``keep`` and that of the step ``best``, the oldest first.

    ``latest``: the step of the one that was just verified, which stays. Later steps are none of its run's:
    they are neither counted nor removed.
    """
    for step in [step for step in steps_of(folder) if step <= latest][:-keep]:
        if step not in (best, latest):
            # Under another name first: one that is removed in part must not look like a checkpoint.
            shutil.rmtree(_renamed(folder / f"{PREFIX}{step}", GONE), ignore_errors=True)


def set_aside_after(folder: Path, step: int) -> None:
    """Take the names of checkpoints from those after ``step``, which were passed over: it is gone on from.

    They stay beside the others until a new one is whole.
    """
    for later in steps_of(folder):
        if later > step:
            _renamed(folder / f"{PREFIX}{later}", BAD)


def remove_remains(folder: Path) -> None:
    """Remove what a run that was killed has left half-written or half-removed."""
    for mark in (STAGED, GONE):
        _remove(folder, mark)


def _remove(folder: Path, mark: str) -> None:
    for item in folder.glob(f".{PREFIX}*{mark}"):
        shutil.rmtree(item, ignore_errors=True)


def _renamed(place: Path, mark: str) -> Path:
    """The checkpoint under a name that is none of a checkpoint, in the place of what has it."""
    other = place.with_name(f".{place.name}{mark}")
    shutil.rmtree(other, ignore_errors=True)
    return place.rename(other)


def in_words(number: int) -> str:
    """Bytes for people."""
    if number < 1e6:
        return f"{number / 1e3:.0f} kB"
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.0f} MB"
