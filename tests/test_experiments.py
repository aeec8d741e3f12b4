"""Experiments on common claims: their plans, a trial of each, the rule for what runs say, and the page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sbert_triplet.errors import CollapsedError
from sbert_triplet.evaluation.results import Comparison

EVAL = Path(__file__).resolve().parents[1] / "eval"
Load = Callable[[str], Any]
NAMES = (
    "loss_families",
    "distances",
    "margin_sweep",
    "selection_of_triplets",
    "batch_size",
    "offline_online",
    "curriculum",
    "normalisation",
)
TRIED = {
    "loss_families": ("nli", "contrastive"),
    "distances": ("nli", "mahalanobis"),
    "margin_sweep": ("hwu64", "margin-1.6"),
    "selection_of_triplets": ("hwu64", "warmed"),
    "batch_size": ("medquad", "rows-512"),
    "offline_online": ("medquad", "both"),
    "curriculum": ("hwu64-wrong", "curriculum"),
    "normalisation": ("hwu64", "open"),
}
"""A variant of each, which between them go every way that a run can go."""


@pytest.fixture
def own(load: Load, monkeypatch: pytest.MonkeyPatch) -> Load:
    """A module of eval/experiments/ by name."""
    monkeypatch.syspath_prepend(str(EVAL / "experiments"))
    monkeypatch.setattr("sbert_triplet.pipeline.job.write_report", lambda _: None)
    return load


def experiment_of(own: Load, name: str) -> Any:
    return own("all").EXPERIMENTS[name]


def asked(own: Load, name: str, **changes: Any) -> Any:
    """A trial of the one variant."""
    each, variant = TRIED[name]
    return replace(own("measured").Asked(None, (1,), (each,), (variant,)), **changes)


def test_the_plan_is_made_in_time(own: Load) -> None:
    """Every file says how many runs it plans and how long they take; all of them take less than 6 hours."""
    experiments = own("all").EXPERIMENTS
    assert tuple(experiments) == NAMES
    for name, experiment in experiments.items():
        runs, minutes = experiment.planned_runs, experiment.planned_minutes
        about = " ".join(own(name).__doc__.split())
        assert f"Planned: {runs} runs, about {minutes} minutes." in about
        assert name in about
        for claim in experiment.claims:
            assert claim.source
            assert experiment.sets_for(claim)
    assert sum(experiment.planned_minutes for experiment in experiments.values()) < 6 * 60


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_is_one(own: Load, tmp_path: Path, name: str) -> None:
    """On every set, without training anything; the first run of two has the miner of the warm-up."""
    carried, sets, experiment = own("carried"), own("sets"), experiment_of(own, name)
    place = own("measured").place_of(own("measured").Asked(None, (), (), ()), tmp_path)
    for each, variant_name in experiment.cells:
        variant, shape = experiment.variants[variant_name], sets.SHAPES[each]
        cut = sets.Cut(each, shape, tmp_path, "", shape.train, shape.test)
        job = carried.Job(variant, cut, 2, place, 0.3 if variant.matched else None, 40.0)
        recipe = job.recipe(7)
        assert recipe.loss.name == variant.loss["name"]
        assert (recipe.train.max_steps, recipe.train.seed, recipe.train.never_worse) == (7, 2, False)
        assert recipe.evaluate.metrics == (shape.metric,)
        mined = variant.miner is not None and shape.kind != "triplets"
        assert recipe.loss.options.get("miner", "none") == (variant.miner if mined else "none")
        assert job.recipe(None).train.max_seconds == 40
        if variant.first is not None:
            assert job.recipe(2, miner=variant.first).loss.options["miner"] == variant.first


def test_steps_of_equal_rows(own: Load, tmp_path: Path) -> None:
    """Two passes over 3,600 rows: 113, 29, 8 and 2 batches each."""
    carried, sets, experiment = own("carried"), own("sets"), experiment_of(own, "batch_size")
    shape = sets.SHAPES["medquad"]
    cut = sets.Cut("medquad", shape, tmp_path, "", shape.train, shape.test)
    place = carried.Place(tmp_path)
    found = [
        carried.steps_of(experiment, experiment.variants[f"rows-{size}"], cut, place)
        for size in (32, 128, 512, 1800)
    ]
    assert found == [226, 58, 16, 4]


@pytest.mark.parametrize("name", NAMES)
def test_short_form(own: Load, name: str) -> None:
    experiment, (each, variant) = experiment_of(own, name), TRIED[name]
    (results,) = own("measured").measured(experiment, asked(own, name))
    (run,) = json.loads(json.dumps(results["runs"]))
    assert (run["set"], run["variant"], run["seed"], run["stopped"]) == (each, variant, 1, None)
    assert run["steps"] >= 1
    values = own("outcomes").as_values(run["tuned_by_item"])
    assert len(values) == results["sets"][each]["test"] == 30
    assert values.mean() == pytest.approx(run["tuned"], abs=1e-4)
    assert run["cosine"][0] < 1
    assert run["rank"][0] > 1
    if experiment.variants[variant].matched:
        assert results["sets"][each]["margins"][variant] > 0
    if experiment.seconds is not None:
        pace = experiment.variants[variant].pace
        assert results["sets"][each]["paces"][pace]["steps"] == run["steps"]
    shown = own("shown").section(experiment, results)
    assert f"1 of {experiment.planned_runs} runs" in shown
    assert "(0 runs missing)" not in shown
    assert own("measured").missing(experiment, asked(own, name), results["runs"]) == []


def test_runs_are_added_and_made_again(own: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    measured, experiment = own("measured"), experiment_of(own, "margin_sweep")
    made: list[tuple[str, int]] = []

    def one(_: Any, name: str, cut: Any, seed: int, kept: Any, place: Any) -> dict[str, Any]:
        made.append((name, seed))
        return {"set": cut.name, "variant": name, "seed": seed, "stopped": None, "number": len(made)}

    monkeypatch.setattr(measured, "made", one)
    wanted = asked(own, "margin_sweep", seeds=(1, 2), variants=("margin-0.1", "margin-0.2"))
    *_, results = measured.measured(experiment, wanted)
    assert made == [("margin-0.1", 1), ("margin-0.2", 1), ("margin-0.1", 2), ("margin-0.2", 2)]
    results = json.loads(json.dumps(results))
    assert list(measured.measured(experiment, wanted, results)) == []
    only = replace(wanted, seeds=(2,), variants=("margin-0.2",), again=True)
    *_, results = measured.measured(experiment, only, results)
    assert made[4:] == [("margin-0.2", 2)]
    assert [run["number"] for run in results["runs"]] == [1, 2, 3, 5]


def test_runs_made_otherwise_are_not_mixed(own: Load, tmp_path: Path) -> None:
    measured, experiment = own("measured"), experiment_of(own, "curriculum")
    wanted = asked(own, "curriculum")
    earlier = {"variants": {"curriculum": {"loss": "another"}}, "sets": {}, "runs": []}
    with pytest.raises(SystemExit, match="were made otherwise"):
        next(measured.measured(experiment, wanted, earlier))
    same = {"variants": json.loads(json.dumps({"curriculum": experiment.settings("curriculum")}))}
    measured.refuse_other_settings(experiment, wanted, same)
    cut = own("sets").cut_of("hwu64-wrong", None, tmp_path)
    with pytest.raises(SystemExit, match="made with other rows"):
        measured.kept_of(cut, {"sets": {"hwu64-wrong": {"fingerprint": "another"}}})


def test_a_collapse_is_an_outcome(own: Load, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Five steps of a run that is stopped at the last; no pace is taken from it."""
    carried = own("carried")

    def stopped(_: Any, out: Path) -> Any:
        out.mkdir(parents=True)
        cosines = [0.2, None, 0.6, None, 0.999]
        lines = [
            {
                "step": step,
                "loss": 1.0,
                "seconds": 0.5,
                "stats": {"active_share": step / 10} | checked(cosine),
            }
            for step, cosine in enumerate(cosines, start=1)
        ]
        (out / "log.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
        raise CollapsedError("step 5: the embeddings are collapsing")

    def checked(cosine: float | None) -> dict[str, float]:
        return {} if cosine is None else {"anisotropy": cosine, "effective_rank": 1 + 40 * (1 - cosine)}

    monkeypatch.setattr(carried, "figures_of", stopped)
    experiment = experiment_of(own, "loss_families")
    cut = own("sets").cut_of("hwu64", None, tmp_path)
    kept: dict[str, Any] = {}
    run = carried.made(experiment, "triplet", cut, 1, kept, carried.Place(tmp_path))
    assert run["stopped"]["why"] == "collapsed"
    assert (run["steps"], run["seconds"], run["crowded_from"]) == (5, 2.5, 5)
    assert run["active"] == pytest.approx([0.1, 0.5])
    assert run["cosine"] == [0.2, 0.999]
    assert kept == {"paces": {}}
    assert "tuned" not in run


def test_crowded_from(own: Load) -> None:
    """A twentieth of the spread of .8 is .04, and of the 8 directions beside the first .4."""
    crowded = own("carried").crowded_from
    assert crowded([1, 2, 3], [0.2, 0.97, 0.98], [9, 9, 9]) == 2
    assert crowded([1, 2, 3], [0.2, 0.97, 0.5], [9, 9, 9]) is None
    assert crowded([1, 2, 3], [0.2, 0.3, 0.3], [9, 9, 1.3]) == 3
    assert crowded([], [], []) is None


def test_two_runs_as_one(own: Load) -> None:
    first = {"steps": 3, "seconds": 2.0, "stopped": None, "active": [0.9, 0.5], "cosine": [0.1, 0.2]}
    first |= {"rank": [40, 30], "crowded_from": None, "base": 0.7, "tuned": 0.8}
    second = {**first, "steps": 6, "base": 0.8, "tuned": 0.75, "active": [0.6, 0.4], "crowded_from": 5}
    found = own("carried").joined(first, second)
    assert (found["steps"], found["base"], found["tuned"], found["crowded_from"]) == (9, 0.7, 0.75, 8)
    assert found["active"] == [0.9, 0.4]


def compared(low: float, high: float, p: float = 0.001) -> Comparison:
    return Comparison("1-NN accuracy", 0.8, 0.8, (low + high) / 2, low, high, p, 100, adjusted_p=p)


@pytest.mark.parametrize(
    ("says", "low", "high", "p", "expected"),
    [
        ("better", 0.002, 0.03, 0.001, "holds"),
        ("better", 0.002, 0.008, 0.001, "holds"),
        ("better", 0.002, 0.03, 0.2, "not decided here"),
        ("better", 0.002, 0.008, 0.2, "does not hold"),
        ("better", -0.03, -0.002, 0.001, "does not hold"),
        ("better", -0.03, -0.002, 0.2, "not decided here"),
        ("better", -0.01, 0.01, 1.0, "does not hold"),
        ("better", -0.011, 0.01, 1.0, "not decided here"),
        ("better", -0.01, 0.02, 0.6, "not decided here"),
        ("better", 0.0, 0.02, 0.04, "not decided here"),
        ("same", -0.01, 0.01, 1.0, "holds"),
        ("same", 0.001, 0.009, 0.001, "holds"),
        ("same", 0.001, 0.02, 0.001, "does not hold"),
        ("same", -0.02, -0.001, 0.001, "does not hold"),
        ("same", -0.02, -0.001, 0.06, "not decided here"),
        ("same", -0.02, 0.005, 0.3, "not decided here"),
        ("better", float("nan"), float("nan"), float("nan"), "not decided here"),
    ],
)
def test_outcomes(own: Load, says: str, low: float, high: float, p: float, expected: str) -> None:
    assert own("ruling").outcome(compared(low, high, p), says) == expected


def runs_of(own: Load, name: str, gains: tuple[float, ...], each: str = "hwu64", **more: Any) -> list[Any]:
    """A run of each seed: on half of 200 items ``gains`` more than the others."""
    made = []
    for seed, gain in enumerate(gains, start=1):
        values = np.where(np.arange(200) % 2, 0.5 + gain, 0.5)
        run = {"set": each, "variant": name, "seed": seed, "stopped": None, "steps": 9, "seconds": 40.0}
        run |= {"base": 0.4, "tuned": float(values.mean()), "tuned_by_item": own("outcomes").as_text(values)}
        run |= {"active": [1.0, 0.5], "cosine": [0.1, 0.3], "rank": [50, 40], "crowded_from": None}
        made.append({**run, "measured": {"command": "python x", "commit": "abc"}, **more})
    return made


def results_of(runs: list[Any], *sets: str) -> dict[str, Any]:
    known = {"metric": "1-NN accuracy", "train": 100, "test": 200, "batch_size": 64}
    return {"variants": {}, "sets": {each: dict(known) for each in sets or ("hwu64",)}, "runs": runs}


def two(own: Load, says: str = "better", sets: tuple[str, ...] = ("hwu64",)) -> Any:
    """An experiment with the one claim that a does better than b."""
    claim = own("claim")
    variants = {name: claim.Variant(f"way {name}", {"name": "triplet", "margin": 0.2}) for name in "ab"}
    claims = (claim.Claim("a does better than b", "somebody", "a", "b", says),)
    return claim.Experiment("trial", "A trial", sets, variants, claims, 40.0, seconds=40.0)


def test_rulings_of_three_seeds(own: Load) -> None:
    """Half of the items gain .4, .2 and .3 over the other way: .15 on average, with every seed."""
    results = results_of(runs_of(own, "a", (0.4, 0.2, 0.3)) + runs_of(own, "b", (0.0, 0.0, 0.0)))
    (found,) = own("ruling").rulings(two(own), results)
    assert (found.outcome, found.missing) == ("holds", ())
    assert found.by_seed == pytest.approx([0.2, 0.1, 0.15])
    assert re.fullmatch(r"\+0\.150 \(\+0\.1\d\d to \+0\.1\d\d\), p < 0\.001", found.figure)
    (other,) = own("ruling").rulings(two(own, "same"), results)
    assert other.outcome == "does not hold"


def test_nothing_is_decided_while_runs_are_missing(own: Load) -> None:
    results = results_of(runs_of(own, "a", (0.4, 0.4)) + runs_of(own, "b", (0.0, 0.0, 0.0)))
    (found,) = own("ruling").rulings(two(own), results)
    assert (found.outcome, found.missing) == ("not decided here", ("a, seed 3",))
    assert "runs missing: hwu64, way a: seed 3" in own("shown").section(two(own), results)


def test_p_values_are_adjusted_over_the_claims(own: Load) -> None:
    """A difference that alone would do, p = .04, does not among three comparisons."""
    ruling, experiment = own("ruling"), two(own)
    experiment = replace(experiment, claims=experiment.claims * 3)
    results = results_of(runs_of(own, "a", (0.1,) * 3) + runs_of(own, "b", (0.0,) * 3))
    plain = ruling.comparison(experiment.claims[0], "hwu64", results)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ruling, "compare_items", lambda *_: replace(plain, p_value=0.04))
        assert {each.outcome for each in ruling.rulings(experiment, results)} == {"not decided here"}
        (alone,) = ruling.rulings(two(own), results)
    assert alone.outcome == "holds"


