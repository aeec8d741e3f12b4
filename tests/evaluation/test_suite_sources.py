"""Suites from the Hub: which configurations and splits are asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest

from sbert_triplet.data.hub import HubId
from sbert_triplet.data.memory import pick_split
from sbert_triplet.data.sources import SourceSpec
from sbert_triplet.errors import DataError
from sbert_triplet.evaluation.metrics import Task
from sbert_triplet.evaluation.suite_data import load_suite
from sbert_triplet.evaluation.suites import LoadedSuite, Suite, SuiteTask

Rows = list[dict[str, Any]]
CORPUS: Rows = [{"_id": f"d{n}", "text": f"document {n} says this"} for n in range(6)]
QUERIES: Rows = [{"_id": f"q{n}", "text": f"question {n} asks that"} for n in range(3)]
QRELS: Rows = [{"query-id": f"q{n}", "corpus-id": f"d{n}"} for n in range(3)]
PAIRS: Rows = [{"sentence1": f"one {n} text", "sentence2": f"two {n} text", "score": n / 2} for n in range(9)]
LABELLED: Rows = [{"text": f"text {n} here", "label": n % 2} for n in range(12)]
HUB: dict[tuple[str, str | None], dict[str, Rows]] = {
    ("zeta/NanoQ", "corpus"): {"train": CORPUS},
    ("zeta/NanoQ", "queries"): {"train": QUERIES},
    ("zeta/NanoQ", "qrels"): {"train": QRELS},
    ("mteb/q", "corpus"): {"corpus": CORPUS},
    ("mteb/q", "queries"): {"queries": QUERIES},
    ("mteb/q", "default"): {"train": QRELS[:1], "test": QRELS[1:]},
    ("mteb/sts", None): {"train": PAIRS[:4], "test": PAIRS},
    ("mteb/topics", None): {"train": LABELLED[:8], "test": LABELLED[8:]},
    ("owner/faq", "default"): {"train": [{"question": f"q {n} x", "answer": f"a {n} y"} for n in range(8)]},
}


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[HubId]:
    """A Hub of these tables, and what was asked of it."""
    seen: list[HubId] = []

    def load(wanted: HubId, cache_dir: Path | None = None) -> tuple[datasets.Dataset, None, tuple[str, ...]]:
        seen.append(wanted)
        if (wanted.name, wanted.config) not in HUB:
            raise DataError(f"{wanted.name} on the Hub: BuilderConfig {wanted.config!r} not found.")
        tables = HUB[wanted.name, wanted.config]
        splits = datasets.DatasetDict(
            {split: datasets.Dataset.from_list(rows) for split, rows in tables.items()}
        )
        return pick_split(splits, wanted.split, f"{wanted.name} on the Hub"), None, ("revision 1",)

    monkeypatch.setattr("sbert_triplet.data.sources.load_hub", load)
    monkeypatch.chdir(tmp_path)
    return seen


def load(kind: Task, source: str | SourceSpec | None = None, **others: Any) -> LoadedSuite:
    spec = SourceSpec(source) if isinstance(source, str) else source
    return load_suite(Suite("trial", (SuiteTask("mine", kind, spec, **others),)))


def refused(kind: Task, source: str | SourceSpec | None = None, **others: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(kind, source, **others)
    return str(caught.value)


def test_the_split_test_unless_another_is_named(asked: list[HubId]) -> None:
    assert len(load(Task.SCORED, "mteb/sts").tasks[0].part.items) == 9
    assert len(load(Task.SCORED, "mteb/sts[train]").tasks[0].part.items) == 4
    assert len(load(Task.SCORED, SourceSpec("mteb/sts", split="train")).tasks[0].part.items) == 4
    assert [wanted.split for wanted in asked] == ["test", "train", "train"]


def test_known_texts_are_the_split_train_of_the_same_data_set(asked: list[HubId]) -> None:
    (task,) = load(Task.LABELS, "mteb/topics[test]").tasks
    assert len(task.part.items) == 4
    assert [(wanted.name, wanted.split) for wanted in asked] == [
        ("mteb/topics", "test"),
        ("mteb/topics", "train"),
    ]


def test_a_set_in_the_layout_of_beir(asked: list[HubId]) -> None:
    (task,) = load(Task.RETRIEVAL, "zeta/NanoQ@abc[train]").tasks
    assert task.part.retrieval is not None
    assert (len(task.part.retrieval.query_ids), len(task.part.retrieval.document_ids)) == (3, 6)
    assert asked == [
        HubId("zeta/NanoQ", "corpus", "abc", None),
        HubId("zeta/NanoQ", "queries", "abc", None),
        HubId("zeta/NanoQ", "qrels", "abc", "train"),
    ]
    assert task.source == "zeta/NanoQ"
    assert {"revision 1", "judgements of the split train"} <= set(task.notes)


def test_the_three_apart(asked: list[HubId]) -> None:
    three = {
        "corpus": SourceSpec("mteb/q:corpus"),
        "queries": SourceSpec("mteb/q:queries"),
        "qrels": SourceSpec("mteb/q:default"),
    }
    (task,) = load(Task.RETRIEVAL, **three).tasks
    assert len(task.part.items) == 2
    assert [wanted.split for wanted in asked] == [None, None, "test"]


def test_a_table_of_pairs_names_its_configuration() -> None:
    (task,) = load(Task.RETRIEVAL, "owner/faq:default[train]").tasks
    assert task.part.retrieval is not None
    assert (len(task.part.items), len(task.part.retrieval.document_ids)) == (8, 8)


def test_what_is_refused(tmp_path: Path) -> None:
    message = refused(Task.RETRIEVAL, "mteb/sts")
    assert message.startswith(
        "suite trial, task mine: mteb/sts on the Hub: BuilderConfig 'corpus' not found. "
    )
    assert "has the configurations corpus, queries and qrels" in message
    assert "there is no split 'test'; name one of train" in refused(Task.RETRIEVAL, "zeta/NanoQ")
    assert "limit counts rows of a table" in refused(
        Task.RETRIEVAL, SourceSpec("zeta/NanoQ", split="train", limit=5)
    )
    (tmp_path / "zeta").mkdir()
    assert "no file or folder" in refused(Task.RETRIEVAL, "zeta/NanoQ")


def test_judged_ids_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HUB, ("zeta/NanoQ", "corpus"), {"train": CORPUS[1:]})
    message = refused(Task.RETRIEVAL, "zeta/NanoQ[train]")
    assert "zeta/NanoQ, qrels/train: 1 id is not in corpus: 'd0'" in message
