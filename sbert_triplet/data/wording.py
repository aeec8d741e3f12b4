"""Names, counts and shares in messages."""

from __future__ import annotations

from collections.abc import Iterable

from sbert_triplet.data.redaction import redacted

_MOST_NAMES = 20
_MOST_CHARACTERS = 60


def listed(names: Iterable[str]) -> str:
    """The names with commas between; quoted where one is blank or holds line breaks, cut where it is long."""
    every = list(names)
    shown = [_shown(name) for name in every[:_MOST_NAMES]]
    if len(every) > len(shown):
        shown.append(f"and {len(every) - len(shown)} more")
    return ", ".join(shown)


def times(number: int, one: str, many: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{number:,} {one if number == 1 else many}"


def percent(share: float, digits: int = 0) -> str:
    """``68 %``, as the report writes shares."""
    return f"{100 * share:.{digits}f} %"


def first_line(error: BaseException, most: int = 200) -> str:
    """The first line of what an error says, cut at a word where it is long; its type for none.

    Without tokens and what addresses carry of a person (``redaction``).
    """
    lines = redacted(str(error)).strip().splitlines() or [type(error).__name__]
    if len(lines[0]) <= most:
        return lines[0]
    kept = lines[0][:most]
    return f"{kept[: kept.rfind(' ')] if ' ' in kept else kept}…"


def _shown(name: str) -> str:
    if len(name) > _MOST_CHARACTERS:
        name = f"{name[:_MOST_CHARACTERS]}..."
    return name if name.strip() and name.isprintable() else repr(name)
