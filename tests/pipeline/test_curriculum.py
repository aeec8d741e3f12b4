"""Runs with a curriculum: each score and schedule end to end, what is written, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from sbert_triplet.errors import InputError
from sbert_triplet.pipeline.job import run
from sbert_triplet.pipeline.options import Options
from sbert_triplet.recipe.reading import load_recipe, read_recipe

if TYPE_CHECKING:
    from tests.pipeline.conftest import Finished, Tables, Train

NO_TEST = {"dev": 0, "test": 0.2}


def stats(finished: Finished, name: str) -> list[float]:
    lines = (finished.run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["stats"][name] for line in lines]


def written(finished: Finished) -> dict[str, list[Any]]:
    return dict(pq.read_table(finished.run.folder / "curriculum.parquet").to_pydict())


@pytest.fixture
def small(tiny_folder: Path) -> dict[str, Any]:
    """A run of 8 steps of 6 rows without --smoke, whose batches can be told from the log."""
    return {
        "model": str(tiny_folder),
        "smoke": False,
        "train": {"max_steps": 8, "batch_size": 6, "precision": "fp32"},
        "evaluate": NO_TEST,
    }


@pytest.mark.parametrize("score", ["reference", "jaccard", "length", "loss"])
def test_each_score_orders_the_rows(score: str, tables: Tables, train: Train, small: dict[str, Any]) -> None:
    finished = train(tables.write("mine.csv", pairs()), curriculum=score, **small)
    rows = written(finished)
    count = finished.data["rows"]["train"]
    assert sorted(rows["place"]) == list(range(count))
    scores = np.array(rows["score"])
    assert np.isfinite(scores).all()
    by_place = scores[np.argsort(rows["place"])]
    assert by_place.tolist() == sorted(scores.tolist())
    assert by_place[0] < by_place[-1]
    # u is t / 4: all rows from the middle of the 8 steps on.
    shares = [max(int((0.2 + 0.2 * step) * count + 1e-9), 6) / count for step in range(4)] + [1.0] * 4
    assert stats(finished, "data_share") == shares
    assert f"easy rows first by {score} (linear pacing from 20 %)" in finished.text


def test_length_is_in_tokens_of_the_rows_of_the_source(
    tables: Tables, train: Train, small: dict[str, Any]
) -> None:
    texts = [{"question": f"q {n}" + " more" * (n % 5), "answer": f"a {n}"} for n in range(60)]
    finished = train(tables.write("mine.csv", texts), curriculum="length", **small)
    rows = written(finished)
    for extra in range(4):
        shorter = {s for r, s in zip(rows["row"], rows["score"], strict=True) if r % 5 == extra and r >= 10}
        longer = {
            s for r, s in zip(rows["row"], rows["score"], strict=True) if r % 5 == extra + 1 and r >= 10
        }
        assert max(shorter) < min(longer)


def test_the_resolved_recipe_gives_the_same_run(tables: Tables, train: Train, small: dict[str, Any]) -> None:
    section = {"score": "reference", "pacing": "fixed_exponential", "start": 0.3}
    first = train(tables.write("mine.csv", pairs()), curriculum=section, **small)
    loaded = load_recipe(first.run.folder / "recipe.yaml")
    decided = loaded.recipe.curriculum
    # Two growths of 1.9 from 0.3 on, the second of them in the middle of 8 steps.
    assert (decided.start, decided.growth, decided.every) == (0.3, 1.9, 2)
    count = first.data["rows"]["train"]
    expected = [int(share * count) / count for share in (0.3, 0.3, 0.57, 0.57, 1.0, 1.0, 1.0, 1.0)]
    assert stats(first, "data_share") == expected
    second = run(
        loaded.recipe, Path("again"), options=Options(say=lambda _: None, decisions=loaded.decisions)
    )
    for name in ("curriculum.parquet", "recipe.yaml"):
        assert (second.folder / name).read_bytes() == (first.run.folder / name).read_bytes()
    weights = [
        load_file(next((folder / "candidate").rglob("model.safetensors")))
        for folder in (first.run.folder, second.folder)
    ]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_the_random_order_is_a_control_with_the_same_pacing(
    tables: Tables, train: Train, small: dict[str, Any]
) -> None:
    source = tables.write("mine.csv", pairs())
    ordered = train(source, "ordered", curriculum={"score": "jaccard", "pacing": "root"}, **small)
    control = train(
        source, "control", curriculum={"score": "jaccard", "pacing": "root", "order": "random"}, **small
    )
    anti = train(source, "anti", curriculum={"score": "jaccard", "order": "anti"}, **small)
    assert stats(ordered, "data_share") == stats(control, "data_share")
    assert set(written(control)["score"]) == {None}
    places = [np.array(written(each)["place"]) for each in (ordered, control, anti)]
    assert places[0].tolist() != places[1].tolist()
    scores = np.array(written(anti)["score"])
    assert scores[np.argsort(places[2])].tolist() == sorted(scores.tolist(), reverse=True)
    assert "rows in random order (root pacing" in control.text
    assert "difficult rows first by jaccard" in anti.text


def test_labelled_text_in_batches_of_classes(tables: Tables, train: Train, small: dict[str, Any]) -> None:
    section = {"score": "reference", "start": 0.1}
    finished = train(tables.write("mine.csv", tables.labelled(80)), curriculum=section, **small)
    shares = stats(finished, "data_share")
    assert shares == sorted(shares)
    assert shares[0] < 0.5
    assert shares[-1] == 1


def pairs(rows: int = 60) -> list[dict[str, Any]]:
    """Answers that repeat more or less of their question."""
    return [
        {"question": question(n), "answer": " ".join([*question(n).split()[: n % 5], f"answer {n}"])}
        for n in range(rows)
    ]


def triplets(rows: int = 60) -> list[dict[str, Any]]:
    """A question, its answer, and near and far negatives."""
    return [
        {
            "anchor": question(n),
            "positive": f"about case {n} the books say a lot",
            "negative": [question(n + 10), "zzz", "what is known?"][: 1 + n % 3],
        }
        for n in range(rows)
    ]


def question(number: int) -> str:
    return f"what is known of number {number}?"


def test_negatives_from_easy_to_hard(tables: Tables, train: Train, small: dict[str, Any]) -> None:
    source = tables.write("mine.jsonl", triplets())
    section = {"hardness": "easy_to_hard", "semi_hard_margin": 0.02}
    small["train"]["max_steps"] = 9
    finished = train(source, curriculum=section, loss={"name": "triplet", "margin": 0.2}, **small)
    assert stats(finished, "hardness") == [1.0] * 3 + [2.0] * 3 + [3.0] * 3
    rows = written(finished)
    assert "place" not in rows
    given = [1 + number % 3 for number in rows["row"]]
    counted = [sum(parts) for parts in zip(rows["easy"], rows["semi_hard"], rows["hard"], strict=True)]
    assert counted == given
    totals = [sum(rows[name]) for name in ("easy", "semi_hard", "hard")]
    assert f"negatives from easy to hard ({totals[0]} easy, {totals[1]} semi-hard, {totals[2]} hard)" in (
        finished.text
    )
    assert sum(total > 0 for total in totals) > 1
    # Triplets of a step are those of its phase: fewer than all negatives of its six rows.
    plain = train(source, "plain", loss={"name": "triplet", "margin": 0.2}, **small)
    assert sum(stats(finished, "n_valid")) < sum(stats(plain, "n_valid"))
    assert all(count >= 5 for count in stats(finished, "n_valid"))


def test_order_and_hardness_together_beside_another_data_set(
    tables: Tables, train: Train, small: dict[str, Any]
) -> None:
    source, other = tables.write("mine.jsonl", triplets()), tables.write("other.csv", tables.pairs(30))
    finished = train(
        source,
        losses=[
            {"name": "triplet", "margin": 0.2},
            {"name": "multiple_negatives_ranking", "dataset": other},
        ],
        curriculum={"score": "reference", "hardness": "easy_to_hard", "semi_hard_margin": 0.02},
        **small,
    )
    lines = [
        json.loads(line)["stats"] for line in (finished.run.folder / "log.jsonl").read_text().splitlines()
    ]
    own = [line for line in lines if any(key.startswith("triplet") or "mine" in key for key in line)]
    assert 0 < len(own) < len(lines)
    assert all("data_share" in line and "hardness" in line for line in own)
    assert all("data_share" not in line for line in lines if line not in own)
    shares = [line["data_share"] for line in own]
    assert shares == sorted(shares)
    assert len(written(finished)["row"]) == finished.data["rows"]["train"]


def test_without_a_curriculum_nothing_of_it_is_written(tables: Tables, train: Train) -> None:
    finished = train(tables.write("mine.csv", tables.pairs()))
    assert not (finished.run.folder / "curriculum.parquet").exists()
    assert "data_share" not in (finished.run.folder / "log.jsonl").read_text(encoding="utf-8")
    assert read_recipe(finished.run.folder / "recipe.yaml").curriculum.score is None


@pytest.mark.parametrize(
    ("rows", "sections", "message"),
    [
        ("scored", {"curriculum": "reference"},
         "curriculum.score: reference compares a text with one that belongs to it, which scored pairs do not "
         "name; choose another score"),
        ("alike", {"curriculum": "jaccard"},
         "curriculum.score: jaccard is the same for all rows and orders nothing"),
        ("scored", {"curriculum": "loss", "loss": "cosent"},
         "curriculum.score: the loss says nothing of a single row"),
        ("labelled", {"curriculum": "jaccard"}, "curriculum.score: jaccard compares a text"),
        ("pairs", {"curriculum": {"hardness": "easy_to_hard"}},
         "curriculum.hardness: no training row has negatives of its own"),
        ("single", {"curriculum": {"hardness": "easy_to_hard"}},
         "curriculum.hardness: no training row has negatives of more than one class (easy "),
        ("pairs", {"curriculum": "length", "losses": [{"name": "cosent", "dataset": "scored.csv"}]},
         "every loss has a dataset of its own"),
    ],
)  # fmt: skip
def test_what_cannot_be_ordered_is_said_before_training(
    rows: str, sections: dict[str, Any], message: str, tables: Tables, train: Train
) -> None:
    scored = [
        {"sentence1": tables.question(n), "sentence2": tables.answer(n), "score": n % 6} for n in range(60)
    ]
    given = {
        "scored": scored,
        "labelled": tables.labelled(),
        "pairs": pairs(),
        "alike": tables.pairs(),
        "single": [row | {"negative": row["negative"][:1]} for row in triplets()],
    }
    tables.write("scored.csv", scored)
    with pytest.raises(InputError) as error:
        train(tables.write("mine.jsonl", given[rows]), **sections)
    assert message in str(error.value)
    assert not Path("out").exists()
