"""SIGKILL at random moments, half of them inside a save; then resumed, and compared with a run without."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crash_runs import STEPS, Ended, begun, ended, killed_somewhere, sha256, words

A_RUN = 8
"""Kills of one run, which is resumed after each, and to its end after the last."""
STOCK = Path(__file__).with_name("crash_stock.py")


def digests(out: Path) -> tuple[str, str]:
    """Of the weights of the last checkpoint, and of the tuned model."""
    last = out / "checkpoints" / f"checkpoint-{STEPS}" / "model.safetensors"
    return sha256(last), sha256(out / "candidate" / "model.safetensors")


def kills_of_ours(folder: Path, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """One entry for each run: how often it was killed, inside a save and outside, and how it ended."""
    draw = random.Random(seed)
    whole = folder / "whole"
    first = ended(begun(words(whole), folder), folder)
    if first.code:
        raise SystemExit(f"the run that is compared with failed:\n{first.output}")
    expected, done, number = digests(whole), 0, 0
    while done < count:
        out, inside, outside = folder / f"killed-{number}", 0, 0
        for _ in range(min(A_RUN, count - done)):
            within = inside <= outside
            found = _killed(out, folder, draw, within)
            if not found.killed:
                break
            inside, outside = inside + within, outside + (not within)
        last = ended(begun(words(out, "--resume"), folder), folder)
        yield {
            "inside a save": inside,
            "elsewhere": outside,
            "exit code": last.code,
            "identical": last.code == 0 and digests(out) == expected,
            "traceback": last.traceback,
        }
        done, number = done + max(inside + outside, 1), number + 1


def _killed(out: Path, folder: Path, draw: random.Random, inside: bool) -> Ended:
    process = begun(words(out, "--resume"), folder)
    staged = (out / "checkpoints", ".checkpoint-*.part")
    killed_somewhere(process, out / "log.jsonl", staged, draw, inside=inside)
    return ended(process, folder)


def kills_of_stock(folder: Path, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """The same of sentence-transformers' own trainer, resumed by ``resume_from_checkpoint=True``.

    A run that cannot be resumed ends there; the next kill is that of another one.
    """
    draw = random.Random(seed)
    whole = folder / "stock-whole"
    first = ended(begun([str(STOCK), str(folder), str(whole)], folder), folder)
    if first.code:
        raise SystemExit(f"the run that is compared with failed:\n{first.output}")
    expected = sha256(whole / "model" / "model.safetensors")
    for number in range(count):
        out, inside = folder / f"stock-{number}", number % 2 == 0
        process = begun([str(STOCK), str(folder), str(out)], folder)
        killed_somewhere(process, out / "log.txt", (out, ".saving"), draw, inside=inside)
        if not ended(process, folder).killed:
            continue
        last = ended(begun([str(STOCK), str(folder), str(out)], folder), folder)
        yield {
            "inside a save": int(inside),
            "elsewhere": int(not inside),
            "exit code": last.code,
            "identical": last.code == 0 and sha256(out / "model" / "model.safetensors") == expected,
            "traceback": last.traceback,
        }
