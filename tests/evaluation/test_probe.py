"""The hand-written triplets of the general check, and how they are scored."""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import re
import sys
import unicodedata
from collections import Counter
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
import scipy.spatial.distance

from sbert_triplet.errors import ModelError
from sbert_triplet.evaluation.probe import Probe, load_probe, probe_hits, probe_texts
from sbert_triplet.evaluation.results import FloatArray

FIELDS = ["topic", "sentence", "paraphrase", "near_miss"]
WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
ACCENTED_WORDS = {"café"}
CAPITALISED_NAMES = {
    *("Omar", "Ingrid", "Ingrid's", "Rosa", "Mozart", "Columbus"),
    *("Africa", "African", "America", "American", "Americans", "Britain", "Canada", "Europe", "Europeans"),
    *("Ghent", "Greece", "Italy", "Lisbon", "New", "Orleans", "Norway", "Porto", "Scotland", "South"),
    *("Swiss", "Switzerland", "Vienna", "Vikings", "Norse", "Romans", "English", "Pole"),
    *("Monday", "Mondays", "Tuesday", "Wednesday", "Wednesdays", "Thursday", "Friday", "Fridays"),
    *("Saturday", "Saturdays", "Sunday", "Sundays", "January", "March", "April", "May", "June", "August"),
    *(
        "October",
        "November",
        "December",
        "Christmas",
        "Eve",
        "Easter",
        "First",
        "World",
        "War",
        "Middle",
        "Ages",
    ),
    *("Grandma", "Grandma's", "Grandpa's", "Dad", "Mum", "Aunt", "Earth", "Mars", "Venus"),
    *("I", "I'd", "I'll", "I'm", "I've", "ID", "PC", "PIN", "TV", "WiFi", "Y", "Z"),
}


@pytest.fixture(scope="module")
def probe() -> Probe:
    return load_probe()


def tokens(text: str) -> frozenset[str]:
    return frozenset(WORD.findall(text.casefold()))


def jaccard(left: frozenset[str], right: frozenset[str]) -> float:
    return len(left & right) / len(left | right)


def unfair(texts: list[str]) -> list[str]:
    """Texts with characters or capitalised words that were not put there on purpose."""
    found = []
    for text in texts:
        words = WORD.findall(text)
        foreign = [word for word in words if not word.isascii() and word not in ACCENTED_WORDS]
        starts = {match.group(1) for match in re.finditer(r"(?:^|[.?!] )([^\W_]+(?:'[^\W_]+)?)", text)}
        names = [w for w in words if w[0].isupper() and w not in starts and w not in CAPITALISED_NAMES]
        odd = [c for c in text if not c.isascii() and unicodedata.category(c)[0] != "L"]
        if foreign or names or odd:
            found.append(text)
    return found


def test_there_are_twenty_topics_of_twenty_triplets(probe: Probe) -> None:
    counts = Counter(probe.topics)
    assert len(counts) == 20
    assert set(counts.values()) == {20}
    assert len(probe) == 400
    assert len(probe.sentences) == len(probe.paraphrases) == len(probe.near_misses) == len(probe.topics)


def test_every_line_of_the_file_has_the_four_fields_in_order() -> None:
    lines = files("sbert_triplet.evaluation").joinpath("probe.jsonl").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        row = json.loads(line)
        assert list(row) == FIELDS, f"line {number}"
        assert all(isinstance(value, str) and value for value in row.values()), f"line {number}"


def test_no_text_occurs_twice(probe: Probe) -> None:
    normalised = [" ".join(WORD.findall(text.casefold())) for text in probe_texts(probe)]
    assert len(set(normalised)) == 3 * 400


def test_texts_are_clean_sentences_of_five_to_thirty_words(probe: Probe) -> None:
    for text in probe_texts(probe):
        assert text == unicodedata.normalize("NFC", " ".join(text.split())), text
        assert 5 <= len(text.split()) <= 30, text
        assert text[-1] in ".?!", text
        assert text[0].isupper(), text


def test_statements_questions_short_and_long_sentences_are_mixed(probe: Probe) -> None:
    lengths = [len(sentence.split()) for sentence in probe.sentences]
    assert sum(length <= 8 for length in lengths) >= 40
    assert sum(length >= 18 for length in lengths) >= 40
    assert 60 <= sum(sentence.endswith("?") for sentence in probe.sentences) <= 200


def test_only_intended_accents_and_names_occur(probe: Probe) -> None:
    assert unfair(probe_texts(probe)) == []


@pytest.mark.parametrize(
    "text", ["We met Angela there.", "A naïve idea won again.", "That \u2014 is not ASCII."]
)
def test_the_check_of_accents_and_names_finds_them(text: str) -> None:
    assert unfair([text]) == [text]


def test_sentences_of_different_rows_differ(probe: Probe) -> None:
    bags = [tokens(sentence) for sentence in probe.sentences]
    closest = max(itertools.combinations(range(len(bags)), 2), key=lambda p: jaccard(bags[p[0]], bags[p[1]]))
    assert jaccard(bags[closest[0]], bags[closest[1]]) < 0.6, [probe.sentences[i] for i in closest]


def test_word_overlap_does_not_solve_the_probe(probe: Probe) -> None:
    right = sum(
        jaccard(tokens(s), tokens(p)) > jaccard(tokens(s), tokens(n))
        for s, p, n in zip(probe.sentences, probe.paraphrases, probe.near_misses, strict=True)
    )
    assert right / len(probe) < 0.5


