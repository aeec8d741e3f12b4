"""Whether the first line of a table is a row of it, and not the names of its columns."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)*%?")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}([T ].*)?|\d{1,2}[./]\d{1,2}[./]\d{2,4}")
_WORDS_OF_A_SENTENCE = 8


def cell_like(names: Iterable[str]) -> str | None:
    """The first name that looks like a cell: a number, a date, or a sentence; None where there is none."""
    for name in names:
        bare = name.strip()
        if _NUMBER.fullmatch(bare) or _DATE.fullmatch(bare) or len(bare.split()) >= _WORDS_OF_A_SENTENCE:
            return name
    return None
