"""Which model ships, what a gate says, and that prompts, lengths and similarity reach what is saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import DivergedError, GainNotShownError, InputError, MachineError
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.pipeline import comparison, outcome

if TYPE_CHECKING:
    from tests.pipeline.conftest import Finished, Tables, Train

Pretend = Callable[[float, float], None]
RANDOM_WEIGHTS = {"learning_rate": 1.0, "warmup": 0, "max_grad_norm": None}
TEXTS = ["what is known of bread?", "a text", "about rain the books say a lot"]


def embeddings(folder: Path) -> np.ndarray:
    return np.asarray(SentenceTransformer(str(folder), device="cpu").encode(TEXTS))


def shown(low: float, high: float) -> Callable[..., Comparison]:
    """A comparison in place of the measured one, with this interval of the difference."""

    def compared(metric: object, base: np.ndarray, tuned: np.ndarray, **_: object) -> Comparison:
        middle = (low + high) / 2
        name = getattr(metric, "name", str(metric))
        return Comparison(name, 0.5, 0.5 + middle, middle, low, high, 0.01, len(base))

    return compared


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Pretend that every difference was measured with this interval."""

    def pretend(low: float, high: float) -> None:
        monkeypatch.setattr("sbert_triplet.evaluation.parts.compare_items", shown(low, high))
        monkeypatch.setattr(comparison, "compare_items", shown(low, high))

    return pretend


@pytest.mark.parametrize(
    ("main", "counted", "told"),
    [
        ((0.01, 0.09), (0.02, 0.06), "Success@3"),
        ((0.01, 0.09), (-0.01, 0.05), "nDCG@10"),
        ((-0.01, 0.09), (0.02, 0.06), "nDCG@10"),
        ((-0.01, 0.09), (-0.02, 0.06), "Success@3"),
        ((-0.09, -0.01), (-0.02, 0.06), "nDCG@10"),
    ],
)
def test_the_sentence_says_what_the_verdict_says(
    main: tuple[float, float], counted: tuple[float, float], told: str
) -> None:
    metrics = {
        name: shown(*ends)(name, np.zeros(50), np.zeros(50))
        for name, ends in (("nDCG@10", main), ("Success@3", counted))
    }
    assert outcome.told_by(metrics, metrics["nDCG@10"]).metric == told
    assert outcome.told_by({"Spearman": metrics["nDCG@10"]}, metrics["nDCG@10"]).metric == "nDCG@10"


def ships(finished: Finished) -> str:
    """Which model the folder ``model`` holds, by its embeddings."""
    candidate, model = (embeddings(finished.run.folder / name) for name in ("candidate", "model"))
    return "tuned" if np.array_equal(candidate, model) else "base"


@pytest.mark.parametrize(
    ("low", "high", "never_worse", "verdict", "shipped"),
    [
        (0.01, 0.09, True, "better", "tuned"),
        (-0.01, 0.09, True, "not shown better", "base"),
        (-0.01, 0.09, False, "not shown better", "tuned"),
        (-0.09, -0.01, True, "worse", "base"),
        (-0.09, -0.01, False, "worse", "tuned"),
    ],
)
def test_what_ships(
    low: float,
    high: float,
    never_worse: bool,
    verdict: str,
    shipped: str,
    measured: Pretend,
    tables: Tables,
    train: Train,
) -> None:
    measured(low, high)
    settings = {"never_worse": never_worse, "learning_rate": 0.05}
    finished = train(tables.write("mine.csv", tables.pairs()), train=settings)
    assert (finished.report["verdict"], finished.report["shipped"]) == (verdict, shipped)
    assert ships(finished) == shipped
    card = (finished.run.model / "README.md").read_text(encoding="utf-8")
    assert ("The weights here are the tuned ones" in card) == (shipped == "tuned")
    assert (
        "The weights here are the tuned ones" in (finished.run.folder / "candidate" / "README.md").read_text()
    )
    assert finished.run.better == (verdict == "better")
    assert f"Model:  out/model (the {shipped} model)" in finished.said


