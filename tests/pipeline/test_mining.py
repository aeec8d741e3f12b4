"""Runs with mined negatives: what is mined, what is written, the marks of a person, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from sbert_triplet.cli import app
from sbert_triplet.data.kinds import Kind
from sbert_triplet.errors import InputError
from sbert_triplet.pipeline import job, searching
from sbert_triplet.pipeline.job import run
from sbert_triplet.pipeline.mining_alone import mine
from sbert_triplet.pipeline.options import Options
from sbert_triplet.pipeline.preparing import Prepared, prepare
from sbert_triplet.recipe.reading import load_recipe, recipe_from
from sbert_triplet.training.collate import Collator

if TYPE_CHECKING:
    from tests.pipeline.conftest import Finished, Tables, Train

QUIET = Options(smoke=True, say=lambda _: None)
EVERY_RULE_OFF = {"near_equal": None, "transitive_hops": 0}


def prepared(sections: dict[str, Any], options: Options = QUIET) -> Prepared:
    """What is known before the first step, of a recipe with these sections."""
    scratch = Path("scratch")
    scratch.mkdir(exist_ok=True)
    sections = {"evaluate": {"general": False}} | sections
    return prepare(recipe_from(sections, origin="test"), scratch, None, options)


def mined_of(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "negatives" / "mined.parquet")


def counts_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "negatives" / "counts.json").read_text(encoding="utf-8")))


def two_answers(questions: int = 30) -> list[dict[str, Any]]:
    return [
        {"question": f"what of case {n}?", "answer": f"{word} {n * 7} tells it"}
        for n in range(questions)
        for word in ("book", "page")
    ]


def write_marks(name: str, rows: Iterable[tuple[str, str, str]]) -> str:
    pd.DataFrame(rows, columns=["query", "document", "mark"]).to_csv(name, index=False)
    return name


def test_a_run_leaves_its_negatives(tables: Tables, train: Train) -> None:
    corpus = [f"nothing but number {n} is here" for n in range(30)]
    tables.write("corpus.jsonl", [{"text": text} for text in corpus])
    data = {"train": tables.write("pairs.csv", tables.pairs()), "corpus": "corpus.jsonl"}
    finished = train(data, mine={"negatives": 3})
    found, counts = mined_of(finished.run.folder), counts_of(finished.run.folder)
    roles = ["anchor", "positive", "negative"]
    assert list(found.columns) == [*roles, *(f"{role}_id" for role in roles), "scores"]
    rows = finished.data["rows"]["train"]
    assert counts["rows"] == rows < 60
    assert len(found) == counts["chosen"] == 3 * rows
    own = dict(zip(found["anchor"], found["positive"], strict=True))
    assert len(own) == rows
    # Answers of held-out questions are no documents of the training; those of the corpus are.
    assert set(found["negative"]) <= set(own.values()) | set(corpus)
    assert (found["negative"] != found["positive"]).all()
    assert (found["negative_id"] != found["positive_id"]).all()
    assert counts["documents"] == rows + 30
    assert counts["looked_at"] == counts["left"] + sum(counts["removed"].values())
    suspects = pq.read_table(finished.run.folder / "negatives" / "suspects.parquet")
    assert suspects.num_rows == counts["suspects"]
    assert {"query", "document", "reason", "mark"} <= set(suspects.column_names)
    assert f"Negatives for {rows} rows among {rows + 30} documents, by exact search" in finished.text
    assert f"{3 * rows} negatives chosen of " in finished.text
    assert (counts["search"], counts["recall"], counts["marks"]) == ("exact", None, None)


def test_scores_are_similarities_of_the_encoder_before_training(tables: Tables, train: Train) -> None:
    finished = train(tables.write("pairs.csv", tables.pairs()), mine={"negatives": 2})
    found = mined_of(finished.run.folder)
    # The verdict may have shipped the tuned model; the encoder of --smoke is the same at every start.
    encoder = prepared({"data": "pairs.csv"}).encoder.model
    queries, documents = list(found["anchor"]), list(found["negative"])
    similarity = encoder.similarity_pairwise(
        encoder.encode_query(queries), encoder.encode_document(documents)
    )
    np.testing.assert_allclose(np.stack(found["scores"])[:, 1], similarity.numpy(), atol=1e-4)


def test_every_document_but_the_known_positives(tables: Tables, train: Train) -> None:
    """As many as there are: each query gets all documents of the training but its own two answers."""
    tables.write("two.csv", two_answers())
    rows = prepared({"data": "two.csv"}).data.rows["train"]
    section = {"negatives": rows - 2, "range_max": rows, **EVERY_RULE_OFF}
    ready = prepared({"data": "two.csv", "mine": section})
    assert ready.plan.negatives is not None
    found = ready.plan.negatives.mined
    documents = set(found.positives.tolist())
    assert len(documents) == rows
    for row in range(len(found)):
        own = set(found.positives[found.queries == found.queries[row]].tolist())
        assert len(own) == 2
        assert set(found.negatives[row].tolist()) == documents - own


def test_pairs_of_held_out_rows_are_known(tables: Tables) -> None:
    """A query that is judged in the test split, too: its document there is no negative of it."""
    tables.retrieval("folder", {"train": range(40), "test": range(40, 60)})
    test = Path("folder/qrels/test.tsv")
    section = {"negatives": 59, "range_max": 60, **EVERY_RULE_OFF}
    given: dict[str, Any] = {"data": {"train": "folder"}, "mine": section, "evaluate": {"dev": 0}}
    before = prepared(given)
    assert before.plan.negatives is not None
    texts = before.data.texts
    query, document = (texts.lookup(text) for text in (tables.question(3), f"chess\n{tables.answer(53)}"))
    held = before.plan.negatives.mined
    row = int(np.flatnonzero(held.queries == query)[0])
    assert document in held.negatives[row]
    test.write_text(test.read_text(encoding="utf-8") + "q3\td53\t1\n", encoding="utf-8")
    after = prepared(given).plan.negatives
    assert after is not None
    row = int(np.flatnonzero(after.mined.queries == query)[0])
    assert document not in after.mined.negatives[row]


def test_what_is_trained_on(tables: Tables) -> None:
    """Mined negatives stand behind those that the rows had; judgements of 0 stay negatives."""
    rows = [
        {"anchor": tables.question(n), "positive": tables.answer(n), "negative": f"other thing {n}"}
        for n in range(60)
    ]
    tables.write("triplets.jsonl", rows)
    tables.retrieval("folder", {"train": range(40), "test": range(40, 60)})
    judged = Path("folder/qrels/train.tsv")
    judged.write_text(judged.read_text(encoding="utf-8") + "q0\td30\t0\n", encoding="utf-8")
    tables.write("pairs.csv", tables.pairs())
    for source, given in (("pairs.csv", 0), ("triplets.jsonl", 1), ("folder", 0)):
        ready = prepared({"data": source, "mine": {"negatives": 2}, "evaluate": {"dev": 0}})
        collator = ready.plan.collator
        assert isinstance(collator, Collator)
        examples = collator.examples
        assert examples.kind is Kind.TRIPLETS
        assert examples.negatives is not None
        lengths = np.diff(examples.negatives.offsets)
        # A mined negative may be one that the row had already.
        assert set(lengths.tolist()) <= {given + 1, given + 2, given + 3}
        if given:
            first = examples.negatives.values[examples.negatives.offsets[:-1]]
            assert [text[:11] for text in ready.data.texts.texts(first)] == ["other thing"] * len(examples)
        if source == "folder":
            row = int(np.flatnonzero(examples.anchors == ready.data.texts.lookup(tables.question(0)))[0])
            zero = ready.data.texts.lookup(f"rain\n{tables.answer(30)}")
            assert examples.negatives[row][0] == zero
        batch = collator([0, 1])
        assert batch.negative_ids is not None
        assert batch.negative_ids.tolist() == examples.negatives.values[: sum(lengths[:2])].tolist()


def test_rows_of_a_heavier_source_come_as_often_with_their_negatives(tables: Tables) -> None:
    tables.write("one.csv", tables.pairs(40))
    tables.write("two.csv", [{**row, "question": f"so {row['question']}"} for row in tables.pairs(40)])
    sources = [{"source": "one.csv", "weight": 2}, "two.csv"]
    ready = prepared({"data": {"train": sources}, "mine": {"negatives": 1}})
    found = ready.plan.negatives
    assert found is not None
    assert found.rows.repeats is not None
    assert len(found.mined) == len(ready.data.train)
    assert len(ready.plan.collator) == found.rows.repeats.sum() > len(ready.data.train)


def test_marks_are_honoured_in_mining_and_as_masks(tables: Tables, train: Train) -> None:
    source = tables.write("pairs.csv", tables.pairs())
    first = mined_of(train(source, "first", mine={"negatives": 2}).run.folder)
    taken = list(zip(first["anchor"], first["negative"], strict=True))[:3]
    rows = [(*pair, mark) for pair, mark in zip(taken[:2], ("positive", "ignore"), strict=True)]
    marks = write_marks("marks.csv", [*rows, ("nobody asked", "nobody said", "ignore")])
    section = {"negatives": 2, "marks": marks, "transitive_hops": 0}
    second = train(source, "second", mine=section)
    found = mined_of(second.run.folder)
    pairs = set(zip(found["anchor"], found["negative"], strict=True))
    assert not pairs & set(taken[:2])
    assert taken[2] in pairs
    counts = counts_of(second.run.folder)
    assert counts["removed"]["marked"] == 2
    assert counts["marks"] == {
        "positive": 1,
        "negative": 0,
        "ignore": 1,
        "of texts that are not in the data": 1,
    }
    assert "marks of marks.csv: 1 positive, 0 negative, 1 ignore, 1 of texts" in second.text
    ready = prepared({"data": source, "mine": section})
    texts, collator = ready.data.texts, ready.plan.collator
    assert isinstance(collator, Collator)
    for query, document in taken[:2]:
        ids = [texts.lookup(query), texts.lookup(document)]
        assert sorted(ids) in collator.known.among(np.array(ids)).tolist()
    ids = [texts.lookup(text) for text in taken[2]]
    assert not len(collator.known.among(np.array(ids)))


def test_marks_in_a_run_folder_are_not_lost(tables: Tables, train: Train) -> None:
    source = tables.write("pairs.csv", tables.pairs())
    section: dict[str, Any] = {"negatives": 2}
    folder = train(source, "first", mine=section).run.folder
    suspects = folder / "negatives" / "suspects.parquet"
    train(source, "first", mine=section, overwrite=True)
    with pytest.raises(InputError, match=r"mine\.marks: .*lies in the run folder first, which would be"):
        train(source, "first", mine={**section, "marks": str(suspects)}, overwrite=True)
    table = pd.DataFrame({"query": [tables.question(0)], "document": [tables.answer(5)], "mark": ["ignore"]})
    table.to_parquet(suspects)
    with pytest.raises(InputError, match="somebody has marked rows"):
        train(source, "first", overwrite=True)
    (folder / "report.json").unlink()
    with pytest.raises(InputError, match="somebody has marked rows"):
        mine(recipe_from({"data": source}, origin="test"), folder, options=replace(QUIET, overwrite=True))
    assert pd.read_parquet(suspects)["mark"].tolist() == ["ignore"]
    second = train(source, "second", mine={**section, "marks": str(suspects)})
    assert counts_of(second.run.folder)["marks"]["ignore"] == 1


def test_the_resolved_recipe_gives_the_same_run(tables: Tables, train: Train, tiny_folder: Path) -> None:
    source = tables.write("pairs.csv", tables.pairs())
    marks = write_marks("marks.csv", [(tables.question(1), tables.answer(2), "ignore")])
    first = train(
        source,
        model=str(tiny_folder),
        smoke=False,
        mine={"negatives": 3, "choice": "random", "range_max": 20, "relative_margin": 0.0, "marks": marks},
        train={"max_steps": 4, "batch_size": 8, "precision": "fp32"},
    )
    loaded = load_recipe(first.run.folder / "recipe.yaml")
    assert loaded.recipe.mine.marks == str(Path(marks).absolute())
    second = run(
        loaded.recipe, Path("again"), options=Options(say=lambda _: None, decisions=loaded.decisions)
    )
    for name in ("recipe.yaml", *(f"negatives/{part}" for part in ("counts.json", "mined.parquet"))):
        assert (second.folder / name).read_bytes() == (first.run.folder / name).read_bytes()
    weights = [
        load_file(next((folder / "candidate").rglob("model.safetensors")))
        for folder in (first.run.folder, second.folder)
    ]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    # Scores of a margin of 0: none above that of the positive.
    found = np.stack(mined_of(first.run.folder)["scores"])
    assert (found[:, 1] <= found[:, 0]).all()


@pytest.mark.parametrize("search", ["approximate", "bm25", "mixed"])
def test_other_searches(search: str, tables: Tables, train: Train) -> None:
    if search == "approximate":
        pytest.importorskip("faiss")
    finished = train(tables.write("pairs.csv", tables.pairs()), mine={"negatives": 2, "search": search})
    counts = counts_of(finished.run.folder)
    assert counts["search"] == search
    assert counts["chosen"] > 0
    if search == "approximate":
        assert 0 < counts["recall"] <= 1
        assert "the approximate search finds " in finished.text
    else:
        assert counts["recall"] is None
    if search == "bm25":
        found = mined_of(finished.run.folder)
        for anchor, negative in zip(found["anchor"], found["negative"], strict=True):
            assert set(anchor.strip("?").split()) & set(negative.split())


@pytest.mark.parametrize(("search", "index"), [("exact", "ivf"), ("mixed", "hnsw")])
def test_approximate_from_a_size_on(search: str, index: str, tables: Tables, train: Train) -> None:
    pytest.importorskip("faiss")
    mine = {"negatives": 2, "search": search, "approximate_from": 2, "index": index}
    finished = train(tables.write("pairs.csv", tables.pairs()), mine=mine)
    counts = counts_of(finished.run.folder)
    assert counts["search"] == {"exact": "approximate", "mixed": "approximate and bm25"}[search]
    assert 0 < counts["recall"] <= 1
    assert "the approximate search finds " in finished.text


def test_a_metric_learnt_beside_the_encoder_is_unknown_to_a_refresh(tables: Tables, train: Train) -> None:
    loss = {"name": "triplet", "distance": {"name": "mahalanobis", "form": "full"}, "margin": 0.2}
    with pytest.raises(
        InputError, match=r"mine\.refresh: the loss triplet learns a metric beside the encoder"
    ):
        train(tables.write("pairs.csv", tables.pairs()), mine={"negatives": 2, "refresh": 1}, loss=loss)


def test_a_cross_encoder_decides(
    tables: Tables, train: Train, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that finds the answers of low case numbers right for every question."""

    def score(pairs: list[tuple[str, str]]) -> list[float]:
        return [-float(document.split("case ")[1].split()[0]) for _, document in pairs]

    asked: list[str] = []

    def loaded(name: str, **_: Any) -> Any:
        asked.append(name)
        return score

    monkeypatch.setattr(searching, "cross_encoder", loaded)
    finished = train(
        tables.write("pairs.csv", tables.pairs()),
        model=str(tiny_folder),
        smoke=False,
        mine={"negatives": 1, "rescore": "some/cross", "range_max": 100, **EVERY_RULE_OFF},
        train={"max_steps": 2, "batch_size": 8, "precision": "fp32"},
    )
    assert asked == ["some/cross"]
    assert counts_of(finished.run.folder)["rescored_by"] == "some/cross"
    found = mined_of(finished.run.folder)
    numbers = found["positive"].str.extract(r"case (\d+)")[0].astype(int)
    lowest = sorted(numbers)[:2]
    given = found["negative"].str.extract(r"case (\d+)")[0].astype(int)
    assert given.tolist() == [lowest[1] if number == lowest[0] else lowest[0] for number in numbers]
    assert np.stack(found["scores"])[:, 1].tolist() == [-float(number) for number in given]


