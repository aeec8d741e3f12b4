"""``evaluate`` from words to files: any models, suites and data, leaks, seeds, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

import sbert_triplet
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.errors import DataError, InputError, MachineError, ModelError, RecipeError
from sbert_triplet.evaluation import speed
from sbert_triplet.evaluation.bm25 import evaluate_bm25
from sbert_triplet.evaluation.mteb import MtebResult
from sbert_triplet.evaluation.results import MetricValues
from sbert_triplet.evaluation.suite_data import load_suite
from sbert_triplet.pipeline import evaluating
from sbert_triplet.pipeline.contenders import contenders, seed_groups
from sbert_triplet.pipeline.evaluating import Evaluation, carry_out
from sbert_triplet.pipeline.folder import UNFINISHED
from sbert_triplet.pipeline.measurements import Asked
from sbert_triplet.pipeline.options import Options
from sbert_triplet.recipe.suites import read_suite
from sbert_triplet.recipe.writing import HEADER

SUITE = """
name: trial
tasks:
- {name: similar, kind: scored_pairs, source: sts.parquet}
- {name: "ask / find", kind: retrieval, source: faq.parquet}
"""
MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def _short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "TURNS", 2)
    monkeypatch.setattr(evaluating, "QUERIES", 3)
    monkeypatch.setattr(evaluating, "TEXTS", 4)


@pytest.fixture
def suite(tables: Any) -> str:
    """A suite in the current folder whose two tasks share every question."""
    rows = tables.pairs(40)
    tables.write("faq.parquet", [{"question": row["question"], "answer": row["answer"]} for row in rows])
    pairs = [
        {"sentence1": row["question"], "sentence2": rows[-n]["question"], "score": float(n * 7 % 11)}
        for n, row in enumerate(rows)
    ]
    tables.write("sts.parquet", pairs)
    Path("trial.yaml").write_text(SUITE, encoding="utf-8")
    return "trial.yaml"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two tiny encoders of other weights and sizes."""
    letters = [" ".join("abcdefghijklmnopqrstuvwxyz0123456789?.,-")]
    folder = tmp_path_factory.mktemp("models")
    for name, dimensions in (("one", 32), ("two", 16)):
        tiny_encoder(letters, max_length=96, dimensions=dimensions, seed=dimensions).save(
            str(folder / name), create_model_card=False
        )
    return [str(folder / "one"), str(folder / "two")]


Measure = Callable[..., tuple[Evaluation, list[str]]]


@pytest.fixture
def measure() -> Measure:
    def carried_out(*names: str, out: str | None = "out", **asked: Any) -> tuple[Evaluation, list[str]]:
        said: list[str] = []
        options = Options(say=said.append, overwrite=bool(asked.pop("overwrite", False)), device="cpu")
        found = carry_out(Asked(names, **asked), None if out is None else Path(out), options=options)
        return found, said

    return carried_out


def by_label(record: Mapping[str, Any]) -> dict[str, Any]:
    return {row["label"]: row for row in record["models"]}


def test_a_whole_evaluation(models: list[str], suite: str, measure: Measure) -> None:
    found, said = measure(*models, suite=suite)
    record = json.loads((found.folder / "evaluation.json").read_text(encoding="utf-8"))
    assert record == json.loads(json.dumps(found.record))
    assert [row["label"] for row in record["models"]] == ["one", "two", "BM25", "BM25 + one", "BM25 + two"]
    assert [task["name"] for task in record["tasks"]] == ["similar", "ask / find"]
    assert record["tasks"][1]["documents"] == 40
    rows = by_label(record)
    assert rows["one"]["against_first"] == {}
    assert set(rows["two"]["against_first"]) == {"similar", "ask / find"}
    assert set(rows["BM25"]["results"]) == {"ask / find"}
    entry = rows["two"]["against_first"]["ask / find"]["nDCG@10"]
    assert entry["value"] - entry["first"] == pytest.approx(entry["difference"])
    assert entry["low"] <= entry["difference"] <= entry["high"]
    assert entry["adjusted_p"] >= entry["p_value"]
    assert entry["n"] == 40
    assert record["first"] == "one"
    lines = "\n".join(said)
    assert "BM25 + two" in lines
    assert max(len(line) for line in said if not line.startswith("Model:")) <= 100
    assert "# Models side by side: trial" in (found.folder / "evaluation.md").read_text(encoding="utf-8")


