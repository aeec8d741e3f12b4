"""Every file of a checkpoint, damaged; and every write of a save, on a disk that is full."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crash_kills import digests
from crash_runs import SAVED, begun, ended, words

from sbert_triplet.training.checkpoints import PREFIX, newest, steps_of

DISK = Path(__file__).with_name("crash_disk.py")
STEP = 4 * SAVED
"""The save during which the disk is full."""


def damages(content: bytes, flips: int, draw: random.Random) -> Iterator[tuple[str, bytes | None]]:
    """What becomes of a file; None for a file that is gone."""
    yield "deleted", None
    yield "emptied", b""
    yield "cut short", content[: draw.randrange(len(content))]
    for _ in range(flips):
        place = draw.randrange(8 * len(content))
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        yield "a bit flipped", bytes(changed)


def damaged(checkpoints: Path, flips: int, seed: int) -> dict[str, Any]:
    """Damage the newest of two checkpoints, file by file; it is to be passed over, the older one taken."""
    draw = random.Random(seed)
    older, last = steps_of(checkpoints)[-2:]
    cases, found = 0, {"passed over": 0, "harmless": 0, "taken": 0}
    files = sorted(file for file in (checkpoints / f"{PREFIX}{last}").rglob("*") if file.is_file())
    said = newest(checkpoints)[0]
    for file in files:
        content = file.read_bytes()
        for _, left in damages(content, flips, draw):
            file.unlink() if left is None else file.write_bytes(left)
            taken, passed = newest(checkpoints)
            cases += 1
            if taken is not None and taken.step == older and len(passed) == 1:
                found["passed over"] += 1
            elif taken == said and file.name == "manifest.json":
                # A bit of white space: what the manifest says is the same, and holds.
                found["harmless"] += 1
            else:
                found["taken"] += 1
            file.write_bytes(content)
    return {"files": len(files), "cases": cases, **found}


def full_disks(folder: Path, most: int | None) -> Iterator[dict[str, Any]]:
    """A limit on the size of files just below that of each file of a save, in turn, the largest first."""
    whole = folder / "whole"
    expected = digests(whole)
    last = whole / "checkpoints" / f"{PREFIX}{steps_of(whole / 'checkpoints')[-1]}"
    sizes = sorted({file.stat().st_size for file in last.rglob("*") if file.is_file()}, reverse=True)
    for number, size in enumerate(sizes[:most]):
        out = folder / f"full-{number}"
        command = [str(DISK), str(size - 1), str(STEP), *words(out)[2:]]
        failed = ended(begun(command, folder), folder)
        good, passed = newest(out / "checkpoints")
        again = ended(begun(words(out, "--resume"), folder), folder)
        yield {
            "bytes": size - 1,
            "exit code": failed.code,
            "space named": "it needs" in failed.output,
            "traceback": failed.traceback or again.traceback,
            "last good": None if good is None else good.step,
            "passed over": len(passed),
            "identical": again.code == 0 and digests(out) == expected,
        }
