"""What a run leaves: every file, the report's schema, models that load, and no text where none belongs."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import InputError
from sbert_triplet.pipeline.folder import RunFolder, finite
from sbert_triplet.pipeline.request import read_request
from sbert_triplet.recipe.writing import HEADER

if TYPE_CHECKING:
    from tests.pipeline.conftest import Finished, Tables, Train

CANARIES = {
    "question": "heliotrope walrus of question",
    "answer": "vermilion ocelot of answer",
    "language": "chartreuse",
}
REPORT = {
    "task": str,
    "main_metric": str,
    "metrics": dict,
    "verdict": str,
    "sentence": str,
    "shipped": str,
    "pool": dict,
    "general": dict,
    "train": dict,
    "model": dict,
    "data": dict,
    "environment": dict,
}
COMPARISON = {"base", "tuned", "difference", "low", "high", "p_value", "n"}


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def loaded(folder: Path) -> SentenceTransformer:
    return SentenceTransformer(str(folder), device="cpu")


def with_canaries(tables: Tables, count: int = 60) -> list[dict[str, Any]]:
    """Rows that hold a text in every column which stands nowhere else."""
    return [
        {column: f"{row[column]} {canary}" for column, canary in CANARIES.items()}
        for row in tables.pairs(count)
    ]


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return ["what is known of bread?", "a text", "another one, and rather longer than the first " * 5]


def test_everything_that_a_run_leaves(tables: Tables, train: Train, texts: list[str]) -> None:
    """One whole run, with report and general check, looked at from every side."""
    finished = train(
        tables.write("mine.csv", with_canaries(tables)),
        drawn=True,
        train={"learning_rate": 0.05},
        evaluate={"general": True, "slices": ["language"], "test": 0.3},
    )
    home = finished.run.folder
    names = {item.name for item in home.iterdir()}
    wanted = {"recipe.yaml", "data.json", "report.json", "report.html", "report.md", "log.jsonl"}
    assert wanted | {"checkpoints", "candidate", "model", "predictions"} == names
    assert_schema(json.loads((home / "report.json").read_text(encoding="utf-8")))
    assert_no_text_outside(home)
    for folder in (home / "candidate", finished.run.model):
        assert json.loads((folder / "config_sentence_transformers.json").read_text())
        assert loaded(folder).encode(texts).shape == (3, 32)
        assert finished.report["data"]["fingerprint"] in (folder / "README.md").read_text(encoding="utf-8")
    assert CANARIES["question"] in (home / "report.html").read_text(encoding="utf-8")
    assert len(finished.report["slices"]["language"]) == 2
    record = finished.data
    assert record["rows"] == finished.report["data"]["rows"]
    assert record["roles"]["anchor"] == "question"
    assert record["lengths"]["anchor"]["texts"] == record["rows"]["train"]
    assert set(record["lengths"]["positive"]) >= {"median", "p95", "max", "truncated_tokens_share"}


def assert_schema(report: dict[str, Any]) -> None:
    for key, kind in REPORT.items():
        assert isinstance(report[key], kind), key
    for entry in [*report["metrics"].values(), report["general"]]:
        assert set(entry) >= COMPARISON
        figures = [entry[name] for name in ("base", "tuned", "difference")]
        assert all(math.isfinite(figure) for figure in figures)
        assert figures[2] == pytest.approx(figures[1] - figures[0])
        assert entry["low"] <= entry["difference"] <= entry["high"]
        assert 0 <= entry["p_value"] <= 1
    assert report["verdict"] in ("better", "not shown better", "worse")
    assert report["shipped"] in ("tuned", "base")
    assert set(report["pool"]) == {"queries", "documents", "documents_seen_in_training"}
    assert {
        "steps",
        "seconds",
        "saving_seconds",
        "rows_per_second",
        "tokens_per_second",
        "peak_memory_bytes",
    } <= set(report["train"])
    assert report["general"]["n"] >= 300
    assert len(report["general"]["topics"]) >= 10
    assert re.fullmatch(r"[0-9a-f]{64}", report["data"]["fingerprint"])
    assert report["smoke"] is True


def assert_no_text_outside(home: Path) -> None:
    """A smoke model's own vocabulary holds words of the data; nothing else may, and none holds a cell."""
    files = [
        file for folder in ("candidate", "model") for file in (home / folder).rglob("*") if file.is_file()
    ]
    files += [home / "report.md", home / "data.json", home / "recipe.yaml", home / "log.jsonl"]
    assert len(files) > 20
    for file in files:
        content = file.read_bytes().decode("utf-8", "replace").lower()
        for canary in CANARIES.values():
            parts = canary.split() if file.name != "tokenizer.json" else [canary] * (" " in canary)
            for part in parts:
                if part not in ("of", "question", "answer", "language"):
                    assert part not in content, f"{file.name} holds {part}"


