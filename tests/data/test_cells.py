"""Bad cells: every kind, with its row, its column and the reason."""

from __future__ import annotations

import json
import math
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data import cell_reading
from sbert_triplet.data.cells import BadCells, Reason, scan_cells
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.data.texts import normalise

PAIRS = Roles(Kind.PAIRS, "a", "b")


def dataset(**columns: object) -> datasets.Dataset:
    return datasets.Dataset(
        pa.table(
            {
                name: cells if isinstance(cells, pa.Array) else pa.array(cells)
                for name, cells in columns.items()
            }
        )
    )


def found(bad: BadCells) -> set[tuple[int, str, Reason]]:
    return {(cell.row, cell.column, cell.reason) for cell in bad}


def broken(*cells: bytes | None) -> pa.Array:
    return pa.array(cells, pa.binary()).view(pa.string())


def test_clean_cells_are_not_listed() -> None:
    bad = scan_cells(dataset(a=["x", "y"], b=["p", "q"]), PAIRS)
    assert (len(bad), list(bad), bad.lines(), bad.rows.tolist(), dict(bad.counts())) == (0, [], [], [], {})


def test_texts() -> None:
    a = [None, "", " \n", "\u200b\ufeff", "\x00", "fine", "x" * 11, "é" * 10, "é" * 11]
    bad = scan_cells(dataset(a=a, b=["p"] * 9), PAIRS, max_characters=10)
    blank = {(row, "a", Reason.BLANK) for row in (1, 2, 3, 4)}
    assert found(bad) == {(0, "a", Reason.NULL), *blank, (6, "a", Reason.TOO_LONG), (8, "a", Reason.TOO_LONG)}
    assert bad.rows.tolist() == [0, 1, 2, 3, 4, 6, 8]
    assert bad.counts() == {("a", Reason.NULL): 1, ("a", Reason.BLANK): 4, ("a", Reason.TOO_LONG): 2}
    assert bad.lines(rows=2) == [
        "a: 1 cell null (row 1)",
        "a: 4 cells blank (rows 2, 3, ...)",
        "a: 2 cells too long (rows 7, 9)",
    ]


def test_a_million_characters_by_default() -> None:
    bad = scan_cells(dataset(a=["x" * 1_000_000, "x" * 1_000_001], b=["p", "q"]), PAIRS)
    assert found(bad) == {(1, "a", Reason.TOO_LONG)}


def test_broken_bytes_and_lone_surrogates() -> None:
    a = broken(b"fine", b"cut \xff off", b"half \xed\xa0\x80 pair", None, b" ", "grün".encode())
    bad = scan_cells(dataset(a=a, b=["p"] * 6), PAIRS)
    reasons = {(1, Reason.BROKEN), (2, Reason.SURROGATE), (3, Reason.NULL), (4, Reason.BLANK)}
    assert found(bad) == {(row, "a", reason) for row, reason in reasons}
    templated = scan_cells(dataset(a=a, b=["p"] * 6), Roles(Kind.PAIRS, "{a} {b}", "b"))
    assert {cell.row for cell in templated} == {1, 2}


def test_columns_of_mixed_json_values(tmp_path: Path) -> None:
    rows = ["text", 5, {"x": 1}, None, ["y"], " "]
    (tmp_path / "mixed.jsonl").write_text("".join(json.dumps({"a": cell, "b": "p"}) + "\n" for cell in rows))
    mixed = datasets.Dataset.from_json(str(tmp_path / "mixed.jsonl"), cache_dir=str(tmp_path / "cache"))
    if type(mixed.features["a"]).__name__ != "Json":
        pytest.skip("this release of datasets has no columns of mixed JSON values")
    bad = scan_cells(mixed, PAIRS)
    not_text = {(row, "a", Reason.NOT_TEXT) for row in (1, 2, 4)}
    assert found(bad) == {*not_text, (3, "a", Reason.NULL), (5, "a", Reason.BLANK)}


def test_a_template_is_bad_only_as_a_whole() -> None:
    rows = dataset(a=["x", None, None, ""], b=["p", "q", None, " "], c=["1", "2", "3", "4"])
    bad = scan_cells(rows, Roles(Kind.PAIRS, "{a}\n{b}", "c"))
    assert found(bad) == {(2, "{a}\n{b}", Reason.BLANK), (3, "{a}\n{b}", Reason.BLANK)}
    assert bad.lines() == ["{a}\\n{b}: 2 cells blank (rows 3, 4)"]


def test_lists_of_texts() -> None:
    lists = [["x"], [], None, ["x", None], ["x", " ", None], ["x", "y"]]
    rows = dataset(a=["x"] * 6, b=["y"] * 6, many=lists)
    as_negatives = scan_cells(rows, Roles(Kind.TRIPLETS, "a", "b", ("many",)))
    items = {(3, "many", Reason.NULL), (4, "many", Reason.BLANK)}
    assert found(as_negatives) == items
    as_positives = scan_cells(rows, Roles(Kind.PAIRS, "a", "many"))
    assert found(as_positives) == {*items, (1, "many", Reason.EMPTY_LIST), (2, "many", Reason.EMPTY_LIST)}


def test_rows_may_have_fewer_negatives_than_columns() -> None:
    rows = dataset(a=["x"] * 3, b=["y"] * 3, n1=["n", None, None], n2=[None, "", "n" * 9])
    one = scan_cells(rows, Roles(Kind.TRIPLETS, "a", "b", ("n1",)))
    assert found(one) == {(1, "n1", Reason.NULL), (2, "n1", Reason.NULL)}
    two = scan_cells(rows, Roles(Kind.TRIPLETS, "a", "b", ("n1", "n2")), max_characters=8)
    assert found(two) == {(2, "n2", Reason.TOO_LONG)}


