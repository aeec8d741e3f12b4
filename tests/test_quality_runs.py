"""The comparison with documented scripts: a trial, equal time, what it goes on from, splits, its table."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

Load = Callable[[str], Any]
TRIAL = ("trial pairs", "trial labels")
LOSSES = {"trial pairs": 1, "trial labels": 2}
"""Of the scripts that are tried."""


@pytest.fixture(autouse=True)
def _no_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sbert_triplet.pipeline.job.write_report", lambda _: None)


@pytest.mark.parametrize("sets", [TRIAL[1:], pytest.param(TRIAL, marks=pytest.mark.long)])
def test_short_form(load: Load, sets: tuple[str, ...]) -> None:
    """Trials on dev and a run of each side; then a second seed of one set beside what there is."""
    command, peer, grid = load("quality"), load("quality_peer"), load("quality_plan").Grid((5e-5,), (1, 2))
    *_, results = command.measured(command.parsed(["--short", "--seeds", "1", "--sets", *sets]))
    assert [(run["set"], run["side"]) for run in results["runs"]] == [
        (name, side) for name in sets for side in ("peer", "ours")
    ]
    for name in sets:
        kept = results["sets"][name]
        trials = {trial["how"]: trial["value"] for trial in results["trials"] if trial["set"] == name}
        assert len(trials) == len(peer.settings(kept["kind"], grid)) == 2
        assert len({how.split(",")[0] for how in trials}) == LOSSES[name]
        theirs, ours = (run for run in results["runs"] if run["set"] == name)
        assert trials[theirs["how"]] == max(trials.values())
        assert kept["budget"] == theirs["seconds"] > theirs["training"] > 0
        assert kept["steps"] == ours["steps"]
        for run in (theirs, ours, kept["base"]):
            assert len(run["items"].split()) == kept["rows"]["test"] == 40
            assert np.mean(np.array(run["items"].split(), float)) == pytest.approx(run["value"], abs=1e-4)
        assert (theirs["mining"] > 0) == (kept["kind"] == "pairs")
        assert set(ours["measured"]) == {"command", "commit"}
    results = json.loads(json.dumps(results))
    again = command.parsed(["--short", "--seeds", "1", "2", "--sets", TRIAL[1]])
    *_, results = command.measured(again, results)
    assert [(run["side"], run["seed"]) for run in results["runs"][2 * len(sets) :]] == [
        ("ours", 2),
        ("peer", 2),
    ]
    assert results["runs"][-2]["steps"] == results["runs"][-3]["steps"]
    assert len(results["trials"]) == 2 * len(sets)
    assert list(command.measured(again, results)) == []
    shown = load("quality_table").table(results)
    assert "| trial labels | ST | " in shown
    assert f"to come: 3 seeds each of {', '.join(sets)}" in shown


def test_runs_made_otherwise_are_not_mixed(load: Load, tmp_path: Path) -> None:
    command, trial = load("quality"), load("quality_trial")
    arguments = command.parsed(["--short"])
    with pytest.raises(SystemExit, match="were made otherwise"):
        next(command.measured(arguments, {"plan": {"precision": "bf16"}, "sets": {}, "runs": []}))
    rows = command.prepared_set(TRIAL[0], trial.TRIALS[TRIAL[0]], arguments, tmp_path)
    with pytest.raises(SystemExit, match="made with other rows"):
        command.kept_of(rows, {"sets": {TRIAL[0]: {"fingerprint": "another"}}})
    with pytest.raises(SystemExit, match="trials go with --short"):
        command.cases(command.parsed(["--sets", TRIAL[0]]))


@pytest.mark.parametrize(
    ("supported", "precision", "ends"),
    [(False, "bf16", True), (False, "fp32", False), (True, "bf16", False)],
)
def test_bf16_is_refused_where_it_is_only_imitated(
    load: Load,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    supported: bool,
    precision: str,
    ends: bool,
) -> None:
    command = load("quality")
    monkeypatch.setattr("sbert_triplet.training.measure.bf16_supported", lambda _: supported)
    arguments = command.parsed([str(tmp_path), "--precision", precision])
    if not ends:
        assert command.plan_of(arguments, tmp_path).precision == precision
        return
    with pytest.raises(SystemExit, match="does not compute in bf16"):
        command.plan_of(arguments, tmp_path)


def test_sides_take_turns(load: Load) -> None:
    """The peer's first run says how long ours may take; from then on the first is the other one each time."""
    missing = load("quality").missing
    assert missing("trec", [1, 2, 3], []) == [
        ("peer", 1),
        ("ours", 1),
        ("ours", 2),
        ("peer", 2),
        ("peer", 3),
        ("ours", 3),
    ]
    done = [{"set": "trec", "side": "peer", "seed": 1}, {"set": "nli", "side": "ours", "seed": 1}]
    assert missing("trec", [1], done) == [("ours", 1)]


