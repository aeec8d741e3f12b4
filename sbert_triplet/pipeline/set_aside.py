"""A run that is being replaced: kept in a folder inside until the one in its place is finished."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

WHOLE, MOVING = ".replaced", ".replacing"


class SetAside:
    """The files ``names`` of ``folder``, of which ``mark`` says that the run is finished.

    A process may be killed at any moment of it: while files are on their way, in either direction, those
    that have left lie in ``MOVING``, which is named ``WHOLE`` once all have; ``settle`` brings them back.
    """

    def __init__(self, folder: Path, names: Sequence[str], mark: str) -> None:
        self.folder, self.mark = folder, mark
        # First to leave and last to return: a folder that has it has everything else as well.
        self.names = [mark, *(name for name in names if name != mark)]
        self.whole, self.moving = folder / WHOLE, folder / MOVING

    @property
    def there(self) -> bool:
        """Whether a finished run is set aside."""
        return (self.whole / self.mark).exists()

    def settle(self) -> None:
        """Bring back what was on its way when a process was killed; drop what a finished run replaced."""
        if self.moving.is_dir():
            self._return()
        if (self.folder / self.mark).exists() or not self.there:
            remove(self.whole)

    def put(self) -> None:
        """Set the files aside; where a finished run is set aside already, they are dropped."""
        self.settle()
        if self.there:
            self._drop_files()
            return
        present = [name for name in self.names if (self.folder / name).exists()]
        if not present:
            return
        self.moving.mkdir()
        for name in present:
            (self.folder / name).rename(self.moving / name)
        self.moving.rename(self.whole)

    def bring_back(self) -> bool:
        """Put the finished run in the place of the unfinished one, which is dropped; False for none."""
        self.settle()
        if not self.there:
            return False
        self._drop_files()
        self.whole.rename(self.moving)
        self._return()
        return True

    def drop(self) -> None:
        """The run in its place is finished."""
        remove(self.whole)

    def _return(self) -> None:
        for name in reversed(self.names):
            if (self.moving / name).exists():
                (self.moving / name).rename(self.folder / name)
        self.moving.rmdir()

    def _drop_files(self) -> None:
        for name in self.names:
            remove(self.folder / name)


def remove(item: Path) -> None:
    """A file, a folder with all that is in it, or nothing where nothing is there."""
    if item.is_dir() and not item.is_symlink():
        shutil.rmtree(item)
    else:
        item.unlink(missing_ok=True)
