"""Every kind of input runs from end to end: roles, splits, metrics, what is ranked and what is left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.errors import DataError

if TYPE_CHECKING:
    from tests.pipeline.conftest import Rows, Tables, Train

RETRIEVAL = ["nDCG@10", "RR@10", "AP@100", "Success@1", "Success@3", "R@100"]


def triplets(tables: Tables, count: int = 60) -> Rows:
    return [
        {"anchor": tables.question(n), "positive": tables.answer(n), "negative": tables.answer(n + 1000)}
        for n in range(count)
    ]


def many_negatives(tables: Tables) -> Rows:
    """0 to 3 negatives a row, as a list."""
    return [
        {
            "anchor": tables.question(n),
            "positive": tables.answer(n),
            "negatives": [tables.answer(1000 * k + n) for k in range(1, 1 + n % 4)],
        }
        for n in range(60)
    ]


def negative_columns(tables: Tables) -> Rows:
    return [
        {"query": tables.question(n), "positive": tables.answer(n)}
        | {f"negative_{k}": tables.answer(1000 * k + n) for k in (1, 2, 3)}
        for n in range(60)
    ]


def positive_lists(tables: Tables) -> Rows:
    return [
        {"query": tables.question(n), "positives": [tables.answer(1000 * k + n) for k in range(1 + n % 3)]}
        for n in range(60)
    ]


def positive_columns(tables: Tables) -> Rows:
    return [
        {"query": tables.question(n), "positive_1": tables.answer(n), "positive_2": tables.answer(1000 + n)}
        for n in range(60)
    ]


def classes_in_words(tables: Tables) -> Rows:
    return tables.labelled()


def classes_in_numbers(tables: Tables) -> Rows:
    return [{"text": tables.question(n), "label": 10 * (n % 4)} for n in range(60)]


def graded_pairs(tables: Tables) -> Rows:
    return [
        {"sentence1": tables.question(n), "sentence2": tables.answer(n), "score": (n % 11) / 2}
        for n in range(60)
    ]


def yes_and_no(tables: Tables) -> Rows:
    return [
        {"sentence1": tables.question(n), "sentence2": tables.answer(n), "label": n % 2} for n in range(60)
    ]


def inference(tables: Tables) -> Rows:
    labels = ("entailment", "neutral", "contradiction")
    return [
        {"premise": tables.question(n // 3), "hypothesis": tables.answer(n), "label": labels[n % 3]}
        for n in range(180)
    ]


KINDS: dict[str, tuple[Any, str, str, str, list[str], int]] = {
    "pairs": (lambda tables: tables.pairs(), "csv", "pairs", "retrieval", RETRIEVAL, 60),
    "triplets": (triplets, "csv", "triplets", "triplets", ["triplet accuracy"], 60),
    "many negatives": (many_negatives, "parquet", "triplets", "triplets", ["triplet accuracy"], 60),
    "negative columns": (negative_columns, "jsonl", "triplets", "triplets", ["triplet accuracy"], 60),
    "lists of positives": (positive_lists, "jsonl", "pairs", "retrieval", RETRIEVAL, 120),
    "positive columns": (positive_columns, "csv", "pairs", "retrieval", RETRIEVAL, 120),
    "classes": (
        classes_in_words,
        "csv",
        "labelled",
        "labelled text",
        ["1-NN accuracy", "centroid accuracy"],
        60,
    ),
    "numbered classes": (
        classes_in_numbers,
        "csv",
        "labelled",
        "labelled text",
        ["1-NN accuracy", "centroid accuracy"],
        60,
    ),
    "graded pairs": (graded_pairs, "jsonl", "scored", "scored pairs", ["Spearman", "Pearson"], 60),
    "yes and no": (yes_and_no, "csv", "scored", "binary pairs", ["pair AP"], 60),
    "NLI": (inference, "parquet", "nli", "triplets", ["triplet accuracy", "pair AP"], 180),
}
"""Rows, the format of their file, and what must come of them: kind, task, metrics, rows in all splits."""


@pytest.mark.parametrize("case", KINDS)
def test_runs(case: str, tables: Tables, train: Train) -> None:
    make, ending, kind, task, metrics, rows = KINDS[case]
    finished = train(tables.write(f"mine.{ending}", make(tables)))
    report = finished.report
    assert (report["data"]["kind"], report["task"]) == (kind, task)
    assert list(report["metrics"]) == metrics
    assert report["main_metric"] == metrics[0]
    assert sum(report["data"]["rows"].values()) == rows
    assert all(report["data"]["rows"].values())
    assert report["train"]["steps"] == 3
    items = pq.read_table(finished.run.folder / "predictions" / "items.parquet")
    assert items.num_rows == report["metrics"][metrics[0]]["n"]
    assert {"item", "base", "tuned"} <= set(items.column_names)
    assert ("class" in items.column_names) == (kind == "labelled")
    if kind == "labelled":
        nearest_texts_decide(items)


def nearest_texts_decide(items: pa.Table) -> None:
    """1-NN is right where the first of the nearest texts is of the item's class."""
    for row in items.to_pylist():
        for model in ("base", "tuned"):
            classes, right = row[f"{model}_top_class"], row[f"{model}_top_relevant"]
            assert len(row[f"{model}_top"]) == len(classes) == 5
            assert right == [name == row["class"] for name in classes]
            assert row[model] == right[0]


