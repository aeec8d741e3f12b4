"""Whether a malformed table or a hostile recipe ended as it should, and how many did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostile_rows import Case

MOST_SECONDS, MOST_BYTES, MOST_WORDS = 60, 1_500_000_000, 20_000
"""Bounds of a case: time, growth of memory, characters that are printed."""
BOUNDS = {"seconds": MOST_SECONDS, "bytes": MOST_BYTES}


@dataclass(frozen=True)
class Ended:
    """How a case ended. ``counted``: rows in splits and rows set aside, None where none were written."""

    code: int
    output: str
    counted: int | None
    seconds: float
    grown: int
    marked: bool


def failures(verb: str, case: Case, ended: Ended) -> list[str]:
    """What is wrong with how a case ended; nothing where it ended as it should."""
    found = []
    if "Traceback" in ended.output or "internal error" in ended.output:
        found.append("traceback")
    if ended.code not in (0, 2):
        found.append(f"exit code {ended.code}")
    if ended.code == 2 and case.expected == "works":
        found.append("a sound table is refused")
    if ended.code == 0:
        if case.expected == "refused":
            found.append("works and should be refused")
        elif case.rows is not None and ended.counted != case.rows:
            found.append(f"{ended.counted} of {case.rows} rows are counted")
    if ended.code == 2:
        found += _unclear(case, ended.output)
    if ended.seconds > MOST_SECONDS:
        found.append("too slow")
    if ended.grown > MOST_BYTES:
        found.append(f"grew by {ended.grown / 1e6:,.0f} MB")
    if len(ended.output) > MOST_WORDS:
        found.append(f"printed {len(ended.output):,} characters")
    return found + ["code of the input was run"] * ended.marked


def _unclear(case: Case, output: str) -> list[str]:
    """What a refusal does not say."""
    message = output[output.rfind("error: ") :] if "error: " in output else ""
    files = {part for name in case.files for part in Path(name).parts} | set(case.called)
    found = [] if output.count("error: ") == 1 else ["not one error"]
    if not any(name in message for name in files):
        found.append("names no file")
    return found + [
        f"does not name {' or '.join(group)}"
        for group in case.names
        if not any(word in message for word in group)
    ]


@dataclass
class Tally:
    """How cases ended, and each that failed."""

    cases: int = 0
    verbs: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    failed: list[dict[str, Any]] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def add(self, number: int, verb: str, case: Case, ended: Ended) -> None:
        self.cases += 1
        self.verbs[verb] += 1
        self.kinds[case.kind] += 1
        self.ends[{0: "works", 2: "refused"}.get(ended.code, str(ended.code))] += 1
        self.slowest, self.largest = max(self.slowest, ended.seconds), max(self.largest, ended.grown)
        if wrong := failures(verb, case, ended):
            self.failed.append({"number": number, "kind": case.kind, "verb": verb, "wrong": wrong})

    def figures(self) -> dict[str, Any]:
        return {
            "cases": self.cases,
            "verbs": dict(self.verbs),
            "ends": dict(self.ends),
            "failed": list(self.failed),
            "kinds": dict(sorted(self.kinds.items())),
            "slowest seconds": round(self.slowest, 1),
            "largest growth in bytes": self.largest,
            "bounds": BOUNDS,
        }