def our_runs(load: Load, monkeypatch: pytest.MonkeyPatch, step: float, most: int) -> Any:
    """``paced_run`` of two folds that take 10 s beside their training, and ``step`` seconds a step."""
    runs, plans = load("quality_runs"), load("quality_plan")
    asked: list[Any] = []

    def our_run(plan: Any, rows: Any, limits: Any, seed: int, split: str) -> dict[str, Any]:
        asked.append([limit.steps for limit in limits])
        steps = [min(limit.steps or int(limit.seconds / 0.5), most) for limit in limits]
        training = sum(steps) * step
        return {
            "steps": steps,
            "most": [most] * 2,
            "seconds": 10.0 + training,
            "preparing": 8.0,
            "training": training,
            "choosing": 2.0,
        }

    class Rows:
        folds = (1, 2)

    monkeypatch.setattr(runs, "our_run", our_run)
    return asked, lambda kept: runs.paced_run(plans.Plan(), Rows, 1, kept)


def test_equal_time_is_found_once(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 s, 90 are tried as training: 2 x 90 steps. They take 180 s, and 90 are left: 2 x 45 steps."""
    asked, paced = our_runs(load, monkeypatch, 1.0, most=1000)
    kept: dict[str, Any] = {"budget": 100.0}
    assert paced(kept)["seconds"] == 100
    assert asked == [[None, None], [45, 45]]
    assert kept["steps"] == [45, 45]
    paced(kept)
    assert asked[2:] == [[45, 45]]


def test_defaults_that_end_earlier_are_left_at_that(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, paced = our_runs(load, monkeypatch, 0.1, most=20)
    kept: dict[str, Any] = {"budget": 100.0}
    assert paced(kept)["seconds"] == pytest.approx(14)
    assert asked == [[None, None]]
    assert kept["steps"] == [20, 20]


def test_the_nearest_of_several_counts(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that others use as well: 130 s, then 200 s and 300 s where 100 are wanted."""
    runs, plans = load("quality_runs"), load("quality_plan")
    seconds = iter([130.0, 200.0, 300.0])
    steps = iter([60, 50, 30])

    def our_run(*_: Any) -> dict[str, Any]:
        took = next(seconds)
        return {"steps": [next(steps)], "most": [500], "seconds": took} | {
            "preparing": 0.0,
            "training": took,
            "choosing": 0.0,
        }

    class Rows:
        folds = (1,)

    monkeypatch.setattr(runs, "our_run", our_run)
    kept: dict[str, Any] = {"budget": 100.0}
    assert runs.paced_run(plans.Plan(), Rows, 1, kept)["seconds"] == 130
    assert kept["steps"] == [60]


def test_too_few_steps_are_made_more(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """2 x 90 steps take 18 s where 90 would do; the epochs make 400 each."""
    asked, paced = our_runs(load, monkeypatch, 0.1, most=400)
    assert paced({"budget": 100.0})["steps"] == [400, 400]
    assert asked == [[None, None], [400, 400]]


def test_the_best_on_dev_is_the_peer(load: Load) -> None:
    runs, peer, plans = load("quality_runs"), load("quality_peer"), load("quality_plan")

    class Rows:
        name, kind = "trec", "labels"

    plan = plans.Plan()
    every = peer.settings("labels", plan.grid)
    assert {setting.loss for setting in every} == {"BatchAll", "BatchHardSoftMargin"}
    assert {setting.epochs for setting in every} == {1}
    assert len(every) == len(peer.settings("pairs", plan.grid)) == 6
    trials = [
        {"set": "trec", "how": setting.name, "value": 0.9 if number == 4 else 0.5}
        for number, setting in enumerate(every)
    ]
    trials.append({"set": "nli", "how": every[0].name, "value": 1.0})
    assert runs.chosen(plan, Rows, trials) == every[4]
    assert runs.untried(plan, Rows, [trial for trial in trials if trial["value"] != 0.5]) == [
        *every[:4],
        every[5],
    ]


@pytest.mark.parametrize("kind", ["pairs", "retrieval", "triplets", "labels", "scores"])
def test_splits_of_trials(load: Load, tmp_path: Path, kind: str) -> None:
    command, case = load("quality"), load("quality_trial").TRIALS[f"trial {kind}"]
    rows = command.prepared_set(f"trial {kind}", case, command.parsed(["--short"]), tmp_path)
    check_splits(load, rows)


@pytest.mark.parametrize(
    "name", ["medquad", "mlquestions", "covid_faq", "nli", "banking77", "hwu64", "trec", "stsb"]
)
def test_splits_of_sets(load: Load, shared_data: Path, tmp_path: Path, name: str) -> None:
    command, case = load("quality"), load("quality_sets").SETS[name]
    arguments = command.parsed([str(shared_data)])
    rows = command.prepared_set(name, case, arguments, tmp_path)
    check_splits(load, rows)
    few = command.prepared_set(name, case, arguments, tmp_path, 4)
    assert few.name == f"{name}, 1 in 4"
    assert (few.rows["dev"], few.rows["test"]) == (rows.rows["dev"], rows.rows["test"])
    assert few.rows["train"] < rows.rows["train"] / 2
    assert few.fingerprint != rows.fingerprint


def check_splits(load: Load, rows: Any) -> None:
    """No row of a split has in common with another split what its kind keeps apart."""
    sets = load("quality_sets")
    tested: list[Any] = []
    for folder in rows.folds:
        parts = {split: read_split(sets, rows.kind, folder, split) for split in sets.SPLITS}
        apart = {
            split: {text for row in part for text in sets.texts_apart(rows.kind, row)}
            for split, part in parts.items()
        }
        assert not apart["train"] & apart["test"]
        assert not apart["train"] & apart["dev"]
        assert not apart["dev"] & apart["test"]
        tested += parts["test"]
    assert len(tested) == len(set(tested)) == rows.rows["test"]
    if len(rows.folds) > 1:
        dev = [read_split(sets, rows.kind, folder, "dev") for folder in rows.folds]
        assert all(part == dev[0] for part in dev)
        others = [read_split(sets, rows.kind, folder, "train") for folder in rows.folds]
        assert {row for part in others for row in part} == set(tested)


def read_split(sets: Any, kind: str, folder: Path, split: str) -> list[tuple[Any, ...]]:
    """The rows as they lie on the disk."""
    if kind not in ("pairs", "retrieval"):
        columns = pq.read_table(folder / f"{split}.parquet").to_pydict()
        return list(zip(*columns.values(), strict=True))
    judged = folder / sets.JUDGED
    queries, corpus = (
        dict(zip(*pq.read_table(judged / f"{name}.parquet").to_pydict().values(), strict=True))
        for name in ("queries", "corpus")
    )
    rows = pq.read_table(judged / "qrels" / f"{split}.parquet").to_pylist()
    found = [(queries[row["query-id"]], corpus[row["corpus-id"]]) for row in rows]
    if kind == "pairs":
        table = pq.read_table(folder / f"{split}.parquet").to_pydict()
        assert list(zip(*table.values(), strict=True)) == found
    return found


def test_the_main_job_sees_no_row_of_the_test(load: Load, tmp_path: Path) -> None:
    ours, plans = load("quality_ours"), load("quality_plan")
    (tmp_path / "corpus.parquet").touch()
    for kind in plans.METRICS:
        source, data = ours._sources(plans.Job(tmp_path, kind, None, 1))
        read = [source, data["dev"], data["test"]]
        assert data["dev"] == data["test"]
        if kind == "retrieval":
            read = [source[0]["split"], data["dev"]["split"]]
        assert not any("test" in str(each).removeprefix(str(tmp_path)) for each in read)


def test_stages_of_the_job(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = load("quality_ours")
    clock = iter([10.0, 12.5, 20.0, 50.0, 54.0])
    monkeypatch.setattr(ours.time, "perf_counter", lambda: next(clock))
    stages = ours.Stages()
    for line in ("Encoder: x", "Measuring the base model on dev", "Training: 3 steps", "Trained 3 steps"):
        stages(line)
    assert (stages.preparing, stages.training, stages.choosing) == (2.5, 30.0, 0.0)
    stages("Measuring the tuned model")
    assert stages.choosing == 4.0


def made_results(load: Load, differences: dict[str, float], seeds: int = 3) -> dict[str, Any]:
    """Sets of 200 texts: the base model finds 100, the peer 120, ours so many more of each 100 than that."""
    as_text = load("hard_negatives_runs").as_text

    def run(name: str, side: str, seed: int, right: float) -> dict[str, Any]:
        items = (np.arange(200) < right).astype(float)
        return {
            "set": name,
            "side": side,
            "seed": seed,
            "value": float(items.mean()),
            "items": as_text(items),
            "how": side,
            "shipped": ["tuned"],
            "seconds": 60.0,
            "preparing": 5.0,
            "mining": 0.0,
            "training": 55.0,
            "choosing": 0.0,
            "steps": [10],
            "rows": 640,
        }

    base = {**run("", "", 0, 100), "gold": None, "groups": None}
    kept = {"kind": "labels", "rows": {"train": 5, "dev": 6, "test": 200}, "folds": 1, "base": base}
    numbers = range(1, seeds + 1)
    runs = [run(name, "peer", seed, 120) for name in differences for seed in numbers]
    runs += [
        run(name, "ours", seed, 120 + 2 * more) for name, more in differences.items() for seed in numbers
    ]
    return {"sets": dict.fromkeys(differences, kept), "runs": runs}


def conclusions(load: Load, differences: dict[str, float], seeds: int = 3) -> list[str]:
    tables = load("quality_table")
    results = made_results(load, differences, seeds)
    return list(tables.conclusions(tables.outcomes(results), list(differences)))


def test_what_was_aimed_at_is_reached(load: Load) -> None:
    """10 more of 100 on two sets of four; one text less on one, which the interval does not tell from 0."""
    assert conclusions(load, {"one": 10, "two": 10, "three": 0, "four": -0.5}) == [
        "never below ST's script beyond the interval: reached",
        "above it with the interval clear of 0 on 2 of 4 sets (one, two), at least 2 wanted: reached",
        "never below the base model: reached",
        "in no more than 1.1 of its time: reached",
    ]


def test_what_was_aimed_at_is_missed(load: Load) -> None:
    """20 less of 100 are below the peer and the base model; one set of three is no half."""
    assert conclusions(load, {"one": 10, "two": -20, "three": 0}) == [
        "never below ST's script beyond the interval: missed (two -0.200)",
        "above it with the interval clear of 0 on 1 of 3 sets (one), at least 2 wanted: missed",
        "never below the base model: missed (two -0.100 beyond the interval)",
        "in no more than 1.1 of its time: reached",
    ]


def test_what_is_missing_is_said(load: Load) -> None:
    tables = load("quality_table")
    shown = conclusions(load, {"one": 10}, seeds=2)
    assert shown[0].endswith("reached so far")
    assert shown[-1] == "to come: 3 seeds each of one"
    assert tables.conclusions([], ["one"]) == ["no set has runs of both sides so far"]


def test_longer_than_the_peer_is_said(load: Load) -> None:
    tables, results = load("quality_table"), made_results(load, {"one": 10})
    for run in results["runs"][3:]:
        run["seconds"] = 90.0
    shown = tables.conclusions(tables.outcomes(results), ["one"])
    assert shown[-1] == "in no more than 1.1 of its time: missed (one 1.50)"


def test_what_did_not_ship_is_shown_beside(load: Load) -> None:
    """Dev showed nothing, so the base model shipped; the tuned one is 10 of 100 above the peer."""
    tables, results = load("quality_table"), made_results(load, {"one": 10})
    base = results["sets"]["one"]["base"]
    for run in results["runs"][3:]:
        run["tuned"] = {key: run[key] for key in ("value", "items")}
        run.update(value=base["value"], items=base["items"], shipped=["base"])
    shown = tables.table(results).splitlines()
    assert shown[2].startswith("| one | labels | 1-NN accuracy | 0.500 | 0.600 | 0.500 | -0.100 (")
    assert shown[2].endswith("| 3 base |")
    assert any(line.startswith("  - one: +0.100 (") and line.endswith("better") for line in shown)


def test_correlations_are_means_over_seeds(load: Load) -> None:
    """The mean of the seeds' Spearman, not the Spearman of their mean predictions."""
    compare, as_text = load("quality_compare"), load("hard_negatives_runs").as_text
    generator = np.random.default_rng(0)
    gold = generator.random(80)
    one = [np.round(gold + generator.normal(0, 1.0, 80), 4) for _ in range(2)]
    two = [np.round(gold + generator.normal(0, 0.2, 80), 4) for _ in range(2)]
    kept = {"gold": as_text(gold), "groups": None}
    found = compare.compared("Spearman", kept, [as_text(row) for row in one], [as_text(row) for row in two])
    rounded = np.round(gold, 4)
    base, tuned = (np.mean([stats.spearmanr(row, rounded).statistic for row in rows]) for rows in (one, two))
    assert (found.base, found.tuned) == (pytest.approx(base), pytest.approx(tuned))
    assert 0 < found.low < found.difference < found.high
    same = compare.compared("Spearman", kept, [as_text(row) for row in one], [as_text(row) for row in one])
    assert (same.difference, same.low, same.high) == (0, 0, 0)


@pytest.mark.long
def test_short_grid(load: Load) -> None:
    """The defaults and one change on dev; nothing is left to do, but the defaults where they changed."""
    command, variants = load("quality_grid"), load("quality_variants")
    words = ["--short", "--sets", "trial scores", "--shares", "1", "--variants", "6 epochs"]
    *_, results = command.measured(command.parsed(words))
    assert [run["variant"] for run in results["runs"]] == ["as it is", "6 epochs"]
    assert results["runs"][1]["steps"][0] == 2 * results["runs"][0]["steps"][0]
    results = json.loads(json.dumps(results))
    assert list(command.measured(command.parsed(words), results)) == []
    shown = variants.table(results).splitlines()
    assert shown[0].startswith("| scores, Spearman | trial scores (100 rows) | mean |")
    assert [line.split(" | ")[0] for line in shown[2:4]] == [
        "| as it is (against the base model)",
        "| 6 epochs",
    ]
    *_, results = command.measured(command.parsed([*words, "--again"]), results)
    assert [run["variant"] for run in results["runs"]] == ["6 epochs", "as it is"]


def test_variants_are_recipes(load: Load) -> None:
    """Every change is one that the recipe takes."""
    from sbert_triplet.recipe.reading import recipe_from

    variants, plans = load("quality_variants"), load("quality_plan")
    for kind in plans.METRICS:
        for few in (False, True):
            for name, sections in variants.variants_of(kind, few=few).items():
                recipe = recipe_from({"data": {"train": "rows.csv"}, **sections}, origin=name)
                assert recipe.data.train
