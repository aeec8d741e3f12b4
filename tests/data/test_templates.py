"""Templates of columns: what they read as, and that they can only ever name columns."""

from __future__ import annotations

import string

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data.cell_reading import read_texts
from sbert_triplet.data.templates import as_template, columns_of, parse_template, shown
from sbert_triplet.errors import DataError

COLUMNS = ["subject", "body", "two words", "a.b", "price:eur", "Größe"]


@pytest.mark.parametrize(
    ("text", "literals", "columns"),
    [
        ("{subject}", ("", ""), ("subject",)),
        ("{subject}\n{body}", ("", "\n", ""), ("subject", "body")),
        (r"{subject}\n{body}\t!", ("", "\n", "\t!"), ("subject", "body")),
        ("{{{subject}}}", ("{", "}"), ("subject",)),
        ("a {{b}} {body}", ("a {b} ", ""), ("body",)),
        ("{two words}: {Größe}", ("", ": ", ""), ("two words", "Größe")),
        ("{a.b} {price:eur}", ("", " ", ""), ("a.b", "price:eur")),
        ("{body}{body}", ("", "", ""), ("body", "body")),
    ],
)
def test_templates_are_read(text: str, literals: tuple[str, ...], columns: tuple[str, ...]) -> None:
    template = parse_template(text, COLUMNS)
    assert (template.literals, template.columns) == (literals, columns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{Subject}", "no column 'Subject'; did you mean 'subject'"),
        ("{zzz}", "no column 'zzz'; there are Größe, a.b, body"),
        ("{subject.__class__}", "only plain names of columns"),
        ("{subject[0]}", "only plain names of columns"),
        ("{subject!r}", "only plain names of columns"),
        ("{subject:>10}", "only plain names of columns"),
        ("{}", "empty braces"),
        ("{ }", "empty braces"),
        ("{subject", "without } at character 1"),
        ("{subject} }", "without { at character 11"),
        ("{{subject}}", "no {column} in it"),
        ("subject", "no {column} in it"),
    ],
)
def test_wrong_templates_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        parse_template(text, COLUMNS)
    assert message in str(caught.value)


def test_a_column_comes_before_a_template() -> None:
    assert columns_of("{odd}", ["{odd}", "odd"]) == ("{odd}",)
    assert columns_of("{odd}", ["odd"]) == ("odd",)
    with pytest.raises(DataError, match="no column 'subjekt'; did you mean 'subject'"):
        columns_of("subjekt", COLUMNS)


def test_as_template_and_shown() -> None:
    assert columns_of(as_template(["subject", "body"]), COLUMNS) == ("subject", "body")
    assert shown("{a}\n{b}") == "{a}\\n{b}"


@given(st.text(alphabet=string.ascii_letters + "{}\\nt.[]!: ", max_size=30))
@settings(deadline=None)
def test_any_text_is_a_template_of_known_columns_or_refused(text: str) -> None:
    try:
        template = parse_template(text, ["n", "t", "nt"])
    except DataError:
        return
    assert set(template.columns) <= {"n", "t", "nt"}
    assert len(template.literals) == len(template.columns) + 1


@given(
    st.lists(st.text(max_size=8), min_size=2, max_size=2),
    st.lists(st.text(alphabet="ab{} :\n", max_size=5), min_size=3, max_size=3),
)
@settings(deadline=None)
def test_rendering_equals_joining_by_hand(cells: list[str], literals: list[str]) -> None:
    escaped = [literal.replace("{", "{{").replace("}", "}}") for literal in literals]
    dataset = Dataset(pa.table({"x": [cells[0]], "y": [cells[1]]}))
    template = f"{escaped[0]}{{x}}{escaped[1]}{{y}}{escaped[2]}"
    rendered = read_texts(dataset.data.table, template, dataset.features).values[0].as_py()
    assert rendered == (literals[0] + cells[0] + literals[1] + cells[1] + literals[2]).strip(" \t\n\r\f\v")


def test_cells_of_other_types_are_spelled_out() -> None:
    features = Features(
        {
            "name": Value("string"),
            "price": Value("float64"),
            "stock": Value("int64"),
            "new": Value("bool"),
            "class": ClassLabel(names=["tool", "toy"]),
        }
    )
    rows = {
        "name": ["saw", None],
        "price": [2.5, None],
        "stock": [3, None],
        "new": [True, None],
        "class": [1, None],
    }
    dataset = Dataset.from_dict(rows, features=features)
    cells = read_texts(dataset.data.table, "{name} {price} {stock} {new} {class}", dataset.features)
    assert cells.values.to_pylist() == ["saw 2.5 3 true toy", ""]
    assert not cells.not_text.any()
