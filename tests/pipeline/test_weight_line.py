"""Never worse: which point of the line is chosen on dev, what ships, what is said, and what it costs."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from scipy import stats
from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import GainNotShownError
from sbert_triplet.evaluation.results import Comparison
from sbert_triplet.pipeline import comparison, dev_rows, evidence, weight_line
from sbert_triplet.pipeline.line_points import (
    COARSE,
    MOST_POINTS,
    Point,
    best,
    choose,
    lowest_allowed,
    search,
)
from sbert_triplet.pipeline.options import Options
from sbert_triplet.pipeline.outcome import what_ships
from sbert_triplet.pipeline.preparing import prepare
from sbert_triplet.pipeline.weight_line import ALWAYS, GENERAL_TOKENS, Cost
from sbert_triplet.recipe.reading import recipe_from

if TYPE_CHECKING:
    from tests.pipeline.conftest import Finished, Tables, Train

LETTERS = "abcdefghijklmnopqrstuvwxyz"
HELD_OUT = {"dev": 0.25, "test": 0.25, "metrics": ["nDCG@10"]}
TOO_FAST = {"learning_rate": 0.02, "max_steps": 10, "batch_size": 32, "precision": "fp32"}
"""With these steps the tuned weights are better than the base, and weights between them better than both."""
RANDOM_WEIGHTS = {"learning_rate": 1.0, "warmup": 0, "max_grad_norm": None, "max_steps": 8}


def key_pairs(count: int = 200) -> list[dict[str, Any]]:
    """Question and answer share one word of random letters among others."""
    drawn = random.Random(0)

    def word() -> str:
        return "".join(drawn.choice(LETTERS) for _ in range(4))

    keys = [word() for _ in range(count)]
    return [
        {"question": f"{word()} {key} {word()}", "answer": f"{word()} {key} {word()} {word()}"}
        for key in keys
    ]


def sorted_out(count: int = 140) -> list[dict[str, Any]]:
    """Classes that the base model tells apart by their letters, and that absurd steps mix up."""
    words = ("aaaa bb", "zzzz qq", "mmmm kk", "pppp oo")
    return [{"text": f"{words[n % 4]} {n % 7}{n % 5}", "label": words[n % 4][:4]} for n in range(count)]


def points(values: Sequence[float], fallen: Sequence[float] = ()) -> list[Point]:
    """Points of ``COARSE`` with these metrics; at those that have ``fallen`` so did the general check."""
    return [
        Point(at, value, general(-0.04 if at in fallen else 0.01))
        for at, value in zip(COARSE, values, strict=True)
    ]


def general(change: float) -> Comparison:
    """Of 400 the base has .9 (.867 to .926)."""
    return Comparison("triplet accuracy", 0.9, 0.9 + change, change, change - 0.02, change + 0.02, 0.01, 400)


@pytest.mark.parametrize(
    ("values", "fallen", "chosen"),
    [
        ([0.5, 0.6, 0.7, 0.8, 0.9, 1.0], (), 1.0),
        ([0.5, 0.6, 0.7, 0.8, 0.7, 0.6], (), 0.6),
        ([0.5, 0.6, 0.7, 0.8, 0.9, 1.0], (0.8, 1.0), 0.6),
        ([0.5, 0.6, 0.7, 0.8, 0.9, 1.0], COARSE[1:], 0.0),
        ([0.5, 0.4, 0.3, 0.2, 0.1, 0.0], (), 0.0),
        ([0.5, 0.5, 0.5, 0.5, 0.5, 0.5], (), 0.0),
        ([0.5, 0.4, 0.5 + 1e-12, 0.2, 0.1, 0.0], (), 0.0),
        ([0.5, 0.6, 0.6, 0.6, 0.5, 0.4], (), 0.4),
        ([0.5, 0.6, 0.6, 0.6, 0.6, 0.4], (), 0.4),
        ([0.5, 0.6, 0.4, 0.4, 0.6, 0.4], (), 0.2),
        ([0.5, math.nan, 0.7, math.nan, 0.2, 0.1], (), 0.4),
        ([math.nan, 0.1, 0.2, 0.1, 0.1, 0.1], (), 0.4),
    ],
)
def test_the_best_point(values: list[float], fallen: Sequence[float], chosen: float) -> None:
    """The middle one of points that are equally good, but the base where nothing is better than it."""
    given = points(values, fallen)
    assert best(given).at == chosen
    assert best(given[::-1]).at == chosen
    assert choose("AP", given)[0] == chosen


def test_what_is_said_of_a_choice() -> None:
    rising = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert choose("AP", points(rising))[1] == "AP on dev is highest there, 1.0000 (base 0.5000)"
    assert choose("AP", points(rising, (1.0,)))[1] == (
        "AP on dev is highest there, 0.9000 (base 0.5000, tuned 1.0000); 1 point was higher and lost on the "
        "general check (evaluate.general: false leaves it out)"
    )
    assert choose("AP", points(rising, COARSE[1:]))[1] == (
        "no point left has a higher AP on dev than the base model's 0.5000 (tuned 1.0000); 5 points were "
        "higher and lost on the general check (evaluate.general: false leaves it out)"
    )
    assert choose("AP", points([math.nan] * 6)) == (
        1.0,
        "AP is undefined on the dev rows at every point, so none was chosen",
    )


def parabola(top: float) -> Callable[[float], Point]:
    return lambda at: Point(at, 1 - (at - top) ** 2)


def unchecked(point: Point) -> Point:
    raise AssertionError(point)


@pytest.mark.parametrize(
    ("top", "looked_at", "chosen"),
    [
        (0.72, (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0), 0.7),
        (1.3, (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0), 1.0),
        (-1.0, (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0), 0.0),
        (0.08, (0.0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0), 0.1),
    ],
)
def test_the_neighbours_of_the_best_are_looked_at(
    top: float, looked_at: tuple[float, ...], chosen: float
) -> None:
    found = search(parabola(top), unchecked)
    assert tuple(point.at for point in found) == looked_at
    assert len(found) <= MOST_POINTS
    assert best(found).at == chosen


def test_the_general_check_is_asked_only_of_points_that_would_be_chosen() -> None:
    """0.8 and 1.0 lost on it, so 0.6 is the best of the first points, and then its neighbour 0.7."""
    asked: list[float] = []

    def check(point: Point) -> Point:
        asked.append(point.at)
        return Point(point.at, point.dev, general(0.01 if point.at < 0.75 else -0.04))

    found = search(lambda at: Point(at, at, None, at == 0), check)
    assert asked == [1.0, 0.8, 0.6, 0.7]
    assert best(found).at == 0.7
    allowed = {point.at: point.as_json()["allowed"] for point in found}
    assert (allowed[0.6], allowed[0.8], allowed[0.2]) == (True, False, None)


@pytest.mark.parametrize(
    ("better", "never_worse", "chosen", "ships"),
    [
        (True, True, 1.0, "tuned"),
        (True, True, 0.7, "interpolated"),
        (True, True, 0.0, "base"),
        (False, True, 1.0, "base"),
        (False, True, 0.7, "base"),
        (False, True, None, "base"),
        (True, True, None, "tuned"),
        (False, False, None, "tuned"),
    ],
)
def test_what_ships(better: bool, never_worse: bool, chosen: float | None, ships: str) -> None:
    line = None if chosen is None else weight_line.Searched("AP", (), chosen, "of a reason")
    assert what_ships(better, never_worse, line) == ships


@pytest.mark.parametrize(("hits", "n"), [(317, 400), (400, 400), (0, 40), (1, 3)])
def test_the_interval_of_the_check_by_scipy(hits: int, n: int) -> None:
    check = replace(general(0.0), base=hits / n, n=n)
    expected = stats.binomtest(hits, n).proportion_ci(0.95, "wilson").low
    assert lowest_allowed(check) == pytest.approx(expected, abs=1e-7)


def test_a_check_within_the_interval_of_the_base_is_allowed() -> None:
    """Of 400, 317 hits are .7925 (.750 to .829)."""
    check = replace(general(-0.01), base=0.7925, n=400)
    assert Point(0.4, 0.9, replace(check, tuned=0.7525)).allowed
    assert not Point(0.6, 0.9, replace(check, tuned=0.7475)).allowed


def test_the_cost_of_a_search() -> None:
    """15 % of three passes over the trained tokens, or what is always allowed, over all points."""
    long = Cost.after(10_000_000, general=True)
    assert long.checks_all
    assert MOST_POINTS * long.tokens_of_dev + 7 * GENERAL_TOKENS == pytest.approx(0.45 * 10_000_000)
    short = Cost.after(1_000, general=True)
    assert not short.checks_all
    assert MOST_POINTS * short.tokens_of_dev + GENERAL_TOKENS == pytest.approx(ALWAYS)
    assert Cost.after(1_000, general=False) == Cost(ALWAYS / MOST_POINTS, True)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Callable[[float, float], None]:
    """Pretend that on test rows every difference was measured with this interval."""

    def pretend(low: float, high: float) -> None:
        def compared(metric: object, base: np.ndarray, tuned: np.ndarray, **_: object) -> Comparison:
            middle = (low + high) / 2
            name = getattr(metric, "name", str(metric))
            return Comparison(name, 0.5, 0.5 + middle, middle, low, high, 0.01, len(base))

        monkeypatch.setattr("sbert_triplet.evaluation.parts.compare_items", compared)
        monkeypatch.setattr(comparison, "compare_items", compared)

    return pretend


def weights(folder: Path) -> dict[str, np.ndarray]:
    return {
        name: tensor.astype(np.float64) for name, tensor in load_file(folder / "model.safetensors").items()
    }


def at_on_the_line(folder: Path, base: Path, tuned: Path) -> float:
    """Where between two models the weights of a third lie, by least squares; they do lie on the line."""
    one, two, point = (
        np.concatenate([w.ravel() for w in weights(f).values()]) for f in (base, tuned, folder)
    )
    along, off = two - one, point - one
    at = float(along @ off / (along @ along))
    assert np.abs(off - at * along).max() < 1e-6
    return at


def written(finished: Finished) -> dict[str, Any]:
    report = json.loads((finished.run.folder / "report.json").read_text(encoding="utf-8"))
    assert report["weight_line"] == finished.report["weight_line"]
    return dict(report)


def test_weights_between_base_and_tuned_ship(tiny_folder: Path, tables: Tables, train: Train) -> None:
    data = tables.write("mine.jsonl", key_pairs())
    given: dict[str, Any] = {"smoke": False, "model": str(tiny_folder), "evaluate": HELD_OUT}
    finished = train(data, train=TOO_FAST, drawn=True, **given)
    report = written(finished)
    line = report["weight_line"]
    values = {point["at"]: point["dev"] for point in line["points"]}
    assert (report["verdict"], report["shipped"]) == ("better", "interpolated")
    assert 0 < line["chosen"] < 1
    assert values[line["chosen"]] == max(values.values()) > values[1.0] + 0.02
    assert all(point["allowed"] for point in line["points"])
    assert (line["metric"], line["measured_on"].split()[1]) == ("nDCG@10", "queries")

    plain = train(data, "plain", train={**TOO_FAST, "never_worse": False}, **given)
    assert "weight_line" not in plain.report
    assert plain.report["shipped"] == "tuned"
    ours, tuned = finished.run.model, plain.run.model
    assert at_on_the_line(ours, tiny_folder, tuned) == pytest.approx(line["chosen"], abs=1e-4)
    assert weights(ours).keys() == weights(finished.run.folder / "candidate").keys()
    assert report["metrics"]["nDCG@10"]["tuned"] != plain.report["metrics"]["nDCG@10"]["tuned"]
    assert report["metrics"]["nDCG@10"]["base"] == plain.report["metrics"]["nDCG@10"]["base"]

    cards = [(finished.run.folder / name / "README.md").read_text() for name in ("candidate", "model")]
    assert all(f"base and tuned, at {line['chosen']:g} of the way" in card for card in cards)
    assert (
        f"the weights at {line['chosen']:g} of the way are what the test rows judge: nDCG@10 on dev"
        in finished.text
    )
    assert "Model:  out/model (the interpolated model)" in finished.said
    assert "Between base and tuned weights" in (finished.run.folder / "report.html").read_text()
    assert "| 0 (base) |" in (finished.run.folder / "report.md").read_text()


def test_the_same_run_makes_the_same_choice(tables: Tables, train: Train) -> None:
    data = tables.write("mine.jsonl", key_pairs(160))
    first, second = (train(data, name, train=TOO_FAST, evaluate=HELD_OUT) for name in ("first", "second"))
    lines = [{**run.report["weight_line"], "seconds": 0} for run in (first, second)]
    assert lines[0] == lines[1]
    for name in ("candidate", "model"):
        one, two = (weights(run.run.folder / name) for run in (first, second))
        assert all(np.array_equal(one[key], two[key]) for key in one)


def test_the_base_ships_where_dev_says_so(
    tiny_folder: Path, tables: Tables, train: Train, pretended: Callable[[float, float], None]
) -> None:
    """Even where the test rows would show the tuned weights better, which the report then shows."""
    pretended(0.01, 0.09)
    given = {
        "smoke": False,
        "model": str(tiny_folder),
        "train": RANDOM_WEIGHTS,
        "evaluate": {"dev": 0.3, "test": 0.3, "metrics": ["1-NN accuracy"]},
    }
    data = tables.write("mine.jsonl", sorted_out())
    finished = train(data, **given)
    line = written(finished)["weight_line"]
    assert line["chosen"] == 0
    assert (finished.report["verdict"], finished.report["shipped"]) == ("better", "base")
    assert not finished.run.better
    base, candidate = weights(tiny_folder), weights(finished.run.folder / "candidate")
    assert all(np.array_equal(base[key], found) for key, found in weights(finished.run.model).items())
    assert any(not np.array_equal(base[key], candidate[key]) for key in base)
    assert "the base is kept: no other point has a higher 1-NN accuracy on dev than the base model's 1.0" in (
        finished.text
    )
    card = (finished.run.folder / "candidate" / "README.md").read_text()
    assert "The weights here are the tuned ones" in card
    with pytest.raises(
        GainNotShownError, match=r"the base model ships, since no other point .* is complete: g"
    ):
        train(data, "gate", require_gain=True, **given)


@pytest.mark.parametrize(
    ("evaluate", "settings", "why"),
    [
        ({"dev": 0}, {}, "no rows are held out for dev"),
        ({"dev": 8}, {}, "with 8 dev items (fewer than 30) chance would choose"),
        ({}, {"freeze": ["encoder"]}, "the loss learns a metric"),
    ],
)
def test_why_a_line_is_not_searched(
    evaluate: dict[str, Any], settings: dict[str, Any], why: str, tables: Tables, train: Train
) -> None:
    """Then the tuned weights are compared with the base on the test rows, as they are."""
    learned = {"name": "triplet", "distance": {"name": "mahalanobis"}, "miner": "hard", "margin": 0.5}
    loss = {"loss": learned} if settings else {}
    rows = tables.labelled(80) if settings else key_pairs(80)
    measured = {"metrics": ["1-NN accuracy"]} if settings else HELD_OUT
    finished = train(
        tables.write("mine.jsonl", rows),
        train={"max_steps": 2, **settings},
        evaluate={**measured, **evaluate},
        **loss,
    )
    line = written(finished)["weight_line"]
    assert (line["points"], line["chosen"]) == ([], 1.0)
    assert why in line["reason"]
    assert why in finished.text
    assert any("was not searched" in note and why in note for note in finished.report["data"]["notes"])


def test_the_search_goes_on_from_the_best_step(tables: Tables, train: Train) -> None:
    """The tuned end has the dev metric of the step that was put back."""
    finished = train(
        tables.write("mine.jsonl", key_pairs(160)),
        train={**TOO_FAST, "learning_rate": 0.1, "eval_steps": 2, "schedule": "constant"},
        evaluate=HELD_OUT,
    )
    log = [json.loads(line) for line in (finished.run.folder / "log.jsonl").read_text().splitlines()]
    scores = {entry["step"]: entry["dev"]["nDCG@10"] for entry in log if "dev" in entry}
    assert finished.report["train"]["best_step"] == max(scores, key=lambda step: scores[step])
    end = finished.report["weight_line"]["points"][-1]
    assert end["at"] == 1.0
    assert end["dev"] == pytest.approx(max(scores.values()))


def test_a_point_that_lost_on_the_general_check_is_ruled_out(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pretended hits: all of the base's, fewer the further the first weight is from where it was."""
    start: list[float] = []

    def hits(self: evidence.Evidence, model: SentenceTransformer, precision: str = "fp32") -> np.ndarray:
        first = float(next(model.parameters()).detach().double().sum())
        start.append(first)
        found = np.ones(400)
        found[: 0 if first == start[0] else 200] = 0
        return found

    monkeypatch.setattr(evidence.Evidence, "general", hits)
    finished = train(
        tables.write("mine.jsonl", key_pairs(160)), train=TOO_FAST, evaluate={**HELD_OUT, "general": True}
    )
    line = finished.report["weight_line"]
    looked_at = {point["at"]: point["allowed"] for point in line["points"]}
    assert line["chosen"] == 0
    assert looked_at.pop(0.0) is True
    assert False in looked_at.values()
    assert True not in looked_at.values()
    assert "lost on the general check" in line["reason"]
    lost = [point for point in line["points"] if point["allowed"] is False]
    assert all(point["general"] == 0.5 and point["general_high"] < 0 for point in lost)
    assert finished.report["shipped"] == "base"