def test_rows_may_have_fewer_positives_than_columns_but_not_none() -> None:
    rows = dataset(a=["x"] * 4, p1=["n", None, None, ""], p2=[None, "p", None, None])
    bad = scan_cells(rows, Roles(Kind.PAIRS, "a", "p1", more_positives=("p2",)))
    assert found(bad) == {(2, "p1", Reason.NULL), (3, "p1", Reason.NULL)}


def test_scores_and_weights() -> None:
    rows = dataset(
        a=["x"] * 6,
        b=["y"] * 6,
        score=[0.5, math.nan, None, math.inf, -1.0, 2.0],
        weight=[1.0, 0.0, -0.5, math.nan, 2.0, None],
    )
    bad = scan_cells(rows, Roles(Kind.SCORED, "a", "b", score="score", weight="weight"))
    scores = {(1, "score", Reason.NAN), (2, "score", Reason.NULL), (3, "score", Reason.INFINITE)}
    weights = {(2, "weight", Reason.NEGATIVE), (3, "weight", Reason.NAN), (5, "weight", Reason.NULL)}
    assert found(bad) == scores | weights


def test_scores_as_text_and_as_named_classes() -> None:
    rows = dataset(a=["x"] * 4, b=["y"] * 4, score=["0.5", " 1 ", "high", None])
    bad = scan_cells(rows, Roles(Kind.SCORED, "a", "b", score="score"))
    assert found(bad) == {(2, "score", Reason.NOT_A_NUMBER), (3, "score", Reason.NULL)}
    features = datasets.Features({**rows.features, "score": datasets.ClassLabel(names=["no", "yes"])})
    rows = dataset(a=["x"] * 3, b=["y"] * 3, score=[0, 1, -1]).cast(features)
    assert found(scan_cells(rows, Roles(Kind.SCORED, "a", "b", score="score"))) == {
        (2, "score", Reason.UNLABELLED)
    }


@pytest.mark.parametrize(
    ("labels", "reasons"),
    [
        (["x", None, " ", "y"], {1: Reason.NULL, 2: Reason.BLANK}),
        ([1.0, math.nan, None, 2.0], {1: Reason.NAN, 2: Reason.NULL}),
        ([0, 1, None, -1], {2: Reason.NULL}),
        ([True, False, None, True], {2: Reason.NULL}),
        ([math.nan] * 4, dict.fromkeys(range(4), Reason.NAN)),
        (broken(b"x", b"\xff", b"y", b"z"), {1: Reason.BROKEN}),
    ],
)
def test_class_labels(labels: object, reasons: dict[int, Reason]) -> None:
    bad = scan_cells(dataset(a=["x"] * 4, label=labels), Roles(Kind.LABELLED, "a", label="label"))
    assert found(bad) == {(row, "label", reason) for row, reason in reasons.items()}


def test_unlabelled_rows_of_named_classes() -> None:
    rows = dataset(a=["x"] * 4, label=[0, 1, -1, None])
    rows = rows.cast(datasets.Features({**rows.features, "label": datasets.ClassLabel(names=["p", "q"])}))
    bad = scan_cells(rows, Roles(Kind.LABELLED, "a", label="label"))
    assert found(bad) == {(2, "label", Reason.UNLABELLED), (3, "label", Reason.NULL)}


@pytest.mark.parametrize(
    "labels", [["Entailment", " neutral ", "-", None], [0, 2, -1, None], ["1", "e", "maybe", None]]
)
def test_nli_labels(labels: list[object]) -> None:
    rows = dataset(a=["x"] * 4, b=["y"] * 4, label=labels)
    bad = scan_cells(rows, Roles(Kind.NLI, "a", "b", label="label"))
    assert found(bad) == {(2, "label", Reason.UNLABELLED), (3, "label", Reason.NULL)}


def test_rows_are_numbered_through_batches_and_selections(monkeypatch: pytest.MonkeyPatch) -> None:
    cells = [None if row % 7 == 3 else f"text {row}" for row in range(50)]
    rows = dataset(a=cells, b=cells[::-1])
    whole = scan_cells(rows, PAIRS)
    a = {(row, "a", Reason.NULL) for row in range(50) if cells[row] is None}
    assert found(whole) == a | {(49 - row, "b", Reason.NULL) for row, _, _ in a}
    assert whole.cell_rows.tolist() == sorted(whole.cell_rows.tolist())
    monkeypatch.setattr(cell_reading, "BATCH_ROWS", 4)
    assert found(scan_cells(rows, PAIRS)) == found(whole)
    shuffled = np.random.default_rng(5).permutation(50)
    moved = scan_cells(rows.select(shuffled), PAIRS)
    assert {(int(shuffled[cell.row]), cell.column, cell.reason) for cell in moved} == found(whole)


@given(st.lists(st.text(max_size=5), min_size=1, max_size=5))
@settings(deadline=None)
def test_whatever_normalises_to_nothing_is_blank(cells: list[str]) -> None:
    bad = scan_cells(dataset(a=cells, b=["p"] * len(cells)), PAIRS)
    empty = {row for row, cell in enumerate(cells) if not normalise(cell)}
    assert empty <= set(bad.rows.tolist())
    visible = {row for row, cell in enumerate(cells) if any(letter.isalnum() for letter in cell)}
    assert not (visible - empty) & set(bad.rows.tolist())
