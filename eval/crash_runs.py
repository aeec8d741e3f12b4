"""Runs as processes of their own, of a few hundred short steps, which can be killed at any moment."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from record import ROOT

ROWS, STEPS, SAVED = 80, 240, 3
SETTINGS = {
    "train.max_steps": STEPS,
    "train.epochs": STEPS,
    "train.save_steps": SAVED,
    "train.batch_size": 8,
    "train.precision": "fp32",
    "train.never_worse": "false",
    "evaluate.general": "false",
}
LIMIT = 300.0
"""Seconds after which a process is taken for one that hangs."""


@dataclass(frozen=True)
class Ended:
    """How a process ended: its exit code, negative for a signal, and what it wrote."""

    code: int
    output: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    @property
    def traceback(self) -> bool:
        return "Traceback" in self.output or "internal error" in self.output


def make_data(folder: Path) -> None:
    """A table of pairs, and a tiny random encoder."""
    from sbert_triplet.encoding.tiny import tiny_encoder

    lines = [f"how do I reset item {n} of {n % 7}?,press button {n} for {n % 5} seconds" for n in range(ROWS)]
    (folder / "pairs.csv").write_text("\n".join(["question,answer", *lines]), encoding="utf-8")
    tiny_encoder([line.replace(",", " ") for line in lines], max_length=32).save(
        str(folder / "tiny"), create_model_card=False
    )


def words(out: Path, *more: str) -> list[str]:
    """The command of a run into ``out``."""
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    place = out.parent
    table, model = str(place / "pairs.csv"), str(place / "tiny")
    return ["-m", "sbert_triplet", "train", table, "--model", model, "--out", str(out), *settings, *more]


def begun(command: Sequence[str], folder: Path) -> subprocess.Popen[bytes]:
    """A Python process, which writes into a file of ``folder``."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "eval")]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "SBERT_TRIPLET_CACHE": str(folder / "cache"),
    }
    with (folder / "output.txt").open("wb") as output:
        return subprocess.Popen(
            [sys.executable, *command], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )


def ended(process: subprocess.Popen[bytes], folder: Path, limit: float = LIMIT) -> Ended:
    """Wait for it; one that hangs is killed, and its code is that of ``timeout``."""
    try:
        code = process.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code = 124
    return Ended(code, (folder / "output.txt").read_text(encoding="utf-8", errors="replace"))


def killed_somewhere(
    process: subprocess.Popen[bytes],
    log: Path,
    staged: tuple[Path, str],
    draw: random.Random,
    *,
    inside: bool,
) -> None:
    """SIGKILL at a random moment of the training, or ``inside`` a save.

    ``log`` grows with each step; ``staged``: a folder and the pattern of what is in it while a save goes on.
    """
    before = log.stat().st_size if log.is_file() else 0
    wait_until(process, lambda: log.is_file() and log.stat().st_size > before)
    if inside:
        place, pattern = staged
        wait_until(process, lambda: any(place.glob(pattern)))
        time.sleep(draw.uniform(0.0, 0.06))
    else:
        time.sleep(draw.uniform(0.0, 1.5))
    process.kill()


def wait_until(process: subprocess.Popen[bytes], there: Callable[[], bool]) -> None:
    """Until ``there()`` or the end of the process."""
    start = time.monotonic()
    while process.poll() is None and not there() and time.monotonic() - start < LIMIT:
        time.sleep(0.001)


def sha256(file: Path) -> str:
    """Of a file's content; of one that is not there, words that say so."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "missing"
