"""Suite files: every key arrives, and every problem names the file, the line, the key and what to do."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.data.sources import SourceSpec
from sbert_triplet.errors import RecipeError
from sbert_triplet.evaluation.metrics import Task, parse_metric
from sbert_triplet.recipe.suites import KINDS, read_suite, suite_from

COMPLETE = """\
name: ours
tasks:
- name: STS
  kind: scored_pairs
  source: mteb/sts12-sts[test]
  local: {source: sts12, split: test, limit: 100}
  columns: {anchor: one, positive: [two, three], score: s}
  metrics: [pearson, Spearman]
- name: answers
  kind: retrieval
  source: {source: owner/name, config: en, split: dev, revision: main}
- name: apart
  kind: retrieval
  corpus: corpus.parquet
  queries: queries.parquet
  qrels: owner/qrels:default[test]
- {name: same, kind: duplicate_pairs, source: pairs.csv}
- {name: intents, kind: labels, source: test.csv, train: train.csv, metrics: linear probe}
- {name: groups, kind: clustering, source: test.csv}
- {name: odd, kind: triplets, source: triplets.csv}
"""


def write(folder: Path, text: str, name: str = "mine.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(RecipeError) as caught:
        read_suite(path)
    return str(caught.value).replace(str(path), "mine.yaml")


def one(line: str) -> str:
    return f"tasks:\n- {{name: x, {line}}}\n"


def test_every_key_arrives(tmp_path: Path) -> None:
    suite = read_suite(write(tmp_path, COMPLETE))
    assert (suite.name, suite.folder) == ("ours", tmp_path)
    sts, answers, apart, same, intents, groups, odd = suite.tasks
    assert (sts.name, sts.task, sts.source) == ("STS", Task.SCORED, SourceSpec("mteb/sts12-sts[test]"))
    assert sts.local == SourceSpec("sts12", split="test", limit=100)
    assert sts.columns == {"anchor": "one", "positive": ["two", "three"], "score": "s"}
    assert sts.metrics == (parse_metric("Pearson"), parse_metric("Spearman"))
    assert answers.source == SourceSpec("owner/name", "en", "dev", "main")
    assert (apart.source, apart.corpus) == (None, SourceSpec("corpus.parquet"))
    assert (apart.queries, apart.qrels) == (
        SourceSpec("queries.parquet"),
        SourceSpec("owner/qrels:default[test]"),
    )
    assert (intents.known, intents.metrics) == (SourceSpec("train.csv"), (parse_metric("logistic"),))
    assert [task.task for task in (same, intents, groups, odd)] == [
        Task.PAIRS,
        Task.LABELS,
        Task.CLUSTERING,
        Task.TRIPLETS,
    ]


def test_a_suite_without_a_name_has_that_of_its_file(tmp_path: Path) -> None:
    assert read_suite(write(tmp_path, one("kind: triplets, source: a.csv"))).name == "mine"


def test_every_task_has_a_kind() -> None:
    assert set(KINDS.values()) == set(Task)


def test_plain_data() -> None:
    suite = suite_from({"tasks": [{"name": "x", "kind": "labels", "source": Path("a.csv")}]}, origin="here")
    assert (suite.name, suite.tasks[0].source, suite.folder) == ("here", SourceSpec("a.csv"), None)
    with pytest.raises(RecipeError, match=r"^here: tasks\[0\]\.kind: expected one of scored_pairs"):
        suite_from({"tasks": [{"name": "x", "kind": "label", "source": "a.csv"}]}, origin="here")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            one("kind: scored pairs, source: a"),
            "mine.yaml line 2: tasks[0].kind: expected one of scored_pairs, retrieval, duplicate_pairs, "
            "labels, clustering, triplets, found 'scored pairs'; did you mean scored_pairs?",
        ),
        (
            "tasks:\n- name: x\n  kind: labels\n  souce: a.csv\n",
            "mine.yaml line 4: tasks[0].souce: unknown key; did you mean source?",
        ),
        (
            "task:\n- {name: x, kind: labels, source: a}\n",
            "mine.yaml line 1: task: unknown key; did you mean tasks?",
        ),
        (
            one("kind: labels, source: {source: a, splt: test}"),
            "mine.yaml line 2: tasks[0].source.splt: unknown key; did you mean split?",
        ),
        (
            one("kind: labels, source: a, metrics: [1nn, logistc]"),
            "tasks[0].metrics[1]: unknown metric 'logistc'; did you mean logistic accuracy?",
        ),
        (
            one("kind: labels, source: a, metrics: Spearman"),
            "mine.yaml line 2: tasks[0]: metrics: Spearman is no metric of labels, whose metrics are such as "
            "1-NN accuracy, centroid accuracy, logistic accuracy",
        ),
        (one("source: a"), "tasks[0].kind: missing; expected one of scored_pairs"),
        (one("kind: labels"), "tasks[0]: source: missing; expected a source (a file, a folder or a Hub id)"),
        (
            one("kind: labels, source: 5"),
            "tasks[0].source: expected a source (a file, a folder or a Hub id), found 5",
        ),
        (one("kind: labels, source: [a, b]"), "tasks[0].source: expected a source"),
        (
            one("kind: triplets, source: a, train: b"),
            "tasks[0]: train goes with `kind: labels`; nothing is looked up for triplets",
        ),
        (
            one("kind: labels, corpus: a"),
            "tasks[0]: corpus goes with `kind: retrieval`; the rows of labels are its `source`",
        ),
        (
            one("kind: retrieval, corpus: a, qrels: b"),
            "tasks[0]: corpus, queries and qrels go together: queries is missing",
        ),
        (
            one("kind: retrieval, source: a, qrels: b"),
            "tasks[0]: source and qrels: give a source, or corpus, queries and qrels",
        ),
        ("name: x\ntasks: []\n", "tasks: an empty list; expected at least one task"),
        ("name: x\n", "mine.yaml line 1: tasks: missing; expected a task: keys and values"),
        ("tasks: 5\n", "mine.yaml line 1: tasks: expected a task"),
        (
            "tasks:\n- {name: x, kind: labels, source: a}\n- {name: x, kind: labels, source: b}\n",
            "tasks: two of them are called x; results are told apart by the name",
        ),
        ("", "mine.yaml: is empty; a suite needs `tasks:`"),
        ("- a\n", "mine.yaml: expected keys and values, such as `name:` and `tasks:`, found a list"),
        ("a: \x00\n", "is this a suite?"),
        ("a: !own x\n", "the tag !own is not allowed"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_every_problem_is_said_at_once(tmp_path: Path) -> None:
    lines = refusal(tmp_path, "tasks:\n- name: 3\n  kind: label\n  source: a\n").splitlines()
    assert [line.split(": ")[1] for line in lines] == ["tasks[0].name", "tasks[0].kind"]


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "", "ours.yaml")
    with pytest.raises(RecipeError, match=r"ous\.yaml: there is no such file; did you mean .*ours\.yaml\?"):
        read_suite(tmp_path / "ous.yaml")
    with pytest.raises(RecipeError, match="is a folder; a suite is a YAML file"):
        read_suite(tmp_path)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "tasks", "kind", "source", "train", "columns", "metrics", "qrels", "x"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["name", "tasks"]), values, max_size=2))
def test_any_plain_data_is_a_suite_or_a_clear_refusal(data: dict[str, object]) -> None:
    with contextlib.suppress(RecipeError):
        assert suite_from(data, origin="here").tasks
