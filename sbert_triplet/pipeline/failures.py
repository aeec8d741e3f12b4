"""What the machine does to a run, in words: a full disk, no memory."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbert_triplet.encoding.memory import is_out_of_memory
from sbert_triplet.errors import MachineError, SbertTripletError

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
FULL_IN_WORDS = ("no space left on device", "os error 28", "not enough disk space", "disk quota exceeded")
TOO_LARGE_IN_WORDS = ("file too large", "os error 27")


def machine_error(error: BaseException, where: Path | None = None) -> MachineError | None:
    """The disk or the memory behind an error of whatever library, or None where neither is.

    Libraries wrap what the system says (safetensors and pyarrow in types of their own), so the
    causes of the error and its words are looked at, not its type alone.
    """
    for cause in _causes(error):
        number, words = getattr(cause, "errno", None), str(cause).lower()
        place = f" ({name})" if (name := getattr(cause, "filename", None) or where) else ""
        if number in FULL or any(phrase in words for phrase in FULL_IN_WORDS):
            return MachineError(
                f"the disk is full{place}: make room, or name a folder on another disk with --out"
            )
        if number == errno.EFBIG or any(phrase in words for phrase in TOO_LARGE_IN_WORDS):
            return MachineError(
                f"the system lets no file grow this large{place}: raise the limit (ulimit -f), "
                "or name a folder on another disk with --out"
            )
        if is_out_of_memory(cause):
            return MachineError(
                "memory ran out: set train.chunk_tokens (to 4096, or to less where it is set), "
                "train.group_tokens (to 4096, or less), or lower train.batch_size"
            )
    return None


@contextmanager
def machine_failures(where: Path | None = None) -> Iterator[None]:
    """Turn what the machine is to blame for into a MachineError."""
    try:
        yield
    except SbertTripletError:
        raise
    except Exception as error:
        found = machine_error(error, where)
        if found is None:
            raise
        raise found from error


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__
