"""Suites: every kind of task from files, one pass over their texts, and what is said of what cannot be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.sources import SourceSpec
from sbert_triplet.data.texts import TextTable
from sbert_triplet.encoding.embedding_cache import EmbeddingCache
from sbert_triplet.encoding.loading import load_model
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.errors import DataError, InputError
from sbert_triplet.evaluation.metrics import Task, parse_metric
from sbert_triplet.evaluation.suite_data import load_suite
from sbert_triplet.evaluation.suites import Suite, SuiteTask, measure_suite

TOPICS = ("rain", "bread", "trains", "chess", "moss", "paint", "salt", "maps", "bees", "glass")
COUNT = 24


def question(number: int) -> str:
    return f"what is known of {TOPICS[number % 10]} in case {number}?"


def answer(number: int) -> str:
    return f"about {TOPICS[number % 10]} the books of case {number} say a lot"


def write(file: Path, rows: list[dict[str, Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with rows of every kind over the same questions and answers."""
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    numbers = range(COUNT)
    pairs = [{"sentence1": question(n), "sentence2": answer(n)} for n in numbers]
    write(folder / "sts.jsonl", [{**pair, "score": (n * 7 % 11) / 2} for n, pair in enumerate(pairs)])
    write(folder / "doubles.jsonl", [{**pair, "label": n % 2} for n, pair in enumerate(pairs)])
    write(
        folder / "triplets.jsonl",
        [{"anchor": question(n), "positive": answer(n), "negative": answer(n + 5)} for n in numbers],
    )
    write(folder / "pairs.jsonl", [{"question": question(n), "answer": answer(n)} for n in numbers])
    for split, some in (("train", range(100, 130)), ("test", numbers)):
        rows = [{"text": question(n), "label": TOPICS[n % 3]} for n in some]
        write(folder / "topics" / f"{split}.jsonl", rows)
    write(folder / "faq" / "corpus.jsonl", [{"_id": f"d{n}", "text": answer(n)} for n in numbers])
    write(folder / "faq" / "queries.jsonl", [{"_id": f"q{n}", "text": question(n)} for n in numbers])
    judged = [{"query-id": f"q{n}", "corpus-id": f"d{n}", "score": 1} for n in numbers]
    write(folder / "faq" / "qrels" / "dev.jsonl", judged[:3])
    write(folder / "faq" / "qrels" / "test.jsonl", judged[3:])
    return folder


@pytest.fixture(scope="module")
def model() -> SentenceTransformer:
    return tiny_encoder([*map(question, range(COUNT)), *map(answer, range(COUNT))])


def suite(folder: Path, *tasks: SuiteTask) -> Suite:
    return Suite("trial", tasks, folder)


def task(kind: Task, source: str, *metrics: str, **others: Any) -> SuiteTask:
    name = others.pop("name", kind.value)
    chosen = tuple(map(parse_metric, metrics))
    return SuiteTask(name, kind, SourceSpec(source), metrics=chosen, **others)


def every_kind(folder: Path) -> Suite:
    return suite(
        folder,
        task(Task.SCORED, "sts.jsonl"),
        task(Task.PAIRS, "doubles.jsonl"),
        task(Task.TRIPLETS, "triplets.jsonl"),
        task(Task.LABELS, "topics"),
        task(Task.CLUSTERING, "topics"),
        task(Task.RETRIEVAL, "faq"),
        task(Task.RETRIEVAL, "pairs.jsonl", "RR@10", name="pairs"),
    )


def refused(wanted: Suite) -> str:
    with pytest.raises(DataError) as caught:
        load_suite(wanted)
    return str(caught.value)


def test_every_kind_of_task_from_files(data: Path, model: SentenceTransformer) -> None:
    loaded = load_suite(every_kind(data))
    scored = measure_suite(loaded, model)
    assert {name: list(found.values) for name, found in scored.items()} == {
        "scored pairs": ["Spearman", "Pearson"],
        "binary pairs": ["pair AP"],
        "triplets": ["triplet accuracy"],
        "labelled text": ["1-NN accuracy", "centroid accuracy", "logistic accuracy"],
        "clustering": ["V-measure"],
        "retrieval": ["nDCG@10", "RR@10", "AP@100", "Success@1", "Success@3", "R@100"],
        "pairs": ["RR@10"],
    }
    assert {name: found.threshold is not None for name, found in scored.items() if found.threshold} == {
        "binary pairs": True
    }
    per_item = {
        "binary pairs": None,
        "clustering": None,
        "scored pairs": None,
        "triplets": COUNT,
        "labelled text": COUNT,
        "retrieval": COUNT - 3,
        "pairs": COUNT,
    }
    for name, found in scored.items():
        first = next(iter(found.values.values()))
        assert np.isfinite(first.value)
        assert (None if first.per_item is None else len(first.per_item)) == per_item[name]


