from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.texts import TextTable
from sbert_triplet.evaluation.audit import Audit, Finding, Margin, audit_examples, equal_rows, known_prompts
from sbert_triplet.evaluation.audit.lengths import CountTokens

ROWS = 600


def examples(kind: Kind, anchors: Any, positives: Any = None, **more: Any) -> Examples:
    """Source rows are numbered from 1,000, so that a position cannot pass for a row number."""
    anchors = np.asarray(anchors, dtype=np.int64)
    if positives is not None:
        positives = np.asarray(positives, dtype=np.int64)
    if isinstance(more.get("negatives"), list):
        more["negatives"] = Ragged.from_lists(more["negatives"])
    for name, kind_of_number in (("labels", np.int64), ("scores", np.float64)):
        if name in more:
            more[name] = np.asarray(more[name], dtype=kind_of_number)
    return Examples(kind, anchors, 1000 + np.arange(len(anchors)), positives, **more)


def clean(kind: Kind) -> Examples:
    """Rows in which nothing is wrong."""
    anchors, positives = np.arange(ROWS), ROWS + np.arange(ROWS)
    more: dict[str, Any] = {}
    if kind is Kind.LABELLED:
        return examples(kind, anchors, labels=np.arange(ROWS) % 5, label_names=tuple("abcde"))
    if kind is Kind.TRIPLETS:
        more["negatives"] = [[2 * ROWS + row, 3 * ROWS + row] for row in range(ROWS)]
    if kind in (Kind.SCORED, Kind.RETRIEVAL):
        more["scores"] = 1.0 + np.arange(ROWS) % 5
    if kind is Kind.NLI:
        more["labels"] = np.arange(ROWS) % 3
    return examples(kind, anchors, positives, **more)


def changed(rows: Examples, **changes: Any) -> Examples:
    return Examples(**{**vars(rows), **changes})


def words(ids: Any) -> list[str]:
    return [f"text {number}" for number in ids]


