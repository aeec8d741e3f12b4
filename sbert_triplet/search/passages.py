"""Long documents cut into passages that the encoder reads whole, with overlap.

Passages begin and end between words, and hold at most so many tokens of the model's own tokenizer, so that
nothing of a passage is cut off. Each shares about ``overlap`` tokens with the one before it, so that what
stands at a border is whole in one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import InputError
from sbert_triplet.search.store import Cut, Passage

AT_ONCE = 256


class Cutter:
    """Cuts texts by the tokenizer of ``model``.

    Raises InputError for an overlap that leaves no room, for passages longer than the encoder reads, and
    where the tokenizer does not say which characters its tokens stand for.
    """

    def __init__(self, model: SentenceTransformer, cut: Cut) -> None:
        self._cut = cut
        if cut.tokens is None:
            return
        tokenizer = model.tokenizer
        if not getattr(tokenizer, "is_fast", False):
            raise InputError("--passage-tokens needs a fast tokenizer, which this model does not have")
        self._backend: Any = tokenizer.backend_tokenizer
        framing = self._backend.num_special_tokens_to_add(False)
        if cut.overlap < 0 or cut.overlap >= cut.tokens:
            raise InputError(
                f"--passage-overlap {cut.overlap}: it must be 0 or more, and less than --passage-tokens "
                f"({cut.tokens})"
            )
        limit = model.max_seq_length
        if cut.tokens < 1 or (limit is not None and cut.tokens + framing > limit):
            raise InputError(
                f"--passage-tokens {cut.tokens}: the encoder reads {limit} tokens, {framing} of which mark "
                f"beginning and end; give 1 to {(limit or 0) - framing}"
            )

    def __call__(self, texts: Sequence[str]) -> Iterator[list[Passage]]:
        """The passages of each text, in order; at least one, though it be empty."""
        for start in range(0, len(texts), AT_ONCE):
            some = list(texts[start : start + AT_ONCE])
            if self._cut.tokens is None:
                yield from ([Passage(0, 0, len(text))] for text in some)
                continue
            for text, words in zip(some, self._words(some), strict=True):
                yield windows(words, len(text), self._cut.tokens, self._cut.overlap)

    def _words(self, texts: list[str]) -> Iterator[list[tuple[int, int, int]]]:
        """Of each text its words: first character, last character, tokens."""
        backend = self._backend
        truncation, padding = backend.truncation, backend.padding
        backend.no_truncation()
        backend.no_padding()
        try:
            encodings = backend.encode_batch(texts, add_special_tokens=False)
        finally:
            if truncation is not None:
                backend.enable_truncation(**truncation)
            if padding is not None:
                backend.enable_padding(**padding)
        for encoding in encodings:
            words: list[tuple[int, int, int]] = []
            last: int | None = None
            for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
                if words and (word is None or word == last):
                    first, before, count = words[-1]
                    words[-1] = (first, max(before, end), count + 1)
                else:
                    words.append((start, end, 1))
                last = word
            yield words


def windows(words: Sequence[tuple[int, int, int]], length: int, tokens: int, overlap: int) -> list[Passage]:
    """Passages over words (first character, end, number of tokens) of a text of ``length`` characters.

    At most ``tokens`` each, unless a word alone has more. The first one begins and the last one ends with the
    text, and characters between two words belong to the passage that goes on.
    """
    if sum(count for _, _, count in words) <= tokens:
        return [Passage(0, 0, length)]
    passages: list[Passage] = []
    first = 0
    while True:
        last, held = first, words[first][2]
        while last + 1 < len(words) and held + words[last + 1][2] <= tokens:
            last += 1
            held += words[last][2]
        ends = last + 1 == len(words)
        begin = 0 if first == 0 else words[first][0]
        passages.append(Passage(len(passages), begin, length if ends else words[last][1]))
        if ends:
            return passages
        following, shared = last + 1, 0
        # Never so much that the next word finds no room beside it.
        room = min(overlap, tokens - words[following][2])
        while following - 1 > first and shared + words[following - 1][2] <= room:
            following -= 1
            shared += words[following][2]
        first = following
