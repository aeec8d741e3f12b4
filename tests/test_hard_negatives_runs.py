"""The comparison of hard negatives: a trial of all of it, its pace, what it goes on from, and its table."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

EVAL = Path(__file__).resolve().parents[1] / "eval"
Load = Callable[[str], Any]


@pytest.fixture(autouse=True)
def _no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sbert_triplet.pipeline.job.write_report", lambda _: None)


@pytest.mark.long
def test_short_form(load: Load) -> None:
    """Every method once, then a second seed of one of them beside the runs that there are."""
    command, runs = load("hard_negatives"), load("hard_negatives_runs")
    arguments = command.parsed(["--short", "--seeds", "1"])
    *_, results = command.measured(arguments)
    assert [run["method"] for run in results["runs"]] == list(runs.METHODS)
    found = {run["method"]: run for run in results["runs"]}
    kept = results["sets"]["trial"]
    for name, run in found.items():
        assert run["seconds"] > 0
        assert run["steps"] == kept["paces"][runs.METHODS[name].pace]["steps"]
        assert run["base"] == found["in-batch"]["base"] > 0.1
        for column in ("base", "tuned"):
            values = load("outcomes").as_values(run[f"{column}_by_query"])
            assert len(values) == kept["test"] == 30
            assert values.mean() == pytest.approx(run[column], abs=1e-4)
    assert found["once"]["steps"] == found["filters"]["steps"] == found["curriculum"]["steps"]
    assert {name for name, run in found.items() if run["refreshes"]} == {"refreshed"}
    assert found["refreshed"]["refreshes"] == 1
    assert 0 < found["refreshed"]["refresh_seconds"] < found["refreshed"]["seconds"]
    assert set(kept["mining"]) == {"once", "filters", "refreshed", "curriculum"}
    assert kept["mining"]["refreshed"] == kept["mining"]["filters"] > 0
    assert set(found["in-batch"]["measured"]) == {"command", "commit"}
    results = json.loads(json.dumps(results))
    again = command.parsed(["--short", "--seeds", "1", "2", "--methods", "in-batch", "filters"])
    *_, results = command.measured(again, results)
    made = [(run["method"], run["seed"]) for run in results["runs"][5:]]
    assert made == [("in-batch", 2), ("filters", 2)]
    assert results["runs"][5]["steps"] == found["in-batch"]["steps"]
    assert list(command.measured(again, results)) == []
    shown = load("hard_negatives_table").table(results)
    assert "| trial | mined with filters, refreshed |" in shown


def test_runs_made_otherwise_are_not_mixed(load: Load, tmp_path: Path) -> None:
    command = load("hard_negatives")
    arguments = command.parsed(["--short"])
    with pytest.raises(SystemExit, match="were made otherwise"):
        next(command.measured(arguments, {"plan": {"seconds": 5}, "sets": {}, "runs": []}))
    rows = command.prepared_set("trial", arguments, tmp_path)
    with pytest.raises(SystemExit, match="made with other rows"):
        command.kept_of(rows, {"sets": {"trial": {"fingerprint": "another"}}})


def pace_of(load: Load, monkeypatch: pytest.MonkeyPatch, step: float, refresh: float = 0.0) -> Any:
    """``paced_run`` with trainings that take ``step`` seconds a step; a first guess is 100 steps."""
    runs = load("hard_negatives_runs")
    asked: list[int | None] = []

    def one_run(plan: Any, rows: Any, name: str, seed: int, steps: int | None) -> dict[str, Any]:
        asked.append(steps)
        done = steps or 100
        between = refresh if runs.METHODS[name].refreshed else 0.0
        return {"steps": done, "seconds": done * step + between, "refresh_seconds": between}

    monkeypatch.setattr(runs, "one_run", one_run)
    plan = runs.Plan(60.0, 1, 32, None, "fp32")
    return asked, lambda name, kept: runs.paced_run(plan, None, name, 1, kept)


def test_a_pace_is_found_once(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 steps of 0.8 s are 80 s where 60 are wanted: 75 steps; all methods of the pace take as many."""
    asked, paced = pace_of(load, monkeypatch, 0.8)
    kept: dict[str, Any] = {"mining": {"filters": 20.0}}
    assert paced("once", kept)["steps"] == 75
    assert asked == [None, 75]
    assert kept["paces"] == {"negatives": {"steps": 75, "step_seconds": pytest.approx(0.8)}}
    assert paced("curriculum", kept)["steps"] == 75
    assert asked == [None, 75, 75]


