"""Roles of columns: tables as people have them, real data sets, given roles, tables that are not clear."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
import yaml

from sbert_triplet.data.column_names import is_remark, sides, text_rank, words
from sbert_triplet.data.columns import describe_roles, infer_roles
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.errors import DataError
from sbert_triplet.recipe.reading import recipe_from
from sbert_triplet.recipe.suites import suite_from

ROWS = 60
Cell = Callable[[int], Any]

NOUNS = (
    "printer",
    "invoice",
    "account",
    "password",
    "parcel",
    "router",
    "battery",
    "contract",
    "voucher",
    "screen",
)
VERBS = ("breaks", "arrives", "expires", "fails", "restarts", "disappears", "freezes")
TIMES = ("every morning", "after the update", "on Mondays", "since last week", "without warning", "at night")


def sentence(i: int) -> str:
    """A different sentence for each number."""
    return f"The {NOUNS[i % 10]} {VERBS[i % 7]} {TIMES[(i // 3) % 6]} in room number {i} of the building"


def paragraph(i: int) -> str:
    return " ".join(f"{sentence(i + 100 * part)}." for part in range(1, 6))


def title(i: int) -> str:
    return f"{NOUNS[i % 10]} {VERBS[i % 7]} again {i}"


def reply(i: int) -> str:
    """One of eight canned replies."""
    return f"Please {VERBS[i % 8 % 7]} the {NOUNS[i % 8]} as the manual says and tell us what happens then"


def one_of(*values: Any) -> Cell:
    return lambda i: values[i % len(values)]


def table(**columns: Cell) -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {name: [cell(i) for i in range(ROWS)] for name, cell in columns.items()}
    )


def named(columns: Mapping[str, Cell]) -> datasets.Dataset:
    return datasets.Dataset.from_dict(
        {name: [cell(i) for i in range(ROWS)] for name, cell in columns.items()}
    )


@dataclass(frozen=True)
class Case:
    name: str
    columns: Mapping[str, Cell]
    kind: Kind
    anchor: str
    positive: str | None = None
    kept: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


DATE = lambda i: f"2024-03-{i % 28 + 1:02d}"  # noqa: E731
NLI = one_of("entailment", "neutral", "contradiction")
SCORE = lambda i: i / ROWS  # noqa: E731

CASES = [
    Case(
        "tickets",
        {
            "id": lambda i: i,
            "created_at": DATE,
            "subject": title,
            "body": paragraph,
            "reply": reply,
            "lang": one_of("en", "de"),
        },
        Kind.PAIRS,
        "{subject}\n{body}",
        "reply",
        ("id", "created_at", "lang"),
    ),
    Case(
        "support with a resolution",
        {
            "ticket_id": lambda i: f"T-{i:05d}",
            "customer": title,
            "message": sentence,
            "resolution": paragraph,
        },
        Kind.PAIRS,
        "message",
        "resolution",
        ("ticket_id", "customer"),
    ),
    Case(
        "click log",
        {
            "query": lambda i: NOUNS[i % 10],
            "clicked_title": title,
            "url": lambda i: f"https://shop.example/{i}",
            "clicks": lambda i: i * 7 % 90,
        },
        Kind.PAIRS,
        "query",
        "clicked_title",
        ("url", "clicks"),
    ),
    Case(
        "search log with shown and clicked",
        {"searchTerm": title, "productTitle": sentence, "clicked": one_of(1, 0, 0), "ts": DATE},
        Kind.SCORED,
        "searchTerm",
        "productTitle",
        ("ts",),
        {"score": "clicked"},
    ),
    Case("FAQ", {"Question": sentence, "Answer": paragraph}, Kind.PAIRS, "Question", "Answer"),
    Case(
        "FAQ with topics",
        {
            "Nr.": lambda i: i,
            "QUESTION": sentence,
            "ANSWER": paragraph,
            "Topic": one_of("Billing", "Shipping"),
        },
        Kind.PAIRS,
        "QUESTION",
        "ANSWER",
        ("Nr.", "Topic"),
    ),
    Case(
        "quora duplicates",
        {
            "id": lambda i: i,
            "qid1": lambda i: 2 * i,
            "qid2": lambda i: 2 * i + 1,
            "question1": sentence,
            "question2": lambda i: sentence(i + 500),
            "is_duplicate": one_of(0, 1, 0),
        },
        Kind.SCORED,
        "question1",
        "question2",
        ("id", "qid1", "qid2"),
        {"score": "is_duplicate"},
    ),
    Case(
        "MS MARCO triplets",
        {"query": title, "pos": paragraph, "neg": lambda i: paragraph(i + 9)},
        Kind.TRIPLETS,
        "query",
        "pos",
        more={"negatives": ("neg",)},
    ),
    Case(
        "lists of positives and negatives",
        {
            "query": title,
            "pos": lambda i: [paragraph(i)],
            "neg": lambda i: [paragraph(i + n) for n in range(1, i % 4 + 1)],
            "prompt_type": one_of("search"),
        },
        Kind.TRIPLETS,
        "query",
        "pos",
        ("prompt_type",),
        {"negatives": ("neg",)},
    ),
    Case(
        "mined negatives in columns",
        {
            "anchor": title,
            "positive": sentence,
            "negative_10": lambda i: sentence(i + 3),
            "negative_2": lambda i: sentence(i + 2),
            "negative_1": lambda i: sentence(i + 1),
            "negative_1_score": SCORE,
        },
        Kind.TRIPLETS,
        "anchor",
        "positive",
        ("negative_1_score",),
        {"negatives": ("negative_1", "negative_2", "negative_10")},
    ),
    Case(
        "preferences",
        {"prompt": sentence, "chosen": paragraph, "rejected": lambda i: paragraph(i + 5)},
        Kind.TRIPLETS,
        "prompt",
        "chosen",
        more={"negatives": ("rejected",)},
    ),
    Case(
        "several positives",
        {"anchor": title, "positive_1": sentence, "positive_2": lambda i: sentence(i + 1)},
        Kind.PAIRS,
        "anchor",
        "positive_1",
        more={"more_positives": ("positive_2",)},
    ),
    Case(
        "several answers",
        {"question": title, "answer1": sentence, "answer2": lambda i: sentence(i + 1)},
        Kind.PAIRS,
        "question",
        "answer1",
        more={"more_positives": ("answer2",)},
    ),
    Case(
        "product titles",
        {
            "sku": lambda i: f"SKU{i:06d}",
            "title": title,
            "category": one_of("Garden > Tools", "Home > Lamps"),
        },
        Kind.LABELLED,
        "title",
        None,
        ("sku",),
        {"label": "category"},
    ),
    Case(
        "intents",
        {"utterance": sentence, "intent": one_of("book_flight", "cancel"), "split": one_of("train")},
        Kind.LABELLED,
        "utterance",
        None,
        ("split",),
        {"label": "intent"},
    ),
    Case(
        "news with numbered classes",
        {"class": one_of(0, 1, 2, 3), "title": title, "description": paragraph},
        Kind.LABELLED,
        "{title}\n{description}",
        more={"label": "class"},
    ),
    Case(
        "spam",
        {"subject": title, "body": paragraph, "label": one_of(0, 1)},
        Kind.LABELLED,
        "{subject}\n{body}",
        more={"label": "label"},
    ),
    Case(
        "label beside its spelled-out form",
        {"text": sentence, "label": one_of(0, 1, 2), "label_text": one_of("bad", "fair", "good")},
        Kind.LABELLED,
        "text",
        None,
        ("label_text",),
        {"label": "label"},
    ),
    Case(
        "names that say nothing, one text and one class",
        {"col_a": sentence, "col_b": one_of("red", "green", "blue light")},
        Kind.LABELLED,
        "col_a",
        more={"label": "col_b"},
    ),
    Case(
        "names that say nothing, short and long",
        {"field1x": paragraph, "other": title, "when": DATE},
        Kind.PAIRS,
        "other",
        "field1x",
        ("when",),
    ),
    Case(
        "papers",
        {
            "paper_id": lambda i: f"p{i}",
            "title": title,
            "abstract": paragraph,
            "year": one_of(2019, 2020, 2021),
        },
        Kind.PAIRS,
        "title",
        "abstract",
        ("paper_id", "year"),
    ),
    Case(
        "paraphrases",
        {"Text A": sentence, "Text B": lambda i: sentence(i + 1)},
        Kind.PAIRS,
        "Text A",
        "Text B",
    ),
    Case(
        "similarity as whole numbers",
        {"sentence1": sentence, "sentence2": lambda i: sentence(i + 1), "similarity": lambda i: i % 101},
        Kind.SCORED,
        "sentence1",
        "sentence2",
        more={"score": "similarity"},
    ),
    Case(
        "sick",
        {
            "pair_ID": lambda i: i,
            "sentence_A": sentence,
            "sentence_B": lambda i: sentence(i + 1),
            "relatedness_score": lambda i: 1 + 4 * i / ROWS,
            "entailment_judgment": NLI,
        },
        Kind.SCORED,
        "sentence_A",
        "sentence_B",
        ("pair_ID", "entailment_judgment"),
        {"score": "relatedness_score"},
    ),
    Case(
        "two texts that nothing tells apart, and a score",
        {"left_column": sentence, "other_column": lambda i: sentence(i + 1), "score": SCORE},
        Kind.SCORED,
        "left_column",
        "other_column",
        more={"score": "score"},
    ),
    Case(
        "answers judged by yes and no",
        {"question": title, "answer": sentence, "label": one_of(0, 1, 0, 0)},
        Kind.SCORED,
        "question",
        "answer",
        more={"score": "label"},
    ),
    Case(
        "answers with votes and stars",
        {"question": title, "answer": paragraph, "score": lambda i: i * i, "rating": one_of(1, 2, 3, 4, 5)},
        Kind.PAIRS,
        "question",
        "answer",
        ("score", "rating"),
    ),
    Case(
        "all pairs alike",
        {"sentence1": sentence, "sentence2": lambda i: sentence(i + 1), "score": one_of(1.0)},
        Kind.PAIRS,
        "sentence1",
        "sentence2",
        ("score",),
    ),
    Case(
        "NLI with bare numbers",
        {"premise": sentence, "hypothesis": lambda i: sentence(i + 1), "label": one_of(0, 1, 2, -1)},
        Kind.NLI,
        "premise",
        "hypothesis",
        more={"label": "label"},
    ),
    Case(
        "SNLI as it was published",
        {
            "gold_label": one_of("entailment", "neutral", "contradiction", "-"),
            "sentence1_binary_parse": lambda i: f"( ( {sentence(i)} ) . )",
            "sentence2_binary_parse": lambda i: f"( ( {sentence(i + 1)} ) . )",
            "sentence1": sentence,
            "sentence2": lambda i: sentence(i + 1),
            "captionID": lambda i: f"3416050480.jpg#{i}",
            "pairID": lambda i: f"3416050480.jpg#{i}r1n",
        },
        Kind.NLI,
        "sentence1",
        "sentence2",
        ("sentence1_binary_parse", "sentence2_binary_parse", "captionID", "pairID"),
        {"label": "gold_label"},
    ),
    Case(
        "search results judged",
        {
            "query_text": title,
            "doc_text": paragraph,
            "relevance_label": one_of(0, 1, 2, 3),
            "rank": lambda i: i % 10,
        },
        Kind.SCORED,
        "query_text",
        "doc_text",
        ("rank",),
        {"score": "relevance_label"},
    ),
    Case(
        "answers with a human label",
        {"question": title, "answer": sentence, "human_label": one_of(True, False)},
        Kind.SCORED,
        "question",
        "answer",
        more={"score": "human_label"},
    ),
    Case(
        "a flag as class",
        {"comment": sentence, "is_toxic": one_of(True, False, False), "created": DATE},
        Kind.LABELLED,
        "comment",
        None,
        ("created",),
        {"label": "is_toxic"},
    ),
    Case(
        "input and target",
        {"input": sentence, "target": lambda i: sentence(i + 1)},
        Kind.PAIRS,
        "input",
        "target",
    ),
    Case(
        "weights and ids",
        {
            "query_id": lambda i: f"q{i // 2}",
            "query": lambda i: title(i // 2),
            "doc_id": lambda i: f"d{i}",
            "document": paragraph,
            "weight": lambda i: 1 + i % 3,
        },
        Kind.PAIRS,
        "query",
        "document",
        more={"weight": "weight", "query_id": "query_id", "document_id": "doc_id"},
    ),
    Case(
        "Chinese, without spaces",
        {"问题": lambda i: f"怎样才能重置第{i}个账户的密码呢", "标签": one_of("账户", "物流", "支付")},
        Kind.LABELLED,
        "问题",
        more={"label": "标签"},
    ),
    Case(
        "query and article",
        {"query": title, "title": lambda i: title(i + 7), "text": paragraph, "docid": lambda i: i},
        Kind.PAIRS,
        "query",
        "{title}\n{text}",
        more={"document_id": "docid"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("reversed_columns", [False, True], ids=["", "columns reversed"])
def test_roles_of_tables_as_people_have_them(case: Case, reversed_columns: bool) -> None:
    columns = dict(reversed(case.columns.items())) if reversed_columns else dict(case.columns)
    roles = infer_roles(named(columns), name=case.name)
    if case.name.startswith("two texts that nothing") and reversed_columns:
        assert {roles.anchor, roles.positive} == {case.anchor, case.positive}
    else:
        assert (roles.kind, roles.anchor, roles.positive) == (case.kind, case.anchor, case.positive)
    assert set(roles.kept) == set(case.kept)
    expected = {"negatives": (), "more_positives": (), "label": None, "score": None, "weight": None}
    expected |= {"query_id": None, "document_id": None}
    for role, value in {**expected, **case.more}.items():
        assert getattr(roles, role) == value, role


@pytest.mark.parametrize(
    ("file", "kind", "anchor", "positive", "other", "kept"),
    [
        ("stsb/train", Kind.SCORED, "sentence1", "sentence2", {"score": "score"}, ()),
        ("banking77/train", Kind.LABELLED, "text", None, {"label": "label"}, ()),
        ("nli/triplets_train", Kind.TRIPLETS, "anchor", "positive", {"negatives": ("negative",)}, ()),
        ("nli/snli_dev", Kind.NLI, "premise", "hypothesis", {"label": "label"}, ()),
        ("medquad/train", Kind.PAIRS, "anchor", "positive", {}, ("source", "qtype")),
        ("rqe/train", Kind.SCORED, "sentence1", "sentence2", {"score": "score"}, ()),
        ("multi30k/train", Kind.PAIRS, "anchor", "positive", {}, ("image",)),
        ("asset/train", Kind.PAIRS, "anchor", "positive", {}, ("orig",)),
        ("trec/train", Kind.LABELLED, "text", None, {"label": "label"}, ("fine_label",)),
        ("hwu64/train", Kind.LABELLED, "text", None, {"label": "label"}, ()),
        ("sts12/test", Kind.SCORED, "sentence1", "sentence2", {"score": "score"}, ("subset", "in_stsb")),
        ("covid_faq/question_pairs", Kind.SCORED, "sentence1", "sentence2", {"score": "score"}, ()),
    ],
)
def test_roles_of_real_data(
    shared_data: Path,
    tmp_path: Path,
    file: str,
    kind: Kind,
    anchor: str,
    positive: str | None,
    other: Mapping[str, Any],
    kept: tuple[str, ...],
) -> None:
    dataset = datasets.Dataset.from_parquet(str(shared_data / f"{file}.parquet"), cache_dir=str(tmp_path))
    roles = infer_roles(dataset, name=file)
    assert (roles.kind, roles.anchor, roles.positive, roles.kept) == (kind, anchor, positive, kept)
    for role, value in other.items():
        assert getattr(roles, role) == value


PAIR = {"sentence1": sentence, "sentence2": lambda i: sentence(i + 1)}
UNCLEAR = {
    "two anonymous texts": {"first_thing": sentence, "thing": lambda i: sentence(i + 1)},
    "two questions": {"query": title, "question": sentence, "answer": paragraph},
    "an answer and its context": {"question": title, "answer": sentence, "context": paragraph},
    "article or class": {"title": title, "text": paragraph, "category": one_of("a b", "c d", "e f")},
    "two classes": {"text": sentence, "coarse_label": one_of("a", "b"), "fine_label": one_of("a:x", "b:y")},
    "numbers that could be NLI or grades": {**PAIR, "label": one_of(0, 1, 2)},
    "NLI with two of three numbers": {"premise": sentence, "hypothesis": paragraph, "label": one_of(0, 1, 0)},
    "verdicts in words": {"question": title, "answer": sentence, "label": one_of("right", "wrong")},
    "one text alone": {"id": lambda i: i, "text": sentence},
    "no text": {"id": lambda i: i, "price": SCORE},
    "labels all distinct": {"text": sentence, "label": lambda i: f"class {i}"},
    "one label for all": {"text": sentence, "label": one_of("spam")},
    "a title and a body with braces": {"{title}": title, "{text}": paragraph, "answer": sentence},
    "short answers or a second text": {
        "question": sentence,
        "hint": paragraph,
        "topic": one_of("a b", "c d"),
    },
}


def as_options(roles: dict[str, str | list[str]]) -> str:
    kind = [f'--set "data.kind={roles["kind"]}"'] if "kind" in roles else []
    columns = [f"--{role} {json.dumps(column)}" for role, column in roles.items() if role != "kind"]
    return " ".join([*columns, *kind])


@pytest.mark.parametrize("case", UNCLEAR)
def test_unclear_tables_are_refused_with_the_columns_and_a_way_out(case: str) -> None:
    columns = UNCLEAR[case]
    with pytest.raises(DataError) as caught:
        infer_roles(named(columns), name="mine.csv")
    message = str(caught.value)
    assert message.startswith("mine.csv: ")
    for name in columns:
        assert f"\n  {name} " in message
    for cell in columns.values():
        assert not isinstance(cell(0), str) or len(cell(0)) < 12 or cell(0) not in message
    advice, on_command_line = message[message.index("\ndata:\n") :].rsplit("\n", 1)
    recipe = yaml.safe_load(advice)
    recipe["data"]["train"] = "mine.csv"
    roles = recipe_from(recipe, origin="mine.csv").data.given_roles()
    assert on_command_line == f"The same on the command line: {as_options(roles)}"
    if case in ("one text alone", "no text", "labels all distinct", "one label for all"):
        assert roles["positive"] == "the column of the matching texts"
        return
    settled_roles = infer_roles(named(columns), roles, name="mine.csv")
    assert settled_roles.anchor == roles["anchor"]
    assert settled_roles.positive == roles.get("positive")
    assert settled_roles.score == roles.get("score")


def test_a_constant_score_ranks_nothing() -> None:
    for column, cell in (("score", one_of(3)), ("similarity", one_of(0.5))):
        with pytest.raises(DataError) as caught:
            infer_roles(table(**PAIR, **{column: cell}), {"kind": "scored"}, name="mine.csv")
        assert f"score: the column '{column}' has one value only, so there is nothing to rank" in str(
            caught.value
        )
        assert '"a column of several scores"' in str(caught.value)
    with pytest.raises(DataError, match="score: no column of numbers has the name of one"):
        infer_roles(table(**PAIR), {"kind": "scored"}, name="mine.csv")


@pytest.mark.parametrize("case", UNCLEAR)
def test_in_a_suite_the_advice_names_its_keys(case: str) -> None:
    with pytest.raises(DataError) as caught:
        infer_roles(named(UNCLEAR[case]), name="mine.csv", in_suite=True)
    message = str(caught.value)
    assert not re.search(r"data:|data\.|--|kind:|command line|recipe", message)
    said, line = message.rsplit("\n", 1)
    assert said.endswith("A line of the task in the suite's file settles it, for example:")
    task = {"name": "mine", "kind": "labels", "source": "mine.csv", **yaml.safe_load(line)}
    assert suite_from({"tasks": [task]}, origin="suite").tasks[0].columns == yaml.safe_load(line)["columns"]


def test_in_a_suite_refusals_name_no_key_of_a_recipe() -> None:
    for columns, given in (
        ({**PAIR, "distance": SCORE}, {}),
        ({**PAIR, "score": one_of("good", "bad")}, {}),
        ({**PAIR, "thing": SCORE}, {"kind": "pairs", "score": "thing"}),
    ):
        with pytest.raises(DataError) as recipe:
            infer_roles(table(**columns), given, name="mine")
        with pytest.raises(DataError) as suite:
            infer_roles(table(**columns), given, name="mine", in_suite=True)
        assert "data.kind" in str(recipe.value)
        assert "data.kind" not in str(suite.value)
    rows = datasets.Dataset.from_dict({"what is moss": ["how"], "1.5": ["so"]})
    with pytest.raises(DataError, match=r"with --anchor, --positive, --label or --score$"):
        infer_roles(rows, name="mine.csv")
    with pytest.raises(DataError, match=r"as `columns` of the task$"):
        infer_roles(rows, name="mine.csv", in_suite=True)


def test_class_labels_use_their_names() -> None:
    features = datasets.Features(
        {
            "sentence1": datasets.Value("string"),
            "sentence2": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["contradiction", "entailment", "neutral"]),
        }
    )
    dataset = table(**PAIR, label=one_of(0, 1, 2)).cast(features)
    roles = infer_roles(dataset, name="named")
    assert (roles.kind, roles.label) == (Kind.NLI, "label")
    features["label"] = datasets.ClassLabel(names=["not_equivalent", "equivalent"])
    roles = infer_roles(table(**PAIR, label=one_of(0, 1, 1)).cast(features), name="named")
    assert (roles.kind, roles.score) == (Kind.SCORED, "label")
    features["label"] = datasets.ClassLabel(names=["entailment", "not_entailment"])
    with pytest.raises(DataError, match="upside down"):
        infer_roles(table(**PAIR, label=one_of(0, 1, 1)).cast(features), name="named")


def test_bare_nli_numbers_say_which_is_which() -> None:
    dataset = table(premise=sentence, hypothesis=lambda i: sentence(i + 1), label=one_of(0, 1, 2))
    lines = describe_roles(infer_roles(dataset, name="nli"))
    assert any("0 entailment, 1 neutral, 2 contradiction" in line for line in lines)


def test_numbers_in_text_form_count_as_numbers() -> None:
    dataset = table(
        question1=sentence, question2=lambda i: sentence(i + 1), is_duplicate=one_of("0", "1", "1")
    )
    roles = infer_roles(dataset, name="strings")
    assert (roles.kind, roles.score) == (Kind.SCORED, "is_duplicate")


def test_labels_that_take_turns_are_seen_in_long_tables() -> None:
    rows = 30_000
    sentences = pa.array([f"sentence number {i} of many" for i in range(rows)])
    labels = pa.array(["entailment", "neutral", "contradiction"] * (rows // 3))
    dataset = datasets.Dataset(pa.table({"premise": sentences, "hypothesis": sentences, "label": labels}))
    assert infer_roles(dataset, name="turns").kind is Kind.NLI


GIVEN_TABLE = {
    "id": lambda i: i,
    "subject": title,
    "body": paragraph,
    "reply": reply,
    "stars": one_of(1, 2, 3),
    "price": SCORE,
    "tags": lambda i: ["a", "b"],
    "meta": lambda i: {"a": i},
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"anchor": "subject"}, Roles(Kind.PAIRS, "subject", "reply")),
        ({"anchor": "{subject}: {body}"}, Roles(Kind.PAIRS, "{subject}: {body}", "reply")),
        ({"anchor": "subject", "positive": "body"}, Roles(Kind.PAIRS, "subject", "body")),
        ({"positive": "body", "anchor": None}, Roles(Kind.PAIRS, "subject", "body")),
        (
            {"anchor": "subject", "positive": ["body", "reply"]},
            Roles(Kind.PAIRS, "subject", "body", more_positives=("reply",)),
        ),
        (
            {"anchor": "subject", "positive": "body", "negative": "reply"},
            Roles(Kind.TRIPLETS, "subject", "body", negatives=("reply",)),
        ),
        ({"score": "stars"}, Roles(Kind.SCORED, "{subject}\n{body}", "reply", score="stars")),
        ({"label": "stars", "anchor": "subject"}, Roles(Kind.LABELLED, "subject", label="stars")),
        ({"label": "stars", "anchor": "price"}, Roles(Kind.LABELLED, "price", label="stars")),
        (
            {"anchor": "subject", "positive": "reply", "weight": "price", "document_id": "id"},
            Roles(Kind.PAIRS, "subject", "reply", weight="price", document_id="id"),
        ),
    ],
)
def test_given_roles_stand_and_the_rest_is_inferred(given: Mapping[str, Any], expected: Roles) -> None:
    roles = infer_roles(named(GIVEN_TABLE), given, name="given")
    for role in ("kind", "anchor", "positive", "more_positives", "negatives", "label", "score", "weight"):
        assert getattr(roles, role) == getattr(expected, role), role
    assert roles.document_id == expected.document_id
    assert not set(roles.kept) & {"tags", "meta"}


def test_a_given_kind_settles_what_is_left_open() -> None:
    verdicts = named(UNCLEAR["verdicts in words"])
    roles = infer_roles(verdicts, {"kind": "pairs"}, name="verdicts")
    assert (roles.kind, roles.anchor, roles.positive, roles.kept) == (
        Kind.PAIRS,
        "question",
        "answer",
        ("label",),
    )
    grades = named(UNCLEAR["numbers that could be NLI or grades"])
    assert infer_roles(grades, {"kind": "nli"}, name="grades").label == "label"
    assert infer_roles(grades, {"score": "label"}, name="grades").score == "label"
    articles = named(UNCLEAR["article or class"])
    assert infer_roles(articles, {"kind": "labelled"}, name="articles").label == "category"
    assert infer_roles(articles, {"kind": "pairs"}, name="articles").positive == "text"
    with pytest.raises(DataError, match="negative: no name"):
        infer_roles(articles, {"kind": "triplets"}, name="articles")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ancor": "subject"}, "no role 'ancor'; did you mean 'anchor'"),
        ({"anchor": "Subjekt"}, "columns.anchor: no column 'Subjekt'; did you mean 'subject'"),
        ({"anchor": "{subjct}"}, "did you mean 'subject'"),
        ({"anchor": ["subject", "body"]}, "columns.anchor: one column or template, not 2"),
        ({"anchor": "meta"}, "columns.anchor: 'meta' holds nested or binary values"),
        ({"anchor": "tags"}, "columns.anchor: 'tags' holds lists of text"),
        ({"anchor": "{tags} {body}"}, "columns.anchor: 'tags' holds lists of text"),
        ({"score": "reply"}, "columns.score: 'reply' holds .*, where numbers are needed"),
        ({"label": "meta"}, "columns.label: 'meta' holds nested"),
        ({"label": ["stars"]}, "columns.label: .* is not the name of a column"),
        ({"kind": "triplet"}, "no kind 'triplet'; did you mean 'triplets'"),
        ({"kind": "retrieval"}, "no kind 'retrieval'"),
        ({"anchor": "body", "positive": "body"}, "'body' is given as anchor and as positive"),
        (
            {"anchor": "subject", "positive": "reply", "kind": "pairs", "score": "price"},
            "pairs have no use for it",
        ),
        ({"anchor": 3}, "columns.anchor: 3 is no column"),
        ({"anchor": "subject", "positive": "reply", "label": "stars"}, "neither 0 and 1"),
    ],
)
def test_given_roles_that_cannot_be(given: Mapping[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        infer_roles(named(GIVEN_TABLE), given, name="given.csv")
    assert str(caught.value).startswith("given.csv: ")


def test_empty_tables() -> None:
    with pytest.raises(DataError, match=r"none\.csv: the table has no rows"):
        infer_roles(datasets.Dataset.from_dict({"anchor": [], "positive": []}), name="none.csv")
    with pytest.raises(DataError, match="no columns"):
        infer_roles(datasets.Dataset.from_dict({}), name="none.csv")
    nothing = datasets.Dataset(
        pa.table({"anchor": pa.nulls(3, pa.string()), "positive": pa.nulls(3, pa.string())})
    )
    assert infer_roles(nothing.add_column("x", [1, 2, 3]), {"kind": "pairs"}, name="x").anchor == "anchor"


def test_a_handful_of_rows_is_read_by_its_names() -> None:
    rows = [{"anchor": "a1", "positive": "p1"}, {"anchor": "a2", "positive": "p2"}]
    roles = infer_roles(datasets.Dataset.from_list(rows), name="two")
    assert (roles.kind, roles.anchor, roles.positive) == (Kind.PAIRS, "anchor", "positive")
    rows = [{"text": "cat", "label": "animal"}, {"text": "oak", "label": "tree"}]
    roles = infer_roles(datasets.Dataset.from_list(rows), name="two")
    assert (roles.kind, roles.anchor, roles.label) == (Kind.LABELLED, "text", "label")


def test_broken_bytes_and_giant_cells_do_not_stop_inference() -> None:
    cells = [
        b"a broken \xff sentence here",
        b"a lone \xed\xa0\x80 one",
        b"/a" * 500_000 + b" b",
        b"a good sentence",
    ]
    texts = pa.array(cells * 10, pa.binary()).view(pa.string())
    dataset = datasets.Dataset(pa.table({"question": texts, "answer": texts}))
    assert infer_roles(dataset, name="broken").kind is Kind.PAIRS


def test_inference_follows_a_selection_of_rows() -> None:
    dataset = table(text=sentence, label=lambda i: "one" if i < 30 else f"other {i % 2}")
    assert infer_roles(dataset.select(range(40, 60)), name="part").label == "label"
    with pytest.raises(DataError):
        infer_roles(dataset.select(range(30)), name="part")


def test_described_lines_name_role_column_and_reason() -> None:
    roles = infer_roles(named(CASES[0].columns), name="tickets.csv")
    lines = describe_roles(roles)
    assert lines[0].split() == ["kind", "pairs"]
    assert lines[1].startswith("anchor       {subject}\\n{body}   (a title and its body read as one text")
    assert lines[2].split(maxsplit=2) == ["positive", "reply", "(by its name)"]
    assert lines[3].startswith("kept         id, created_at, lang")
    notes = describe_roles(infer_roles(named(GIVEN_TABLE), {"anchor": "subject"}, name="given"))
    assert any(line.startswith("note") and "tags" in line for line in notes)


def test_names_are_taken_apart() -> None:
    assert words("isDuplicate") == words("is_duplicate") == words("is duplicate") == ("is", "duplicate")
    assert words("sentence1") == words("Sentence_1") == ("sentence", "1")
    assert words("QUESTION") == ("question",)
    assert text_rank("positive", "best_answer") == 2
    assert text_rank("negative", "hard_negative_passage") == 2
    assert text_rank("positive", "hard_negative_passage") is None
    assert text_rank("anchor", "question_answer") is None
    assert text_rank("positive", "answer_id") is None
    assert is_remark("created_at")
    assert not is_remark("text")
    assert sides(["text_a", "text_b", "id"]) == [("text_a", "text_b")]
    assert sides(["question1", "question2", "question3"]) == []
    assert sides(["s1_parse", "s2_parse", "s1", "s2"]) == [("s1", "s2")]


@pytest.mark.parametrize(
    "names",
    [["I tried to update the size of my order", "B"], ["2024-05-01", "cat"], ["17", "where is it"]],
)
def test_a_file_without_a_line_of_names(names: list[str]) -> None:
    rows = {names[0]: [f"a question about number {n}" for n in range(20)], names[1]: ["x", "y"] * 10}
    table = datasets.Dataset.from_dict(rows)
    with pytest.raises(DataError, match="should name the columns"):
        infer_roles(table, name="nohead.csv")
    assert infer_roles(table, {"anchor": names[0], "label": names[1]}, name="nohead.csv").label == names[1]


@pytest.mark.parametrize(
    ("column", "cells", "words"),
    [
        ("score", ["high", "low"], "grades the pairs in words"),
        ("is_duplicate", ["ja", "nein"], "grades the pairs in words"),
        ("distance", [0.25, 0.75], "how far"),
    ],
)
def test_what_grades_pairs_is_not_left_aside(column: str, cells: list[object], words: str) -> None:
    texts = {side: [f"{side} sentence about {n}" for n in range(40)] for side in ("sentence1", "sentence2")}
    table = datasets.Dataset.from_dict({**texts, column: cells * 20})
    with pytest.raises(DataError, match=words):
        infer_roles(table, name="graded.csv")
    assert infer_roles(table, {"kind": "pairs"}, name="graded.csv").kind is Kind.PAIRS
