"""What the loss has learned reaches the saved model, the measurement and the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.spatial.distance import cdist
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import Dense, Normalize

from sbert_triplet.pipeline import evidence

if TYPE_CHECKING:
    from tests.pipeline.conftest import Finished, Tables, Train

ROWS = 60
EAGER = {"learning_rate": 0.01, "warmup": 0, "never_worse": False}
FIGURES = {"base", "tuned", "difference", "low", "high", "p_value", "n"}


@pytest.fixture
def learn(tables: Tables, train: Train) -> Any:
    """``learn(loss, ...)``: a run of question and answer pairs, in few but long steps, that ships."""

    def run(loss: dict[str, Any], out: str = "out", **sections: Any) -> Finished:
        sections = {"train": EAGER, "evaluate": {"metrics": ["RR@10"], "bm25": False}, **sections}
        return train(tables.write("mine.csv", tables.pairs(ROWS)), out, loss=loss, **sections)

    return run


def saved(finished: Finished, name: str = "candidate") -> SentenceTransformer:
    return SentenceTransformer(str(finished.run.folder / name), device="cpu")


def asked(finished: Finished) -> list[int]:
    """The numbers of the held-out questions, in the order of the predictions."""
    table = pq.read_table(finished.run.folder / "predictions" / "items.parquet")
    return [int(query.rsplit(" ", 1)[1].rstrip("?")) for query in table["query"].to_pylist()]


def reciprocal_rank(closeness: np.ndarray, answers: list[int]) -> float:
    """RR@10 of (Q, 60) similarities by counting; ties go to the document that comes first."""
    total = 0.0
    for row, answer in zip(closeness, answers, strict=True):
        rank = 1 + int((row > row[answer]).sum()) + int((row[:answer] == row[answer]).sum())
        total += 1 / rank if rank <= 10 else 0.0
    return total / len(answers)


def rows(model: SentenceTransformer, numbers: list[int], tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings of these questions, and of all answers."""
    queries = model.encode_query([tables.question(number) for number in numbers])
    return queries, model.encode_document([tables.answer(number) for number in range(ROWS)])


def served_figure(finished: Finished, tables: Tables, name: str = "candidate") -> float:
    model, numbers = saved(finished, name), asked(finished)
    assert finished.report["pool"]["documents"] == ROWS
    return reciprocal_rank(np.asarray(model.similarity(*rows(model, numbers, tables))), numbers)


def modules(model: SentenceTransformer) -> list[type]:
    return [type(module) for module in model.children()]


MAHALANOBIS = {
    "name": "triplet",
    "distance": {"name": "mahalanobis", "form": "low_rank", "rank": 6},
    "miner": "hard",
    "margin": 0.5,
}


@pytest.mark.parametrize(
    ("loss", "last", "similarity", "dimensions"),
    [
        ({**MAHALANOBIS, "distance": "mahalanobis"}, Dense, "euclidean", 32),
        (MAHALANOBIS, Dense, "euclidean", 6),
        ({**MAHALANOBIS, "distance": {"name": "mahalanobis", "form": "fixed"}}, Dense, "euclidean", 32),
        ({"name": "relative_comparisons", "miner": "hard"}, Dense, "euclidean", 32),
        ({"name": "oasis", "miner": "hard", "symmetric": True, "rank": 4}, Dense, "dot", 32),
        ({"name": "oasis", "miner": "hard", "rank": 4}, Router, "dot", 32),
    ],
)
def test_a_learned_metric_is_measured_reported_and_saved(
    loss: dict[str, Any], last: type, similarity: str, dimensions: int, learn: Any, tables: Tables
) -> None:
    finished = learn(loss)
    for name in ("candidate", "model"):
        model = saved(finished, name)
        assert modules(model)[-2:] == [Normalize, last]
        assert model.similarity_fn_name == similarity
        assert model.get_embedding_dimension() == dimensions
    described = finished.report["model"]
    assert (described["similarity"], described["dimensions"]) == (similarity, dimensions)
    assert described["parameters"] == sum(p.numel() for p in saved(finished).parameters())
    entry = finished.report["metrics"]["RR@10"]
    assert entry["tuned"] == pytest.approx(served_figure(finished, tables), abs=1e-9)
    assert "training_distance" not in finished.report
    assert "dimensions" not in finished.report


def test_the_base_model_is_measured_as_it_is(learn: Any, tables: Tables) -> None:
    plain = learn({"name": "multiple_negatives_ranking"}, "plain")
    folded = learn(MAHALANOBIS, "folded", train={**EAGER, "never_worse": True, "learning_rate": 1e-9})
    assert folded.report["metrics"]["RR@10"]["base"] == plain.report["metrics"]["RR@10"]["base"]
    assert folded.report["shipped"] == "base"
    shipped = saved(folded, "model")
    assert modules(shipped) == modules(saved(plain))
    assert shipped.similarity_fn_name == "cosine"
    assert served_figure(folded, tables, "model") == pytest.approx(
        folded.report["metrics"]["RR@10"]["base"], abs=1e-9
    )
    cards = {name: (folded.run.folder / name / "README.md").read_text() for name in ("candidate", "model")}
    assert "euclidean similarity" in cards["candidate"]
    assert "cosine similarity" in cards["model"]


