"""Tables and retrieval folders as Examples, checked against rows built by hand."""

from __future__ import annotations

import math
from pathlib import Path

import datasets
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.data import cell_reading
from sbert_triplet.data.build import build_examples, build_retrieval, concatenate
from sbert_triplet.data.cells import scan_cells
from sbert_triplet.data.columns import infer_roles
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.data.texts import TextTable, normalise
from sbert_triplet.errors import DataError

PAIRS = Roles(Kind.PAIRS, "a", "b")


def dataset(**columns: object) -> datasets.Dataset:
    return datasets.Dataset(pa.table({name: pa.array(cells) for name, cells in columns.items()}))


def negatives(examples: Examples, texts: TextTable) -> list[list[str]]:
    assert examples.negatives is not None
    return [texts.texts(examples.negatives[row]) for row in range(len(examples))]


def test_pairs_share_ids_of_equal_texts() -> None:
    texts = TextTable()
    rows = dataset(a=["One", "two", " one"], b=["x", "ONE", "Y"], date=["d1", "d2", "d3"], n=[1, 2, 3])
    examples = build_examples(rows, Roles(Kind.PAIRS, "a", "b", kept=("date", "n")), texts)
    assert texts.texts(range(len(texts))) == ["One", "two", "x", "Y"]
    assert examples.anchors.tolist() == [0, 1, 0]
    assert examples.positives is not None
    assert examples.positives.tolist() == [2, 0, 3]
    assert examples.row_numbers.tolist() == [0, 1, 2]
    assert examples.kept is not None
    assert examples.kept.to_pydict() == {"date": ["d1", "d2", "d3"], "n": [1, 2, 3]}
    for empty in (examples.negatives, examples.labels, examples.scores, examples.weights):
        assert empty is None
    assert (examples.kind, examples.label_names) == (Kind.PAIRS, ())


def test_several_positives_become_several_rows() -> None:
    texts = TextTable()
    rows = dataset(
        a=["q0", "q1", "q2"],
        many=[["p0"], ["p1", "p2", "p3"], ["p4", "p5"]],
        n=[["n0", "n1"], ["n2"], []],
        k=["x", "y", "z"],
        w=[1.0, 2.0, 3.0],
    )
    roles = Roles(Kind.TRIPLETS, "a", "many", ("n",), kept=("k",), weight="w")
    examples = build_examples(rows, roles, texts)
    assert texts.texts(examples.anchors) == ["q0", "q1", "q1", "q1", "q2", "q2"]
    assert texts.texts(examples.positives) == ["p0", "p1", "p2", "p3", "p4", "p5"]
    assert examples.row_numbers.tolist() == [0, 1, 1, 1, 2, 2]
    assert negatives(examples, texts) == [["n0", "n1"], ["n2"], ["n2"], ["n2"], [], []]
    assert examples.weights.tolist() == [1, 2, 2, 2, 3, 3]
    assert examples.kept["k"].to_pylist() == ["x", "y", "y", "y", "z", "z"]


def test_columns_of_positives_and_negatives_may_lack_cells() -> None:
    texts = TextTable()
    rows = dataset(
        a=["q0", "q1", "q2"],
        p1=["p0", None, "p2"],
        p2=[None, "p1", "p3"],
        n1=["n0", None, " "],
        n2=["n1", None, "n2"],
    )
    roles = Roles(Kind.TRIPLETS, "a", "p1", ("n1", "n2"), more_positives=("p2",))
    examples = build_examples(rows, roles, texts)
    assert texts.texts(examples.positives) == ["p0", "p1", "p2", "p3"]
    assert examples.row_numbers.tolist() == [0, 1, 2, 2]
    assert negatives(examples, texts) == [["n0", "n1"], [], ["n2"], ["n2"]]


def test_lists_and_columns_of_negatives_together() -> None:
    texts = TextTable()
    rows = dataset(a=["q0", "q1"], b=["p0", "p1"], n=[["x", "y"], []], m=["z", None])
    examples = build_examples(rows, Roles(Kind.TRIPLETS, "a", "b", ("n", "m")), texts)
    assert negatives(examples, texts) == [["x", "y", "z"], []]


