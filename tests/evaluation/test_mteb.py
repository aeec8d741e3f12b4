"""Tasks of MTEB: what is asked of mteb, what is read of its results, and what is said without it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import datasets
import numpy as np
import pytest

from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.errors import DataError, InputError
from sbert_triplet.evaluation.mteb import evaluate_mteb
from sbert_triplet.evaluation.sts import evaluate_scored

SCORES = {
    "test": [
        {
            "cosine_spearman": 0.82,
            "pearson": 0.79,
            "main_score": 0.82,
            "hf_subset": "default",
            "languages": ["eng-Latn"],
            "mteb_version": "2.26.0",
            "scores_per_experiment": [{"accuracy": 1.0}],
            "n": 3,
            "flag": True,
        }
    ],
    "dev": [
        {"cosine_spearman": 0.7, "main_score": 0.7, "hf_subset": name, "languages": []}
        for name in ("en", "de")
    ],
}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """A module in place of mteb, and how it was called."""
    calls: list[tuple[Any, ...]] = []
    module, models = ModuleType("mteb"), ModuleType("mteb.models")

    def get_task(name: str) -> Any:
        if name not in ("STS", "Private", "Away"):
            raise KeyError(f"KeyError: '{name}' not found. Did you mean: STS?")
        return SimpleNamespace(metadata=SimpleNamespace(name=name, main_score="cosine_spearman"))

    def evaluate(model: Any, task: Any, **options: Any) -> Any:
        calls.append((model, task.metadata.name, options))
        if task.metadata.name == "Away":
            raise ConnectionError("Couldn't reach the Hub\nand more")
        found = SimpleNamespace(
            task_name=task.metadata.name, dataset_revision="r1", mteb_version="2.26.0", scores=SCORES
        )
        return SimpleNamespace(task_results=[] if task.metadata.name == "Private" else [found])

    module.get_task, module.evaluate = get_task, evaluate  # type: ignore[attr-defined]
    models.SentenceTransformerEncoderWrapper = lambda model: ("wrapped", model)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mteb", module)
    monkeypatch.setitem(sys.modules, "mteb.models", models)
    return calls


def test_what_is_asked_and_what_is_read(fake: list[tuple[Any, ...]]) -> None:
    model = tiny_encoder(["a text"])
    results = evaluate_mteb(model, ["STS"], batch_size=8)
    ((wrapped, name, options),) = fake
    assert (wrapped, name) == (("wrapped", model), "STS")
    assert options["cache"] is None
    assert options["encode_kwargs"]["batch_size"] == 8
    assert [(each.split, each.subset) for each in results] == [
        ("test", "default"),
        ("dev", "en"),
        ("dev", "de"),
    ]
    first = results[0]
    assert (first.task, first.main, first.revision, first.version) == (
        "STS",
        "cosine_spearman",
        "r1",
        "2.26.0",
    )
    assert {name: values.value for name, values in first.values.items()} == {
        "cosine_spearman": 0.82,
        "pearson": 0.79,
        "n": 3.0,
    }
    assert next(iter(first.values)) == first.main
    assert first.values["pearson"].metric == "pearson"


def test_an_unknown_task_is_refused_before_any_is_measured(fake: list[tuple[Any, ...]]) -> None:
    with pytest.raises(InputError) as caught:
        evaluate_mteb(tiny_encoder(["a text"]), ["STS", "STSS"])
    assert str(caught.value) == (
        "MTEB task STSS: there is none of that name. 'STSS' not found. Did you mean: STS?"
    )
    assert fake == []


def test_data_that_cannot_be_had(fake: list[tuple[Any, ...]]) -> None:
    model = tiny_encoder(["a text"])
    with pytest.raises(
        DataError, match=r"MTEB task Away: its data cannot be had \(Couldn't reach the Hub\)$"
    ):
        evaluate_mteb(model, ["Away"])
    with pytest.raises(DataError, match=r"MTEB task Private: .* private"):
        evaluate_mteb(model, ["Private"])


def test_without_mteb_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mteb", None)
    with pytest.raises(InputError, match=r'pip install "sbert-triplet\[mteb\]"'):
        evaluate_mteb(tiny_encoder(["a text"]), ["STS"])


def test_a_real_task_gives_what_our_own_measure_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    mteb = pytest.importorskip("mteb")
    pairs = [(f"the number {n} is told here", f"here {n % 5} and {n % 3} are told") for n in range(20)]
    scores = [(n * 7 % 11) / 2 for n in range(20)]
    one, two = (list(texts) for texts in zip(*pairs, strict=True))
    task = mteb.get_task("STSBenchmark")
    rows = datasets.Dataset.from_dict({"sentence1": one, "sentence2": two, "score": scores})
    task.dataset, task.data_loaded = datasets.DatasetDict({"test": rows}), True
    monkeypatch.setattr(mteb, "get_task", lambda name: task)
    model = tiny_encoder([*one, *two])
    (found,) = evaluate_mteb(model, ["STSBenchmark"])
    near = np.diag(model.similarity(model.encode(one), model.encode(two)))
    expected = evaluate_scored(near.astype(np.float64), np.array(scores))["Spearman"].value
    assert (found.task, found.split, found.main) == ("STSBenchmark", "test", "cosine_spearman")
    assert found.values["cosine_spearman"].value == pytest.approx(expected, abs=1e-6)
    monkeypatch.undo()
    with pytest.raises(InputError, match="Did you mean: 'STSBenchmark'"):
        evaluate_mteb(model, ["STSBenchmarks"])
