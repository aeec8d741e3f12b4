"""The cases of the mining benchmark: the same texts and embeddings for all ways, which take turns."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mining_agreement import agreement, differing
from mining_cases import MARGIN, NEGATIVES, OTHER_RULES, SAME_RULES, WAYS, WINDOW
from mining_data import Encode, Texts, encoded, of_size, read_texts
from mining_process import ENCODE, SEARCH, VECTORS, VERB, Found, Job
from mining_search import Answer

Results = dict[str, Any]
BLOCKED = "not the same negatives"


@dataclass
class Bench:
    """How everything is measured. ``kept``: the folder of real texts and their embeddings.

    ``margin``: of the verb. ``vectors``: makes the embeddings; None for the encoder, in ``precision``.
    """

    measure: Callable[[Job], Found]
    scratch: Path
    kept: Path
    model: Path
    texts: Callable[[], Texts]
    queries: int
    repeats: int
    gigabytes: float
    margin: float | None = MARGIN
    vectors: Encode | None = None
    precision: str = "bf16"
    _real: Path | None = field(default=None, init=False)

    def real(self) -> Path:
        """The real texts and their embeddings, made when they are first asked for."""
        if self._real is None:
            say("encoding the real texts, once")
            folder = self.kept / f"{self.queries}-{self.model.name}"
            encoded(self.texts(), folder, self.vectors or self._encode)
            self._real = folder
        return self._real

    def _encode(self, texts: Path, out: Path) -> None:
        told = {
            "texts": str(texts),
            "model": str(self.model),
            "precision": self.precision,
            "out": str(out),
        }
        found = self.measure(Job(VECTORS, told))
        if not found.done:
            sys.exit(f"{texts.name}: {found.outcome}")


def search_case(size: int, bench: Bench) -> Results:
    """All ways on so many documents, in turn; a way that does not come through is not asked again."""
    say(f"{size:,} documents, {bench.queries:,} queries")
    folder = of_size(bench.real(), size, bench.scratch / f"documents-{size}")
    found: dict[str, list[Found]] = {name: [] for name in WAYS}
    for round_ in range(bench.repeats):
        for name, way in WAYS.items():
            if (way.repeated or not round_) and all(each.done for each in found[name]):
                told = {"way": name, "folder": str(folder), "answer": str(folder / f"{name}.npz")}
                found[name].append(bench.measure(Job(SEARCH, told, bench.gigabytes)))
                say(f"  {way.words}: {_shown(found[name][-1])}")
    return {
        "documents": size,
        "queries": bench.queries,
        "negatives": NEGATIVES,
        "window": WINDOW,
        "repeats": bench.repeats,
        "ways": {name: summary(each) for name, each in found.items()},
        **_compared(folder, {name for name, each in found.items() if all(one.done for one in each)}),
    }


def _compared(folder: Path, done: set[str]) -> Results:
    """Who gave the same negatives. Stops where the same rules did not: times would compare nothing."""
    answers = {name: Answer.read(folder / f"{name}.npz") for name in done}
    same: dict[str, dict[str, int]] = {}
    for ours, other in SAME_RULES:
        if ours in answers and other in answers:
            same[other] = agreement(answers[ours], answers[other], WAYS[ours].margin)
            if same[other]["other"]:
                sys.exit(f"{WAYS[other].words}: {same[other]['other']} queries have {BLOCKED}")
    filtered = [answers[name] for name in OTHER_RULES if name in answers]
    others = int(differing(*filtered).sum()) if len(filtered) == len(OTHER_RULES) else None
    return {"agreement": same, "differ_by_our_filters": others}


def summary(found: Sequence[Found]) -> Results:
    """Medians over the processes; ``rest``: what is not the search."""
    failed = next((each for each in found if not each.done), None)
    if failed is not None:
        return {"outcome": failed.outcome}
    figures = [each.figures for each in found]
    seconds = [each["seconds"] for each in figures]
    return {
        "outcome": "done",
        "processes": len(found),
        "seconds": statistics.median(seconds),
        "fastest": min(seconds),
        "slowest": max(seconds),
        "search": statistics.median(each["search"] for each in figures),
        "rest": statistics.median(each["seconds"] - each["search"] for each in figures),
        "peak_bytes": int(statistics.median(each["peak"] for each in figures)),
    }


def encode_case(precision: str, texts: int, bench: Bench) -> Results:
    """The stage that makes embeddings, on so many real texts: queries and documents, half of each."""
    say(f"encoding {texts:,} texts in {precision}")
    file = _some_texts(bench.real(), texts, bench.scratch)
    found: dict[str, list[Found]] = {"ours": [], "st": []}
    for round_ in range(bench.repeats):
        for who, each in found.items():
            told = {
                "texts": str(file),
                "model": str(bench.model),
                "who": who,
                "precision": precision,
                "out": str(bench.scratch / f"{who}-{precision}.npy"),
                "scratch": str(bench.scratch / f"tokens-{who}-{precision}-{round_}"),
            }
            each.append(bench.measure(Job(ENCODE, told)))
            say(f"  {WAYS[who].words}: {_shown(each[-1])}")
            if not each[-1].done:
                sys.exit(f"encoding by {WAYS[who].words}: {each[-1].outcome}")
    made = [np.load(bench.scratch / f"{who}-{precision}.npy") for who in found]
    medians = {
        who: {name: statistics.median(one.figures[name] for one in each) for name in ("seconds", "peak")}
        for who, each in found.items()
    }
    return {
        "precision": precision,
        "texts": texts,
        "tokens": int(found["ours"][0].figures["tokens"]),
        "repeats": bench.repeats,
        "largest_difference": float(np.abs(made[0] - made[1]).max()),
        **medians,
    }


def _some_texts(real: Path, count: int, scratch: Path) -> Path:
    """Evenly out of the real queries and their own documents."""
    documents, queries = read_texts(real / "documents.parquet"), read_texts(real / "queries.parquet")
    taken = [_spread(documents[: len(queries)], count - count // 2), _spread(queries, count // 2)]
    file = scratch / "some.parquet"
    pq.write_table(pa.table({"text": pa.array([*taken[0], *taken[1]], pa.large_string())}), file)
    return file


def _spread(texts: list[str], count: int) -> list[str]:
    return [texts[place] for place in np.linspace(0, len(texts) - 1, min(count, len(texts))).astype(int)]


def verb_case(size: int, bench: Bench) -> Results:
    """The verb ``mine`` on so many documents, with an empty cache and once more with what that left.

    ``peak_bytes``: the larger one of the two runs, above what there was before and the embeddings.
    """
    say(f"the verb mine, {size:,} documents, first and second run")
    folder = of_size(bench.real(), size, bench.scratch / f"documents-{size}")
    rows, documents = pq.read_table(folder / "queries.parquet"), read_texts(folder / "documents.parquet")
    positives = pa.array([documents[row] for row in rows["own"].to_pylist()], pa.large_string())
    pq.write_table(pa.table({"anchor": rows["text"], "positive": positives}), folder / "pairs.parquet")
    told = {
        "rows": str(folder / "pairs.parquet"),
        "corpus": str(folder / "documents.parquet"),
        "model": str(bench.model),
        "cache": str(bench.scratch / "cache"),
        "margin": bench.margin,
    }
    runs = []
    for run in ("first", "second"):
        runs.append(bench.measure(Job(VERB, {**told, "out": str(bench.scratch / f"verb-{run}")})))
        say(f"  {run}: {_shown(runs[-1])}")
        if not runs[-1].done:
            sys.exit(f"the verb mine, {run} run: {runs[-1].outcome}")
    first, second = (each.figures for each in runs)
    if first["digest"] != second["digest"]:
        sys.exit("the verb mine: the second run gave other negatives than the first")
    named = {name: int(first[name]) for name in ("documents", "queries", "chosen")}
    peak = max(each["peak"] - each["embeddings"] for each in (first, second))
    return {**named, "first": first["seconds"], "second": second["seconds"], "peak_bytes": int(max(peak, 0))}


def _shown(found: Found) -> str:
    if not found.done:
        return found.outcome
    parts = [f"{found.figures['seconds']:.2f} s"]
    if "search" in found.figures:
        parts.append(f"search {found.figures['search']:.2f} s")
    if "peak" in found.figures:
        parts.append(f"{found.figures['peak'] / 10**6:,.0f} MB")
    return ", ".join(parts)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