@pytest.mark.parametrize(
    ("cells", "names", "labels"),
    [
        (["pear", "apple", "pear", "fig"], ("apple", "fig", "pear"), [2, 0, 2, 1]),
        ([10, 2, 2, 10], ("10", "2"), [0, 1, 1, 0]),
        ([2.0, 1.0, 2.0, 1.0], ("1", "2"), [1, 0, 1, 0]),
        ([True, False, True, True], ("false", "true"), [1, 0, 1, 1]),
    ],
)
def test_classes_are_numbered_by_name(cells: list[object], names: tuple[str, ...], labels: list[int]) -> None:
    examples = build_examples(
        dataset(a=list("wxyz"), label=cells), Roles(Kind.LABELLED, "a", label="label"), TextTable()
    )
    assert examples.label_names == names
    assert examples.labels.tolist() == labels
    assert examples.positives is None


def test_named_classes_keep_their_names_as_labels_and_as_kept_columns() -> None:
    rows = dataset(a=["x", "y"], label=[1, 0], other=[0, 1])
    named = datasets.ClassLabel(names=["zebra", "ant"])
    rows = rows.cast(datasets.Features({**rows.features, "label": named, "other": named}))
    roles = Roles(Kind.LABELLED, "a", label="label", kept=("other",))
    examples = build_examples(rows, roles, TextTable())
    assert examples.label_names == ("ant", "zebra")
    assert examples.labels.tolist() == [0, 1]
    assert examples.kept["other"].to_pylist() == ["zebra", "ant"]


@pytest.mark.parametrize("cells", [["neutral", "Contradiction", "entails"], [1, 2, 0], ["n", "c", "e"]])
def test_nli_codes(cells: list[object]) -> None:
    rows = dataset(a=["x"] * 3, b=["y"] * 3, label=cells)
    examples = build_examples(rows, Roles(Kind.NLI, "a", "b", label="label"), TextTable())
    assert examples.labels.tolist() == [1, 2, 0]
    assert examples.label_names == ("entailment", "neutral", "contradiction")
    assert examples.known_positives().tolist() == [[0, 1]]


def test_nli_codes_of_named_classes_follow_the_names() -> None:
    rows = dataset(a=["x"] * 3, b=["y"] * 3, label=[0, 1, 2])
    named = datasets.ClassLabel(names=["contradiction", "entailment", "neutral"])
    rows = rows.cast(datasets.Features({**rows.features, "label": named}))
    assert build_examples(rows, Roles(Kind.NLI, "a", "b", label="label"), TextTable()).labels.tolist() == [
        2,
        0,
        1,
    ]


def test_scores_keep_their_scale() -> None:
    for cells in ([0.0, 4.5, -2.0], ["0", " 4.5", "-2"], np.array([0, 4.5, -2], dtype=np.float32)):
        rows = dataset(a=["x"] * 3, b=["y"] * 3, score=cells)
        examples = build_examples(rows, Roles(Kind.SCORED, "a", "b", score="score"), TextTable())
        assert examples.scores.tolist() == [0.0, 4.5, -2.0]
        assert examples.scores.dtype == np.float64


def test_templates_numbers_and_ids() -> None:
    rows = dataset(subject=["S", None], body=["B", "only"], code=[7, 8], qid=["q1", "q2"])
    roles = Roles(Kind.PAIRS, "{subject}\n{body}", "code", query_id="qid")
    texts = TextTable()
    examples = build_examples(rows, roles, texts)
    assert texts.texts(examples.anchors) == ["S\nB", "only"]
    assert texts.texts(examples.positives) == ["7", "8"]
    assert examples.kept.to_pydict() == {"qid": ["q1", "q2"]}


