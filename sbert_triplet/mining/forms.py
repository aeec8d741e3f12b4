"""Normal forms and word sets of texts by id: where words, not embeddings, are compared."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

from sbert_triplet.data.examples import FloatArray, IntArray
from sbert_triplet.data.splits import Texts
from sbert_triplet.data.texts import normalise
from sbert_triplet.distances.tokens import token_set

_PAIRS_AT_ONCE = 1 << 17


class TextForms:
    """Each text is read once, when it is first asked about; without ``words`` for its normal form only."""

    def __init__(self, texts: Texts, *, words: bool = True) -> None:
        self._texts, self._with_words = texts, words
        self._place = np.full(0, -1, dtype=np.int64)
        self._numbers: dict[str, int] = {}
        self._vocabulary: dict[str, int] = {}
        self._forms = np.zeros(0, dtype=np.int64)
        self._words = np.zeros(0, dtype=np.int32)
        self._starts = np.zeros(1, dtype=np.int64)

    def number(self, ids: IntArray) -> IntArray:
        """The number of each id's normal form (``data.texts.normalise``), in the shape of ``ids``.

        Equal numbers are equal texts. -1 for an id below 0.
        """
        places = self._places(ids)
        numbers: IntArray = np.where(ids >= 0, np.append(self._forms, -1)[places], -1)
        return numbers

    def jaccard(self, left: IntArray, right: IntArray, *, at_least: float = 0.0) -> FloatArray:
        """(n,) token Jaccard similarity of the paired texts, as ``distances.tokens.token_jaccard``.

        Where sizes alone show that it is below ``at_least``, 0 is given instead. Raises ValueError where
        words were not asked for.
        """
        if not self._with_words:
            raise ValueError("these forms were made without words, so that they have no Jaccard similarity")
        result = np.zeros(len(left))
        for first in range(0, len(left), _PAIRS_AT_ONCE):
            rows = slice(first, first + _PAIRS_AT_ONCE)
            result[rows] = self._jaccard(left[rows], right[rows], at_least)
        return result

    def _jaccard(self, left: IntArray, right: IntArray, at_least: float) -> FloatArray:
        one, two = self._places(left), self._places(right)
        sizes = np.diff(self._starts)
        smaller, larger = np.minimum(sizes[one], sizes[two]), np.maximum(sizes[one], sizes[two])
        result = np.where(larger == 0, 1.0, 0.0)
        near = np.flatnonzero((smaller > 0) & (smaller >= at_least * larger))
        if len(near):
            table = csr_matrix(
                (np.ones(len(self._words), dtype=np.int32), self._words, self._starts),
                shape=(len(sizes), len(self._vocabulary)),
            )
            shared = np.asarray(table[one[near]].multiply(table[two[near]]).sum(axis=1)).ravel()
            result[near] = shared / (smaller[near] + larger[near] - shared)
        return result

    def _places(self, ids: IntArray) -> IntArray:
        """Where the ids stand in the tables, in the shape of ``ids``; texts that are new are read."""
        wanted = np.unique(ids[ids >= 0])
        if len(wanted) and wanted[-1] >= len(self._place):
            missing = max(int(wanted[-1]) + 1, 2 * len(self._place)) - len(self._place)
            self._place = np.pad(self._place, (0, missing), constant_values=-1)
        new = wanted[self._place[wanted] < 0]
        if len(new):
            self._read(new)
        return np.append(self._place, -1)[ids]

    def _read(self, ids: IntArray) -> None:
        self._place[ids] = len(self._forms) + np.arange(len(ids))
        forms, words, ends = [], [self._words], []
        end = len(self._words)
        for text in self._texts(ids):
            forms.append(self._numbers.setdefault(normalise(text), len(self._numbers)))
            found = token_set(text) if self._with_words else ()
            tokens = [self._vocabulary.setdefault(word, len(self._vocabulary)) for word in found]
            words.append(np.sort(np.array(tokens, dtype=np.int32)))
            end += len(tokens)
            ends.append(end)
        self._forms = np.concatenate([self._forms, np.array(forms, dtype=np.int64)])
        self._words = np.concatenate(words)
        self._starts = np.concatenate([self._starts, np.array(ends, dtype=np.int64)])