COLLAPSED = {"why": "collapsed", "message": "step 9"}


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [(0, 3, "holds"), (3, 0, "does not hold"), (0, 2, "not decided here"), (3, 3, "not decided here")],
)
def test_a_stopped_run_loses(own: Load, one: int, other: int, expected: str) -> None:
    runs = []
    for name, count in (("a", one), ("b", other)):
        some = runs_of(own, name, (0.1, 0.1, 0.1))
        runs += [run | ({"stopped": COLLAPSED} if run["seed"] <= count else {}) for run in some]
    (found,) = own("ruling").rulings(two(own), results_of(runs))
    assert found.outcome == expected
    assert "collapsed with" in found.figure
    assert "collapsed at step 9" in own("shown").section(two(own), results_of(runs))


@pytest.mark.parametrize(("count", "expected"), [(3, "holds"), (1, "not decided here"), (0, "does not hold")])
def test_whether_training_collapses(own: Load, count: int, expected: str) -> None:
    experiment = two(own)
    claim = replace(experiment.claims[0], other="", says="collapses")
    runs = [
        run | ({"stopped": COLLAPSED} if run["seed"] <= count else {})
        for run in runs_of(own, "a", (0.1, 0.1, 0.1))
    ]
    (found,) = own("ruling").rulings(replace(experiment, claims=(claim,)), results_of(runs))
    assert found.outcome == expected
    assert found.figure.startswith(f"collapsed with {count or 'none'} of 3 seeds")