def counted(count: Callable[[list[str]], list[int]], limit: int | None = None) -> CountTokens:
    """Token counts of an encoder that reads ``limit`` of them."""

    def read(role: str, ids: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        full = np.array(count(words(ids)), dtype=np.int64)
        return full, full if limit is None else np.minimum(full, limit)

    return read


def found(audit: Audit, code: str) -> Finding:
    findings = [finding for finding in audit.findings if finding.code == code]
    assert len(findings) == 1, [finding.code for finding in audit.findings]
    return findings[0]


@pytest.mark.parametrize("kind", list(Kind))
def test_clean_rows_give_no_finding(kind: Kind) -> None:
    rows = clean(kind)
    test = changed(rows, anchors=rows.anchors + 5000)
    if rows.positives is not None:
        test = changed(test, positives=rows.positives + 5000)
    audit = audit_examples(
        rows,
        words,
        bad_cells=[],
        exact_rows=np.arange(ROWS),
        other={"test": test},
        tokenise=counted(lambda texts: [7] * len(texts)),
        max_length=7,
        prompts_expected=known_prompts("sentence-transformers/all-MiniLM-L6-v2"),
        batch_plan=(5, 120),
        margin=Margin(0.2, 2.0, "cosine distance"),
    )
    assert audit.findings == ()
    assert audit.errors == ()


def test_cells_that_cannot_be_used_are_errors_by_column_and_reason() -> None:
    cells = [(7, "body", "empty"), (3, "body", "empty"), (4, "body", "not text"), (3, "title", "empty")]
    audit = audit_examples(clean(Kind.PAIRS), words, bad_cells=cells)
    assert [(finding.code, finding.level, finding.count, finding.rows) for finding in audit.findings] == [
        ("bad-cells", "error", 2, (3, 7)),
        ("bad-cells", "error", 1, (4,)),
        ("bad-cells", "error", 1, (3,)),
    ]
    assert "Column 'body': 2 cells are empty" in audit.findings[0].message
    assert "data.on_bad_row: skip" in audit.findings[0].message
    assert audit.errors == audit.findings


def test_only_the_first_twenty_rows_are_listed() -> None:
    audit = audit_examples(clean(Kind.PAIRS), words, bad_cells=[(row, "c", "null") for row in range(50)])
    assert found(audit, "bad-cells").count == 50
    assert found(audit, "bad-cells").rows == tuple(range(20))
    assert audit.lines()[0].endswith("(rows 1, 2, 3, 4, 5, 6, 7, 8, ...) [bad-cells]")


def test_exact_duplicates_are_told_from_normalised_ones() -> None:
    rows = clean(Kind.PAIRS)
    rows.anchors[[10, 20, 30]], rows.positives[[10, 20, 30]] = 5, ROWS + 5
    exact = np.arange(ROWS)
    exact[20] = 5
    audit = audit_examples(rows, words, exact_rows=exact)
    assert (found(audit, "exact-duplicates").rows, found(audit, "exact-duplicates").level) == (
        (1020,),
        "note",
    )
    assert found(audit, "normalised-duplicates").rows == (1010, 1030)
    assert found(audit_examples(rows, words), "duplicate-rows").rows == (1010, 1020, 1030)


def test_many_duplicates_are_a_warning() -> None:
    rows = clean(Kind.PAIRS)
    audit = audit_examples(rows.select(np.r_[np.arange(ROWS), np.arange(7)]), words)
    assert found(audit, "duplicate-rows").level == "warning"
    assert found(audit, "duplicate-rows").count == 7


def test_equal_rows_compares_cells_as_they_are() -> None:
    table = pa.table({"a": ["x", "X", "x", None, None], "b": pa.chunked_array([["1", "1"], ["1", "2", "2"]])})
    codes = equal_rows([table["a"], table["b"]])
    assert codes[0] == codes[2]
    assert codes[3] == codes[4]
    assert len(set(codes.tolist())) == 3


def test_another_negative_or_label_makes_another_row() -> None:
    triplets = examples(Kind.TRIPLETS, [1, 1, 1], [2, 2, 2], negatives=[[3, 4], [4, 3], [3, 5]])
    assert found(audit_examples(triplets, words), "duplicate-rows").rows == (1001,)
    classes = examples(Kind.LABELLED, [1, 1, 1, 2], labels=[0, 1, 0, 1])
    assert found(audit_examples(classes, words), "duplicate-rows").rows == (1002,)
    nli = examples(Kind.NLI, [1, 1, 2], [2, 2, 1], labels=[0, 0, 0])
    assert found(audit_examples(nli, words), "duplicate-rows").rows == (1001,)
    scored = examples(Kind.SCORED, [1, 2, 1], [2, 1, 2], scores=[0.5, 0.5, 0.7])
    assert found(audit_examples(scored, words), "duplicate-rows").rows == (1001,)


def test_conflicting_labels_and_scores() -> None:
    rows = clean(Kind.LABELLED)
    rows.anchors[6] = 5
    conflict = found(audit_examples(rows, words), "conflicting-labels")
    assert (conflict.level, conflict.count, conflict.rows) == ("warning", 2, (1005, 1006))
    assert conflict.message.startswith("1 text stands with different labels, in 2 rows.")
    scored = clean(Kind.SCORED)
    scored.anchors[6], scored.positives[6] = ROWS + 5, 5
    assert found(audit_examples(scored, words), "conflicting-scores").rows == (1005, 1006)
    nli = clean(Kind.NLI)
    nli.anchors[6], nli.positives[6] = 5, ROWS + 5
    assert found(audit_examples(nli, words), "conflicting-labels").rows == (1005, 1006)
    judged = clean(Kind.RETRIEVAL)
    judged.anchors[6], judged.positives[6] = 5, ROWS + 5
    assert found(audit_examples(judged, words), "conflicting-scores").rows == (1005, 1006)


def test_an_anchor_that_equals_its_positive() -> None:
    rows = clean(Kind.PAIRS)
    rows.positives[9] = rows.anchors[9]
    assert found(audit_examples(rows, words), "anchor-equals-positive").rows == (1009,)


def test_equal_texts_that_are_said_to_differ() -> None:
    scored = clean(Kind.SCORED)
    scored.positives[[4, 5]] = scored.anchors[[4, 5]]
    assert scored.scores[[4, 5]].tolist() == [5.0, 1.0]
    assert found(audit_examples(scored, words), "equal-texts-scored-low").rows == (1005,)
    nli = clean(Kind.NLI)
    nli.positives[[3, 4]] = nli.anchors[[3, 4]]
    assert nli.labels[[3, 4]].tolist() == [0, 1]
    assert found(audit_examples(nli, words), "equal-texts-not-entailed").rows == (1004,)


def test_negatives_that_are_known_positives_or_the_anchor() -> None:
    rows = clean(Kind.TRIPLETS)
    rows.anchors[8] = rows.anchors[7]
    rows.negatives.values[2 * 8] = rows.positives[7]
    rows.negatives.values[2 * 11 + 1] = rows.positives[11]
    rows.negatives.values[2 * 12 + 1] = rows.anchors[12]
    rows.negatives.values[2 * 13] = rows.positives[14]
    audit = audit_examples(rows, words)
    assert found(audit, "negative-is-positive").rows == (1008, 1011)
    assert found(audit, "negative-equals-anchor").rows == (1012,)
    assert len(audit.findings) == 2


def qa_texts(ids: Any) -> list[str]:
    """Ids below ``ROWS`` are questions, the others long answers."""
    return [f"What is {number}?" if number < ROWS else f"{number} is a number. " * 9 for number in ids]


def test_swapped_columns_by_questions() -> None:
    rows = clean(Kind.PAIRS)
    swapped = changed(rows, anchors=rows.positives, positives=rows.anchors)
    assert audit_examples(rows, qa_texts).findings == ()
    finding = found(audit_examples(swapped, qa_texts), "swapped-columns")
    assert finding.level == "warning"
    assert "100 % of the positives are questions and 0 % of the anchors" in finding.message


def test_swapped_columns_by_repetition() -> None:
    rows = clean(Kind.PAIRS)
    documents = changed(rows, anchors=ROWS + np.arange(ROWS) // 3, positives=rows.anchors)

    def texts(ids: Any) -> list[str]:
        return [text.replace("?", "") for text in qa_texts(ids)]

    assert "anchors repeat" in found(audit_examples(documents, texts), "swapped-columns").message


@pytest.mark.parametrize(
    ("long", "short"),
    [
        ("We cannot log in since Monday, what can we do about it? {}", "Reset it."),
        ("An article about the {} of the year. " + "It goes on and on. " * 9, "The {} of the year"),
        ("The {} was shipped on Monday.", "Was the {} shipped then?"),
        ("Is the shipment {} lost, or is it only late, and whom do I ask about it?", "Late {}?"),
    ],
    ids=[
        "tickets and canned replies",
        "articles and headlines",
        "questions made of statements",
        "questions on both sides",
    ],
)
def test_long_anchors_alone_do_not_look_swapped(long: str, short: str) -> None:
    rows = clean(Kind.PAIRS)
    if "{}" not in short:
        rows.positives[:] = ROWS + np.arange(ROWS) % 30

    def texts(ids: Any) -> list[str]:
        return [(long if number < ROWS else short).format(number) for number in ids]

    assert "swapped-columns" not in [finding.code for finding in audit_examples(rows, texts).findings]


def test_lengths_and_what_is_cut_off() -> None:
    rows = examples(Kind.PAIRS, np.arange(10), 10 + np.arange(10))
    audit = audit_examples(
        rows, words, tokenise=counted(lambda texts: [int(text[5:]) for text in texts], 17), max_length=17
    )
    assert audit.lengths["anchor"] == pytest.approx(
        {
            "texts": 10,
            "mean": 4.5,
            "median": 4.5,
            "p95": 8.55,
            "max": 9,
            "truncated_texts_share": 0.0,
            "truncated_tokens_share": 0.0,
        }
    )
    assert audit.lengths["positive"]["truncated_texts_share"] == 0.2
    assert audit.lengths["positive"]["truncated_tokens_share"] == pytest.approx(3 / 145)
    finding = found(audit, "truncated-texts")
    assert (finding.level, finding.count, finding.rows) == ("warning", 2, (1008, 1009))
    assert finding.message.startswith("positive: 20.0 % of the texts are longer than the 17 tokens")
    assert "Measured on" not in finding.message


def test_little_that_is_cut_off_is_a_note_and_no_limit_none() -> None:
    rows = clean(Kind.LABELLED)

    def count(texts: list[str]) -> list[int]:
        return [11 if text == "text 3" else 10 for text in texts]

    audit = audit_examples(rows, words, tokenise=counted(count, 10), max_length=10)
    assert (found(audit, "truncated-texts").level, found(audit, "truncated-texts").rows) == ("note", (1003,))
    assert list(audit.lengths) == ["text"]
    free = audit_examples(rows, words, tokenise=counted(count))
    assert free.findings == ()
    assert "truncated_texts_share" not in free.lengths["text"]


def test_lengths_of_much_text_come_from_a_sample_that_the_seed_fixes() -> None:
    rows = examples(Kind.LABELLED, np.arange(20_000), labels=np.arange(20_000) % 2)
    asked: list[int] = []

    def count(texts: list[str]) -> list[int]:
        asked.append(len(texts))
        return [1 + int(text[5:]) % 100 for text in texts]

    count_read = counted(count, 50)
    audits = [
        audit_examples(rows, words, tokenise=count_read, max_length=50, seed=seed) for seed in (1, 1, 2)
    ]
    assert asked == [5000] * 3
    assert audits[0] == audits[1]
    assert audits[0].lengths != audits[2].lengths
    finding = found(audits[0], "truncated-texts")
    assert "Measured on 5,000 of 20,000 texts" in finding.message
    assert 9_000 < finding.count < 11_000


def test_equal_texts_are_counted_once_and_weigh_as_often_as_they_occur() -> None:
    rows = examples(Kind.LABELLED, [1, 1, 1, 2], labels=[0, 0, 0, 1])
    asked: list[str] = []

    def count(texts: list[str]) -> list[int]:
        asked.extend(texts)
        return [10 if text == "text 1" else 2 for text in texts]

    assert audit_examples(rows, words, tokenise=counted(count)).lengths["text"]["mean"] == 8.0
    assert sorted(asked) == ["text 1", "text 2"]


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("intfloat/e5-small-v2", "query: ", "passage: "),
        ("intfloat/multilingual-e5-base", "query: ", "passage: "),
        ("/models/multilingual-e5-large/", "query: ", "passage: "),
        ("C:\\models\\e5-base", "query: ", "passage: "),
        ("BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("BAAI/bge-large-zh", "为这个句子生成表示以用于检索相关文章：", ""),
        (
            "Snowflake/snowflake-arctic-embed-m-v1.5",
            "Represent this sentence for searching relevant passages: ",
            "",
        ),
        ("Snowflake/snowflake-arctic-embed-l-v2.0", "query: ", ""),
        ("nomic-ai/nomic-embed-text-v1.5", "search_query: ", "search_document: "),
        ("google/embeddinggemma-300m", "task: search result | query: ", "title: none | text: "),
    ],
)
def test_models_that_want_prompts(name: str, query: str, document: str) -> None:
    prompts = known_prompts(name)
    assert prompts is not None
    assert (prompts.query, prompts.document) == (query, document)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("intfloat/multilingual-e5-large-instruct", "\nQuery: "),
        ("Qwen/Qwen3-Embedding-0.6B", "\nQuery:"),
        ("Alibaba-NLP/gte-Qwen2-1.5B-instruct", "\nQuery: "),
    ],
)
def test_models_that_want_an_instruction_before_queries_alone(name: str, ending: str) -> None:
    prompts = known_prompts(name)
    assert prompts is not None
    assert prompts.query.startswith("Instruct: ")
    assert prompts.query.endswith(ending)
    assert prompts.document == ""


