"""Conditions: what they mean, how they are read, and what is refused."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.errors import InputError
from sbert_triplet.search.filters import BOUNDS, Between, OneOf, conditions_of, meets, parse_where

DOCUMENT = {"language": "en", "year": 2001, "share": 0.5, "flag": True}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, True),
        ({"language": "en"}, True),
        ({"language": "EN"}, False),
        ({"language": ["de", "en"]}, True),
        ({"language": []}, False),
        ({"year": 2001.0}, True),
        ({"year": "2001"}, False),
        ({"year": {"gt": 2001}}, False),
        ({"year": {"gte": 2001}}, True),
        ({"year": {"lt": 2001}}, False),
        ({"year": {"lte": 2001}}, True),
        ({"year": {"gte": 2000, "lt": 2001.5}}, True),
        ({"language": {"gte": 0}}, False),
        ({"flag": True}, True),
        ({"flag": 1}, False),
        ({"flag": {"gte": 0}}, False),
        ({"absent": "x"}, False),
        ({"language": "en", "year": 2002}, False),
    ],
    ids=repr,
)
def test_meaning(where: dict[str, Any], expected: bool) -> None:
    assert meets(DOCUMENT, conditions_of(where)) is expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["language=en"], {"language": "en"}),
        (["year=2001"], {"year": 2001}),
        (['year="2001"'], {"year": "2001"}),
        (["flag=true"], {"flag": True}),
        (['language=["en", "de"]'], {"language": ["en", "de"]}),
        (["year>=2000", "year<2010"], {"year": {"gte": 2000, "lt": 2010}}),
        (["year > 1.5"], {"year": {"gt": 1.5}}),
        (["formula=a=b>=c"], {"formula": "a=b>=c"}),
        (["empty="], {"empty": ""}),
        ([], {}),
    ],
    ids=repr,
)
def test_reading(words: list[str], expected: dict[str, Any]) -> None:
    assert parse_where(words) == expected


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["language"], "KEY=VALUE"),
        (["=en"], "KEY=VALUE"),
        (["year>=soon"], "a bound is a number"),
        (["year>=true"], "a bound is a number"),
        (["language=en", "language=de"], "has a condition already"),
        (["year>1", "year>2"], "such a condition already"),
        (["language=null"], "neither text"),
        (['language=[["en"]]'], "neither text"),
        (['year={"above": 1}'], "no bound of a range"),
        (["year={}"], "no bound of a range"),
        (["year=123456789012345678901234567890"], "neither text"),
        (["year=NaN"], "neither text"),
    ],
    ids=repr,
)
def test_refusals_name_the_key(words: list[str], named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        parse_where(words)
    assert words[-1].strip("=").split("=")[0].split(">")[0] in str(caught.value)


KEYS = st.text(st.characters(exclude_characters="<>=", exclude_categories=["Cs"]), min_size=1).filter(
    lambda key: key == key.strip()
)
VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
NUMBERS = st.one_of(st.integers(-1000, 1000), st.floats(-1000, 1000))


@given(KEYS, VALUES)
def test_a_value_in_json_is_read_as_it_is(key: str, value: Any) -> None:
    assert conditions_of(parse_where([f"{key}={json.dumps(value)}"])) == (OneOf(key, (value,)),)


@given(KEYS, st.dictionaries(st.sampled_from(BOUNDS), NUMBERS, min_size=1))
def test_a_range_is_read_bound_by_bound(key: str, bounds: dict[str, float]) -> None:
    signs = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
    words = [f"{key}{signs[name]}{json.dumps(bound)}" for name, bound in bounds.items()]
    assert conditions_of(parse_where(words)) == (Between(key, **bounds),)


@given(st.lists(st.text(), max_size=3))
def test_anything_is_read_or_refused(words: list[str]) -> None:
    with contextlib.suppress(InputError):
        conditions_of(parse_where(words))