def test_a_model_that_got_worse_is_not_shipped(tiny_folder: Path, tables: Tables, train: Train) -> None:
    """Of sorted out classes that the base model tells apart by their letters, absurd steps make a mess."""
    words = ("aaaa bb", "zzzz qq", "mmmm kk", "pppp oo")
    rows = [{"text": f"{words[n % 4]} {n % 7}{n % 5}", "label": words[n % 4][:4]} for n in range(140)]
    finished = train(
        tables.write("mine.csv", rows),
        smoke=False,
        model=str(tiny_folder),
        loss={"name": "triplet", "distance": "cosine", "margin": 0.3, "miner": "all"},
        train={**RANDOM_WEIGHTS, "max_steps": 8},
        evaluate={"test": 0.5, "metrics": ["1-NN accuracy"]},
    )
    entry = finished.report["metrics"]["1-NN accuracy"]
    assert entry["tuned"] < entry["base"] - 0.2
    assert (finished.report["verdict"], finished.report["shipped"]) == ("worse", "base")
    assert np.allclose(embeddings(finished.run.model), embeddings(tiny_folder), atol=1e-6)


def test_the_gate(measured: Pretend, tables: Tables, train: Train) -> None:
    data = tables.write("mine.csv", tables.pairs())
    measured(-0.01, 0.09)
    with pytest.raises(GainNotShownError, match=r"not shown better.*The run is complete: out") as caught:
        train(data, require_gain=True)
    assert caught.value.exit_code == 1
    assert (Path("out") / "report.json").exists()
    measured(0.01, 0.09)
    assert train(data, "second", require_gain=True).run.better


@pytest.mark.parametrize("smoke", [True, False])
def test_prompts_reach_the_model_and_the_measurement(
    smoke: bool, tiny_folder: Path, tables: Tables, train: Train
) -> None:
    """Both models are measured with the prompts, and plain sentence-transformers finds them in the folder."""
    data = tables.write("mine.csv", tables.pairs())
    plain = train(data, "plain", smoke=smoke, model=str(tiny_folder))
    prompts = {"query": "find what answers this question: ", "document": "passage: "}
    finished = train(data, "prompted", smoke=smoke, model=str(tiny_folder), prompts=prompts)
    assert finished.report["model"]["prompts"] == prompts
    assert finished.report["metrics"]["nDCG@10"]["base"] != plain.report["metrics"]["nDCG@10"]["base"]
    for name in ("candidate", "model"):
        model = SentenceTransformer(str(finished.run.folder / name), device="cpu")
        assert model.prompts == prompts
        query = tables.question(1)
        assert np.allclose(model.encode_query(query), model.encode(prompts["query"] + query), atol=1e-6)
        assert not np.allclose(model.encode_query(query), model.encode(query), atol=1e-3)


def test_prompts_that_nothing_uses_are_said(tables: Tables, train: Train) -> None:
    finished = train(tables.write("mine.csv", tables.labelled()), prompts={"query": "query: "})
    assert "labelled text has neither queries nor documents" in finished.text


def test_max_length_and_similarity_are_saved(tiny_folder: Path, tables: Tables, train: Train) -> None:
    data = tables.write("mine.csv", tables.pairs())
    finished = train(data, smoke=False, model=str(tiny_folder), max_length=24)
    for name in ("candidate", "model"):
        model = SentenceTransformer(str(finished.run.folder / name), device="cpu")
        assert (model.max_seq_length, str(model.similarity_fn_name)) == (24, "cosine")
    assert finished.report["model"]["max_length"] == 24
    assert any("truncated-texts" in finding["code"] for finding in finished.data["findings"])


def test_a_run_folder_is_a_model_to_start_from(tables: Tables, train: Train) -> None:
    data = tables.write("mine.csv", tables.pairs())
    first = train(data, "first")
    second = train(data, "second", smoke=False, model="first")
    assert second.report["model"]["parameters"] == first.report["model"]["parameters"]
    with pytest.raises(InputError, match="the model to start from lies in this folder"):
        train(data, "first", smoke=False, model="first", overwrite=True)
    assert (Path("first") / "model" / "model.safetensors").is_file()


def test_a_saved_model_that_encodes_otherwise_is_not_accepted(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome, "SAME", -1.0)
    with pytest.raises(MachineError, match=r"candidate: the saved model, loaded again, gives embeddings"):
        train(tables.write("mine.csv", tables.pairs()))
    assert not list(Path("out").glob(".*"))
    assert not (Path("out") / "report.json").exists()
    assert [json.loads(line)["step"] for line in (Path("out") / "log.jsonl").open()] == [1, 2, 3]


def test_training_that_diverges_is_said_with_step_and_rows(tables: Tables, train: Train) -> None:
    with pytest.raises(DivergedError, match=r"step \d+, data rows .*learning_rate") as caught:
        train(
            tables.write("mine.csv", tables.pairs()),
            loss={"name": "multiple_negatives_ranking", "scale": 1e38},
            train=RANDOM_WEIGHTS,
        )
    assert caught.value.exit_code == 4