def test_predictions_of_both_models_by_query(tables: Tables, train: Train) -> None:
    finished = train(tables.write("mine.csv", tables.pairs()), evaluate={"metrics": ["RR@10"]})
    items = pq.read_table(finished.run.folder / "predictions" / "items.parquet").to_pylist()
    entry = finished.report["metrics"]["RR@10"]
    assert np.mean([item["base"] for item in items]) == pytest.approx(entry["base"])
    assert np.mean([item["tuned"] for item in items]) == pytest.approx(entry["tuned"])
    answers = {row["question"]: row["answer"] for row in tables.pairs()}
    for item in items:
        for model in ("base", "tuned"):
            right = [text == answers[item["query"]] for text in item[f"{model}_top"]]
            assert right == item[f"{model}_top_relevant"]
            if item[model] >= 0.2:
                assert item[model] == pytest.approx(1 / (1 + right.index(True)))


def test_the_candidate_encodes_as_the_run_did(tables: Tables, train: Train) -> None:
    """The ranking that the saved model gives, computed here with plain numpy, is that of the predictions."""
    finished = train(tables.write("mine.csv", tables.pairs()))
    items = pq.read_table(finished.run.folder / "predictions" / "items.parquet").to_pylist()
    model = loaded(finished.run.folder / "candidate")
    documents = [row["answer"] for row in tables.pairs()]
    scores = model.encode([item["query"] for item in items]) @ model.encode(documents).T
    for item, row in zip(items, scores, strict=True):
        assert [documents[at] for at in np.argsort(-row, kind="stable")[:5]] == item["tuned_top"]


