"""Made-up rows of every kind, for a trial without data: texts of a few words that are partly shared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from quality_plan import LABELS, PAIRS, RETRIEVAL, SCORES, TRIPLETS
from quality_sets import Case, Parts, Row, Sizes, cut, folds_of
from throughput_data import SEED, WORDS

CLASSES = 4
COUNT = 240
SIZES = Sizes(100, 40, 40, 10)


def rows_of(kind: str) -> list[Row]:
    """Distinct rows; the second text of a pair holds the words of the first."""
    generator = np.random.default_rng(SEED)
    texts = [f"{number} " + " ".join(generator.choice(WORDS, 4)) for number in range(COUNT)]
    if kind == LABELS:
        classes = [number % CLASSES for number in range(COUNT)]
        return [(f"{text} {WORDS[one]}", f"c{one}") for text, one in zip(texts, classes, strict=True)]
    if kind == SCORES:
        parts = zip(texts, texts[1:], range(COUNT), strict=False)
        return [(one, f"{one} {other}" if n % 2 else other, (n % 5) / 4) for one, other, n in parts]
    if kind == TRIPLETS:
        return [(text, f"about {text}", texts[number - 1]) for number, text in enumerate(texts)]
    return [(text, f"about {text}") for text in texts]


def _cut(kind: str) -> Callable[[Path, Sizes], list[Parts]]:
    def read(_: Path, sizes: Sizes) -> list[Parts]:
        rows = rows_of(kind)
        others = [f"besides {text}" for text, *_ in rows[:20]]
        return [cut(kind, {"train": rows[:150], "test": rows[150:]}, sizes, others if kind == PAIRS else ())]

    return read


def _folds(_: Path, sizes: Sizes) -> list[Parts]:
    rows = rows_of(RETRIEVAL)[:100]
    return folds_of(rows, [document for _, document in rows], sizes)


TRIALS = {
    "trial pairs": Case(PAIRS, SIZES, _cut(PAIRS)),
    "trial retrieval": Case(RETRIEVAL, Sizes(60, 20, 40), _folds),
    "trial triplets": Case(TRIPLETS, SIZES, _cut(TRIPLETS)),
    "trial labels": Case(LABELS, SIZES, _cut(LABELS)),
    "trial scores": Case(SCORES, SIZES, _cut(SCORES)),
}
