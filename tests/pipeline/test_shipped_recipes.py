"""Every recipe in recipes/ is read, fits the schema, and runs with --smoke on data of its shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sbert_triplet.pipeline.job import Options, run
from sbert_triplet.pipeline.request import packaged_recipes, read_request

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))
SMALLER_SOURCE = {"quickstart": ["data.train=docstrings:json,email,logging,argparse?limit_per_package=60"]}
"""Overrides that read less than the recipe would; the rest of it stays."""


def write_lines(file: Path, rows: list[dict[str, object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def retrieval_folder(folder: Path) -> None:
    topics = ["rain", "bread", "trains", "chess", "moss", "paint", "salt", "maps", "bees", "glass"]
    documents = [
        {"_id": f"d{n}", "title": topic, "text": f"What is known of {topic}, part {n}."}
        for n, topic in enumerate(topics * 6)
    ]
    queries = [{"_id": f"q{n}", "text": f"question {n} on {row['title']}"} for n, row in enumerate(documents)]
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir()
    for split, numbers in (("dev", range(40)), ("test", range(40, 60))):
        lines = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n in numbers)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with data where the recipes look for it."""
    retrieval_folder(tmp_path / "mlquestions")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_recipes_are_found_and_described() -> None:
    assert list(packaged_recipes()) == [file.stem for file in RECIPES]
    assert {"quickstart", "retrieval"} <= set(packaged_recipes())
    assert all(len(about) > 20 for about in packaged_recipes().values())


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_runs_with_smoke(file: Path, data_folder: Path) -> None:
    request = read_request(str(file), {}, SMALLER_SOURCE.get(file.stem, []))
    lines: list[str] = []
    finished = run(
        request.recipe,
        data_folder / "runs" / file.stem,
        folder=request.folder,
        options=Options(smoke=True, say=lines.append),
    )
    assert finished.report["train"]["steps"] == 3
    assert finished.report["main_metric"] in finished.report["metrics"]
    assert (finished.model / "model.safetensors").is_file() or list(finished.model.rglob("*.safetensors"))
    assert any(line.startswith("Verdict") for line in lines)