def test_in_python(models: list[str], tables: Any) -> None:
    tables.write("faq.csv", tables.pairs(40))
    found = sbert_triplet.evaluate(
        *map(Path, models), data="faq.csv", out="out", evaluate={"test": 0.5, "metrics": ["RR@10"]}
    )
    assert found.folder == Path("out")
    assert 15 <= found.record["tasks"][0]["items"] <= 25
    assert list(by_label(found.record)["two"]["against_first"]["faq"]) == ["RR@10"]
    with pytest.raises(InputError, match="precision 'fp8': choose from fp32, bf16, fp16"):
        sbert_triplet.evaluate(*models, data="faq.csv", precision="fp8")
    with pytest.raises(RecipeError, match=r"metrisc.*metrics"):
        sbert_triplet.evaluate(*models, data="faq.csv", evaluate={"metrisc": ["RR@10"]})


def test_what_a_model_costs(models: list[str], suite: str, measure: Measure) -> None:
    record = measure(*models, suite=suite)[0].record
    rows = by_label(record)
    assert [rows[name]["dimensions"] for name in ("one", "two")] == [32, 16]
    sizes = {"fp32": 64e6, "fp16": 32e6, "int8": 16e6, "binary": 2e6}
    assert rows["two"]["bytes_per_million_texts"] == sizes
    for name in ("one", "two"):
        timed = rows[name]["speed"]
        assert timed["query_ms"] > 0
        assert timed["texts_per_second"] > 0
        assert (timed["queries"], timed["turns"], timed["texts"]) == (3, 2, 4)
        assert list(rows[name]["compressed"]["ask / find"]) == ["int8", "binary", "binary, then int8"]
        full = rows[name]["results"]["ask / find"]["nDCG@10"]
        assert rows[name]["compressed"]["ask / find"]["int8"]["full"] == pytest.approx(full)
    assert "speed" not in rows["BM25"]
    assert len({rows[name]["weights"] for name in ("one", "two")}) == 2


def test_bm25_is_evaluate_bm25(models: list[str], suite: str, measure: Measure) -> None:
    record = measure(models[0], suite=suite)[0].record
    loaded = load_suite(read_suite(Path(suite)))
    part = loaded.tasks[1].part
    assert part.retrieval is not None
    alone = evaluate_bm25(
        part.retrieval,
        loaded.texts.texts(part.retrieval.query_ids),
        loaded.texts.texts(part.retrieval.document_ids),
        part.metrics,
    )
    expected = {name: values.value for name, values in alone.values.items()}
    assert by_label(record)["BM25"]["results"]["ask / find"] == pytest.approx(expected)


def test_every_text_is_encoded_once_a_model(
    models: list[str], suite: str, measure: Measure, passed: list[int]
) -> None:
    """40 questions that both tasks read, and 40 answers."""
    measure(*models, suite=suite)
    assert sum(passed) == 2 * 80


def test_values_of_every_item(models: list[str], suite: str, measure: Measure) -> None:
    found, _ = measure(*models, suite=suite)
    files = [task["predictions"] for task in found.record["tasks"]]
    assert files == ["1-similar.parquet", "2-ask-find.parquet"]
    table = pq.read_table(found.folder / "predictions" / files[1]).to_pydict()
    assert len(table["query"]) == 40
    for label in ("one", "two", "BM25", "BM25 + one"):
        expected = by_label(found.record)[label]["results"]["ask / find"]["nDCG@10"]
        assert np.mean(table[label]) == pytest.approx(expected)
    assert "BM25" not in pq.read_table(found.folder / "predictions" / files[0]).column_names


def test_a_query_without_a_relevant_document_is_counted(
    tables: Any, models: list[str], measure: Measure
) -> None:
    folder = tables.retrieval("faq", {"test": range(12)})
    qrels = Path(folder) / "qrels" / "test.tsv"
    qrels.write_text(qrels.read_text(encoding="utf-8").replace("q3\td3\t1", "q3\td3\t0"), encoding="utf-8")
    Path("faq.yaml").write_text("tasks: [{name: faq, kind: retrieval, source: faq}]", encoding="utf-8")
    record = measure(*models, suite="faq.yaml")[0].record
    (task,) = record["tasks"]
    assert (task["items"], task["left_out"]) == (12, 1)
    assert by_label(record)["two"]["against_first"]["faq"]["nDCG@10"]["n"] == 11