def test_the_recipe_of_a_run_gives_the_same_weights_again(
    tables: Tables, tiny_folder: Path, train: Train, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without --smoke, from another folder, with data and model named relative to the recipe's folder."""
    home = Path("project")
    tables.write("project/data/mine.csv", tables.pairs())
    (home / "tiny").symlink_to(tiny_folder, target_is_directory=True)
    (home / "first.yaml").write_text(
        "model: tiny\ndata: {train: data/mine.csv}\ntrain: {max_steps: 4, batch_size: 16}\n"
        "evaluate: {general: false, bm25: false}\n",
        encoding="utf-8",
    )
    first = again(train, str(home / "first.yaml"), "runs/first")
    resolved = yaml.safe_load((first.run.folder / "recipe.yaml").read_text(encoding="utf-8"))
    assert resolved["train"]["precision"] in ("fp32", "bf16")
    assert resolved["evaluate"]["metrics"][0] == "nDCG@10"
    assert resolved["loss"]["name"] == "multiple_negatives_ranking"
    assert resolved["decisions"]["threads"] >= 1
    assert Path(resolved["data"]["train"]).is_absolute()
    source = str((first.run.folder / "recipe.yaml").absolute())
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    second = again(train, source, "second")
    assert digest(second.run.folder / "candidate") == digest(Path(source).parent / "candidate")
    assert second.report["metrics"] == first.report["metrics"]
    third = again(train, source, "third", ["train.seed=14"])
    assert digest(third.run.folder / "candidate") != digest(second.run.folder / "candidate")


def again(train: Train, source: str, out: str, overrides: list[str] | None = None) -> Finished:
    request = read_request(source, overrides=overrides or [])
    values = {name: getattr(request.recipe, name) for name in type(request.recipe).model_fields}
    values["evaluate"] = values["evaluate"].model_dump() | {"general": False}
    values = {name: value for name, value in values.items() if value is not None}
    return train(
        values.pop("data").model_dump(exclude_none=True),
        out,
        folder=request.folder,
        smoke=False,
        decisions=request.decisions,
        **values,
    )


def test_changed_data_are_noticed(tables: Tables, train: Train) -> None:
    first = train(tables.write("mine.csv", tables.pairs()))
    resolved = yaml.safe_load((first.run.folder / "recipe.yaml").read_text(encoding="utf-8"))
    tables.write("mine.csv", tables.pairs(61))
    second = train("mine.csv", "second", decisions=resolved["decisions"])
    assert "the data are not those that this recipe was resolved with" in second.text
    assert "the data are not those" not in first.text


@pytest.mark.parametrize("name", ["recipe.yaml", "model", "notes.txt"])
def test_files_that_are_no_runs_are_never_taken_for_one(name: str, tmp_path: Path) -> None:
    """A recipe.yaml or a folder "model" of the person's own would be emptied by a run."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / name).mkdir() if name == "model" else (folder / name).write_text("data: x.csv\n")
    for overwrite in (False, True):
        with pytest.raises(InputError, match=rf"holds files that are no run's \({re.escape(name)}\)"):
            RunFolder(folder).refuse_unless_free(overwrite)


def test_a_folder_of_a_run_that_did_not_finish_is_free(tables: Tables, train: Train) -> None:
    finished = train(tables.write("mine.csv", tables.pairs()))
    folder = RunFolder(finished.run.folder)
    with pytest.raises(InputError, match="holds a finished run"):
        folder.refuse_unless_free(overwrite=False)
    folder.refuse_unless_free(overwrite=True)
    (finished.run.folder / "report.json").unlink()
    with pytest.raises(InputError, match="holds a run that was stopped, with a checkpoint of step"):
        folder.refuse_unless_free(overwrite=False)
    folder.refuse_unless_free(overwrite=False, resume=True)
    shutil.rmtree(folder.checkpoints)
    folder.refuse_unless_free(overwrite=False)


def test_files_beside_a_run_survive_its_replacement(tables: Tables, train: Train) -> None:
    data = tables.write("mine.csv", tables.pairs())
    home = train(data).run.folder
    (home / "notes.txt").write_text("mine")
    (home / ".candidate.part").mkdir()
    first = (home / "report.json").read_text()
    train(data, overwrite=True, train={"seed": 3})
    assert (home / "notes.txt").read_text() == "mine"
    assert not (home / ".candidate.part").exists()
    assert (home / "report.json").read_text() != first


def test_a_run_that_is_not_replaced_to_the_end_comes_back(tmp_path: Path) -> None:
    home = tmp_path / "run"
    first = RunFolder(home)
    first.start(0)
    for name, text in (("recipe.yaml", HEADER), ("report.json", '{"verdict": "better"}')):
        first.write_text(name, text)
    (home / "model").mkdir()
    for stopped in ("before training", "while training", "killed"):
        second = RunFolder(home)
        second.refuse_unless_free(overwrite=True)
        second.start(0)
        assert not (home / "report.json").exists()
        if stopped != "before training":
            second.write_text("log.jsonl", "{}")
        if stopped != "killed":
            second.leave()
    third = RunFolder(home)
    with pytest.raises(InputError, match="holds a finished run"):
        third.refuse_unless_free(overwrite=False)
    assert sorted(item.name for item in home.iterdir()) == ["model", "recipe.yaml", "report.json"]
    third.start(0)
    third.finish()
    assert list(home.iterdir()) == []


def test_a_text_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_text("data.json", "first")
    with pytest.raises(UnicodeEncodeError):
        folder.write_text("data.json", "second \ud800")
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["data.json"]
    assert (tmp_path / "data.json").read_text() == "first"


def test_numbers_that_json_does_not_have_are_null() -> None:
    assert finite({"a": [math.nan, (1.5, -math.inf)], "b": "x"}) == {"a": [None, [1.5, None]], "b": "x"}