def test_the_pool_is_every_positive_and_negative_of_every_split_and_the_corpus(
    tables: Tables, train: Train
) -> None:
    rows = triplets(tables)
    rows[7]["negative"] = rows[8]["positive"]
    given = [{"anchor": "a new query", "positive": "a new answer", "negative": rows[3]["positive"]}]
    corpus = [{"text": f"article {n}"} for n in range(25)] + [{"text": rows[0]["positive"]}]
    finished = train(
        {
            "train": tables.write("mine.csv", rows),
            "test": tables.write("test.csv", given),
            "corpus": tables.write("articles.csv", corpus),
        },
        evaluate={"metrics": ["nDCG@10"]},
    )
    known = {row[role] for row in rows + given for role in ("positive", "negative")}
    known |= {row["text"] for row in corpus}
    assert finished.report["pool"] == {"queries": 1, "documents": len(known), "documents_seen_in_training": 0}
    assert len(known) == 60 + 59 + 1 + 25


def test_documents_of_a_corpus_come_from_the_column_of_the_positives(tables: Tables, train: Train) -> None:
    corpus = [{"text": f"a summary {n}", "answer": f"a whole answer {n}"} for n in range(10)]
    finished = train(
        {"train": tables.write("mine.csv", tables.pairs()), "corpus": tables.write("more.csv", corpus)}
    )
    assert "more.csv (file): 10 further documents, from answer" in finished.said
    assert finished.report["pool"]["documents"] == 70


SPLITS = [("train", "test"), ("train", "dev", "test"), ("dev", "test"), ("test",), ("train",)]


@pytest.mark.parametrize("splits", SPLITS)
def test_retrieval_folders(splits: tuple[str, ...], tables: Tables, train: Train) -> None:
    ranges = {"train": range(40), "dev": range(40, 45), "test": range(45, 60)}
    if "train" not in splits:
        ranges["dev"] = range(40)
    judged = {split: ranges[split] for split in splits}
    if splits == ("test",):
        judged["test"] = range(60)
    finished = train(tables.retrieval("folder", judged))
    rows = finished.report["data"]["rows"]
    assert finished.report["data"]["kind"] == "retrieval"
    assert finished.report["pool"]["documents"] == 60
    if splits == ("train", "test") or splits == ("dev", "test"):
        assert (rows["test"], rows["train"] + rows["dev"]) == (15, 40)
    elif splits == ("train", "dev", "test"):
        assert rows == {"train": 40, "dev": 5, "test": 15}
        assert finished.report["data"]["split"] == "Nothing was cut from train: dev and test as given."
    else:
        assert sum(rows.values()) == len(next(iter(judged.values())))
        assert all(rows.values())
        assert finished.report["pool"]["queries"] == rows["test"]


def test_judgements_of_a_folder_by_recipe(tables: Tables, train: Train) -> None:
    """Trained on one split of the folder and measured on another, whatever their names are."""
    folder = tables.retrieval("folder", {"dev": range(40), "test": range(40, 60)})
    data = {
        "train": {"source": folder, "split": "dev"},
        "test": {"source": folder, "split": "test"},
    }
    rows = train(data, evaluate={"dev": 0}).report["data"]["rows"]
    assert rows == {"train": 40, "dev": 0, "test": 20}