def test_values_are_those_of_the_model_itself(data: Path, model: SentenceTransformer) -> None:
    scored = measure_suite(load_suite(every_kind(data)), model)
    questions = model.encode([question(n) for n in range(COUNT)], normalize_embeddings=True)
    answers = model.encode([answer(n) for n in range(COUNT)], normalize_embeddings=True)
    near = (questions * answers).sum(axis=1)
    gold = [(n * 7 % 11) / 2 for n in range(COUNT)]
    spearman = stats.spearmanr(near, gold).statistic
    assert scored["scored pairs"].values["Spearman"].value == pytest.approx(spearman, abs=1e-6)
    ranks = (questions @ answers.T > near[:, None] + 1e-6).sum(axis=1) + 1
    expected = np.where(ranks <= 10, 1 / ranks, 0.0)
    found = scored["pairs"].values["RR@10"].per_item
    assert found is not None
    assert found.tolist() == pytest.approx(expected.tolist())
    far = (questions * model.encode([answer(n + 5) for n in range(COUNT)], normalize_embeddings=True)).sum(1)
    assert scored["triplets"].values["triplet accuracy"].value == pytest.approx(float((near > far).mean()))


def test_a_text_that_tasks_share_is_encoded_once(
    data: Path, model: SentenceTransformer, passed: list[int]
) -> None:
    loaded = load_suite(every_kind(data))
    distinct = {question(n) for n in range(COUNT)} | {answer(n) for n in range(COUNT + 5)}
    distinct |= {question(n) for n in range(100, 130)}
    assert len(loaded.texts) == len(distinct)
    measure_suite(loaded, model)
    assert sum(passed) == len(distinct)


def test_embeddings_are_kept_by_the_weights(
    tmp_path: Path, model: SentenceTransformer, passed: list[int]
) -> None:
    rows = [{"text": f"{question(n)} {n % 17}", "label": n % 4} for n in range(1_100)]
    write(tmp_path / "many" / "test.jsonl", rows[:550])
    write(tmp_path / "many" / "train.jsonl", rows[550:])
    wanted = suite(tmp_path, task(Task.LABELS, "many", "1-NN accuracy"))
    cache = EmbeddingCache(tmp_path / "kept")
    first = measure_suite(load_suite(wanted), model, cache=cache)
    once = sum(passed)
    again = measure_suite(load_suite(wanted), model, cache=cache)
    assert once == 1_100
    assert sum(passed) == once
    assert (
        first["labelled text"].values["1-NN accuracy"].value
        == again["labelled text"].values["1-NN accuracy"].value
    )


def test_two_models_are_compared_task_by_task(data: Path, model: SentenceTransformer) -> None:
    loaded = load_suite(every_kind(data))
    other = tiny_encoder([*map(question, range(COUNT)), *map(answer, range(COUNT))], seed=7)
    base, tuned = measure_suite(loaded, model), measure_suite(loaded, other)
    compared = loaded.compare(base, tuned)
    assert {name: list(found) for name, found in compared.items()} == {
        name: list(found.values) for name, found in base.items()
    }
    entry = compared["scored pairs"]["Spearman"]
    assert entry.tuned - entry.base == pytest.approx(entry.difference)
    assert entry.base == pytest.approx(base["scored pairs"].values["Spearman"].value)
    assert np.isfinite(entry.p_value)


def test_the_average_is_of_one_and_the_same_metric(data: Path, model: SentenceTransformer) -> None:
    two = suite(
        data,
        task(Task.RETRIEVAL, "faq", "RR@10", name="one"),
        task(Task.RETRIEVAL, "pairs.jsonl", "RR@10", "nDCG@10", name="two"),
    )
    loaded = load_suite(two)
    scored = measure_suite(loaded, model)
    values = [scored[name].values["RR@10"].value for name in ("one", "two")]
    assert loaded.average(scored) == pytest.approx(sum(values) / 2)
    mixed = load_suite(every_kind(data))
    assert mixed.average(measure_suite(mixed, model)) is None