def test_dev_scores_are_those_of_the_served_model(learn: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int]] = []
    fold = evidence.served_model

    def recorded(*arguments: Any) -> SentenceTransformer:
        served = fold(*arguments)
        seen.append((str(served.similarity_fn_name), int(served.get_embedding_dimension() or 0)))
        return served

    monkeypatch.setattr(evidence, "served_model", recorded)
    finished = learn(
        MAHALANOBIS, train={**EAGER, "eval_steps": 1}, evaluate={"metrics": ["RR@10"], "dev": 0.2}
    )
    log = [json.loads(line) for line in (finished.run.folder / "log.jsonl").read_text().splitlines()]
    assert sum("dev" in line for line in log) == 3
    assert seen == [("euclidean", 6)] * 4


def test_routes_are_measured_for_texts_of_one_role(tables: Tables, train: Train) -> None:
    """A labelled text is looked up by the query's route among those of known class by the document's."""
    finished = train(
        tables.write("mine.csv", tables.labelled(ROWS)),
        loss={"name": "oasis", "miner": "hard", "rank": 8, "decay": 0.0},
        train={**EAGER, "learning_rate": 0.05},
        evaluate={"metrics": ["1-NN accuracy"], "dev": 0, "test": 0.4, "general": True},
    )
    model = saved(finished)
    table = pq.read_table(finished.run.folder / "predictions" / "items.parquet")
    test = table["text"].to_pylist()
    known = [row["text"] for row in tables.labelled(ROWS) if row["text"] not in test]
    assert len(known) == finished.report["data"]["rows"]["train"]
    classes = {row["text"]: row["label"] for row in tables.labelled(ROWS)}

    def accuracy(one: np.ndarray) -> float:
        nearest = (one @ model.encode_document(known).T).argmax(axis=1)
        return float(
            np.mean([classes[known[n]] == classes[text] for n, text in zip(nearest, test, strict=True)])
        )

    entry = finished.report["metrics"]["1-NN accuracy"]
    assert entry["tuned"] == pytest.approx(accuracy(model.encode_query(test)), abs=1e-9)
    assert entry["tuned"] != pytest.approx(accuracy(model.encode(test)), abs=1e-9)
    assert finished.report["general"]["n"] > 0


@pytest.mark.parametrize(
    ("distance", "shown", "measure"),
    [
        ({"name": "minkowski", "p": 3}, "minkowski (p = 3)", {"metric": "minkowski", "p": 3}),
        ("chebyshev", "chebyshev", {"metric": "chebyshev"}),
    ],
)
def test_a_distance_that_cannot_be_served_is_reported_beside_the_one_that_is(
    distance: Any, shown: str, measure: dict[str, Any], learn: Any, tables: Tables
) -> None:
    finished = learn({"name": "triplet", "distance": distance, "miner": "hard", "margin": 0.2}, drawn=True)
    model, numbers = saved(finished), asked(finished)
    assert model.similarity_fn_name == finished.report["model"]["similarity"] == "cosine"
    part = finished.report["training_distance"]
    assert part["name"] == shown
    assert set(part["metrics"]) == set(finished.report["metrics"]) == {"RR@10"}
    assert set(part["metrics"]["RR@10"]) >= FIGURES
    by_distance = reciprocal_rank(-cdist(*rows(model, numbers, tables), **measure), numbers)
    assert part["metrics"]["RR@10"]["tuned"] == pytest.approx(by_distance, abs=1e-9)
    assert finished.report["metrics"]["RR@10"]["tuned"] == pytest.approx(
        served_figure(finished, tables), abs=1e-9
    )
    assert f"RR@10 by {shown}" in finished.text
    for name in ("report.html", "report.md"):
        text = (finished.run.folder / name).read_text(encoding="utf-8")
        assert "Under the training distance" in text
        assert shown in text


def test_nested_dimensions_are_reported_one_by_one(learn: Any, tables: Tables) -> None:
    finished = learn({"name": "multiple_negatives_ranking", "matryoshka": [32, 4, 8]}, drawn=True)
    part = finished.report["dimensions"]
    assert list(part) == ["32", "8", "4"]
    for name, entry in part["32"].items():
        assert entry.items() <= finished.report["metrics"][name].items()
    numbers = asked(finished)
    for size in (8, 4):
        assert set(part[str(size)]["RR@10"]) >= FIGURES
        model = SentenceTransformer(str(Path("out") / "candidate"), device="cpu", truncate_dim=size)
        expected = reciprocal_rank(np.asarray(model.similarity(*rows(model, numbers, tables))), numbers)
        assert part[str(size)]["RR@10"]["tuned"] == pytest.approx(expected, abs=1e-9)
    assert "training_distance" not in finished.report
    for name in ("report.html", "report.md"):
        assert "Fewer dimensions" in (finished.run.folder / name).read_text(encoding="utf-8")