@pytest.mark.parametrize(
    "name",
    [
        "sentence-transformers/all-MiniLM-L6-v2",
        "BAAI/bge-m3",
        "thenlper/gte-base",
        "Alibaba-NLP/gte-modernbert-base",
        "jinaai/jina-embeddings-v2-base-en",
        "sentence-transformers/multi-qa-mpnet-base-dot-v1",
        "answerdotai/ModernBERT-base",
        "runs/e5-small-tickets/model",
        "",
    ],
)
def test_models_that_want_none(name: str) -> None:
    assert known_prompts(name) is None


def test_missing_prompts_are_named() -> None:
    expected = known_prompts("intfloat/e5-base-v2")
    rows = clean(Kind.PAIRS)
    finding = found(audit_examples(rows, words, prompts_expected=expected), "prompts-missing")
    assert finding.level == "warning"
    assert "'query: ' before queries and 'passage: ' before documents" in finding.message
    assert audit_examples(rows, words, prompts_expected=expected, prompts_set=True).findings == ()


def test_classes_too_small_for_the_batches() -> None:
    labels = [0] * 5 + [1] * 4 + [2] * 2 + [3]
    rows = examples(Kind.LABELLED, np.arange(12), labels=labels)
    audit = audit_examples(rows, words, batch_plan=(3, 4))
    small = found(audit, "small-classes")
    assert (small.count, small.rows) == (3, (1009, 1010, 1011))
    assert "2 classes have fewer than 4 different texts" in small.message
    assert "1 with a single text cannot be used" in small.message
    assert "too-few-classes" not in [finding.code for finding in audit.findings]
    few = found(audit_examples(rows, words, batch_plan=(8, 2)), "too-few-classes")
    assert (few.level, few.message[:14]) == ("warning", "Only 3 classes")


