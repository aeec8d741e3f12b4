"""Names in messages: on one line, and not too many of them."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_NAMES = 20
_MOST_CHARACTERS = 60


def listed(names: Iterable[str]) -> str:
    """The names with commas between; quoted where one is blank or holds line breaks, cut where it is long."""
    every = list(names)
    shown = [_shown(name) for name in every[:_MOST_NAMES]]
    if len(every) > len(shown):
        shown.append(f"and {len(every) - len(shown)} more")
    return ", ".join(shown)


def _shown(name: str) -> str:
    if len(name) > _MOST_CHARACTERS:
        name = f"{name[:_MOST_CHARACTERS]}..."
    return name if name.strip() and name.isprintable() else repr(name)
