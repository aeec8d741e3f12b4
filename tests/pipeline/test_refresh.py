"""Runs whose negatives are mined anew while they train."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file

from sbert_triplet.data.examples import Ragged
from sbert_triplet.errors import InputError
from sbert_triplet.pipeline import job, plan, refresh
from sbert_triplet.pipeline.folder import finite
from sbert_triplet.pipeline.job import run
from sbert_triplet.pipeline.mining import Negatives, mine_round
from sbert_triplet.pipeline.mining_alone import mine
from sbert_triplet.pipeline.options import Options
from sbert_triplet.pipeline.preparing import Prepared, prepare
from sbert_triplet.recipe.reading import load_recipe, recipe_from
from sbert_triplet.training.refresh import Round

if TYPE_CHECKING:
    from tests.pipeline.conftest import Finished, Tables, Train

QUIET = Options(say=lambda _: None)
CONSTANT = {
    "batch_size": 16, "precision": "fp32", "learning_rate": 1e-3, "schedule": "constant", "warmup": 0,
}  # fmt: skip
"""A learning rate that does not hang on the number of steps: a shorter run is a part of a longer one."""


def log_of(finished: Finished) -> list[dict[str, Any]]:
    lines = (finished.run.folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def ages(finished: Finished) -> list[float]:
    return [line["stats"]["negatives_age"] for line in log_of(finished) if "loss" in line]


def refreshed_after(finished: Finished) -> list[int]:
    return [line["step"] for line in log_of(finished) if "refresh" in line]


def counts_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "negatives" / "counts.json").read_text(encoding="utf-8")))


def mined_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "negatives" / "mined.parquet")


def prepared(sections: dict[str, Any], options: Options = QUIET) -> Prepared:
    Path("scratch").mkdir(exist_ok=True)
    sections = {"evaluate": {"general": False}} | sections
    return prepare(recipe_from(sections, origin="test"), Path("scratch"), None, options)


@pytest.fixture
def small(tables: Tables, train: Train, tiny_folder: Path) -> Callable[..., Finished]:
    """A run of a few steps over 60 pairs and a corpus of 30; ``mine`` and ``train`` add to their sections."""
    tables.write("corpus.jsonl", [{"text": f"nothing but number {n} is here"} for n in range(30)])
    data = {"train": tables.write("pairs.csv", tables.pairs()), "corpus": "corpus.jsonl"}

    def carried_out(out: str, mine: dict[str, Any], **given: Any) -> Finished:
        given = {"model": str(tiny_folder), "smoke": False, "device": "cpu", **given}
        given["train"] = CONSTANT | given.get("train", {})
        return train(data, out, mine={"negatives": 3} | mine, **given)

    return carried_out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_they_are_what_the_verb_mines_with_the_weights_of_that_step(
    precision: str, small: Callable[..., Finished]
) -> None:
    """Mined after step 2, of a run that goes on, and with the model of a run that ended there."""
    whole = small("whole", {"refresh": 2}, train={"max_steps": 4, "precision": precision})
    short = small("short", {}, train={"max_steps": 2, "precision": precision})
    recipe = recipe_from(
        {
            "data": {"train": "pairs.csv", "corpus": "corpus.jsonl"},
            "model": str(short.run.folder / "candidate"),
            "mine": {"negatives": 3},
        },
        origin="test",
    )
    mine(recipe, Path("alone"), options=replace(QUIET, device="cpu"))
    found, expected = mined_of(whole.run.folder), mined_of(Path("alone"))
    ids = ["anchor_id", "positive_id", "negative_id"]
    assert found[ids].equals(expected[ids])
    np.testing.assert_allclose(np.stack(found["scores"]), np.stack(expected["scores"]), atol=1e-6)
    before = mined_of(short.run.folder)
    assert not found[ids].equals(before[ids])
    counts, alone = counts_of(whole.run.folder), counts_of(Path("alone"))
    rounds = counts.pop("rounds")
    assert counts == alone
    assert [each["step"] for each in rounds] == [0, 2]
    pairs, old = (set(map(tuple, table[["anchor_id", "negative_id"]].values)) for table in (found, before))
    assert rounds[1]["changed"] == pytest.approx(1 - len(pairs & old) / len(pairs), abs=1e-9)
    suspects = pd.read_parquet(whole.run.folder / "negatives" / "suspects.parquet")
    assert len(suspects) == counts["suspects"]


def test_every_so_many_steps(small: Callable[..., Finished]) -> None:
    finished = small("out", {"refresh": 2}, train={"max_steps": 5})
    assert refreshed_after(finished) == [2, 4]
    assert ages(finished) == [0, 1, 0, 1, 0]
    assert "negatives mined anew every 2 steps (2 times)" in finished.text
    rounds = counts_of(finished.run.folder)["rounds"]
    assert [each["step"] for each in rounds] == [0, 2, 4]
    assert rounds[0]["changed"] is None
    assert all(0 < each["changed"] <= 1 for each in rounds[1:])
    assert all(each["seconds"] > 0 and each["used"] for each in rounds)
    entry = next(line["refresh"] for line in log_of(finished) if line["step"] == 4 and "refresh" in line)
    counts = counts_of(finished.run.folder)
    assert entry["removed"] == counts["removed"]
    assert entry["chosen"] == counts["chosen"] == len(mined_of(finished.run.folder))


def test_at_the_end_of_every_epoch(small: Callable[..., Finished]) -> None:
    finished = small("out", {"refresh": "epoch"}, train={"epochs": 3})
    per_epoch = -(-finished.data["rows"]["train"] // 16)
    assert refreshed_after(finished) == [per_epoch, 2 * per_epoch]
    assert ages(finished) == [*range(per_epoch)] * 3
    loaded = load_recipe(finished.run.folder / "recipe.yaml")
    assert loaded.recipe.mine.refresh == "epoch"


def test_a_run_that_ends_before_says_so(small: Callable[..., Finished]) -> None:
    finished = small("out", {"refresh": 50}, train={"max_steps": 2}, drawn=True)
    assert refreshed_after(finished) == []
    assert "negatives mined anew every 50 steps (never in so few)" in finished.text
    assert "training, which ended before the first time" in (finished.run.folder / "report.md").read_text()


def test_without_the_key_there_are_no_rounds(small: Callable[..., Finished]) -> None:
    finished = small("out", {}, train={"max_steps": 2})
    assert "rounds" not in counts_of(finished.run.folder)
    assert "negatives_age" not in log_of(finished)[0]["stats"]
    assert "mined anew" not in finished.text


def test_the_resolved_recipe_gives_the_same_run(small: Callable[..., Finished]) -> None:
    section = {"refresh": 2, "choice": "random", "range_max": 20}
    first = small("out", section, train={"max_steps": 5})
    loaded = load_recipe(first.run.folder / "recipe.yaml")
    second = run(loaded.recipe, Path("again"), options=replace(QUIET, decisions=loaded.decisions))
    for name in ("recipe.yaml", "negatives/mined.parquet"):
        assert (second.folder / name).read_bytes() == (first.run.folder / name).read_bytes()
    weights = [
        load_file(next((folder / "candidate").rglob("model.safetensors")))
        for folder in (first.run.folder, second.folder)
    ]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])


def test_choices_at_random_hang_on_the_round(tables: Tables) -> None:
    tables.write("pairs.csv", tables.pairs())
    section = {"negatives": 2, "choice": "random", "range_max": 20, "refresh": 1}
    ready = prepared({"data": "pairs.csv", "mine": section}, replace(QUIET, smoke=True))
    assert ready.plan.refresh is not None
    setting, first = ready.plan.refresh.setting, ready.plan.refresh.first
    rounds = [
        mine_round(setting, number, first.marks, None).mined.negatives.values.tolist() for number in (0, 1, 1)
    ]
    assert rounds[0] == first.mined.negatives.values.tolist()
    assert rounds[1] == rounds[2] != rounds[0]


def test_rows_that_come_several_times_and_losses_beside(
    tables: Tables, train: Train, tiny_folder: Path
) -> None:
    """A heavier source, triplets with a negative of their own, and a second data set."""
    given = [{**row, "negative": f"other thing {n}"} for n, row in enumerate(tables.pairs(40))]
    tables.write("one.jsonl", given)
    tables.write("two.jsonl", [{**row, "question": f"so {row['question']}"} for row in given])
    tables.write(
        "other.csv", [{"question": tables.question(n), "answer": tables.answer(n + 1)} for n in range(59)]
    )
    sections: dict[str, Any] = {
        "model": str(tiny_folder),
        "mine": {"negatives": 2, "refresh": 2},
        "train": CONSTANT | {"max_steps": 5},
        "losses": [
            {"name": "multiple_negatives_ranking"},
            {"name": "multiple_negatives_ranking", "dataset": "other.csv"},
        ],
    }
    sources = [{"source": "one.jsonl", "weight": 2}, "two.jsonl"]
    finished = train({"train": sources}, smoke=False, **sections)
    assert refreshed_after(finished) == [2, 4]
    ready = prepared({"data": {"train": sources}, **sections}, replace(QUIET, device="cpu"))
    assert ready.plan.refresh is not None
    collator, first = ready.plan.refresh.collator, ready.plan.refresh.first
    before = collator.examples
    rounds = refresh._Rounds(ready.plan.refresh, Path("rounds"))
    rounds.use(Ragged.from_lists([[7]] * len(first.mined)))
    after = collator.examples
    assert before.negatives is not None
    assert after.negatives is not None
    assert len(after) == len(before) > len(first.mined)
    for row in range(len(after)):
        assert after.negatives[row].tolist()[1:] == [7]
        assert after.negatives[row][0] == before.negatives[row][0]
    assert after.anchors.tolist() == before.anchors.tolist()
    rounds.use(first.mined.negatives)
    assert collator.examples.negatives is not None
    assert collator.examples.negatives.values.tolist() == before.negatives.values.tolist()


def test_a_guide_knows_every_document_that_may_be_a_negative(tables: Tables, train: Train) -> None:
    corpus = [f"nothing but number {n} is here" for n in range(40)]
    tables.write("corpus.jsonl", [{"text": text} for text in corpus])
    data = {"train": tables.write("pairs.csv", tables.pairs()), "corpus": "corpus.jsonl"}
    finished = train(
        data, mine={"negatives": 1, "refresh": 1}, loss={"name": "guided_ranking", "guide": "base"}
    )
    assert refreshed_after(finished) == [1, 2]


def test_a_curriculum_of_rows_goes_on(small: Callable[..., Finished]) -> None:
    finished = small("out", {"refresh": 2}, train={"max_steps": 5}, curriculum="length")
    assert refreshed_after(finished) == [2, 4]
    assert all("data_share" in line["stats"] for line in log_of(finished) if "loss" in line)


def test_a_curriculum_of_hardness_is_refused(small: Callable[..., Finished]) -> None:
    with pytest.raises(InputError) as error:
        small("out", {"refresh": 2}, curriculum={"hardness": "easy_to_hard"})
    assert str(error.value).startswith("mine.refresh: curriculum.hardness sorts the negatives of before")
    assert "\n" not in str(error.value)
    assert not Path("out").exists()


def emptied(found: Negatives) -> Negatives:
    mined = found.mined
    none = Ragged.from_lists([[]] * len(mined))
    counts = replace(mined.counts, chosen=0)
    return replace(found, mined=replace(mined, negatives=none, scores=np.zeros(0), counts=counts))


def test_a_round_without_negatives_keeps_the_counts_of_those_that_an_earlier_process_mined(
    tables: Tables, tiny_folder: Path, small: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = small("whole", {"refresh": 2}, train={"max_steps": 5})
    before = counts_of(whole.run.folder)
    sections: dict[str, Any] = {"model": str(tiny_folder), "mine": {"negatives": 2, "refresh": 2}}
    sections |= {"data": tables.write("pairs.csv", tables.pairs()), "train": {"max_steps": 5}}
    ready = prepared(sections, replace(QUIET, device="cpu"))
    assert ready.plan.refresh is not None
    first = ready.plan.refresh.first
    resumed = refresh._Rounds(ready.plan.refresh, whole.run.folder)
    monkeypatch.setattr(refresh, "mine_round", lambda *_: emptied(first))
    assert resumed.mine(3).counts.chosen == 0
    made = [Round(0, 1.0, 9), Round(2, 1.0, 9), Round(6, 1.0, 0, used=False)]
    resumed.write(made)
    after = counts_of(whole.run.folder)
    assert after.pop("rounds") == [finite(each.as_json()) for each in made]
    before.pop("rounds")
    assert after == before


def test_a_round_that_leaves_no_negative_ends_no_run(
    small: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    def mined(setting: Any, number: int, marks: Any, scorer: Any) -> Negatives:
        found = mine_round(setting, number, marks, scorer)
        return emptied(found) if number == 2 else found

    plain = small("plain", {"refresh": 2}, train={"max_steps": 4}, drawn=True)
    monkeypatch.setattr(refresh, "mine_round", mined)
    finished = small("out", {"refresh": 2}, train={"max_steps": 6}, drawn=True)
    assert ages(finished) == [0, 1, 0, 1, 2, 3]
    counts = counts_of(finished.run.folder)
    assert [each["used"] for each in counts["rounds"]] == [True, True, False]
    assert [each["chosen"] > 0 for each in counts["rounds"]] == [True, True, False]
    assert counts["chosen"] > 0
    assert mined_of(finished.run.folder).equals(mined_of(plain.run.folder))
    report = (finished.run.folder / "report.md").read_text(encoding="utf-8")
    assert "No negative was left in some rounds (once)" in report
    assert "mined after step 2." in report


def test_the_report_lists_the_rounds(small: Callable[..., Finished]) -> None:
    finished = small("out", {"refresh": 2}, train={"max_steps": 5}, drawn=True)
    report = (finished.run.folder / "report.md").read_text(encoding="utf-8")
    assert "| After step | Negatives | New in their row | Time |" in report
    chosen = counts_of(finished.run.folder)["rounds"][1]["chosen"]
    assert f"| 2 | {chosen} | " in report
    assert "Negatives age" in report
    assert "Resumed after" not in report


def test_suspects_that_somebody_has_marked_are_not_replaced(small: Callable[..., Finished]) -> None:
    finished = small("out", {"refresh": 2}, train={"max_steps": 2})
    file = finished.run.folder / "negatives" / "suspects.parquet"
    marked = pd.DataFrame({"query": ["a"], "document": ["b"], "mark": ["ignore"]})
    ready = prepared({"data": "pairs.csv", "mine": {"negatives": 1}}, replace(QUIET, smoke=True))
    assert ready.plan.negatives is not None
    marked.assign(mark=None).to_parquet(file)
    ready.plan.negatives.write(finished.run.folder)
    assert len(pd.read_parquet(file)) == ready.plan.negatives.mined.suspects.num_rows
    marked.to_parquet(file)
    ready.plan.negatives.write(finished.run.folder)
    assert pd.read_parquet(file)["mark"].tolist() == ["ignore"]


def test_documents_of_every_round_count_as_seen(
    tables: Tables, small: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds: list[Negatives] = []

    def mined(setting: Any, number: int, marks: Any, scorer: Any) -> Negatives:
        rounds.append(mine_round(setting, number, marks, scorer))
        return rounds[-1]

    monkeypatch.setattr(refresh, "mine_round", mined)
    monkeypatch.setattr(job, "write_report", lambda _: None)
    tables.write("corpus.jsonl", [{"text": tables.answer(n)} for n in range(60)])
    finished = small("out", {"negatives": 1, "refresh": 1}, train={"max_steps": 6})
    once = small("once", {"negatives": 1}, train={"max_steps": 1})
    test = {tables.answer(n) for n in range(60)} - set(mined_of(finished.run.folder)["positive"])
    dev, texts = finished.data["rows"]["dev"], rounds[0].texts
    seen = {texts.texts([number])[0] for found in rounds for number in found.mined.negatives.values.tolist()}
    seen |= set(mined_of(once.run.folder)["negative"])
    share = finished.report["pool"]["documents_seen_in_training"]
    # Of the documents outside of training some are right for dev queries.
    assert (
        share * finished.data["rows"]["test"]
        <= len(seen & test)
        <= share * finished.data["rows"]["test"] + dev
    )
    assert share >= once.report["pool"]["documents_seen_in_training"]


def test_refreshes_count_where_seconds_are_limited(
    small: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = plan.with_mined_negatives

    def slow(setting: Any) -> Any:
        rows, found = given(setting)
        assert found is not None
        assert found.seconds > 0
        return rows, replace(found, seconds=5.0)

    monkeypatch.setattr(plan, "with_mined_negatives", slow)
    monkeypatch.setattr(plan, "_measured", lambda *_: ("fp32", 1.0))
    section = {"epochs": 100, "max_seconds": 20}
    # 9 steps with refreshes after 3 and 6 take 19 seconds, and a tenth one would need one more refresh.
    assert small("some", {"refresh": 3}, train=section).report["train"]["steps"] == 9
    assert small("none", {}, train=section).report["train"]["steps"] == 20
    ready = prepared(
        {
            "data": "pairs.csv",
            "mine": {"negatives": 1, "refresh": 3},
            "train": section,
        },
        replace(QUIET, smoke=True),
    )
    assert ready.plan.seconds == 3 + 2 * 5
