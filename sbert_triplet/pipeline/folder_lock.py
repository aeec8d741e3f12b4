"""One run at a time in a folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbert_triplet.errors import InputError

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl


class FolderLock:
    """A lock on ``folder``, which the system lets go of when this process ends, however it ends.

    Nothing is locked on Windows, nor on a file system without locks.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._wanted, self._held = False, -1

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Hold it from now on, or from ``take`` where the folder is not there yet."""
        self._wanted = True
        self.take()
        try:
            yield
        finally:
            if self._held >= 0:
                os.close(self._held)
            self._wanted, self._held = False, -1

    def take(self) -> None:
        """Lock the folder, where that is wanted. Raises InputError where another process holds it."""
        if fcntl is None or not self._wanted or self._held >= 0 or not self.folder.is_dir():
            return
        held = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(held)
            raise InputError(
                f"{self.folder}: another run is writing here; wait until it has ended, or name another "
                "folder with --out"
            ) from error
        except OSError:
            os.close(held)
            return
        self._held = held