def test_copies_of_a_text_are_one_text_of_its_class() -> None:
    rows = examples(Kind.LABELLED, [1, 1, 1, 2, 3], labels=[0, 0, 0, 1, 1])
    finding = found(audit_examples(rows, words, batch_plan=(2, 2)), "too-few-classes")
    assert finding.level == "error"


def test_a_single_class_or_score_is_an_error() -> None:
    one_class = examples(Kind.LABELLED, np.arange(ROWS), labels=np.zeros(ROWS))
    assert found(audit_examples(one_class, words, batch_plan=(2, 2)), "single-class").level == "error"
    one_score = examples(Kind.SCORED, np.arange(ROWS), ROWS + np.arange(ROWS), scores=np.ones(ROWS))
    assert found(audit_examples(one_score, words), "constant-scores").level == "error"


@pytest.mark.parametrize(
    ("margin", "says"), [(5.0, "can never be met"), (0.0, "asks for nothing"), (-1.0, "nothing")]
)
def test_a_margin_out_of_reach(margin: float, says: str) -> None:
    audit = audit_examples(clean(Kind.PAIRS), words, margin=Margin(margin, 2.0, "euclidean distance"))
    finding = found(audit, "margin-out-of-reach")
    assert finding.level == "error"
    assert says in finding.message
    assert "euclidean distance lies between 0 and 2" in finding.message


