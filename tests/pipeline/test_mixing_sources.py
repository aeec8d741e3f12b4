"""Several sources, given dev and test files, limits, bad rows: what goes where, and that it is said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from sbert_triplet.data.binding import groups_of
from sbert_triplet.data.classes import with_common_classes
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.errors import DataError, InputError
from sbert_triplet.pipeline import job
from sbert_triplet.pipeline.gather import Gatherer
from sbert_triplet.pipeline.gathered import Gathered
from sbert_triplet.pipeline.mixing import repeats_by_weight, take_queries
from sbert_triplet.pipeline.options import Options
from sbert_triplet.recipe.reading import recipe_from
from sbert_triplet.recipe.sources import Source

if TYPE_CHECKING:
    from tests.pipeline.conftest import Tables, Train


def gathered(data: dict[str, object], **sections: object) -> Gathered:
    recipe = recipe_from({"data": data, **sections}, origin="test")
    set_aside = recipe.data.on_bad_row == "skip"
    scratch = Path("scratch")
    scratch.mkdir(exist_ok=True)
    return Gatherer(recipe, None, scratch, lambda _: None, set_aside=set_aside).gather()


def labelled(names: tuple[str, ...], labels: list[int]) -> Examples:
    anchors = np.arange(len(labels), dtype=np.int64)
    return Examples(Kind.LABELLED, anchors, anchors, labels=np.array(labels), label_names=names)


def anchors_of(examples: Examples, data: Gathered) -> list[str]:
    return data.texts.texts(examples.anchors)


def test_weights_repeat_and_thin_out_training_rows_alone(tables: Tables) -> None:
    """Held-out rows come once whatever the weight: repeated ones would make intervals too narrow."""
    many, few = tables.pairs(100)[:40], tables.pairs(100)[40:]
    sources = [
        {"source": tables.write("many.csv", many), "weight": 3},
        {"source": tables.write("few.csv", few), "weight": 0.5},
    ]
    data = gathered({"train": sources}, evaluate={"dev": 0.1, "test": 0.2})
    assert sum(data.rows.values()) == 100
    assert len(set(anchors_of(data.test, data))) == len(data.test)
    assert data.repeats is not None
    names = {row["question"] for row in many}
    times = Counter(
        (anchor in names, int(count))
        for anchor, count in zip(anchors_of(data.train, data), data.repeats, strict=True)
    )
    assert {count for is_many, count in times if is_many} == {3}
    assert {count for is_many, count in times if not is_many} == {0, 1}
    halved = times[(False, 1)] / (times[(False, 0)] + times[(False, 1)])
    assert 0.2 < halved < 0.8


def test_weights_decide_how_many_batches_an_epoch_has(tables: Tables, train: Train) -> None:
    source = tables.write("mine.csv", tables.pairs())
    once = train(source, smoke=True).run.folder / "recipe.yaml"
    thrice = train({"train": [{"source": source, "weight": 3}]}, out="thrice").run.folder / "recipe.yaml"
    batches = [
        next(int(line.split()[-1]) for line in file.read_text().splitlines() if "batches_per_epoch" in line)
        for file in (once, thrice)
    ]
    assert batches == [3, 8]


def test_a_weight_of_one_repeats_nothing() -> None:
    parts = [labelled(("a",), [0, 0]), labelled(("a",), [0])]
    sources = [Source(source="x"), Source(source="y", weight=2)]
    assert repeats_by_weight(parts, sources[:1] * 2, seed=1) is None
    repeats = repeats_by_weight(parts, sources, seed=1)
    assert repeats is not None
    assert repeats.tolist() == [1, 1, 2]


def test_sources_of_different_kinds_are_refused_with_their_kinds(tables: Tables) -> None:
    sources = [tables.write("pairs.csv", tables.pairs()), tables.write("classes.csv", tables.labelled())]
    with pytest.raises(DataError, match=r"pairs\.csv: pairs, classes\.csv: labelled text"):
        gathered({"train": sources})


def test_given_files_are_used_and_their_leaks_are_said(tables: Tables, train: Train) -> None:
    rows = tables.pairs(80)
    finished = train(
        {
            "train": tables.write("train.csv", rows[:60]),
            "dev": tables.write("dev.csv", rows[60:65]),
            "test": tables.write("test.csv", rows[57:]),
        }
    )
    assert finished.report["data"]["rows"] == {"train": 60, "dev": 5, "test": 23}
    leaks = {finding["code"]: finding for finding in finished.data["findings"] if "leak" in finding["code"]}
    assert set(leaks) == {"leak-train-test", "leak-dev-test"}
    assert (leaks["leak-train-test"]["count"], leaks["leak-train-test"]["rows"]) == (3, [1, 2, 3])
    assert (leaks["leak-dev-test"]["count"], leaks["leak-dev-test"]["rows"]) == (5, [4, 5, 6, 7, 8])
    assert "(rows 1, 2, 3) [leak-train-test]" in finished.text
    assert "rows are counted from 1" in finished.text


def test_classes_of_a_given_file_are_matched_by_name(tables: Tables, train: Train) -> None:
    """A test file without the first class numbers its classes otherwise than the training file does."""
    rows = [
        {"text": f"{word} {word} {n}", "label": word} for n in range(20) for word in ("ant", "bee", "cat")
    ]
    held_out = [
        {"text": f"{word} {word} {n}", "label": word} for n in range(20, 26) for word in ("bee", "cat")
    ]
    finished = train(
        {"train": tables.write("train.csv", rows), "test": tables.write("test.csv", held_out)},
        evaluate={"metrics": ["1-NN accuracy"], "dev": 0},
    )
    assert finished.report["metrics"]["1-NN accuracy"]["base"] > 0.9


def test_common_classes_keep_every_row_its_name() -> None:
    parts = {
        "train": labelled(("ant", "cat"), [1, 0, 1]),
        "test": labelled(("bee", "cat"), [0, 1]),
    }
    moved = with_common_classes(parts)
    assert {part.label_names for part in moved.values()} == {("ant", "bee", "cat")}
    assert moved["train"].labels is not None
    assert moved["test"].labels is not None
    assert (moved["train"].labels.tolist(), moved["test"].labels.tolist()) == ([2, 0, 2], [1, 2])


def test_classes_that_no_training_row_has_are_said(tables: Tables, train: Train) -> None:
    held_out = [{"text": "a new thing", "label": "class 9"}, {"text": "an old thing", "label": "class 1"}]
    finished = train(
        {"train": tables.write("train.csv", tables.labelled()), "test": tables.write("test.csv", held_out)}
    )
    assert any("1 of 2 test rows are of classes that no training row has" in line for line in finished.said)


def test_a_test_file_of_another_kind_has_its_own_metrics(tables: Tables, train: Train) -> None:
    scored = [
        {"sentence1": tables.question(n), "sentence2": tables.answer(n), "score": (n % 11) / 2}
        for n in range(20)
    ]
    finished = train(
        {"train": tables.write("train.csv", tables.pairs()), "test": tables.write("scored.csv", scored)}
    )
    assert (finished.report["task"], finished.report["main_metric"]) == ("scored pairs", "Spearman")


def test_labelled_test_rows_need_labelled_training_rows(tables: Tables) -> None:
    data = {
        "train": tables.write("train.csv", tables.pairs()),
        "test": tables.write("test.csv", tables.labelled()),
    }
    with pytest.raises(DataError, match=r"data\.test: holds labelled text.*data\.train holds pairs"):
        job.run(recipe_from({"data": data}, origin="test"), Path("out"), options=quiet())
    assert not Path("out").exists()


def quiet() -> Options:
    return Options(smoke=True, say=lambda _: None)


def test_a_limit_spreads_over_the_file(tables: Tables, train: Train) -> None:
    finished = train({"train": tables.write("mine.csv", tables.pairs(200)), "limit": 50})
    assert sum(finished.report["data"]["rows"].values()) == 50
    assert "mine.csv (file): 50 of 200 rows" in finished.said
    queries = pq.read_table(finished.run.folder / "predictions" / "items.parquet")["query"].to_pylist()
    assert any(int(query.rstrip("?").split()[-1]) >= 100 for query in queries)


def test_rows_of_a_limited_file_keep_their_numbers(tables: Tables, train: Train) -> None:
    """Row 150 of the file is row 150 in every message, however few rows are read."""
    rows = tables.pairs(200)
    for number in range(200):
        rows[number]["answer"] = "" if number == 150 else rows[number]["answer"]
    name = tables.write("mine.csv", rows)
    for limit in (100, 120, 140, 160, 199):
        data = gathered({"train": name, "limit": limit, "on_bad_row": "skip"})
        assert sum(data.rows.values()) + data.rows_set_aside == limit
        assert [row for row, _, _ in data.bad_cells] in ([], [150])
        questions = [tables.question(int(row)) for row in data.train.row_numbers]
        assert anchors_of(data.train, data) == questions
    assert data.rows_set_aside == 1


def test_a_source_has_a_limit_of_its_own(tables: Tables) -> None:
    many = [{"question": f"one {n}", "answer": f"two {n}"} for n in range(100)]
    sources = [
        {"source": tables.write("many.csv", many), "limit": 30},
        tables.write("few.csv", tables.pairs(20)),
    ]
    assert sum(gathered({"train": sources}).rows.values()) == 50


def test_take_queries_keeps_queries_whole_and_is_stable() -> None:
    judged = datasets.Dataset.from_dict(
        {"query_id": [f"q{n // 3}" for n in range(90)], "document_id": [f"d{n}" for n in range(90)]}
    )
    small, large = (take_queries(judged, limit) for limit in (10, 40))
    assert set(Counter(small["query_id"]).values()) == {3}
    assert (len(small), len(large)) == (9, 39)
    assert set(small["document_id"]) <= set(large["document_id"])
    assert take_queries(judged, 1).num_rows == 3
    assert take_queries(judged, 90) is judged


def test_rows_set_aside_are_counted(tables: Tables, train: Train) -> None:
    rows = tables.pairs()
    rows[4]["answer"] = ""
    rows[9]["question"] = "  "
    rows[11]["answer"] = " "
    finished = train({"train": tables.write("mine.csv", rows), "on_bad_row": "skip"})
    assert sum(finished.report["data"]["rows"].values()) == 57
    assert finished.data["rows_set_aside"] == 3
    found = [finding for finding in finished.data["findings"] if finding["code"] == "bad-cells"]
    assert {entry["level"] for entry in found} == {"note"}
    assert sorted(tuple(entry["rows"]) for entry in found) == [(5,), (10,), (12,)]
    assert "mine.csv: 3 of 60 rows were set aside" in finished.report["data"]["notes"]


def test_rows_that_cannot_be_used_are_refused_with_row_numbers_from_one(tables: Tables) -> None:
    rows = tables.pairs()
    rows[0]["answer"] = rows[7]["answer"] = ""
    with pytest.raises(DataError) as caught:
        gathered({"train": tables.write("mine.csv", rows)})
    lines = str(caught.value).splitlines()
    assert lines[0] == "mine.csv: 2 of 60 rows cannot be used (counted from 1, without a header line):"
    assert lines[1] == "  answer: 2 cells null (rows 1, 8)"
    assert "data.on_bad_row" in lines[2]


def test_bad_documents_of_a_corpus_are_refused_or_set_aside(tables: Tables) -> None:
    corpus = tables.write("more.jsonl", [{"text": "a document"}, {"text": " "}, {"text": "another one"}])
    data: dict[str, object] = {"train": tables.write("mine.csv", tables.pairs()), "corpus": corpus}
    with pytest.raises(DataError, match=r"(?s)more\.jsonl: 1 of 3 rows cannot be used.*blank \(row 2\)"):
        gathered(data)
    assert len(gathered({**data, "on_bad_row": "skip"}).pool) == 62


def test_a_corpus_without_a_column_of_documents(tables: Tables) -> None:
    corpus = tables.write("more.csv", [{"id": 1, "title": "x"}])
    data = {"train": tables.write("mine.csv", tables.pairs()), "corpus": corpus}
    with pytest.raises(DataError, match=r"data\.corpus: more\.csv has the columns id, title.*rename"):
        gathered(data)


def test_exact_copies_are_told_from_those_that_differ_in_spelling(tables: Tables, train: Train) -> None:
    rows = tables.pairs()
    rows[20] = dict(rows[10])
    rows[30] = {**rows[11], "question": rows[11]["question"].upper()}
    finished = train(tables.write("mine.csv", rows), evaluate={"dev": 0, "test": 0.1})
    codes = {finding["code"] for finding in finished.data["findings"]}
    assert {"exact-duplicates", "normalised-duplicates"} & codes
    assert "duplicate-rows" not in codes


def test_early_stopping_needs_rows_to_choose_by(tables: Tables, train: Train) -> None:
    data = tables.write("mine.csv", tables.pairs())
    with pytest.raises(
        InputError, match=r"no row is held out for dev \(train\.eval_steps and train\.patience"
    ):
        train(data, train={"patience": 2}, evaluate={"dev": 0})
    assert not Path("out").exists()


def test_patience_alone_sets_how_often_dev_is_scored(tables: Tables, train: Train) -> None:
    finished = train(tables.write("mine.csv", tables.pairs()), train={"patience": 1})
    scored = [
        line for line in (finished.run.folder / "log.jsonl").read_text().splitlines() if '"dev"' in line
    ]
    assert scored
    assert finished.report["train"]["best_step"] in (1, 2, 3)
    assert "eval_steps: 1" in (finished.run.folder / "recipe.yaml").read_text()


def test_rows_of_a_given_split_that_share_a_text_are_resampled_together() -> None:
    rows = Examples(Kind.TRIPLETS, np.array([1, 1, 2, 3]), np.arange(4), positives=np.array([11, 12, 13, 14]))
    groups = groups_of(rows)
    assert groups is not None
    assert groups[0] == groups[1]
    assert len(set(groups.tolist())) == 3
    assert groups_of(rows.select(np.array([0, 2, 3]))) is None
