"""Tables for a terminal: so many characters wide, and folded where they would be wider."""

from __future__ import annotations

from collections.abc import Sequence

WIDTH = 100
GAP = 2
LONGEST_NAME = 24
Cell = Sequence[str]
"""The lines of a cell."""


def elided(text: str, width: int) -> str:
    """The text in at most ``width`` characters; what is left out is in the middle."""
    if len(text) <= width:
        return text
    kept = width - 1
    return text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]


def folded_table(
    names: Sequence[str],
    columns: Sequence[tuple[Cell, Sequence[Cell]]],
    *,
    heading: str = "",
    width: int = WIDTH,
) -> list[str]:
    """A line or more for each name; ``columns``: heading and a cell for each name, of any number of lines.

    Columns that do not fit beside the names stand in further blocks below, with the names again.
    """
    first = min(max(map(len, [*names, heading]), default=0), LONGEST_NAME)
    lines: list[str] = []
    for block in _blocks(columns, width - first):
        sizes = [_size(column) for column in block]
        heads = [head for head, _ in block]
        lines += [""] if lines else []
        lines += _row(heading, heads, first, sizes)
        for place, name in enumerate(names):
            lines += _row(name, [cells[place] for _, cells in block], first, sizes)
    return lines


def _blocks(
    columns: Sequence[tuple[Cell, Sequence[Cell]]], room: int
) -> list[list[tuple[Cell, Sequence[Cell]]]]:
    """The columns in groups that each fit in ``room``; one that fits nowhere stands alone."""
    blocks: list[list[tuple[Cell, Sequence[Cell]]]] = []
    left = 0
    for column in columns:
        size = _size(column) + GAP
        if not blocks or size > left:
            blocks.append([])
            left = room
        blocks[-1].append(column)
        left -= size
    return blocks


def _size(column: tuple[Cell, Sequence[Cell]]) -> int:
    head, cells = column
    figures = max((len(line) for cell in cells for line in cell), default=0)
    return max(figures, min(max(map(len, head), default=0), max(figures, LONGEST_NAME)))


def _row(name: str, cells: Sequence[Cell], first: int, sizes: Sequence[int]) -> list[str]:
    """As many lines as the longest cell has."""
    height = max((len(cell) for cell in cells), default=1) or 1
    lines = []
    for number in range(height):
        line = f"{elided(name, first) if number == 0 else '':<{first}}"
        for cell, size in zip(cells, sizes, strict=True):
            line += " " * GAP + f"{elided(cell[number], size) if number < len(cell) else '':<{size}}"
        lines.append(line.rstrip())
    return lines