def test_a_margin_at_the_end_of_the_range_is_within_it() -> None:
    assert (
        audit_examples(clean(Kind.PAIRS), words, margin=Margin(2.0, 2.0, "euclidean distance")).findings == ()
    )


def test_leaks_between_given_files_through_both_sides_of_pairs() -> None:
    train = clean(Kind.SCORED)
    test = examples(Kind.SCORED, [5000, 3, ROWS + 4, 5001], [5002, 5003, 4, 7], scores=[1, 2, 1, 2])
    dev = examples(Kind.SCORED, [5000, 6000], [6001, 6002], scores=[1, 2])
    audit = audit_examples(train, words, other={"dev": dev, "test": test})
    leak = found(audit, "leak-train-test")
    assert (leak.level, leak.count, leak.rows) == ("warning", 3, (1001, 1002, 1003))
    assert leak.message.startswith(
        "3 of 4 rows of test (75.0 %) have a text that train has too; 1 is the same pair."
    )
    assert found(audit, "leak-dev-test").rows == (1000,)
    assert "leak-train-dev" not in [finding.code for finding in audit.findings]


def test_documents_of_retrieval_may_be_shared_and_queries_not() -> None:
    train = clean(Kind.RETRIEVAL)
    test = examples(Kind.RETRIEVAL, [5000, 8], [ROWS + 1, 5001], scores=[1, 1])
    assert found(audit_examples(train, words, other={"test": test}), "leak-train-test").rows == (1001,)
    canned = examples(Kind.PAIRS, np.arange(ROWS), ROWS + np.arange(ROWS) % 5)
    shared = examples(Kind.PAIRS, [5000, 8], [ROWS + 1, 5001])
    assert found(audit_examples(canned, words, other={"test": shared}), "leak-train-test").rows == (1001,)


