"""What the audit says: findings, and the lengths of the texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sbert_triplet.data.examples import IntArray

Level = Literal["error", "warning", "note"]

ROWS_LISTED = 20
ROWS_PRINTED = 8
_ORDER = ("error", "warning", "note")


@dataclass(frozen=True)
class Finding:
    """One thing to know about the data.

    ``code``: a stable name in kebab case. ``level``: an error stands in the way of training, a
    warning may spoil its result, a note is good to know. ``message``: what was found and what to do.
    ``count``: the rows concerned (the texts, of those that are cut off); 0 where it is not about
    rows. ``rows``: the first 20 of their numbers in the source, from 0; what people are shown and
    ``data.json`` count them from 1.
    """

    code: str
    level: Level
    message: str
    count: int = 0
    rows: tuple[int, ...] = ()

    def where(self) -> str:
        """The first rows in brackets, counted from 1; nothing for a finding that is not about rows."""
        if not self.rows:
            return ""
        shown = [str(row + 1) for row in self.rows[:ROWS_PRINTED]]
        more = ", ..." if self.count > len(shown) else ""
        return f" (row{'s' if self.count > 1 else ''} {', '.join(shown)}{more})"


@dataclass(frozen=True)
class Audit:
    """``findings``: errors first. ``lengths``: for each role the token counts of its texts, with
    ``texts`` measured, ``mean``, ``median``, ``p95``, ``max``, and, where a limit is known,
    ``truncated_texts_share`` and ``truncated_tokens_share``.
    """

    findings: tuple[Finding, ...]
    lengths: Mapping[str, Mapping[str, float]]

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that stand in the way of training."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    def as_json(self) -> dict[str, Any]:
        """The entries ``findings`` and ``lengths`` of ``data.json``; rows are counted from 1."""
        listed = [{**vars(finding), "rows": [row + 1 for row in finding.rows]} for finding in self.findings]
        return {"findings": listed, "lengths": {role: dict(values) for role, values in self.lengths.items()}}

    def lines(self) -> list[str]:
        """One line a finding, for people: level, message, the first rows counted from 1, the code."""
        return [
            f"{finding.level:<9}{finding.message}{finding.where()} [{finding.code}]"
            for finding in self.findings
        ]


def in_order(findings: list[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then notes; otherwise as they came."""
    return tuple(sorted(findings, key=lambda finding: _ORDER.index(finding.level)))


def about_rows(code: str, level: Level, message: str, rows: IntArray) -> Finding:
    """A finding about source ``rows``; a row that is named twice counts once."""
    distinct = np.unique(rows)
    return Finding(code, level, message, len(distinct), tuple(distinct[:ROWS_LISTED].tolist()))