def test_skipped_rows_keep_the_numbers_of_the_others() -> None:
    rows = dataset(a=["x", None, "y", " ", "z"], b=["p", "q", None, "r", "s"], k=[0, 1, 2, 3, 4])
    roles = Roles(Kind.PAIRS, "a", "b", kept=("k",))
    texts = TextTable()
    examples = build_examples(rows, roles, texts, skip=scan_cells(rows, roles).rows)
    assert texts.texts(examples.anchors) == ["x", "z"]
    assert examples.row_numbers.tolist() == [0, 4]
    assert examples.kept["k"].to_pylist() == [0, 4]
    assert texts.lookup("q") is None
    none_left = build_examples(rows, roles, texts, skip=range(5))
    assert (len(none_left), none_left.kept.num_rows) == (0, 0)


@pytest.mark.parametrize(
    ("columns", "roles", "message"),
    [
        ({"a": ["x", None], "b": ["p", "q"]}, PAIRS, "row 2, column a: no text"),
        ({"a": ["x", "\u200b "], "b": ["p", "q"]}, PAIRS, "row 2, column a: no text"),
        ({"a": ["x", "y"], "b": [["p"], []]}, PAIRS, "row 2, column b: no text"),
        ({"a": ["x", "y"], "b": [["p"], ["q", None]]}, PAIRS, "row 2, column b: no text"),
        (
            {"a": ["x", "y"], "b": [None, "p"], "c": [None, None]},
            Roles(Kind.PAIRS, "a", "b", more_positives=("c",)),
            "row 1, column b: no text",
        ),
        (
            {"a": ["x", "y"], "b": ["p", "q"], "n": ["m", None]},
            Roles(Kind.TRIPLETS, "a", "b", ("n",)),
            "row 2, column n: no text",
        ),
        (
            {"a": ["x", "y"], "label": [1.0, math.nan]},
            Roles(Kind.LABELLED, "a", label="label"),
            "row 2, column label: no label",
        ),
        (
            {"a": ["x", "y"], "b": ["p", "q"], "label": [0, 3]},
            Roles(Kind.NLI, "a", "b", label="label"),
            "row 2, column label: no NLI label",
        ),
        (
            {"a": ["x", "y"], "b": ["p", "q"], "s": [0.0, math.inf]},
            Roles(Kind.SCORED, "a", "b", score="s"),
            "row 2, column s: no finite number",
        ),
    ],
)
def test_bad_cells_that_were_not_skipped_are_refused(
    columns: dict[str, object], roles: Roles, message: str
) -> None:
    rows = dataset(**columns)
    with pytest.raises(DataError, match=message):
        build_examples(rows, roles, TextTable())
    # What the build refuses, the scan lists.
    bad = scan_cells(rows, roles)
    assert len(build_examples(rows, roles, TextTable(), skip=bad.rows)) == 1


CELL = st.one_of(st.none(), st.text(max_size=4))
ROW = st.tuples(CELL, st.lists(CELL, max_size=3), CELL, CELL, st.lists(CELL, max_size=2))