def test_a_limit_takes_whole_queries_of_a_folder(tables: Tables, train: Train) -> None:
    folder = tables.retrieval("folder", {"train": range(40)})
    more = "".join(f"q{n}\td{n + 1}\t1\n" for n in range(30))
    file = Path(folder) / "qrels" / "train.tsv"
    file.write_text(file.read_text() + more, encoding="utf-8")
    finished = train({"train": folder, "limit": 20}, evaluate={"dev": 0, "test": 0.2})
    taken = sum(finished.report["data"]["rows"].values())
    assert 19 <= taken <= 20
    assert (
        f"folder: a retrieval folder of 60 documents; train: {taken} of 70 judgements of its split train"
        in (finished.said)
    )


def test_templates_on_columns(tables: Tables, train: Train) -> None:
    rows = [
        {"subject": tables.question(n), "body": f"since day {n}", "reply": tables.answer(n)}
        for n in range(60)
    ]
    data = {
        "train": tables.write("mine.csv", rows),
        "columns": {"anchor": "{subject} | {body}", "positive": "reply"},
    }
    finished = train(data)
    items = pq.read_table(finished.run.folder / "predictions" / "items.parquet")
    whole = {f"{row['subject']} | {row['body']}" for row in rows}
    assert set(items["query"].to_pylist()) <= whole


@pytest.mark.parametrize("how", ["time", "group"])
def test_splits_by_a_column(how: str, tables: Tables, train: Train) -> None:
    rows = tables.pairs()
    for number, row in enumerate(rows):
        row["when"] = f"2024-{1 + number // 20:02d}-{1 + number % 20:02d}"
        row["customer"] = f"customer {number // 4}"
    column = {"time": "when", "group": "customer"}[how]
    finished = train({"train": tables.write("mine.csv", rows), "split": column}, evaluate={"test": 0.2})
    queries = pq.read_table(finished.run.folder / "predictions" / "items.parquet")["query"].to_pylist()
    place = {row["question"]: number for number, row in enumerate(rows)}
    tested = sorted(place[query] for query in queries)
    if how == "time":
        assert tested == list(range(60 - len(tested), 60))
        assert "the newest test" in finished.report["data"]["split"]
    else:
        customers = {number // 4 for number in tested}
        assert tested == sorted(4 * customer + k for customer in customers for k in range(4))
        assert finished.report["metrics"]["nDCG@10"]["groups"] == len(customers)


def test_slices(tables: Tables, train: Train) -> None:
    rows = tables.pairs(120)
    for number, row in enumerate(rows):
        row["source"] = "rare" if number == 119 else "usual"
    data = {"train": tables.write("mine.csv", rows), "test": tables.write("test.csv", rows[100:])}
    report = train(data, evaluate={"slices": ["language", "source"]}).report
    assert {value: entry["n"] for value, entry in report["slices"]["language"].items()} == {
        "de": 10,
        "en": 10,
    }
    assert {value: entry["n"] for value, entry in report["slices"]["source"].items()} == {"usual": 19}
    parts = report["slices"]["language"].values()
    assert sum(part["base"] for part in parts) / 2 == pytest.approx(report["metrics"]["nDCG@10"]["base"])
    assert any("1 of 2 values have fewer than 5" in note for note in report["data"]["notes"])


def test_the_log_has_one_object_a_step(tables: Tables, train: Train) -> None:
    finished = train(tables.write("mine.csv", tables.pairs()))
    lines = (finished.run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["step"] for entry in entries] == [1, 2, 3]
    for entry in entries:
        assert set(entry) == {"step", "epoch", "loss", "learning_rate", "grad_norm", "seconds", "stats"}
        assert 8 <= entry["stats"]["n_valid"] <= 16


def test_texts_alone_are_measured_on_rows_of_another_kind(tables: Tables, train: Train) -> None:
    texts = tables.write("texts.csv", [{"sentence": tables.question(n)} for n in range(60)])
    pairs = tables.write("pairs.csv", tables.pairs(20))
    data = {"train": texts, "kind": "texts", "test": pairs}
    finished = train(data, evaluate={"dev": 0})
    assert finished.report["data"]["kind"] == "texts"
    assert finished.report["train"]["loss"] == "simcse"
    assert finished.report["main_metric"] == "nDCG@10"
    assert finished.report["train"]["loss_first"] > 0


def test_texts_alone_need_something_to_be_measured_on(tables: Tables, train: Train) -> None:
    texts = tables.write("texts.csv", [{"sentence": tables.question(n)} for n in range(60)])
    with pytest.raises(DataError, match=r"data\.test"):
        train({"train": texts, "kind": "texts"})
    with pytest.raises(DataError, match="kind: texts"):
        train(texts)