def test_the_texts_can_be_those_of_another_measurement(data: Path) -> None:
    texts = TextTable()
    ids = texts.add([answer(0), "something else"])
    loaded = load_suite(suite(data, task(Task.SCORED, "sts.jsonl")), texts=texts)
    assert loaded.texts is texts
    assert ids[0] in np.concatenate([ids for _, ids in loaded.wanted])


def test_splits(data: Path) -> None:
    (labels,) = load_suite(suite(data, task(Task.LABELS, "topics"))).tasks
    assert len(labels.part.items) == COUNT
    train = SuiteTask("x", Task.CLUSTERING, SourceSpec("topics", split="train"))
    assert len(load_suite(suite(data, train)).tasks[0].part.items) == 30
    dev = SuiteTask("x", Task.RETRIEVAL, SourceSpec("faq", split="dev"))
    (judged,) = load_suite(suite(data, dev)).tasks
    assert len(judged.part.items) == 3
    assert "judgements of the split dev" in judged.notes
    limited = SuiteTask("x", Task.LABELS, SourceSpec("topics/test.jsonl", limit=7))
    assert len(load_suite(suite(data, limited)).tasks[0].part.items) == 7
    (data / "topics" / "test.jsonl").rename(data / "topics" / "dev.jsonl")
    message = refused(suite(data, task(Task.CLUSTERING, "topics")))
    assert message == (
        "suite trial, task clustering: topics: several splits and none called test; name one of train, dev "
        "as `split`"
    )
    (data / "faq" / "qrels" / "test.jsonl").rename(data / "faq" / "qrels" / "train.jsonl")
    assert "none called test; name one of" in refused(suite(data, task(Task.RETRIEVAL, "faq")))


