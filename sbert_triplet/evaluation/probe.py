"""The general check: does a tuned model still tell what a sentence means from what it is about?

``probe.jsonl`` holds triplets over everyday topics, written by hand for this project: a sentence, a
paraphrase that says the same in other words, and a near miss that shares words or topic with the
sentence but says something else (other roles, a negation, another amount, time or intent). Word
overlap points at the near miss more often than at the paraphrase. A model is asked which of the two
is closer to the sentence; the same question before and after tuning shows what was unlearned.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from numpy.typing import ArrayLike

from sbert_triplet.errors import ModelError
from sbert_triplet.evaluation.results import FloatArray
from sbert_triplet.nearest import SIMILARITIES, row_similarities

PROBE_FILE = "probe.jsonl"


@dataclass(frozen=True)
class Probe:
    """N triplets as four columns of equal length; ``topics`` names the everyday topic of each."""

    sentences: tuple[str, ...]
    paraphrases: tuple[str, ...]
    near_misses: tuple[str, ...]
    topics: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.sentences)


def load_probe() -> Probe:
    """The triplets that come with the package, in the order of their file."""
    text = files("sbert_triplet.evaluation").joinpath(PROBE_FILE).read_text(encoding="utf-8")
    rows: list[dict[str, str]] = [json.loads(line) for line in text.splitlines()]
    return Probe(
        sentences=tuple(row["sentence"] for row in rows),
        paraphrases=tuple(row["paraphrase"] for row in rows),
        near_misses=tuple(row["near_miss"] for row in rows),
        topics=tuple(row["topic"] for row in rows),
    )


def probe_texts(probe: Probe) -> list[str]:
    """All 3 N texts for one encoding call: every sentence, then every paraphrase, then every near miss.

    ``np.split(embeddings, 3)`` of the (3 N, D) embeddings gives the arguments of ``probe_hits``.
    """
    return [*probe.sentences, *probe.paraphrases, *probe.near_misses]


def probe_hits(
    sentence_emb: ArrayLike, paraphrase_emb: ArrayLike, near_miss_emb: ArrayLike, similarity: str
) -> FloatArray:
    """1 where the paraphrase is strictly more similar to its sentence than the near miss, else 0.

    The embeddings are (N, D) each, row i of all three belonging to triplet i; the result is (N,), its
    mean the share of triplets ordered right. A tie is an error of the model: one that maps all texts
    to one point scores 0. ``similarity`` is spelled as in sentence-transformers: cosine, dot, euclidean
    or manhattan. Computed in float64; the cosine of a vector of zeros is 0.

    Raises ModelError for embeddings that are not finite, ValueError for an unknown similarity or
    shapes that differ.
    """
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity {similarity!r} is unknown; use one of {', '.join(SIMILARITIES)}")
    sentences, paraphrases, near_misses = (
        np.asarray(emb, dtype=np.float64) for emb in (sentence_emb, paraphrase_emb, near_miss_emb)
    )
    _check(sentences, paraphrases, near_misses)
    to_paraphrase = row_similarities(sentences, paraphrases, similarity=similarity)
    to_near_miss = row_similarities(sentences, near_misses, similarity=similarity)
    return (to_paraphrase > to_near_miss).astype(np.float64)


def _check(sentences: FloatArray, paraphrases: FloatArray, near_misses: FloatArray) -> None:
    if sentences.ndim != 2 or not sentences.shape == paraphrases.shape == near_misses.shape:
        raise ValueError(
            "the probe needs three (N, D) arrays of one shape, got "
            f"{sentences.shape} sentences, {paraphrases.shape} paraphrases, {near_misses.shape} near misses"
        )
    finite = np.isfinite(np.stack([sentences, paraphrases, near_misses])).all(axis=(0, 2))
    if not finite.all():
        raise ModelError(
            f"the model gives embeddings that are not finite for {int((~finite).sum())} of {finite.size} "
            f"probe triplets, the first at row {int(np.argmin(finite))}; check its weights and precision"
        )