def test_a_training_near_enough_is_taken(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, paced = pace_of(load, monkeypatch, 0.63)
    assert paced("in-batch", {"mining": {}})["steps"] == 100
    assert asked == [None]


def test_a_refresh_counts_as_training(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 60 s mining takes 20, so that 40 steps of 1 s are tried; the refresh takes 30: 30 steps are left."""
    asked, paced = pace_of(load, monkeypatch, 1.0, refresh=30.0)
    kept: dict[str, Any] = {
        "mining": {"filters": 20.0},
        "paces": {"negatives": {"steps": 60, "step_seconds": 1.0}},
    }
    assert paced("refreshed", kept)["seconds"] == 60
    assert asked == [40, 30]
    with pytest.raises(SystemExit, match="measure that first"):
        paced("refreshed", {"mining": {}})


def test_recipes_of_the_methods(load: Load, tmp_path: Path) -> None:
    command, runs = load("hard_negatives"), load("hard_negatives_runs")
    rows = command.prepared_set("trial", command.parsed(["--short"]), tmp_path)
    plan = runs.Plan(60.0, 2, 32, 128, "fp32")
    plain, once, filters, refreshed, curriculum = (
        plan.recipe(rows, method, 3, 21) for method in runs.METHODS.values()
    )
    assert plain.mine.negatives is None
    assert once.mine.negatives == filters.mine.negatives == refreshed.mine.negatives == 2
    assert (once.mine.near_equal, once.mine.transitive_hops, once.mine.relative_margin) == (None, 0, None)
    shipped = importlib.import_module("sbert_triplet.recipe.reading").load_recipe(
        EVAL.parent / "recipes" / "retrieval-mined.yaml"
    )
    assert filters.mine.model_copy(update={"negatives": 4}) == shipped.recipe.mine
    assert refreshed.mine.refresh == 11
    assert curriculum.curriculum.score == "reference"
    assert {recipe.train.max_steps for recipe in (plain, once, filters)} == {21}
    assert plan.recipe(rows, runs.METHODS["once"], 3, None).train.max_seconds == 60


def test_table_of_means_over_seeds(load: Load) -> None:
    """Two seeds of 40 queries: half of the queries gain 0.2 and 0.4 over in-batch negatives."""
    tables, outcomes = load("hard_negatives_table"), load("outcomes")

    def run(method: str, seed: int, more: float) -> dict[str, Any]:
        values = np.where(np.arange(40) % 2, 0.5 + more, 0.5)
        figures = {"set": "medquad", "method": method, "seed": seed, "steps": 20 + seed, "seconds": 60.0}
        return figures | {
            "base": 0.4,
            "tuned": float(values.mean()),
            "refresh_seconds": 0.0,
            "tuned_by_query": outcomes.as_text(values),
        }

    made = [run("in-batch", 1, 0), run("in-batch", 2, 0), run("once", 2, 0.4), run("once", 1, 0.2)]
    kept = {"train": 100, "test": 40, "documents": 200, "mining": {"once": 7.0}}
    found = tables.compared(made[:2], made[2:])
    assert found.difference == pytest.approx(0.15)
    assert 0 < found.low < 0.15 < found.high
    shown = tables.table({"sets": {"medquad": kept}, "runs": made}).splitlines()
    assert shown[2] == (
        "| medquad | in-batch only | 0.400 | +0.100 | +0.100, +0.100 | - | 21, 22 | 60 s | - | - |"
    )
    assert shown[3].startswith("| medquad | mined once | 0.400 | +0.250 | +0.200, +0.300 | +0.150 (+0.")
    assert shown[3].endswith(", better | 21, 22 | 60 s | - | 7 s |")
    assert tables.compared(made[:1], made[2:3]) is None


def test_values_by_query_are_kept_as_text(load: Load) -> None:
    outcomes = load("outcomes")
    text = outcomes.as_text(np.array([0.0, 1.0, 0.63093, 0.5]))
    assert text == "0 1 0.6309 0.5"
    assert outcomes.as_values(text).tolist() == [0, 1, 0.6309, 0.5]


@pytest.mark.parametrize("name", ["mlquestions", "medquad"])
def test_sets(load: Load, shared_data: Path, tmp_path: Path, name: str) -> None:
    """No test text is trained on, test queries and documents come once, and the cut is always the same."""
    sets = load("hard_negatives_sets")
    sizes = sets.Sizes(300, 100, 50)
    first = sets.prepared(name, sets.SETS[name](shared_data), sizes, tmp_path / "first")
    again = sets.prepared(name, sets.SETS[name](shared_data), sizes, tmp_path / "again")
    assert first.fingerprint == again.fingerprint
    assert (first.train, first.test) == (300, 100)
    train, test = (pq.read_table(first.folder / f"{part}.parquet").to_pydict() for part in ("train", "test"))
    others = pq.read_table(first.folder / "corpus.parquet")["text"].to_pylist()
    held_out = {*test["anchor"], *test["positive"]}
    assert len(held_out) == 200
    assert not held_out & {*train["anchor"], *train["positive"], *others}
    assert len(others) == 50
    assert first.documents == len({*train["positive"], *test["positive"], *others})


def test_docstrings_hold_packages_out(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    sets, sources = load("hard_negatives_sets"), importlib.import_module("sbert_triplet.data.sources")
    rows = [
        {"package": f"p{n % 8}", "anchor": f"what does {n} do?", "positive": f"it does {n} of p{n % 8}"}
        for n in range(80)
    ]
    monkeypatch.setattr(sets, "load_source", lambda _: sources.load_source(rows))
    found = sets.docstrings(Path())
    train, test = ({document.split()[-1] for _, document in part} for part in (found.train, found.test))
    assert (len(train), len(test)) == (6, 2)
    assert not train & test
