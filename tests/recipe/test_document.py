"""YAML as plain data with lines: what is understood, what is refused, and where."""

from __future__ import annotations

import math

import pytest

from sbert_triplet.errors import RecipeError
from sbert_triplet.recipe.document import bare_word, parse_yaml


def refusal(text: str) -> str:
    with pytest.raises(RecipeError) as caught:
        parse_yaml(text, "r.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("2e-5", 2e-5),
        ("2E+5", 2e5),
        ("2.0e-05", 2e-5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-3", -3),
        ("1_000", 1000),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("none", "none"),
        ("007", "007"),
        ("0x1F", "0x1F"),
        ("1:30", "1:30"),
        ("2024-01-31", "2024-01-31"),
        ("1__0", "1__0"),
        ("_1", "_1"),
        ("e5", "e5"),
        ("9" * 500, "9" * 500),
    ],
)
def test_bare_words(word: str, value: object) -> None:
    found = bare_word(word)
    assert found == value
    assert type(found) is type(value)


def test_quoted_words_are_text() -> None:
    text = "a: '2e-5'\nb: \"true\"\nc: 'null'\nd: |\n  1\n"
    assert parse_yaml(text, "r.yaml").data == {"a": "2e-5", "b": "true", "c": "null", "d": "1\n"}


def test_lines_of_keys_and_items() -> None:
    document = parse_yaml("# comment\na:\n  b: 1\n  c:\n  - x\n  - y: 2\nd: {e: 3,\n  f: 4}\n", "r.yaml")
    assert document.data == {"a": {"b": 1, "c": ["x", {"y": 2}]}, "d": {"e": 3, "f": 4}}
    assert document.lines[("a",)] == 2
    assert document.lines[("a", "b")] == 3
    assert document.lines[("a", "c")] == 4
    assert document.lines[("a", "c", 0)] == 5
    assert document.lines[("a", "c", 1, "y")] == 6
    assert document.lines[("d", "f")] == 8


def test_aliases_are_followed() -> None:
    assert parse_yaml("a: &x {p: 1}\nb: *x\n", "r.yaml").data == {"a": {"p": 1}, "b": {"p": 1}}


def test_key_given_twice_names_both_lines() -> None:
    assert refusal("a:\n  x: 1\n  y: 2\n  x: 3\n") == (
        "r.yaml line 4: a.x: given twice, first on line 2; keep one of them"
    )


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['true']", "!!str 5", "!own x", "! x"])
def test_tags_are_refused(tag: str) -> None:
    assert refusal(f"a: 1\nb: {tag}\n").startswith("r.yaml line 2, column 4: the tag ")


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("a: b: c\n", "line 1, column 5", "put a text with a colon in quotes"),
        ("a:\n\tb: 1\n", "line 2, column 1", "indent with spaces"),
        ("a: [1, 2\nb: 3\n", "line 2", "expected ',' or ']'"),
        ("a: *missing\n", "line 1, column 4", "undefined alias"),
        ('a: "C:\\data"\n', "line 1, column 8", "a backslash is written twice in double quotes"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1", "another document"),
        ("{a: 1}: 2\n", "line 1", "a key must be a plain word"),
        ("a: \x07\n", "line 1", "U+0007"),
        ("ok: 1\nbad: \x00\n", "line 2", "U+0000"),
    ],
)
def test_bad_syntax_names_the_place_and_the_remedy(text: str, where: str, what: str) -> None:
    message = refusal(text)
    assert message.startswith(f"r.yaml {where}")
    assert what in message
    assert "\n" not in message


def test_aliases_that_multiply_are_refused_quickly() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
    )
    assert "more than 20,000 parts" in refusal(bomb)


@pytest.mark.parametrize(
    "text", ["a: &a [*a]\n", "[" * 40 + "]" * 40, "[" * 100_000, "- " * 50_000, "a: &a {b: *a}\n"]
)
def test_depth_is_bounded(text: str) -> None:
    assert "nested more than 30 deep" in refusal(text)


def test_length_is_bounded_before_it_costs_time() -> None:
    assert "more than 20,000 parts" in refusal("[" + "x, " * 300_000 + "]")


def test_nothing_at_all() -> None:
    assert parse_yaml("", "r.yaml").data is None
    assert parse_yaml("# only a comment\n", "r.yaml").data is None