def test_documents_of_a_given_retrieval_folder_may_stand_in_pairs() -> None:
    judged = examples(Kind.RETRIEVAL, [5000, 8], [ROWS + 1, 5001], scores=[1, 1])
    leak = found(audit_examples(clean(Kind.PAIRS), words, other={"test": judged}), "leak-train-test")
    assert leak.rows == (1001,)
    assert "have an anchor that train has too" in leak.message


def test_leaks_of_labelled_text() -> None:
    test = examples(Kind.LABELLED, [5000, 8], labels=[0, 1])
    leak = found(audit_examples(clean(Kind.LABELLED), words, other={"test": test}), "leak-train-test")
    assert leak.rows == (1001,)
    assert "have a text that train has too" in leak.message


def test_little_data_is_a_warning() -> None:
    rows = clean(Kind.PAIRS)
    assert (
        "Only 199 different anchors"
        in found(audit_examples(rows.select(np.arange(199)), words), "few-rows").message
    )
    assert audit_examples(rows.select(np.arange(200)), words).findings == ()
    test = examples(Kind.PAIRS, np.arange(5000, 5049), np.arange(6000, 6049))
    assert (
        "test has only 49"
        in found(audit_examples(rows, words, other={"test": test}), "few-rows-test").message
    )


def test_no_rows_is_an_error() -> None:
    audit = audit_examples(examples(Kind.PAIRS, [], []), words, bad_cells=[(0, "a", "null")])
    assert [finding.code for finding in audit.errors] == ["bad-cells", "no-rows"]


def test_errors_come_first_and_json_holds_everything() -> None:
    rows = clean(Kind.PAIRS)
    rows.anchors[3], rows.positives[3] = 2, ROWS + 2
    rows.positives[9] = 9
    audit = audit_examples(
        rows,
        words,
        margin=Margin(5.0, 2.0, "euclidean distance"),
        tokenise=counted(lambda texts: [3] * len(texts)),
    )
    assert [finding.level for finding in audit.findings] == ["error", "warning", "note"]
    read = json.loads(json.dumps(audit.as_json()))
    assert read["findings"][1] == {
        "code": "anchor-equals-positive",
        "level": "warning",
        "message": audit.findings[1].message,
        "count": 1,
        "rows": [1010],
    }
    assert read["lengths"]["anchor"]["max"] == 3
    assert [(line.split()[0], line[line.rindex("(row") :]) for line in audit.lines()[1:]] == [
        ("warning", "(row 1010) [anchor-equals-positive]"),
        ("note", "(row 1004) [duplicate-rows]"),
    ]
    assert audit.lines()[0].endswith("[margin-out-of-reach]")


