"""Every recipe in recipes/ is read, fits the schema, and runs with --smoke on data of its shape."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sbert_triplet.losses.names import LOSSES
from sbert_triplet.pipeline.job import run
from sbert_triplet.pipeline.options import Options
from sbert_triplet.pipeline.request import packaged_recipes, read_request

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.yaml"))
SMALLER_SOURCE = {"quickstart": ["data.train=docstrings:json,email,logging,argparse?limit_per_package=60"]}
"""Overrides that read less than the recipe would; the rest of it stays."""


def write_lines(file: Path, rows: list[dict[str, object]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def retrieval_folder(folder: Path, splits: tuple[str, ...]) -> None:
    topics = ["rain", "bread", "trains", "chess", "moss", "paint", "salt", "maps", "bees", "glass"]
    documents = [
        {"_id": f"d{n}", "title": topic, "text": f"What is known of {topic}, part {n}."}
        for n, topic in enumerate(topics * 6)
    ]
    queries = [{"_id": f"q{n}", "text": f"question {n} on {row['title']}"} for n, row in enumerate(documents)]
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir()
    for split in splits:
        numbers = {"dev": range(40), "test": range(40, 60) if "dev" in splits else range(60)}[split]
        lines = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n in numbers)]
        (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


PLACES = ["rain", "bread", "trains", "chess", "moss", "paint", "salt", "maps"]


def sentences(first: int, count: int) -> list[str]:
    """Different short texts, by their numbers."""
    return [
        f"a note on {PLACES[n % 8]} and {PLACES[n // 8 % 8]}, number {n}" for n in range(first, first + count)
    ]


def labelled(file: Path, count: int) -> None:
    rows = {"text": sentences(0, count), "label": [PLACES[n % 8] for n in range(count)]}
    write_table(file, rows)


def scored(file: Path, first: int, count: int, *, binary: bool = False) -> None:
    scores = [float(n % 2) if binary else n % 11 / 10 for n in range(count)]
    one, two = sentences(first, count), sentences(first + 500, count)
    write_table(file, {"sentence1": one, "sentence2": two, "score": scores})


def write_table(file: Path, columns: dict[str, list[Any]]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)


@pytest.fixture
def data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, with data where the recipes look for it."""
    for name, splits in (("mlquestions", ("dev", "test")), ("covid_faq", ("test",))):
        retrieval_folder(tmp_path / name, splits)
    for name in ("banking77", "hwu64", "trec"):
        labelled(tmp_path / name / "train.parquet", 120)
        labelled(tmp_path / name / "test.parquet", 40)
    for name in ("stsb", "rqe"):
        scored(tmp_path / name / "train.parquet", 0, 120, binary=name == "rqe")
        scored(tmp_path / name / "test.parquet", 2000, 40, binary=name == "rqe")
    for name in ("multi30k", "asset"):
        for split, first, count in (("train", 0, 120), ("test", 2000, 40)):
            columns = {"anchor": sentences(first, count), "positive": sentences(first + 500, count)}
            write_table(tmp_path / name / f"{split}.parquet", columns)
    nli = tmp_path / "nli"
    names = ["entailment", "neutral", "contradiction"]
    premises, hypotheses = sentences(4000, 120), sentences(5000, 120)
    labels = [names[n % 3] for n in range(120)]
    write_table(
        nli / "snli_train20k.parquet", {"premise": premises, "hypothesis": hypotheses, "label": labels}
    )
    write_table(nli / "pairs_train.parquet", {"anchor": premises, "positive": hypotheses})
    for split, first, count in (("train", 0, 120), ("test", 2000, 40)):
        parts = {"anchor": first, "positive": first + 500, "negative": first + 1000}
        columns = {role: sentences(start, count) for role, start in parts.items()}
        write_table(nli / f"triplets_{split}.parquet", columns)
    monkeypatch.chdir(tmp_path)
    return tmp_path


SYSTEMS = {
    "facenet", "hermans", "margin_based", "sbert_classification", "sbert_regression", "sbert_triplet",
    "hoffer_ailon", "schultz_joachims", "oasis", "ladder", "mnrl", "clip", "simclr", "simcse", "moco",
    "supervised_contrastive", "contrastive", "online_contrastive", "cosent", "gist",
}  # fmt: skip
"""A recipe for each system of triplet learning that the losses come from."""

OTHERS = {
    "quickstart", "retrieval", "matryoshka", "several_losses", "curriculum", "retrieval-mined",
    "retrieval-refreshed",
}  # fmt: skip


def test_every_system_and_every_loss_has_a_recipe() -> None:
    requests = {name: read_request(name, {}, []) for name in packaged_recipes()}
    assert set(requests) == SYSTEMS | OTHERS
    used = {request.recipe.loss.name for request in requests.values()}
    assert used - {None} == set(LOSSES)


def test_recipes_are_found_and_described() -> None:
    assert list(packaged_recipes()) == [file.stem for file in RECIPES]
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
