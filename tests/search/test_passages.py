"""Documents cut into passages."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import InputError
from sbert_triplet.search.passages import Cutter, windows
from sbert_triplet.search.store import Cut, Passage


def test_by_hand() -> None:
    """Words of one token each, three to a passage, one shared: 0-2, 2-4, 4-5."""
    text = "aa bb cc dd ee ff"
    words = [(3 * n, 3 * n + 2, 1) for n in range(6)]
    found = windows(words, len(text), 3, 1)
    assert [text[one.start : one.end] for one in found] == ["aa bb cc", "cc dd ee", "ee ff"]
    assert [one.number for one in found] == [0, 1, 2]


def test_a_short_text_is_whole_with_its_white_space() -> None:
    assert windows([(2, 4, 1)], 9, 3, 1) == [Passage(0, 0, 9)]
    assert windows([], 0, 3, 1) == [Passage(0, 0, 0)]


def test_a_word_longer_than_a_passage_stands_alone() -> None:
    found = windows([(0, 2, 1), (3, 90, 9), (91, 93, 1)], 93, 3, 1)
    assert [(one.start, one.end) for one in found] == [(0, 2), (3, 90), (91, 93)]


WORDS = st.lists(st.integers(1, 5), max_size=40)


@given(WORDS, st.integers(1, 12), st.integers(0, 11))
def test_every_word_is_in_a_passage_and_overlap_is_bounded(
    counts: list[int], tokens: int, overlap: int
) -> None:
    overlap = min(overlap, tokens - 1)
    words = [(2 * n, 2 * n + 1, count) for n, count in enumerate(counts)]
    length = max(2 * len(words) - 1, 0)
    found = windows(words, length, tokens, overlap)
    assert (found[0].start, found[-1].end) == (0, length)
    inside = [
        [n for n, (start, end, _) in enumerate(words) if one.start <= start and end <= one.end]
        for one in found
    ]
    assert sorted({n for some in inside for n in some}) == list(range(len(words)))
    for some in inside:
        assert len(some) <= 1 or sum(counts[n] for n in some) <= tokens
    for before, after in itertools.pairwise(inside):
        assert after[-1] > before[-1]
        assert sum(counts[n] for n in set(before) & set(after)) <= overlap


def test_a_passage_holds_no_more_tokens_than_the_encoder_reads(encoder: SentenceTransformer) -> None:
    text = "rain bread, trains! " * 50
    tokenizer = encoder.tokenizer
    (found,) = Cutter(encoder, Cut(10, 3))([text])
    assert len(found) > 10
    for one in found:
        assert len(tokenizer(text[one.start : one.end], add_special_tokens=False)["input_ids"]) <= 10
    assert list(Cutter(encoder, Cut())([text, ""])) == [[Passage(0, 0, len(text))], [Passage(0, 0, 0)]]


@pytest.mark.parametrize(
    ("cut", "named"), [(Cut(63), "1 to 62"), (Cut(10, 10), "overlap 10"), (Cut(5, -1), "overlap -1")]
)
def test_refusals(encoder: SentenceTransformer, cut: Cut, named: str) -> None:
    with pytest.raises(InputError, match=named):
        Cutter(encoder, cut)