@given(st.lists(ROW, min_size=1, max_size=12), st.integers(1, 5))
@settings(max_examples=80, deadline=None)
def test_a_build_equals_reading_row_by_row(rows: list[tuple], batch_rows: int) -> None:
    names = ("a", "many", "p2", "n1", "ns")
    types = (pa.string(), pa.list_(pa.string()), pa.string(), pa.string(), pa.list_(pa.string()))
    table = pa.table(
        {
            name: pa.array(cells, type)
            for name, type, cells in zip(names, types, zip(*rows, strict=True), strict=True)
        }
    )
    source = datasets.Dataset(table)
    roles = Roles(Kind.TRIPLETS, "a", "many", ("n1", "ns"), more_positives=("p2",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cell_reading, "BATCH_ROWS", batch_rows)
        bad = set(scan_cells(source, roles).rows.tolist())
        texts = TextTable()
        examples = build_examples(source, roles, texts, skip=bad)

    def present(cells: list[str | None]) -> list[str]:
        return [normalise(cell) for cell in cells if cell is not None and normalise(cell)]

    expected = [
        (row, normalise(a), positive, present([n1, *ns]))
        for row, (a, many, p2, n1, ns) in enumerate(rows)
        if row not in bad
        for positive in present([*many, p2])
    ]
    found = [
        (int(number), normalise(anchor), normalise(positive), [normalise(text) for text in own])
        for number, anchor, positive, own in zip(
            examples.row_numbers,
            texts.texts(examples.anchors),
            texts.texts(examples.positives),
            negatives(examples, texts),
            strict=True,
        )
    ]
    assert found == expected


QUERIES = [
    {"_id": "q1", "text": "first"},
    {"_id": "q2", "text": "second"},
    {"_id": "q3", "text": "never judged"},
]
CORPUS = [
    {"_id": "d1", "title": "T1", "text": "one"},
    {"_id": "d2", "title": None, "text": "two"},
    {"_id": "d3", "title": "only a title", "text": ""},
    {"_id": "d4", "title": "", "text": "TWO "},
]
JUDGEMENTS = [
    {"query_id": "q2", "document_id": "d3", "score": 2},
    {"query_id": "q1", "document_id": "d1", "score": 0},
    {"query_id": "q1", "document_id": "d4", "score": 1},
]


def rows(items: list[dict[str, object]]) -> datasets.Dataset:
    return datasets.Dataset.from_list(items)


def test_retrieval() -> None:
    texts = TextTable()
    examples, documents = build_retrieval(rows(QUERIES), rows(CORPUS), rows(JUDGEMENTS), texts)
    assert texts.texts(documents) == ["T1\none", "two", "only a title", "two"]
    assert texts.texts(examples.anchors) == ["second", "first", "first"]
    assert texts.texts(examples.positives) == ["only a title", "T1\none", "two"]
    assert examples.scores.tolist() == [2.0, 0.0, 1.0]
    assert examples.row_numbers.tolist() == [0, 1, 2]
    assert examples.kept.to_pydict() == {"query_id": ["q2", "q1", "q1"], "document_id": ["d3", "d1", "d4"]}
    assert texts.lookup("never judged") is not None
    assert len(examples.known_positives()) == 2


def test_retrieval_ids_may_be_numbers_and_titles_absent() -> None:
    texts = TextTable()
    examples, documents = build_retrieval(
        rows([{"_id": 7, "text": "q"}]),
        rows([{"_id": 1, "text": "d"}, {"_id": 2, "text": ""}]),
        rows([{"query_id": "7", "document_id": 1, "score": 1.0}]),
        texts,
    )
    assert texts.texts(documents) == ["d", ""]
    assert texts.texts(examples.positives) == ["d"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"judgements": [{"query_id": "q9", "document_id": "d1", "score": 1}]},
            "row 1: query_id 'q9' is not in queries",
        ),
        (
            {"judgements": [*JUDGEMENTS, {"query_id": "q1", "document_id": "d9", "score": 1}]},
            "row 4: document_id 'd9' is not in the corpus .1 of 4 judgements",
        ),
        (
            {"judgements": [{"query_id": "q1", "document_id": "d1", "score": None}]},
            "row 1: score is no finite number",
        ),
        ({"judgements": [{"query_id": "q1", "score": 1}]}, "judgements: no column 'document_id'"),
        ({"queries": [*QUERIES, {"_id": "q1", "text": "again"}]}, "queries: _id 'q1' comes 2 times"),
        ({"queries": [*QUERIES, {"_id": "q4", "text": " "}]}, "queries: row 4: no text"),
        ({"queries": [*QUERIES, {"_id": None, "text": "x"}]}, "queries: row 4: _id is null"),
        ({"corpus": [{"_id": "d1", "title": "T"}]}, "corpus: no column 'text'; there are _id, title"),
    ],
)
def test_retrieval_that_cannot_be(change: dict[str, list[dict[str, object]]], message: str) -> None:
    parts = {"queries": QUERIES, "corpus": CORPUS, "judgements": JUDGEMENTS, **change}
    with pytest.raises(DataError, match=message):
        build_retrieval(rows(parts["queries"]), rows(parts["corpus"]), rows(parts["judgements"]), TextTable())


