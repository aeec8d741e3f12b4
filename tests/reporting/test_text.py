from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.reporting.text import (
    clean,
    markdown_escape,
    markdown_fence,
    one_line,
    shorten,
    without_folders,
)

ANY_TEXT = st.text(st.characters(codec=None, categories=None))


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("a\x00b", "a␀b"),
        ("\x1b[31m", "␛[31m"),
        ("half \ud83d pair", "half � pair"),
        ("two\r\nlines\rmore\n\tend", "two\nlines\nmore\n\tend"),
        ("\x85\x7f", "�␡"),
        ("العربية 日本 😀", "العربية 日本 😀"),
        (17, "17"),
    ],
)
def test_clean(given_text: object, expected: str) -> None:
    assert clean(given_text) == expected


@given(ANY_TEXT)
def test_clean_text_can_be_written_and_is_clean(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert clean(cleaned) == cleaned
    assert not any(ord(sign) < 32 and sign not in "\n\t" for sign in cleaned)


@given(ANY_TEXT)
def test_markdown_is_one_line_without_open_marks(text: str) -> None:
    escaped = markdown_escape(text)
    assert "\n" not in escaped
    bare = escaped.replace("\\\\", "")
    for sign in "`*_[]>#|~$":
        assert bare.count(sign) == bare.count("\\" + sign)
    assert not re.search(r"(?<!\\)<[A-Za-z/!?]", bare)
    assert one_line(text) == "".join(_unescaped(escaped))


def _unescaped(text: str) -> list[str]:
    signs, place = [], 0
    while place < len(text):
        place += text[place] == "\\"
        signs.append(text[place])
        place += 1
    return signs


@given(st.text(alphabet="`ab\n"))
def test_nothing_closes_a_code_block_early(text: str) -> None:
    opened, *inside, closed = markdown_fence(text, "yaml").split("\n")
    assert opened == closed + "yaml"
    assert all(not line.startswith(closed) for line in inside)


def test_shorten_cuts_at_a_word_and_counts_the_rest() -> None:
    assert shorten("one two three", 20) == ("one two three", 0)
    assert shorten("one two three four", 16) == ("one two three", 5)
    assert shorten("a" * 50, 10) == ("a" * 10, 40)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/home/jane/acme/tickets.csv", "tickets.csv"),
        ("~/acme/tickets", "tickets"),
        ("../acme/", "acme"),
        ("C:\\Users\\jane\\acme", "acme"),
        ("acme/2026/tickets.parquet", "tickets.parquet"),
        ("sentence-transformers/all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
        ("docstrings:", "docstrings:"),
        ("{subject}: {body}", "{subject}: {body}"),
        ("tickets.csv", "tickets.csv"),
    ],
)
def test_without_folders(path: str, name: str) -> None:
    assert without_folders(path) == name