def test_test_documents_that_were_given_as_negatives_count_as_seen(tables: Tables, train: Train) -> None:
    tables.write("corpus.jsonl", [{"text": tables.answer(n)} for n in range(60)])
    data = {"train": tables.write("pairs.csv", tables.pairs()), "corpus": "corpus.jsonl"}
    plain = train(data, "plain")
    assert plain.report["pool"]["documents_seen_in_training"] == 0
    mined = train(data, "mined", mine={"negatives": 40, **EVERY_RULE_OFF})
    negatives = set(mined_of(mined.run.folder)["negative"])
    anchors = set(mined_of(mined.run.folder)["anchor"])
    assert mined.report["pool"]["documents_seen_in_training"] > 0.5
    assert any(tables.answer(n) in negatives for n in range(60) if tables.question(n) not in anchors)


def test_a_second_loss_with_rows_of_its_own(tables: Tables, train: Train) -> None:
    """Its pairs are known not to be negatives, and its rows get none."""
    tables.write("pairs.csv", tables.pairs())
    tables.write(
        "other.csv", [{"question": tables.question(n), "answer": tables.answer(n + 1)} for n in range(59)]
    )
    losses = [
        {"name": "multiple_negatives_ranking"},
        {"name": "multiple_negatives_ranking", "dataset": "other.csv"},
    ]
    finished = train("pairs.csv", losses=losses, mine={"negatives": 20, **EVERY_RULE_OFF})
    found = mined_of(finished.run.folder)
    assert len(found) > 0
    case = found["anchor"].str.extract(r"case (\d+)")[0].astype(int)
    other = found["negative"].str.extract(r"case (\d+)")[0].astype(int)
    assert len(set(case)) >= 40
    assert not (other == case + 1).any()
    assert (other == case - 1).any()