def test_concatenated_classes_are_merged_by_name() -> None:
    texts = TextTable()
    roles = Roles(Kind.LABELLED, "a", label="label")
    first = build_examples(dataset(a=["x", "y"], label=["pear", "apple"]), roles, texts)
    second = build_examples(dataset(a=["z", "x"], label=["fig", "pear"]), roles, texts)
    both = concatenate([first, second])
    assert both.label_names == ("apple", "fig", "pear")
    assert [both.label_names[label] for label in both.labels] == ["pear", "apple", "fig", "pear"]
    assert texts.texts(both.anchors) == ["x", "y", "z", "x"]
    assert both.row_numbers.tolist() == [0, 1, 0, 1]


def test_concatenated_columns_negatives_and_weights() -> None:
    texts = TextTable()
    first = build_examples(
        dataset(a=["x"], b=["p"], n=[["m", "l"]], k=[1], date=["d"]),
        Roles(Kind.TRIPLETS, "a", "b", ("n",), kept=("k", "date")),
        texts,
    )
    second = build_examples(
        dataset(a=["y", "z"], b=["q", "r"], n=["m", "o"], k=["two", "three"], w=[2.0, 3.0]),
        Roles(Kind.TRIPLETS, "a", "b", ("n",), kept=("k",), weight="w"),
        texts,
    )
    both = concatenate([first, second])
    assert negatives(both, texts) == [["m", "l"], ["m"], ["o"]]
    assert both.weights.tolist() == [1.0, 2.0, 3.0]
    assert both.kept.to_pydict() == {"k": ["1", "two", "three"], "date": ["d", None, None]}
    one = concatenate([first])
    assert (one.anchors.tolist(), one.weights) == (first.anchors.tolist(), None)
    assert both.select(np.array([2, 0])).kept["date"].to_pylist() == [None, "d"]


def test_concatenated_numbers_stay_numbers_and_absent_columns_are_null() -> None:
    texts = TextTable()
    roles = Roles(Kind.PAIRS, "a", "b", kept=("k",))
    first = build_examples(dataset(a=["x"], b=["p"], k=[1]), roles, texts)
    second = build_examples(dataset(a=["y"], b=["q"], k=[0.5]), roles, texts)
    third = build_examples(dataset(a=["z"], b=["r"]), PAIRS, texts)
    assert concatenate([first, second, third]).kept["k"].to_pylist() == [1.0, 0.5, None]
    assert concatenate([third, third]).kept is None


def test_what_cannot_be_concatenated() -> None:
    texts = TextTable()
    pairs = build_examples(dataset(a=["x"], b=["p"]), PAIRS, texts)
    scored = build_examples(
        dataset(a=["x"], b=["p"], s=[1.0]), Roles(Kind.SCORED, "a", "b", score="s"), texts
    )
    with pytest.raises(DataError, match="different kinds"):
        concatenate([pairs, scored])
    with pytest.raises(DataError, match="no data"):
        concatenate([])


def test_real_tables_from_inference_to_examples(shared_data: Path, tmp_path: Path) -> None:
    for name in ("nli/snli_dev", "trec/train", "stsb/dev", "nli/triplets_test", "medquad/test"):
        source = datasets.Dataset.from_parquet(str(shared_data / f"{name}.parquet"), cache_dir=str(tmp_path))
        roles = infer_roles(source, name=name)
        texts = TextTable()
        examples = build_examples(source, roles, texts, skip=scan_cells(source, roles).rows)
        assert len(examples) == len(source)
        for row in (0, len(source) // 2, len(source) - 1):
            assert normalise(texts.text(examples.anchors[row])) == normalise(source[row][roles.anchor])
            if roles.positive:
                assert normalise(texts.text(examples.positives[row])) == normalise(
                    source[row][roles.positive]
                )


def test_a_real_retrieval_folder(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "cranfield"

    def load(path: Path) -> datasets.Dataset:
        return datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path))

    judgements = load(folder / "qrels" / "test.parquet")
    judgements = judgements.rename_columns({"query-id": "query_id", "corpus-id": "document_id"})
    texts = TextTable()
    examples, documents = build_retrieval(
        load(folder / "queries.parquet"), load(folder / "corpus.parquet"), judgements, texts
    )
    assert (len(examples), len(documents)) == (1611, 1398)
    assert len(np.unique(examples.anchors)) <= 225
    assert texts.text(documents[0]).startswith("experimental investigation of the aerody")
