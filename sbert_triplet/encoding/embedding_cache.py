"""Embeddings kept in files, so that later runs read what an earlier one encoded, and go on with half of it.

A file is found by what its rows were made of (``encoding.fingerprint``) and by the texts in their order,
never by the name of a model or of a file. It is written under another name first, beside a record of what
is done; it is there whole or not at all, and made again where it is damaged. Files lie in the folder
``embeddings`` of the package's cache (``SBERT_TRIPLET_CACHE`` moves it) and may be deleted at any time; those
that were not read for longest go by themselves (``data.trimming``). The environment variable
``SBERT_TRIPLET_EMBEDDING_CACHE`` names another folder, or is ``off`` for none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from sbert_triplet.data.cache import EMBEDDINGS, kept_folder, tell_not_kept
from sbert_triplet.data.trimming import limit_bytes, trim, used
from sbert_triplet.encoding.construction import Construction, Joined, Kept, Shape, read_kept
from sbert_triplet.encoding.encode import FloatMatrix, Ledger
from sbert_triplet.processes import from_all, local_rank, machine

T = TypeVar("T")
FEWEST, FEWEST_BESIDE = 1_000, 100
"""Texts from which on a file is worth its while: alone, and beside one that is."""
AT_ONCE = 5.0
"""Seconds for which another run's work is waited for before all processes of this one look again."""
Make = Callable[[FloatMatrix, Ledger], object]
"""Encodes into the matrix, leaving out what the ledger says."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddingCache:
    """Files of embeddings in ``folder``.

    ``shared``: all processes of the run ask for the same at the same time, and encode together.
    """

    folder: Path
    shared: bool = False

    @classmethod
    def of_the_person(cls, *, shared: bool = False) -> EmbeddingCache | None:
        """In the folder that is set, None where that is off. Raises InputError for a limit that is none."""
        folder = kept_folder(*EMBEDDINGS)
        limit_bytes()
        return None if folder is None else cls(folder, shared)

    def embeddings(self, key: str, shape: Shape, make: Make) -> Kept | None:
        """Read from a file, or made in one; None where neither can be, and nothing has been made then.

        ``key``: 40 hexadecimal digits for all that they depend on.
        """
        file = self.folder / f"embeddings-{key}.npy"
        with self._turn(file, shape) as (kept, mine):
            if kept is not None:
                used(file)
                return kept
            making = self._making(file, shape, mine)
            if making is None:
                return None
            try:
                make(making.rows, making)
            except BaseException:
                if isinstance(making, Construction):
                    making.note()
                raise
            found = making.finish()
        if mine:
            trim()
        return found

    @contextmanager
    def _turn(self, file: Path, shape: Shape) -> Iterator[tuple[Kept | None, bool]]:
        """What is in the file, or whether this process is to make it; another run that does is waited for."""
        lock, told = FileLock(file.with_suffix(".lock")), False
        try:
            while True:
                kept = read_kept(file, shape)
                if all(self._everyones(kept is not None)):
                    break
                kept = None
                if any(self._everyones(lock.is_locked)):
                    break
                # One of each machine makes the file; the lock of another would only be waited for.
                state = self._acquired(lock) if not self.shared or local_rank() == 0 else None
                if all(each is None for each in self._everyones(state)):
                    break
                if state is False and not told:
                    told = True
                    _logger.info("%s: another process is making it; waiting", file.name)
            yield kept, lock.is_locked
        finally:
            with suppress(OSError):
                lock.release()

    def _acquired(self, lock: FileLock) -> bool | None:
        """Whether the lock is held now; None where there can be none."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=AT_ONCE)
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            tell_not_kept(_logger, self.folder, "embeddings", EMBEDDINGS, error)
            return None
        return True

    def _making(self, file: Path, shape: Shape, mine: bool) -> Construction | Joined | None:
        making: Construction | Joined | None = None
        if mine:
            try:
                making = Construction(file, shape)
            except OSError as error:
                tell_not_kept(_logger, self.folder, "embeddings", EMBEDDINGS, error)
        places = self._everyones((machine(), making is not None))
        if making is None and (machine(), True) in places:
            with suppress(OSError, ValueError):
                making = Joined(file, shape)
        return making

    def _everyones(self, value: T) -> list[T]:
        return from_all(value) if self.shared else [value]