def test_a_local_copy_is_read_where_it_is_there(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def no_hub(wanted: Any, cache_dir: Path | None = None) -> Any:
        asked.append(wanted)
        raise DataError("the Hub cannot be reached.")

    monkeypatch.setattr("sbert_triplet.data.sources.load_hub", no_hub)
    scored = task(Task.SCORED, "owner/sts", local=SourceSpec("sts.jsonl"))
    (loaded,) = load_suite(suite(data, scored)).tasks
    assert (loaded.source, asked) == ("sts.jsonl", [])
    assert "the Hub cannot be reached" in refused(suite(data / "topics", scored))
    assert (asked[0].name, asked[0].split) == ("owner/sts", "test")


def test_equal_texts_of_a_retrieval_set_count_once(tmp_path: Path) -> None:
    """As documents, as queries with the judgements of all, and a query never finds its own text."""
    folder = tmp_path / "set"
    texts = ["what is moss", "a plant", "a plant", "a rope"]
    write(folder / "corpus.jsonl", [{"_id": f"d{n}", "text": text} for n, text in enumerate(texts)])
    asked = ["what is moss", "what is moss", "what climbs"]
    write(folder / "queries.jsonl", [{"_id": f"q{n}", "text": text} for n, text in enumerate(asked)])
    judged = [
        {"query-id": q, "corpus-id": d, "score": 1} for q, d in (("q0", "d1"), ("q1", "d3"), ("q2", "d3"))
    ]
    write(folder / "qrels" / "test.jsonl", judged)
    loaded = load_suite(suite(tmp_path, task(Task.RETRIEVAL, "set")))
    held = loaded.tasks[0].part.retrieval
    assert held is not None
    moss, plant, climbs, rope = (
        loaded.texts.lookup(text) for text in (asked[0], "a plant", asked[2], "a rope")
    )
    assert sorted(held.document_ids.tolist()) == sorted([moss, plant, rope])
    assert held.judgements == {moss: {plant: 1, rope: 1}, climbs: {rope: 1}}
    assert held.excluded == {moss: [moss]}


def test_the_folder_can_be_another_than_the_suites_own(data: Path, tmp_path: Path) -> None:
    wanted = suite(tmp_path / "elsewhere", task(Task.SCORED, "sts.jsonl"))
    assert "no file or folder" in refused(wanted)
    assert len(load_suite(wanted, folder=data).tasks[0].part.items) == COUNT


def test_texts_of_known_class(data: Path) -> None:
    alone = task(Task.LABELS, "topics/test.jsonl")
    assert len(load_suite(suite(data, alone)).tasks[0].part.items) == COUNT
    write(data / "other.jsonl", [{"text": question(0), "label": "rain"}, {"text": "x y", "label": "chess"}])
    named = replace(alone, known=SourceSpec("other.jsonl"))
    (loaded,) = load_suite(suite(data, named)).tasks
    assert "1 of 24 tested texts are also among those of known class" in loaded.notes
    assert any(
        note.startswith("16 of 24 test rows are of classes that no training row") for note in loaded.notes
    )
    same = replace(alone, known=SourceSpec("topics/test.jsonl"))
    assert "every tested text is among the texts of known class" in refused(suite(data, same))
    unsplit = SuiteTask("x", Task.LABELS, SourceSpec("other.jsonl", limit=1))
    assert "every tested text is among the texts of known class" in refused(suite(data, unsplit))
    (data / "topics" / "train.jsonl").unlink()
    message = refused(suite(data, task(Task.LABELS, "topics")))
    assert "the texts of known class are the split train of the source: " in message
    assert message.endswith("Name them as `train`.")


@pytest.mark.parametrize(
    ("kind", "source", "others", "said"),
    [
        (Task.SCORED, "stss.jsonl", {}, "no file or folder"),
        (Task.TRIPLETS, "pairs.jsonl", {}, "its rows are pairs, where triplets takes triplets or NLI"),
        (Task.PAIRS, "sts.jsonl", {}, "pair AP needs scores that are yes or no"),
        (
            Task.SCORED,
            "faq",
            {},
            "faq: holds queries, documents and judgements, and so its kind is retrieval",
        ),
        (Task.RETRIEVAL, "faq", {"columns": {"anchor": "text"}}, "have fixed names; leave `columns` out"),
        (Task.LABELS, "topics", {"columns": {"label": "lable"}}, "did you mean 'label'?"),
    ],
)
def test_what_is_refused(data: Path, kind: Task, source: str, others: dict[str, Any], said: str) -> None:
    message = refused(suite(data, task(kind, source, name="mine", **others)))
    assert message.startswith("suite trial, task mine: ")
    assert said in message


def test_rows_that_cannot_be_used_are_named(data: Path) -> None:
    rows = [{"sentence1": question(n), "sentence2": answer(n), "score": n / 3} for n in range(12)]
    rows[4]["sentence2"] = " "
    write(data / "bad.jsonl", rows)
    message = refused(suite(data, task(Task.SCORED, "bad.jsonl")))
    assert "1 of 12 rows cannot be used" in message
    assert "sentence2: 1 cell blank (row 5)" in message


def test_suites_that_cannot_be() -> None:
    scored = task(Task.SCORED, "a.csv")
    with pytest.raises(ValueError, match="has no task"):
        Suite("empty", ())
    with pytest.raises(ValueError, match="two tasks are called scored pairs"):
        Suite("twice", (scored, scored))
    with pytest.raises(ValueError, match=r"nDCG@10 is a metric of retrieval.*metrics are Spearman, Pearson"):
        task(Task.SCORED, "a.csv", "nDCG@10")


def test_embeddings_that_are_not_finite_name_the_task(data: Path) -> None:
    loaded = load_suite(suite(data, task(Task.CLUSTERING, "topics", name="mine")))

    class Broken:
        similarity = "cosine"

        def __call__(self, side: str, ids: np.ndarray) -> np.ndarray:
            return np.full((len(ids), 2), np.nan, dtype=np.float32)

    with pytest.raises(InputError, match="suite trial, task mine: row 0 of the embeddings holds NaN"):
        loaded.score(Broken())


PUBLISHED = {"stsb": 82.03, "sts12": 72.37, "sts13": 80.60, "sts14": 75.59, "sts15": 85.39, "sts16": 78.99}
"""Spearman of all-MiniLM-L6-v2 in the results that MTEB publishes."""


@pytest.mark.long
def test_minilm_reaches_the_published_figures(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    minilm = load_model("sentence-transformers/all-MiniLM-L6-v2", device="cpu")
    tasks = [task(Task.SCORED, f"{name}/test.parquet", "Spearman", name=name) for name in PUBLISHED]
    loaded = load_suite(suite(shared_data, *tasks))
    scored = measure_suite(loaded, minilm)
    found = {name: 100 * each.values["Spearman"].value for name, each in scored.items()}
    assert found == pytest.approx(PUBLISHED, abs=0.1)
    average = loaded.average(scored)
    assert average is not None
    assert 100 * average == pytest.approx(sum(PUBLISHED.values()) / 6, abs=0.1)