def test_sets_have_to_agree(own: Load) -> None:
    ruling, experiment = own("ruling"), two(own, sets=("hwu64", "nli"))
    runs = [
        *runs_of(own, "a", (0.3,) * 3),
        *runs_of(own, "b", (0.0,) * 3),
        *runs_of(own, "a", (0.0,) * 3, "nli"),
        *runs_of(own, "b", (0.3,) * 3, "nli"),
    ]
    found = ruling.rulings(experiment, results_of(runs, "hwu64", "nli"))
    assert [each.outcome for each in found] == ["holds", "does not hold"]
    assert ruling.together(found) == "not decided here"
    assert ruling.together(found[:1]) == "holds"


def test_the_page_is_made_of_results_alone(
    own: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, experiment = own("page"), two(own)
    to = tmp_path / "claims.md"
    monkeypatch.setattr(page, "EXPERIMENTS", {"trial": experiment})
    monkeypatch.setattr(page, "kept_results", lambda _: None)
    assert page.write_page(to) is None
    assert not to.exists()
    results = results_of(runs_of(own, "a", (0.4, 0.2, 0.3)) + runs_of(own, "b", (0.0, 0.0, 0.0)))
    monkeypatch.setattr(page, "kept_results", lambda _: results)
    assert page.write_page(to) == to
    text = to.read_text(encoding="utf-8")
    assert "| a does better than b | holds | hwu64: holds, +0.150 (+0." in text
    assert "| **holds**: a does better than b | somebody | hwu64 | holds | +0.150 (+0." in text
    assert "| hwu64 | way a | 1-NN accuracy | 0.400 | +0.250 | +0.300, +0.200, +0.250 | 9 | 40 s |" in text
    assert "Commits: abc." in text


def test_tables_have_the_cells_of_their_heads(own: Load) -> None:
    """For every experiment, with a run of every variant."""
    for experiment in own("all").EXPERIMENTS.values():
        runs = [run for each, name in experiment.cells for run in runs_of(own, name, (0.1, 0.0, 0.2), each)]
        cells = 0
        for line in own("shown").section(experiment, results_of(runs, *experiment.sets)).splitlines():
            if not line.startswith("|"):
                cells = 0
                continue
            cells = cells or line.count("|")
            assert line.count("|") == cells, line


def test_margins_are_matched(own: Load, tmp_path: Path) -> None:
    """The square is twice the cosine distance; a matched margin leaves as many triplets active."""
    matching, measured = own("matching"), own("measured")
    cut = own("sets").cut_of("nli", None, tmp_path)
    model = measured.place_of(measured.Asked(None, (), (), ()), tmp_path).model
    triplets = matching.triplets_of(own("sbert_triplet.encoding.loading").load_model(model), cut)
    cosine = matching.gaps(triplets, "cosine")
    assert matching.gaps(triplets, "squared_euclidean") == pytest.approx(2 * cosine, abs=1e-6)
    learned = matching.gaps(triplets, {"name": "mahalanobis", "form": "full"})
    assert learned == pytest.approx(matching.gaps(triplets, "euclidean"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "COSINE_MARGIN", float(np.quantile(-cosine, 0.4)))
        share = float((cosine + matching.COSINE_MARGIN > 0).mean())
        margin = matching.matched_margin(model, cut, "manhattan")
    active = float((matching.gaps(triplets, "manhattan") + margin > 0).mean())
    assert 0.3 < share < 0.7
    assert active == pytest.approx(share, abs=0.03)


def test_drawn_triplets_are_of_their_classes(own: Load) -> None:
    labels = np.array([0, 0, 0, 1, 1, 2])
    triplets = own("matching").drawn_triplets(labels)
    anchor, positive, negative = triplets.T
    assert (labels[anchor] == labels[positive]).all()
    assert (anchor != positive).all()
    assert (labels[anchor] != labels[negative]).all()
    assert set(anchor.tolist()) == {0, 1, 2, 3, 4}


def test_wrong_classes(own: Load) -> None:
    rows = [(f"text {number}", f"class {number % 7}") for number in range(100)]
    found = own("sets").with_wrong_classes(rows, 0.2)
    wrong = [new for old, new in zip(rows, found, strict=True) if old != new]
    assert len(wrong) == 20
    assert [text for text, _ in found] == [text for text, _ in rows]
    assert {label for _, label in found} == {label for _, label in rows}
    assert found == own("sets").with_wrong_classes(rows, 0.2)


@pytest.mark.parametrize("name", ["hwu64", "hwu64-wrong", "banking77", "nli", "medquad"])
def test_sets(own: Load, shared_data: Path, tmp_path: Path, name: str) -> None:
    """No test text is trained on, test anchors come once, and the cut is always the same."""
    sets = own("sets")
    shape = sets.SHAPES[name]
    cut = sets.cut_of(name, shared_data, tmp_path / "first")
    assert cut.fingerprint == sets.cut_of(name, shared_data, tmp_path / "again").fingerprint
    assert (cut.train, cut.test) == (shape.train, shape.test)
    train, test = (pq.read_table(cut.folder / f"{part}.parquet").to_pydict() for part in ("train", "test"))
    columns = [column for column in test if column != "label"]
    assert len(set(test[columns[0]])) == shape.test
    held_out, trained_on = ({text for column in columns for text in rows[column]} for rows in (test, train))
    assert not held_out & trained_on