@pytest.mark.parametrize(
    ("rows", "sections", "message"),
    [
        ("labelled", {"mine": {"negatives": 2}},
         "mine: negatives are mined for pairs, triplets and retrieval folders, and data.train holds "
         "labelled text"),
        ("pairs", {"mine": {"negatives": 2}, "loss": "cosent"},
         "mine: rows with mined negatives are triplets, which the loss cosent does not work on"),
        ("pairs", {"mine": {"negatives": 2}, "losses": [{"name": "cosent", "dataset": "scored.csv"}]},
         "mine: negatives are mined for the rows of data.train, and every loss has a dataset of its own"),
        ("pairs", {"mine": {"negatives": 100}},
         " documents, too few for 100 negatives a query: at least 100 are needed"),
        ("pairs", {"mine": {"negatives": 2, "marks": "absent.csv"}},
         "mine.marks: absent.csv: there is no such file"),
        ("pairs", {"mine": {"negatives": 2, "marks": "broken.csv"}}, "broken.csv: no column 'mark'"),
        ("pairs", {"mine": {"negatives": 2, "marks": "contrary.csv"}},
         "and the data says that it is a positive: take back the mark or remove the row"),
        ("pairs", {"mine": {"negatives": 2, "max_score": -1.5}, "smoke": False},
         "no negative is left (taken away: "),
    ],
)  # fmt: skip
def test_what_cannot_be_mined_is_said_before_training(
    rows: str, sections: dict[str, Any], message: str, tables: Tables, train: Train, tiny_folder: Path
) -> None:
    scored = [
        {"sentence1": tables.question(n), "sentence2": tables.answer(n), "score": n % 6} for n in range(60)
    ]
    tables.write("scored.csv", scored)
    Path("broken.csv").write_text("query,document\na,b\n", encoding="utf-8")
    every = [(tables.question(n), tables.answer(n), "negative") for n in range(60)]
    write_marks("contrary.csv", every)
    given = {"labelled": tables.labelled(), "pairs": tables.pairs()}
    with pytest.raises(InputError) as error:
        train(tables.write("mine.csv", given[rows]), model=str(tiny_folder), **sections)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert not Path("out").exists()


