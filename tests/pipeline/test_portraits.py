"""What a run says beside its metrics: similarities, map, health, threshold, causes, learning curve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.pipeline.energy import WATTS_PER_ACCELERATOR, WATTS_PER_THREAD, energy_estimate
from sbert_triplet.pipeline.learning_curve import more_data_sentence
from sbert_triplet.pipeline.threshold import FILE

if TYPE_CHECKING:
    import torch

    from tests.pipeline.conftest import Finished, Tables, Train


def placed(finished: Finished) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        finished.run.folder / "predictions" / "map.parquet"
    ).to_pylist()
    return rows


def calibrated(finished: Finished, folder: str) -> dict[str, Any]:
    return dict(json.loads((finished.run.folder / folder / FILE).read_text(encoding="utf-8")))


def test_a_run_of_pairs(tables: Tables, train: Train) -> None:
    finished = train(tables.write("mine.csv", tables.pairs()), evaluate={"test": 0.3, "dev": 0.3})
    report, home = finished.report, finished.run.folder
    # Similarities: what the saved model gives the same pairs.
    rows, texts = placed(finished), tables.pairs()
    answers = {row["question"]: row["answer"] for row in texts}
    queries = [row["text"] for row in rows if row["role"] == "query"]
    model = SentenceTransformer(str(home / "candidate"), device="cpu")
    one, two = model.encode(queries), model.encode([answers[query] for query in queries])
    groups = report["similarities"]["tuned"]["groups"]
    assert list(groups) == ["relevant document", "best other document", "random document"]
    assert groups["relevant document"]["mean"] == pytest.approx(float((one * two).sum(1).mean()), abs=1e-5)
    assert groups["relevant document"]["n"] == len(queries)
    assert sum(groups["relevant document"]["counts"]) == len(queries)
    assert report["similarities"]["base"]["edges"] == report["similarities"]["tuned"]["edges"]
    # The map: every text once, with what each model made of it.
    assert report["map"] == {
        "texts": len(rows),
        "methods": ["pca"],
        "base_share": pytest.approx(report["map"]["base_share"]),
        "tuned_share": pytest.approx(report["map"]["tuned_share"]),
    }
    assert len({row["text"] for row in rows}) == len(rows)
    items = {row["item"]: row for row in pq.read_table(home / "predictions" / "items.parquet").to_pylist()}
    for row in rows:
        if row["role"] == "query":
            for name in ("base", "tuned"):
                assert row[f"{name}_hit"] == items[row["item"]][f"{name}_top_relevant"][0]
        else:
            assert row["base_hit"] is row["tuned_hit"] is None
        assert row["class"] is None
    # Health: of the same texts.
    encoded = model.encode([row["text"] for row in rows]).astype(float)
    encoded /= np.linalg.norm(encoded, axis=1, keepdims=True)
    cosines = (encoded @ encoded.T)[~np.eye(len(rows), dtype=bool)]
    assert report["health"]["tuned"]["anisotropy"] == pytest.approx(cosines.mean(), abs=1e-5)
    assert report["health"]["tuned"]["texts"] == len(rows)
    assert 0.9 < report["health"]["same_text"] <= 1.0
    # The cut: of each model in its folder, chosen on the dev rows.
    for folder, name in (("candidate", "tuned"), ("model", report["shipped"])):
        assert calibrated(finished, folder) == report["thresholds"][name]
    cut = report["thresholds"]["tuned"]
    assert (cut["function"], cut["precision_wanted"], cut["n"]) == (
        "cosine",
        0.9,
        report["data"]["rows"]["dev"],
    )
    assert cut["test"]["n"] == len(items)
    # Causes: a run of a few steps on a few rows shows nothing, and says why it may not.
    assert report["verdict"] != "better"
    assert "too little training" in [cause["cause"] for cause in report["causes"]]
    for cause in report["causes"]:
        assert set(cause) == {"cause", "evidence", "advice", "strength"}
        assert not any(text in cause["evidence"] for text in answers)
    adjusted = {name for name, entry in report["metrics"].items() if "adjusted_p" in entry}
    assert adjusted == set(report["metrics"]) - {report["main_metric"]}
    assert adjusted
    assert report["train"]["energy"]["estimated"] is True


def test_a_run_of_labelled_text(tables: Tables, train: Train) -> None:
    finished = train(
        tables.write("mine.csv", tables.labelled(90)),
        loss={"name": "triplet", "distance": "cosine", "margin": 0.3, "miner": "all"},
        evaluate={"test": 0.3, "dev": 0.3, "same_precision": 0.6},
    )
    report = finished.report
    assert list(report["similarities"]["base"]["groups"]) == ["same class", "other class"]
    rows = placed(finished)
    labels = {row["text"]: row["label"] for row in tables.labelled(90)}
    assert {row["text"]: row["class"] for row in rows} == {row["text"]: labels[row["text"]] for row in rows}
    assert len(rows) == report["data"]["rows"]["test"]
    values = pq.read_table(finished.run.folder / "predictions" / "items.parquet").to_pylist()
    assert [row["tuned_hit"] for row in sorted(rows, key=lambda row: row["item"])] == [
        row["tuned"] == 1 for row in values
    ]
    assert calibrated(finished, "candidate")["precision_wanted"] == 0.6
    assert "nearest text of known class" in report["thresholds"]["tuned"]["pairs"]
    log = [json.loads(line) for line in (finished.run.folder / "log.jsonl").read_text().splitlines()]
    stats = next(line["stats"] for line in log if "hard" in line.get("stats", {}))
    assert stats["hard"] + stats["semi_hard"] + stats["easy"] == pytest.approx(1)
    assert {"alignment", "uniformity", "anisotropy", "effective_rank", "active_share"} <= set(stats)


def test_scored_pairs_have_no_threshold(tables: Tables, train: Train) -> None:
    rows = [
        {"sentence1": tables.question(n), "sentence2": tables.answer(n + n % 3), "score": float(n % 6)}
        for n in range(60)
    ]
    finished = train(tables.write("mine.csv", rows), evaluate={"test": 0.3, "dev": 0.2})
    report = finished.report
    assert "thresholds" not in report
    assert not list(finished.run.folder.rglob(FILE))
    names = ["highest third of the scores", "middle third", "lowest third"]
    groups = report["similarities"]["tuned"]["groups"]
    assert list(groups) == names
    assert sum(groups[name]["n"] for name in names) == report["data"]["rows"]["test"]
    assert {row["role"] for row in placed(finished)} == {"text", "other text"}


def test_without_dev_rows_there_is_no_threshold(tables: Tables, train: Train) -> None:
    report = train(tables.write("mine.csv", tables.pairs(40)), evaluate={"dev": 0}).report
    assert "thresholds" not in report
    assert report["health"]["base"]["texts"] > 0


def test_the_learning_curve(tables: Tables, train: Train) -> None:
    finished = train(
        tables.write("mine.csv", tables.pairs(120)),
        train={"max_steps": 3, "batch_size": 16},
        evaluate={"learning_curve": True, "test": 0.2},
    )
    report = finished.report
    curve = report["learning_curve"]
    quarter, half, whole = curve["points"]
    assert [point["share"] for point in curve["points"]] == [0.25, 0.5, 1.0]
    assert [point["steps"] for point in curve["points"]] == [1, 2, 3]
    assert quarter["rows"] < half["rows"] < whole["rows"] == report["data"]["rows"]["train"]
    main = report["metrics"][report["main_metric"]]
    for point in curve["points"]:
        assert point["base"] == pytest.approx(main["base"])
        assert point["n"] == main["n"]
    assert {name: whole[name] for name in ("tuned", "low", "high")} == {
        name: main[name] for name in ("tuned", "low", "high")
    }
    assert curve["doubled"]["base"] == pytest.approx(half["tuned"])
    assert curve["sentence"].startswith(f"From half of the rows to all of them {report['main_metric']}")
    assert "Learning curve, 25 % of the rows: 1 step of" in finished.text
    # The parts leave nothing in the run folder.
    log = (finished.run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in log if "loss" in json.loads(line)] == [1, 2, 3]


def test_the_learning_curve_changes_nothing_else(tables: Tables, train: Train) -> None:
    data = tables.write("mine.csv", tables.pairs(80))
    settings = {"max_steps": 3, "precision": "fp32"}
    one = train(data, "one", train=settings, evaluate={"learning_curve": True})
    two = train(data, "two", train=settings)
    assert one.report["metrics"] == two.report["metrics"]
    weights = [run.run.folder / "candidate" / "model.safetensors" for run in (one, two)]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert "learning_curve" not in two.report


@pytest.mark.parametrize(
    ("low", "high", "p_value", "said"),
    [
        (0.004, 0.02, 0.001, "more data would likely help."),
        (-0.02, -0.004, 0.001, "more rows of this kind did harm"),
        (-0.01, 0.02, 0.4, "that more data would help is not shown."),
    ],
)
def test_what_twice_the_rows_say(low: float, high: float, p_value: float, said: str) -> None:
    middle = (low + high) / 2
    doubled = Comparison("nDCG@10", 0.6, 0.6 + middle, middle, low, high, p_value, 500)
    assert said in more_data_sentence(doubled)
    assert f"(95 % interval {low:+.3f} to {high:+.3f})" in more_data_sentence(doubled)


def test_energy_is_time_times_an_assumed_power(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch as library

    monkeypatch.setattr(library, "get_num_threads", lambda: 3)
    of_processor = energy_estimate(7_200, device("cpu"))
    assert of_processor["watt_hours"] == pytest.approx(3 * WATTS_PER_THREAD * 2)
    assert of_processor["basis"] == "3 threads at an assumed 10 W"
    of_accelerator = energy_estimate(1_800, device("cuda"))
    assert of_accelerator["watt_hours"] == pytest.approx(WATTS_PER_ACCELERATOR / 2)
    assert of_accelerator["basis"] == "1 accelerator at an assumed 300 W"


def device(name: str) -> torch.device:
    import torch as library

    return library.device(name)


def test_the_report_of_all_this_is_drawn(tables: Tables, train: Train) -> None:
    finished = train(
        tables.write("mine.csv", tables.pairs(80)),
        drawn=True,
        train={"max_steps": 2},
        evaluate={"learning_curve": True, "test": 0.2, "dev": 0.2},
    )
    page = (finished.run.folder / "report.html").read_text(encoding="utf-8")
    for key in ("causes", "learning-curve", "threshold", "similarities", "map", "health"):
        assert f'<section id="{key}"' in page or f'id="{key}" aria-labelledby' in page, key
    figures = (finished.run.folder / "report.md").read_text(encoding="utf-8")
    assert "## Likely causes" in figures
    assert "what is known of" not in figures
    card = (finished.run.folder / "model" / "README.md").read_text(encoding="utf-8")
    assert "see calibration.json" in card
    assert Path(finished.run.folder / "model" / FILE).is_file()
