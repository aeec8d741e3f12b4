"""Normalisation and the text table."""

from __future__ import annotations

import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data.texts import _PLAIN, IGNORABLE_RANGES, TextTable, normalise, text_ids
from sbert_triplet.errors import DataError, MachineError

IGNORABLE = "".join(chr(code) for low, high in IGNORABLE_RANGES for code in (low, high))
# Letters that fold, decompose, compose and hide: where a normal form is most likely to move on twice.
HARD = st.text(
    alphabet=st.sampled_from(
        "aAé\u0301\u0345\u0323ßẞİıſΣςﬁ½Ⅷ①ａ\u00a0\u3000 \t\n\x1c\u00a8ᾳᾼ각ㄱ" + IGNORABLE
    ),
    max_size=12,
)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hello  World", " hello\tworld\n"),
        ("STRASSE", "straße"),
        ("caf\u00e9", "CAFE\u0301"),
        ("ﬁle №①", "file no1"),
        ("full\u3000ｗｉｄｔｈ", "FULL WIDTH"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("soft\u00adhyphen", "softhyphen"),
        ("heart ❤\ufe0f", "HEART ❤"),
        ("می\u200cخواهم", "میخواهم"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("a\u00a0b", "A B"),
    ],
)
def test_texts_that_count_as_the_same(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"), [("a b", "ab"), ("resume", "résumé"), ("it's", "its"), ("1", "11")]
)
def test_texts_that_do_not(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


def test_blank_texts_are_empty() -> None:
    assert normalise("") == normalise(" \n\t ") == normalise("\u200b\u00a0\ufeff\ufe0f\u3164") == ""


@given(st.one_of(st.text(), HARD))
@settings(deadline=None)
def test_normalise_is_idempotent_and_spaces_are_single(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert once == " ".join(once.split())


@given(st.text(alphabet=st.characters(max_codepoint=127)))
@settings(deadline=None)
def test_the_fast_path_for_ascii_equals_the_long_way(text: str) -> None:
    # An ignorable character sends the same text down the long way.
    assert normalise(text) == normalise(text + "\u200b")


def test_the_fast_path_for_plain_characters_equals_the_long_way() -> None:
    # Seconds of a canonical composition are what could merge with the character before them.
    seconds = set()
    for code in range(0x30000):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(chr(int(parts[1], 16)))
    plain = [
        chr(code) for code in range(0x20000) if not 0xD800 <= code < 0xE000 and _PLAIN.fullmatch(chr(code))
    ]
    assert len(plain) > 40_000
    for character in plain:
        folded = character.casefold()
        assert unicodedata.combining(character) == 0
        assert not (set(folded) | {character}) & seconds, hex(ord(character))
        assert unicodedata.is_normalized("NFKC", character), hex(ord(character))
        assert unicodedata.is_normalized("NFKC", folded), hex(ord(character))
        assert normalise(character) == normalise(character + "\u200b"), hex(ord(character))


PLAIN_SAMPLE = st.text(alphabet=st.characters(categories=["Lu", "Ll", "Lo", "P", "Zs"], max_codepoint=0xFFFF))


@given(PLAIN_SAMPLE)
@settings(deadline=None)
def test_fast_path_and_long_way_agree_on_strings(text: str) -> None:
    assert normalise(text) == normalise(text + "\u200b")


@given(st.lists(st.one_of(st.text(max_size=6), HARD), max_size=30), st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_ids_are_the_order_of_first_appearance(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], spill: int
) -> None:
    folder = tmp_path_factory.mktemp("texts")
    spilled, in_memory = TextTable(folder, spill_bytes=spill), TextTable()
    ids = spilled.add(texts)
    first: dict[str, int] = {}
    kept: list[str] = []
    for text in texts:
        if normalise(text) not in first:
            first[normalise(text)] = len(first)
            kept.append(text)
    assert ids.tolist() == [first[normalise(text)] for text in texts]
    assert len(spilled) == len(kept)
    assert spilled.texts(range(len(kept))) == kept
    assert spilled.texts(ids[::-1]) == [kept[id] for id in ids[::-1]]
    assert [spilled.lookup(text) for text in texts] == ids.tolist()
    assert spilled.add(texts).tolist() == ids.tolist()
    # One at a time, without spilling: the same ids, the same contents.
    assert [int(in_memory.add([text])[0]) for text in texts] == ids.tolist()
    assert in_memory.fingerprint() == spilled.fingerprint()


def test_the_first_text_seen_is_kept_exactly() -> None:
    table = TextTable()
    assert table.add(["  Hello World", "hello  world", "HELLO WORLD "]).tolist() == [0, 0, 0]
    assert table.text(0) == "  Hello World"
    assert table.lookup("hello world") == 0
    assert table.lookup("hello") is None


def test_ids_that_were_never_given() -> None:
    table = TextTable()
    assert table.texts([]) == []
    table.add(["a", "b"])
    for wrong in ([2], [-1], [0, 5]):
        with pytest.raises(IndexError, match="ids 0 to 1"):
            table.texts(wrong)


def test_fingerprint_tells_contents_and_boundaries_apart() -> None:
    def fingerprint(*texts: str) -> str:
        table = TextTable()
        table.add(texts)
        return table.fingerprint()

    assert fingerprint("ab", "c") == fingerprint("ab", "c")
    different = {
        fingerprint(),
        fingerprint("ab", "c"),
        fingerprint("a", "bc"),
        fingerprint("c", "ab"),
        fingerprint("Ab", "c"),
    }
    assert len(different) == 5
    assert len(fingerprint()) == 64


def test_texts_beyond_the_limit_lie_on_disk(tmp_path: Path) -> None:
    table = TextTable(tmp_path, spill_bytes=10_000)
    table.add(f"text number {i} of many" for i in range(3000))
    assert len(list(tmp_path.glob("*.arrow"))) >= 5
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) > 50_000
    before = pa.total_allocated_bytes()
    assert table.text(7) == "text number 7 of many"
    assert table.texts([2999, 0]) == ["text number 2999 of many", "text number 0 of many"]
    assert pa.total_allocated_bytes() - before < 10_000


def test_a_lone_surrogate_is_refused_in_words() -> None:
    with pytest.raises(DataError, match="lone surrogate"):
        TextTable().add(["fine", "broken \ud800 text"])


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="needs a folder that cannot be written"
)
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(MachineError, match="could not be written"):
        TextTable(tmp_path, spill_bytes=1).add(["some text"])


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match=r"texts-00000\.arrow.*could not be written"):
        TextTable(tmp_path / "gone", spill_bytes=1).add(["some text"])


def test_ids_of_an_arrow_array() -> None:
    table = TextTable()
    values = pa.array(["b", "a", "B ", "a"], pa.large_string())
    ids = text_ids(values, table)
    assert ids.tolist() == [0, 1, 0, 1]
    assert ids.dtype == np.int64
    assert text_ids(values.slice(1, 2), table).tolist() == [1, 0]
    assert text_ids(values.slice(0, 0), table).tolist() == []