def load(
    folder: Path,
    names: list[str],
    kind: Kind,
    columns: list[str],
    label: str | None = None,
    score: str | None = None,
) -> tuple[list[Examples], TextTable, list[pa.Table]]:
    texts, files, tables = TextTable(), [], []
    classes: dict[str, int] = {}
    for name in names:
        table = pq.read_table(folder / name)
        ids = [texts.add(table[column].to_pylist()) for column in columns]
        more: dict[str, Any] = {}
        if label:
            more["labels"] = [classes.setdefault(value, len(classes)) for value in table[label].to_pylist()]
        if score:
            more["scores"] = table[score].to_pylist()
        if len(ids) == 3:
            more["negatives"] = [[negative] for negative in ids[2]]
        files.append(examples(kind, *ids[:2], **more))
        tables.append(table)
    return files, texts, tables


def test_duplicates_of_real_classes(shared_data: Path) -> None:
    """The counts that the data sets' own notes give."""
    for name, duplicates in (("trec/train", 71), ("banking77/train", 4), ("hwu64/dev", 70)):
        (rows,), texts, (table,) = load(
            shared_data, [f"{name}.parquet"], Kind.LABELLED, ["text"], label="label"
        )
        exact = equal_rows([table["text"], table["label"]])
        audit = audit_examples(rows, texts.texts, exact_rows=exact)
        assert found(audit, "exact-duplicates").count == duplicates
        assert "conflicting-labels" not in [finding.code for finding in audit.findings]


def test_real_scored_pairs(shared_data: Path) -> None:
    """12 pairs of STS-B's test also stand in its train, by the data set's own notes."""
    names = ["stsb/train.parquet", "stsb/test.parquet"]
    (train, test), texts, _ = load(shared_data, names, Kind.SCORED, ["sentence1", "sentence2"], score="score")
    audit = audit_examples(train, texts.texts, other={"test": test})
    assert "; 12 are the same pair" in found(audit, "leak-train-test").message
    assert {finding.code for finding in audit.findings} == {
        "conflicting-scores",
        "leak-train-test",
        "duplicate-rows",
    }
    (rqe,), texts, _ = load(
        shared_data, ["rqe/train.parquet"], Kind.SCORED, ["sentence1", "sentence2"], score="score"
    )
    assert audit_examples(rqe, texts.texts).findings == ()


def test_real_triplets(shared_data: Path) -> None:
    names = ["nli/triplets_train.parquet", "nli/triplets_test.parquet"]
    columns = ["anchor", "positive", "negative"]
    (train, test), texts, (table, _) = load(shared_data, names, Kind.TRIPLETS, columns)
    audit = audit_examples(train, texts.texts, other={"test": test})
    wrong = found(audit, "negative-is-positive")
    positives = set(zip(table["anchor"].to_pylist(), table["positive"].to_pylist(), strict=True))
    for row in wrong.rows:
        cells = table.slice(row - 1000, 1).to_pylist()[0]
        assert (cells["anchor"], cells["negative"]) in positives
    assert {finding.code for finding in audit.findings} == {"negative-is-positive", "leak-train-test"}


@pytest.mark.parametrize(
    ("name", "columns", "codes"),
    [
        ("medquad/train.parquet", ["anchor", "positive"], {"anchor-equals-positive"}),
        ("medquad/train.parquet", ["positive", "anchor"], {"anchor-equals-positive", "swapped-columns"}),
        ("multi30k/dev.parquet", ["anchor", "positive"], set()),
        ("multi30k/dev.parquet", ["positive", "anchor"], set()),
        ("asset/train.parquet", ["anchor", "positive"], {"duplicate-rows"}),
        ("asset/train.parquet", ["positive", "anchor"], {"duplicate-rows"}),
        ("nli/pairs_train.parquet", ["anchor", "positive"], set()),
    ],
)
def test_real_pairs_give_no_false_alarm(
    shared_data: Path, name: str, columns: list[str], codes: set[str]
) -> None:
    (rows,), texts, _ = load(shared_data, [name], Kind.PAIRS, columns)
    assert {finding.code for finding in audit_examples(rows, texts.texts).findings} == codes


def test_only_equal_sides_are_an_error() -> None:
    rows = examples(Kind.PAIRS, np.arange(300), np.arange(300))
    assert found(audit_examples(rows, words), "anchor-equals-positive").level == "error"