@pytest.mark.parametrize("kind", ["pairs", "labelled"])
def test_a_dev_split_that_takes_long_is_thinned(
    kind: str, tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_line, "ALWAYS", 100)
    monkeypatch.setattr(weight_line, "SHARE", 1e-6)
    monkeypatch.setattr(dev_rows, "FEWEST_KEPT", 12)
    pairs = kind == "pairs"
    finished = train(
        tables.write("mine.jsonl", key_pairs() if pairs else tables.labelled(140)),
        train={"max_steps": 2},
        evaluate=HELD_OUT if pairs else {"dev": 0.4, "test": 0.2, "metrics": ["1-NN accuracy"]},
    )
    rows = finished.report["data"]["rows"]
    # The documents are those of the 12 queries, and 12 others where these are not among them.
    wanted = r"12 of \d\d queries over (1\d|2[0-4]) of 200 documents"
    if not pairs:
        wanted = f"12 of {rows['dev']} labelled texts beside 12 of {rows['train']} training texts"
    assert re.fullmatch(wanted, finished.report["weight_line"]["measured_on"])
    assert any("was searched on a part of dev" in note for note in finished.report["data"]["notes"])


@pytest.mark.parametrize("tokens", [400, 900, 100_000])
def test_a_part_of_dev_fits_the_tokens(
    tokens: int, tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half for the queries and their documents, half for others; every query kept has all its documents."""
    monkeypatch.setattr(dev_rows, "FEWEST_KEPT", 5)
    folder = tables.retrieval("set", {"train": range(60), "dev": range(60, 120)}, documents=120)
    file = Path(folder) / "qrels" / "dev.tsv"
    further = "".join(f"q{n}\td{n - 60}\t1\n" for n in range(60, 120))
    file.write_text(file.read_text(encoding="utf-8") + further, encoding="utf-8")
    recipe = recipe_from({"data": {"train": folder}, "evaluate": {"test": 10}}, origin="test")
    ready = prepare(recipe, tmp_path, None, Options(say=lambda _: None, smoke=True))
    found = evidence.Evidence(
        ready.recipe, ready.data, ready.held_out, ready.encoder, ready.tokens, loss=ready.plan.objective.loss
    )
    part = dev_rows.dev_rows(found, tokens)
    whole, kept = found.dev.parts[0].retrieval, part.held_out.parts[0].retrieval
    assert whole is not None
    assert kept is not None
    assert part.thinned == (tokens < 100_000)
    assert (part.held_out is found.dev) != part.thinned
    taken = dev_rows.tokens_of(ready.tokens, part.held_out)
    assert taken <= 1.15 * tokens
    assert not part.thinned or taken >= 0.8 * tokens
    assert not part.thinned or 5 <= len(kept.query_ids) < len(whole.query_ids)
    assert all(kept.judgements[int(query)] == whole.judgements[int(query)] for query in kept.query_ids)
    assert all(len(kept.judgements[int(query)]) == 2 for query in kept.query_ids)
    assert set(kept.document_ids.tolist()) <= set(whole.document_ids.tolist())
    again = dev_rows.dev_rows(found, tokens).held_out.parts[0].retrieval
    assert again is not None
    assert np.array_equal(again.document_ids, kept.document_ids)