def test_where_it_is_written(models: list[str], suite: str, measure: Measure) -> None:
    found, _ = measure(models[0], suite=suite, out=None)
    assert found.folder == Path("runs/trial-evaluation")
    with pytest.raises(InputError, match=r"runs/trial-evaluation: holds an evaluation; .* --overwrite"):
        measure(models[0], suite=suite, out=None)
    measure(models[1], suite=suite, out=None, overwrite=True)
    shorter = Path(suite).read_text(encoding="utf-8").replace("name: similar", "name: alike")
    Path(suite).write_text(shorter, encoding="utf-8")
    measure(models[1], suite=suite, out=None, overwrite=True)
    kept = sorted(item.name for item in (found.folder / "predictions").iterdir())
    assert kept == ["1-alike.parquet", "2-ask-find.parquet"]
    Path("mine").mkdir()
    Path("mine/letter.txt").touch()
    with pytest.raises(InputError, match=r"mine: holds other files \(letter.txt\)"):
        measure(models[0], suite=suite, out="mine", overwrite=True)
    assert [item.name for item in Path("mine").iterdir()] == ["letter.txt"]


def test_an_evaluation_that_was_stopped_is_replaced(
    models: list[str], suite: str, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it is whole it lies in one folder of its own, and that is no file of the person's."""
    write, seen = evaluating.write_items, []

    def watched(*given: Any) -> None:
        write(*given)
        seen.append(sorted(item.name for item in Path("out").iterdir()))

    monkeypatch.setattr(evaluating, "write_items", watched)
    measure(models[0], suite=suite)
    assert seen == [[UNFINISHED]] * 2
    whole = ["evaluation.json", "evaluation.md", "predictions"]
    assert sorted(item.name for item in Path("out").iterdir()) == whole
    # As it is left where a signal ends it after the first file was put in place.
    Path("out", UNFINISHED).mkdir()
    shutil.move("out/evaluation.json", f"out/{UNFINISHED}/evaluation.json")
    measure(models[0], suite=suite)
    assert sorted(item.name for item in Path("out").iterdir()) == whole

    def full(*given: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(evaluating, "write_items", full)
    with pytest.raises(MachineError):
        measure(models[0], suite=suite, overwrite=True)
    assert sorted(item.name for item in Path("out").iterdir()) == whole


def test_files_of_a_suite_elsewhere(models: list[str], suite: str, measure: Measure) -> None:
    Path("away").mkdir()
    for name in ("faq.parquet", "sts.parquet"):
        shutil.move(name, f"away/{name}")
    with pytest.raises(
        DataError, match=r"suite trial, task similar: (.|\n)*--local FOLDER, in which they are"
    ):
        measure(models[0], suite=suite)
    found, _ = measure(models[0], suite=suite, local=Path("away"))
    assert len(found.record["tasks"]) == 2
    with pytest.raises(InputError, match="--local nowhere: there is no such folder"):
        measure(models[0], suite=suite, local=Path("nowhere"), out="other")


def test_held_out_rows_of_data(tables: Any, models: list[str], measure: Measure) -> None:
    tables.write("tickets.csv", tables.pairs(60))
    found, said = measure(*models, data="tickets.csv", out=None)
    assert found.folder == Path("runs/tickets-evaluation")
    (task,) = found.record["tasks"]
    assert (task["name"], task["main_metric"], task["documents"]) == ("tickets", "nDCG@10", 60)
    assert 3 <= task["items"] <= 12
    settings = ("evaluate.metrics=[RR@10]", "evaluate.test=0.3")
    other, _ = measure(*models, data="tickets.csv", settings=settings)
    assert other.record["tasks"][0]["metrics"] == ["RR@10"]
    assert other.record["tasks"][0]["items"] > task["items"]
    assert "No recipe: one is made for the data tickets.csv" in said


def test_every_kind_of_held_out_rows(tables: Any, models: list[str], measure: Measure) -> None:
    tables.write("labelled.csv", tables.labelled(90))
    record = measure(*models, data="labelled.csv")[0].record
    assert record["tasks"][0]["metrics"] == ["1-NN accuracy", "centroid accuracy"]
    assert [row["kind"] for row in record["models"]] == ["model", "model"]
    assert all("compressed" not in row or not row["compressed"] for row in record["models"])


def test_runs_are_measured_on_their_own_data(tables: Any, train: Any, measure: Measure) -> None:
    """The first run's held-out rows; a run knows none of them, and one of another split says so."""
    tables.write("tickets.csv", tables.pairs(60))
    train("tickets.csv", out="runs/first")
    train("tickets.csv", out="runs/other", train={"seed": 99})
    found, said = measure("runs/first/candidate", "runs/other/candidate")
    assert [row["label"] for row in found.record["models"][:2]] == ["first/candidate", "other/candidate"]
    assert any(line.startswith("Measured on the held-out rows of first/candidate's") for line in said)
    report = json.loads(Path("runs/first/report.json").read_text(encoding="utf-8"))
    own = by_label(found.record)["first/candidate"]["results"]["first"]["nDCG@10"]
    assert own == pytest.approx(report["metrics"]["nDCG@10"]["tuned"], abs=1e-6)
    notes = [note for note in found.record["notes"] if "was trained on the texts of" in note]
    assert not any(note.startswith("first") for note in notes)
    assert any(note.startswith("other/candidate: was trained on the texts of ") for note in notes)


def test_a_run_that_is_not_finished(tables: Any, models: list[str], measure: Measure) -> None:
    """Its recipe says what is held out, and its log is no data; a model it has none."""
    tables.write("tickets.csv", tables.pairs(60))
    Path("killed").mkdir()
    Path("killed/recipe.yaml").write_text(f"{HEADER}data: {{train: tickets.csv}}\n", encoding="utf-8")
    Path("killed/log.jsonl").write_text("{}\n", encoding="utf-8")
    found, _ = measure(models[0], data="killed")
    assert [task["kind"] for task in found.record["tasks"]] == ["retrieval"]
    with pytest.raises(ModelError, match="killed: the folder holds a run that is not finished"):
        measure("killed", suite="sts", out="other")


def test_models_of_one_recipe_and_several_seeds(tables: Any, train: Any, measure: Measure) -> None:
    tables.write("train.csv", tables.pairs(60))
    tables.write("test.csv", tables.pairs(80)[60:])
    data = {"train": "train.csv", "test": "test.csv"}
    for seed in (1, 2):
        train(data, out=f"runs/seed{seed}", train={"seed": seed})
    train(data, out="runs/base", train={"seed": 1, "learning_rate": 1e-3})
    names = [f"runs/{name}/candidate" for name in ("base", "seed1", "seed2")]
    ((one, two),) = seed_groups(contenders(names))
    assert [(seed, each.label) for seed, each in (one, two)] == [
        (1, "seed1/candidate"),
        (2, "seed2/candidate"),
    ]
    found, said = measure(*names)
    (group,) = found.record["seeds"]
    values = [
        by_label(found.record)[f"{name}/candidate"]["results"]["base"]["nDCG@10"]
        for name in ("seed1", "seed2")
    ]
    assert group["values"]["base"]["by_seed"] == pytest.approx(values)
    assert group["values"]["base"]["mean"] == pytest.approx(np.mean(values))
    assert group["against_first"]["base"]["low"] is None
    assert "2 seeds say too little of others" in group["against_first"]["base"]["sentence"]
    assert any(line.startswith("One recipe, several seeds: seed1/candidate (seed 1)") for line in said)


def test_the_same_weights_under_two_names(models: list[str], suite: str, measure: Measure) -> None:
    """Allowed, told, and every difference is 0; the same folder twice is a slip."""
    shutil.copytree(models[0], "copy")
    found, said = measure(models[0], "copy", suite=suite)
    assert "note     one and copy have the same weights" in said
    for metrics in by_label(found.record)["copy"]["against_first"].values():
        assert {entry["difference"] for entry in metrics.values()} == {0.0}
    with pytest.raises(InputError, match=r"one is given twice: .* leave one of the two out"):
        measure(models[0], models[0], suite=suite)


def test_models_of_one_name_are_told_apart(models: list[str]) -> None:
    for folder in ("a", "b"):
        shutil.copytree(models[0], f"{folder}/tiny")
    assert [each.label for each in contenders(["a/tiny", "b/tiny", models[1]])] == ["a/tiny", "b/tiny", "two"]


def test_labels_that_would_be_taken_for_something_else(
    models: list[str], suite: str, measure: Measure
) -> None:
    """For a column of the predictions, or for the row of BM25."""
    names = [
        "BM25",
        "query",
        "text",
        "row",
        "gold",
        "class",
        "item",
        "BM25 + one",
        "one_top",
        "query (model)",
    ]
    for name in names:
        shutil.copytree(models[1], name)
    labels = [each.label for each in contenders([models[0], *names])]
    assert len({*labels, *names, "BM25"}) == 2 * len(names) + 1
    assert labels[:3] == ["one", "BM25 (model)", "query (model) (model)"]
    found, _ = measure(models[0], "BM25", "query", "text", suite=suite)
    rows = by_label(found.record)
    alone = measure(models[0], suite=suite, out="alone")[0].record
    assert rows["BM25"]["results"] == by_label(alone)["BM25"]["results"]
    files = [task["predictions"] for task in found.record["tasks"]]
    pairs, faq = (pq.read_table(found.folder / "predictions" / file).to_pydict() for file in files)
    assert all(isinstance(cell, str) for cell in [*faq["query"], *pairs["text"]])
    assert np.mean(faq["query (model)"]) == pytest.approx(
        rows["query (model)"]["results"]["ask / find"]["nDCG@10"]
    )


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"suite": "stss"}, RecipeError, "suite stss: does not come with the package; .*did you mean sts?"),
        ({"suite": "none.yaml"}, RecipeError, "none.yaml: there is no such file"),
        ({}, InputError, "nothing to measure on: give --suite NAME .*sts.* or --data"),
        ({"suite": "sts", "data": "tickets.csv"}, InputError, "--suite and --data: give one of them"),
        ({"suite": "sts", "settings": ("a=1",)}, InputError, "--set goes with --data"),
        ({"data": "none.csv", "local": Path()}, InputError, "--local goes with --suite"),
        ({"data": "none.csv"}, DataError, "none.csv"),
        ({"mteb": ("STS12",), "settings": ("a=1",)}, InputError, "--set goes with --data, and only tasks of"),
        ({"mteb": ("STS12",), "local": Path()}, InputError, "--local goes with --suite, and only tasks of"),
    ],
)
def test_what_is_refused(
    models: list[str],
    measure: Measure,
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr(evaluating, "known_to_mteb", lambda names: [])
    with pytest.raises(error, match=message):
        measure(models[0], **asked)
    assert not Path("out").exists()


def test_an_unknown_model_is_refused_before_anything_is_read(measure: Measure) -> None:
    with pytest.raises(ModelError, match=r"model \./nowhere: there is no such folder"):
        measure("./nowhere", suite="none.yaml")
    with pytest.raises(InputError, match="no model is named"):
        measure(suite="sts")


def test_a_model_without_its_prompts_is_told(models: list[str], suite: str, measure: Measure) -> None:
    shutil.copytree(models[0], "e5-small-v2")
    _, said = measure(models[0], "e5-small-v2", suite=suite)
    (note,) = [line for line in said if "was trained with prompts" in line]
    assert note.startswith("note     e5-small-v2: ")
    assert "'query: ' before queries" in note


def test_the_prompts_of_the_recipe_that_starts_from_a_model(
    tables: Any, models: list[str], measure: Measure
) -> None:
    tables.write("tickets.csv", tables.pairs(60))
    settings = (f"model={models[0]}", "prompts.query=ask: ", "max_length=20")
    record = measure(*models, data="tickets.csv", settings=settings)[0].record
    rows = by_label(record)
    assert (rows["one"]["prompts"], rows["one"]["max_length"]) == ({"query": "ask: "}, 20)
    assert (rows["two"]["prompts"], rows["two"]["max_length"]) == ({}, 96)


def test_tasks_of_mteb(
    models: list[str], suite: str, measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []

    def evaluated(model: Any, names: Any) -> list[MtebResult]:
        calls.append(tuple(names))
        values = {"cosine_spearman": MetricValues("cosine_spearman", 0.7 + len(calls) / 100)}
        return [MtebResult("STS12", "test", "default", "cosine_spearman", values, "r1", "2.26.0")]

    monkeypatch.setattr(evaluating, "known_to_mteb", lambda names: [])
    monkeypatch.setattr(evaluating, "evaluate_mteb", evaluated)
    found, said = measure(*models, mteb=("STS12",), out=None)
    assert found.folder == Path("runs/mteb-evaluation")
    assert calls == [("STS12",)] * 2
    assert found.record["mteb"]["two"][0]["metrics"] == {"cosine_spearman": pytest.approx(0.72)}
    assert any("+0.010" in line for line in said)
    assert not (found.folder / "predictions").exists()
    assert set(measure(*models, suite=suite, mteb=("STS12",))[0].record["mteb"]) == {"one", "two"}


def test_mteb_is_measured_first(
    models: list[str], suite: str, measure: Measure, monkeypatch: pytest.MonkeyPatch, passed: list[int]
) -> None:
    """What most likely cannot be had costs no measurement of the suite."""

    def missing(model: Any, names: Any) -> list[MtebResult]:
        raise DataError("MTEB task STS12: its data cannot be had")

    monkeypatch.setattr(evaluating, "known_to_mteb", lambda names: [])
    monkeypatch.setattr(evaluating, "evaluate_mteb", missing)
    with pytest.raises(DataError, match="its data cannot be had"):
        measure(*models, suite=suite, mteb=("STS12",))
    assert passed == []


@pytest.mark.filterwarnings("ignore:.*undefined")
def test_why_a_metric_is_undefined(tables: Any, models: list[str], measure: Measure) -> None:
    rows = [
        {"sentence1": row["question"], "sentence2": row["answer"], "score": 0} for row in tables.pairs(12)
    ]
    tables.write("sts.parquet", rows)
    columns = "columns: {anchor: sentence1, positive: sentence2, score: score}"
    tasks = [
        f"{{name: {name}, kind: {kind}, source: sts.parquet, {columns}}}"
        for name, kind in (("same", "duplicate_pairs"), ("alike", "scored_pairs"))
    ]
    Path("none.yaml").write_text(f"tasks: [{', '.join(tasks)}]", encoding="utf-8")
    found, said = measure(*models, suite="none.yaml")
    reasons = [
        "same: pair AP undefined for one, two: no pair belongs together",
        "alike: Spearman, Pearson undefined for one, two: every given score is 0",
    ]
    assert [note for note in found.record["notes"] if "undefined" in note] == reasons
    assert [line for line in said if line.startswith("note") and "undefined" in line] == [
        f"note     {reason}" for reason in reasons
    ]
    assert ["one", "undefined", "undefined"] in [line.split() for line in said]
    text = (found.folder / "evaluation.md").read_text(encoding="utf-8")
    assert all(f"- {reason}" in text for reason in reasons)


def test_mteb_that_is_not_there_is_said_at_once(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mteb", None)
    with pytest.raises(InputError, match=r'pip install "sbert-triplet\[mteb\]"'):
        measure("./nowhere", mteb=("STS12",))


def test_the_packaged_model_on_real_pairs(shared_data: Path, measure: Measure) -> None:
    """The first 200 rows of STS Benchmark's test set; the whole of it gives the published 82.03."""
    rows = datasets.Dataset.from_parquet(str(shared_data / "stsb" / "test.parquet"))
    Path("pairs.yaml").write_text(
        "tasks: [{name: STS-B, kind: scored_pairs, source: {source: stsb, split: test, limit: 200}}]",
        encoding="utf-8",
    )
    record = measure(MINILM, suite="pairs.yaml", local=shared_data)[0].record
    assert len(rows) == 1379
    (row,) = record["models"]
    assert row["label"] == "all-MiniLM-L6-v2"
    assert 0.7 < row["results"]["STS-B"]["Spearman"] < 0.95
    assert row["dimensions"] == 384
