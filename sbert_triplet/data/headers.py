"""The names of a table's columns: whether they can be names, and whether they are a row of it instead."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError

MOST_COLUMNS = 1_000
LONGEST_NAME = 1_000
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


def refuse_names(where: str, names: Sequence[str]) -> None:
    """Raise DataError where there are too many columns, or a name that is too long, no text, or there twice.

    ``where``: the file, or the line of it that holds the names.
    """
    if len(names) > MOST_COLUMNS:
        raise DataError(
            f"{where}: has {len(names):,} columns, and at most {MOST_COLUMNS:,} are read. "
            "Keep those of texts, labels and scores."
        )
    for position, name in enumerate(names, start=1):
        if len(name) > LONGEST_NAME:
            problem = f"of {len(name):,} characters, and {LONGEST_NAME:,} are allowed"
        elif "\0" in name or not _is_text(name):
            problem = f"({name[:60]!a}) that is not text"
        else:
            continue
        raise DataError(f"{where}: column {position} has a name {problem}. Rename it.")
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise DataError(
            f"{where}: names the column {listed(map(repr, repeated))} more than once. "
            "Give every column a name of its own."
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
