"""Jaccard similarity of texts as sets of tokens, for data work: near-duplicates, lexical baselines."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise as neighbours

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"\w+")


def token_set(text: str, *, character_ngrams: int | None = None) -> frozenset[str]:
    """Words of ``text`` after NFKC and case folding, or its character n-grams.

    N-grams run over the words joined by single spaces; a shorter text is one n-gram.
    """
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    if character_ngrams is None:
        return frozenset(words)
    if character_ngrams < 1:
        raise ValueError(f"character_ngrams is {character_ngrams}: it must be at least 1")
    joined = " ".join(words)
    last = max(1, len(joined) - character_ngrams + 1)
    return frozenset(joined[i : i + character_ngrams] for i in range(last) if joined)


def token_jaccard(
    left: str | Iterable[str],
    right: str | Iterable[str],
    *,
    character_ngrams: int | None = None,
    weights: Mapping[str, float] | None = None,
) -> float:
    """Shared share of two token sets: 1 where both are empty, 0 where one is.

    Strings are cut by ``token_set``; other iterables are taken as token sets. ``weights`` (idf,
    for instance; a token that is missing weighs 0) makes it the weighted Jaccard similarity.
    """
    a = token_set(left, character_ngrams=character_ngrams) if isinstance(left, str) else frozenset(left)
    b = token_set(right, character_ngrams=character_ngrams) if isinstance(right, str) else frozenset(right)
    shared, together = _weight(a & b, weights), _weight(a | b, weights)
    return shared / together if together > 0 else 1.0


def token_jaccard_pairs(
    left: Sequence[frozenset[str]], right: Sequence[frozenset[str]]
) -> NDArray[np.float32]:
    """(N, M): ``token_jaccard`` of every left with every right set, by an inverted index of the right."""
    postings: dict[str, list[int]] = defaultdict(list)
    for column, tokens in enumerate(right):
        for token in tokens:
            postings[token].append(column)
    columns, bounds = _flatten(postings)
    sizes = np.array([len(tokens) for tokens in right], dtype=np.int64)
    out = np.empty((len(left), len(right)), dtype=np.float32)
    for row, tokens in enumerate(left):
        spans = [columns[slice(*bounds[token])] for token in tokens if token in bounds]
        hits = np.concatenate(spans) if spans else columns[:0]
        shared = np.bincount(hits, minlength=len(right))
        together = len(tokens) + sizes - shared
        out[row] = np.where(together > 0, shared / np.maximum(together, 1), 1.0)
    return out


def _flatten(postings: Mapping[str, list[int]]) -> tuple[NDArray[np.int64], dict[str, tuple[int, int]]]:
    ends = np.cumsum([0, *(len(rows) for rows in postings.values())]).tolist()
    flat = [row for rows in postings.values() for row in rows]
    return np.array(flat, dtype=np.int64), dict(zip(postings, neighbours(ends), strict=True))


def _weight(tokens: frozenset[str], weights: Mapping[str, float] | None) -> float:
    return float(len(tokens)) if weights is None else sum(weights.get(token, 0.0) for token in tokens)