def test_probe_texts_are_three_blocks_in_row_order() -> None:
    probe = Probe(("a", "b"), ("c", "d"), ("e", "f"), ("t", "t"))
    assert probe_texts(probe) == ["a", "b", "c", "d", "e", "f"]
    assert len(probe) == 2


SENTENCES = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
PARAPHRASES = np.array([[2.0, 1.0], [0.0, 0.2], [4.0, 4.0]])
NEAR_MISSES = np.array([[1.0, 1.0], [5.0, 5.0], [1.0, 0.0]])
# Row 0: cosine .894 against .707; dot 2 against 1; distances sqrt 2 and 2 against 1 and 1.
# Row 1: cosine 0 against .707; dot 0 against 5; distances 1.02 and 1.2 against 6.4 and 9.
# Row 2: cosine 1 against .707; dot 8 against 1; distances 4.24 and 6 against 1 and 1.
BY_HAND = {
    "cosine": [1.0, 0.0, 1.0],
    "dot": [1.0, 0.0, 1.0],
    "euclidean": [0.0, 1.0, 0.0],
    "manhattan": [0.0, 1.0, 0.0],
}


@pytest.mark.parametrize(("similarity", "expected"), BY_HAND.items())
def test_hits_by_hand(similarity: str, expected: list[float]) -> None:
    hits = probe_hits(SENTENCES, PARAPHRASES, NEAR_MISSES, similarity)
    assert hits.dtype == np.float64
    assert hits.tolist() == expected


def test_dot_sees_length_and_cosine_does_not() -> None:
    sentence, paraphrase, near_miss = [[1.0, 0.0]], [[1.0, 0.0]], [[3.0, 3.0]]
    assert probe_hits(sentence, paraphrase, near_miss, "cosine").tolist() == [1.0]
    assert probe_hits(sentence, paraphrase, near_miss, "dot").tolist() == [0.0]


def test_euclidean_and_manhattan_differ_where_they_should() -> None:
    # Distances from the origin: Euclidean 3.54 against 4, Manhattan 5 against 4.
    sentence, paraphrase, near_miss = [[0.0, 0.0]], [[2.5, 2.5]], [[4.0, 0.0]]
    assert probe_hits(sentence, paraphrase, near_miss, "euclidean").tolist() == [1.0]
    assert probe_hits(sentence, paraphrase, near_miss, "manhattan").tolist() == [0.0]


@pytest.mark.parametrize("similarity", BY_HAND)
def test_ties_are_errors(similarity: str) -> None:
    collapsed = np.tile(np.array([0.3, -0.7, 0.1], dtype=np.float32), (4, 1))
    assert probe_hits(collapsed, collapsed, collapsed, similarity).tolist() == [0.0] * 4
    mirrored = probe_hits([[1.0, 0.0]], [[1.0, 2.0]], [[1.0, -2.0]], similarity)
    assert mirrored.tolist() == [0.0]


def test_zero_vectors_have_cosine_zero() -> None:
    zero = np.zeros((1, 2))
    assert probe_hits([[1.0, 0.0]], zero, [[-1.0, 0.0]], "cosine").tolist() == [1.0]
    assert probe_hits([[1.0, 0.0]], [[1.0, 0.0]], zero, "cosine").tolist() == [1.0]
    assert probe_hits([[1.0, 0.0]], zero, zero, "cosine").tolist() == [0.0]


@pytest.mark.parametrize(
    ("similarity", "metric"), [("cosine", "cosine"), ("euclidean", "euclidean"), ("manhattan", "cityblock")]
)
def test_hits_agree_with_scipy_distances(similarity: str, metric: str) -> None:
    s, p, n = np.random.default_rng(5).normal(size=(3, 200, 6))
    distance = getattr(scipy.spatial.distance, metric)
    expected = [float(distance(s[i], p[i]) < distance(s[i], n[i])) for i in range(200)]
    assert probe_hits(s, p, n, similarity).tolist() == expected
    assert 0 < sum(expected) < 200


def test_an_unknown_similarity_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'cos' is unknown.*cosine, dot, euclidean, manhattan"):
        probe_hits(SENTENCES, PARAPHRASES, NEAR_MISSES, "cos")


@pytest.mark.parametrize("near_misses", [NEAR_MISSES[:2], NEAR_MISSES[:, :1], NEAR_MISSES[0]])
def test_shapes_that_differ_are_refused(near_misses: FloatArray) -> None:
    with pytest.raises(ValueError, match="one shape"):
        probe_hits(SENTENCES, PARAPHRASES, near_misses, "cosine")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_embeddings_that_are_not_finite_are_refused(bad: float) -> None:
    broken = PARAPHRASES.copy()
    broken[1, 0] = bad
    with pytest.raises(ModelError, match=r"1 of 3 probe triplets, the first at row 1"):
        probe_hits(SENTENCES, broken, NEAR_MISSES, "euclidean")


def test_importing_the_module_does_not_read_the_triplets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The module is carried out anew, beside the one that is imported."""
    opened, read = [], io.open

    def noted(file: Any, *given: Any, **named: Any) -> Any:
        opened.append(str(file))
        return read(file, *given, **named)

    monkeypatch.setattr(io, "open", noted)
    spec = importlib.util.find_spec("sbert_triplet.evaluation.probe")
    assert spec is not None
    assert spec.loader is not None
    anew = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "sbert_triplet.evaluation.probe", anew)  # dataclasses look there
    spec.loader.exec_module(anew)
    assert not any(name.endswith("probe.jsonl") for name in opened)
    assert len(anew.load_probe()) == len(load_probe())
    assert any(name.endswith("probe.jsonl") for name in opened)
