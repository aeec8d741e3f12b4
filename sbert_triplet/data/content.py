"""What texts say, as a short name: the same texts in the same order have the same one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

TEXTS_AT_ONCE = 16_384

IntArray = NDArray[np.int64]


def content_of(texts: Callable[[Any], Sequence[str]], ids: IntArray) -> str:
    """BLAKE2b over the texts of ``ids``, in this order, and over where each of them ends."""
    contents, lengths = hashlib.blake2b(), hashlib.blake2b()
    for start in range(0, len(ids), TEXTS_AT_ONCE):
        some = ids[start : start + TEXTS_AT_ONCE].tolist()
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts(some)]
        lengths.update(np.fromiter(map(len, encoded), dtype="<i8", count=len(encoded)).tobytes())
        contents.update(b"".join(encoded))
    return f"{len(ids)} {lengths.hexdigest()} {contents.hexdigest()}"
