"""Blind votes: which list is which stays here; choices go to a file, and are counted from it."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbert_triplet.search.server.problems import ApiError

if TYPE_CHECKING:
    from sbert_triplet.search.server.searching import SearchedIndex

OPEN_AT_MOST = 1024
LARGEST_FILE = 64 << 20


@dataclass(frozen=True)
class _Ballot:
    query: str
    k: int
    filters: tuple[str, ...]
    left: SearchedIndex
    right: SearchedIndex


class Ballots:
    """Ballots that were handed out, and the file of votes, one JSON object a line."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._open: OrderedDict[str, _Ballot] = OrderedDict()

    def issue(self, query: str, k: int, filters: Sequence[str], order: Sequence[SearchedIndex]) -> str:
        """The name of a ballot for two lists, left and right; it says nothing of them."""
        ballot = secrets.token_urlsafe(16)
        self._open[ballot] = _Ballot(query, k, tuple(filters), *order)
        while len(self._open) > OPEN_AT_MOST:
            self._open.popitem(last=False)
        return ballot

    def cast(self, ballot: str, choice: str) -> int:
        """Write down a choice (left, right or tie); how many votes this file has. Raises ApiError."""
        found = self._open.pop(ballot, None)
        if found is None:
            raise ApiError(
                404, "this ballot is not open: it was cast, or is too old", param="ballot", code="not_found"
            )
        if self._file.is_file() and self._file.stat().st_size > LARGEST_FILE:
            raise ApiError(
                503, f"the file of votes is larger than {LARGEST_FILE >> 20} MB", code="votes_full"
            )
        preferred = {"left": found.left, "right": found.right}.get(choice)
        line = {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "query": found.query,
            "k": found.k,
            "filters": list(found.filters),
            "left": _label(found.left),
            "right": _label(found.right),
            "preferred": _label(preferred) if preferred else None,
        }
        try:
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            self._open[ballot] = found
            raise ApiError(503, "the vote could not be written down", code="votes_failed") from error
        return self.count()

    def count(self) -> int:
        """How many votes the file has."""
        return len(self._lines())

    def counted(self, indexes: Sequence[SearchedIndex]) -> dict[str, Any]:
        """Votes between these two models: for each, ties, and the p-value of a two-sided sign test."""
        if len(indexes) != 2:
            raise ApiError(404, "there is one list only, and so nothing to vote on", code="not_found")
        labels = [_label(one) for one in indexes]
        votes: Counter[str] = Counter()
        for line in self._lines():
            if sorted([line.get("left", ""), line.get("right", "")]) == sorted(labels):
                votes[line.get("preferred") or "tie"] += 1
        wins = [votes[label] for label in labels]
        return {
            "lists": [
                {"index": one.name, "model": one.served.name, "votes": won}
                for one, won in zip(indexes, wins, strict=True)
            ],
            "ties": votes["tie"],
            "p_value": sign_test(*wins),
        }

    def _lines(self) -> list[dict[str, Any]]:
        try:
            text = self._file.read_text(encoding="utf-8")
        except OSError:
            return []
        found = []
        for line in text.splitlines():
            try:
                vote = json.loads(line)
            except ValueError:
                continue
            if isinstance(vote, dict):
                found.append(vote)
        return found


def sign_test(first: int, second: int) -> float:
    """Two-sided p-value of so many wins against so many, were both equally good; 1 without any."""
    total, more = first + second, max(first, second)
    tail = sum(math.comb(total, wins) for wins in range(more, total + 1))
    return min(1.0, 2 * tail / (1 << total))


def _label(one: SearchedIndex) -> str:
    """A model in the file: its name and what its embeddings are made by."""
    return f"{one.served.name} {one.index.about.fingerprint[:12]}"