def test_bad_input_is_said_before_anything_is_encoded(
    tables: Tables, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encoded(*_: Any, **__: Any) -> Any:
        raise AssertionError("something was encoded")

    monkeypatch.setattr("sbert_triplet.encoding.embedder.encode", encoded)
    with pytest.raises(InputError, match="too few for 100 negatives a query"):
        train(tables.write("pairs.csv", tables.pairs()), mine={"negatives": 100})


def test_without_the_section_nothing_is_mined(tables: Tables, train: Train) -> None:
    finished = train(tables.write("pairs.csv", tables.pairs()))
    assert not (finished.run.folder / "negatives").exists()
    assert "Negatives" not in finished.text


# The verb.


def call(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, result.output
    return result


def test_the_verb_mines_and_trains_nothing(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "write_report", lambda _: None)
    tables.write("tickets.csv", tables.pairs())
    verb = ("mine", "tickets.csv", "--smoke", "--set", "mine.negatives=2")
    said = call(*verb).stdout
    folder = Path("runs/tickets")
    assert sorted(item.name for item in folder.iterdir()) == ["data.json", "negatives", "recipe.yaml"]
    assert sorted(item.name for item in (folder / "negatives").iterdir()) == [
        "counts.json",
        "mined.parquet",
        "suspects.parquet",
    ]
    counts, found = counts_of(folder), mined_of(folder)
    assert len(found) == counts["chosen"] == 2 * counts["rows"]
    assert json.loads((folder / "data.json").read_text(encoding="utf-8"))["rows"]["train"] == counts["rows"]
    assert load_recipe(folder / "recipe.yaml").recipe.mine.negatives == 2
    lines = said.splitlines()
    assert any(line.endswith(f"candidates of {counts['queries']} queries; taken away:") for line in lines)
    assert any("known_positive" in line for line in lines)
    assert f"Negatives: {folder}/negatives/mined.parquet ({len(found)} triplets)" in lines
    assert any(line.startswith(f"Suspects:  {folder}/negatives/suspects.parquet") for line in lines)

    again = call(*verb, code=2)
    assert again.stderr.startswith("error: runs/tickets: holds mined negatives; name another folder")
    before = (folder / "negatives" / "mined.parquet").read_bytes()
    call(*verb, "--overwrite")
    assert (folder / "negatives" / "mined.parquet").read_bytes() == before
    # A run with the same section mines the same, in the place of what was mined alone.
    call("train", "tickets.csv", "--smoke", "--set", "mine.negatives=2", "--set", "evaluate.general=false")
    assert (folder / "report.json").is_file()
    assert (folder / "negatives" / "mined.parquet").read_bytes() == before
    finished = call(*verb, "--overwrite", code=2)
    assert "runs/tickets: holds a finished run; name another folder with --out" in finished.stderr


def test_the_verb_gives_one_negative_where_the_recipe_says_nothing(tables: Tables) -> None:
    tables.write("tickets.csv", tables.pairs())
    said = call("mine", "tickets.csv", "--smoke", "--name", "one", "--set", "mine.relative_margin=0.1").stdout
    assert "One negative for each query: for more, --set mine.negatives=N" in said
    counts = counts_of(Path("runs/one"))
    assert counts["asked"] == counts["queries"]


def test_the_verb_tells_of_queries_without_a_positive(tables: Tables) -> None:
    tables.retrieval("folder", {"train": range(40)})
    judged = Path("folder/qrels/train.tsv")
    judged.write_text(judged.read_text(encoding="utf-8").replace("q7\td7\t1", "q7\td7\t0"), encoding="utf-8")
    said = call("mine", "folder", "--smoke", "--out", "run", "--set", "evaluate.dev=0").stdout
    assert (
        "note     1 training queries have no document that is judged above 0 (the first in row 8 of" in said
    )


def test_the_verb_refuses_in_one_line(tables: Tables) -> None:
    tables.write("classes.csv", tables.labelled())
    tables.write("tickets.csv", tables.pairs())
    for arguments, message in (
        (("classes.csv",), "error: mine: negatives are mined for pairs, triplets and retrieval folders"),
        (("tickets.csv", "--set", "mine.negatives=500"), "error: the corpus has "),
        (
            ("tickets.csv", "--set", "mine.min_score=0.9", "--set", "mine.max_score=0.2"),
            "error: --set mine.min_score=0.9, --set mine.max_score=0.2: min_score 0.9 is above max_score 0.2",
        ),
        (("absent.csv",), "absent.csv"),
    ):
        result = call("mine", *arguments, "--smoke", "--out", "out", code=2)
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert not Path("out").exists()


def test_the_report_shows_what_was_mined(tables: Tables, train: Train) -> None:
    finished: Finished = train(tables.write("pairs.csv", tables.pairs()), mine={"negatives": 2}, drawn=True)
    counts = counts_of(finished.run.folder)
    page = (finished.run.folder / "report.html").read_text(encoding="utf-8")
    assert '<section id="negatives"' in page
    markdown = (finished.run.folder / "report.md").read_text(encoding="utf-8")
    assert f"| known positives | {counts['removed']['known_positive']} |" in markdown
    assert tables.question(3) not in markdown
