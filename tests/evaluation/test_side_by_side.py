"""Models, BM25 and fusions on one suite: equal to each measured alone, and compared with the first."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.sources import SourceSpec
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.evaluation.bm25 import evaluate_bm25
from sbert_triplet.evaluation.compressed import BINARY, BOTH, INT8
from sbert_triplet.evaluation.fusion import evaluate_fusion
from sbert_triplet.evaluation.metrics import Task
from sbert_triplet.evaluation.multiple import holm
from sbert_triplet.evaluation.over_seeds import groups_over_seeds
from sbert_triplet.evaluation.side_by_side import (
    Lexical,
    Row,
    adjust_compressed,
    against_first,
    model_row,
)
from sbert_triplet.evaluation.significance import compare_items
from sbert_triplet.evaluation.suite_data import load_suite
from sbert_triplet.evaluation.suites import LoadedSuite, Suite, SuiteTask, suite_embedder
from sbert_triplet.nearest import top_k

TOPICS = ("rain", "bread", "trains", "chess", "moss", "paint", "salt")
COUNT = 40


def question(number: int) -> str:
    return f"what is known of {TOPICS[number % 7]} in case {number}?"


def answer(number: int) -> str:
    return f"about {TOPICS[number % 7]} the books say, {'really ' * (number % 5)}case {number}"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> LoadedSuite:
    folder = tmp_path_factory.mktemp("suite")
    numbers = range(COUNT)
    pairs = {"question": list(map(question, numbers)), "answer": list(map(answer, numbers))}
    datasets.Dataset.from_dict(pairs).to_parquet(str(folder / "faq.parquet"))
    scored = {
        "sentence1": pairs["question"],
        "sentence2": pairs["answer"][3:] + pairs["answer"][:3],
        "score": [float(number * 5 % 11) for number in numbers],
    }
    datasets.Dataset.from_dict(scored).to_parquet(str(folder / "sts.parquet"))
    tasks = (
        SuiteTask("sts", Task.SCORED, SourceSpec("sts.parquet")),
        SuiteTask("faq", Task.RETRIEVAL, SourceSpec("faq.parquet")),
    )
    return load_suite(Suite("trial", tasks, folder), cache_dir=folder / "cache")


def encoder(seed: int) -> SentenceTransformer:
    return tiny_encoder([*map(question, range(COUNT)), *map(answer, range(COUNT))], seed=seed)


@pytest.fixture(scope="module")
def embedders(suite: LoadedSuite) -> list[Embedder]:
    return [suite_embedder(suite, encoder(seed)) for seed in (1, 2)]


@pytest.fixture(scope="module")
def rows(suite: LoadedSuite, embedders: list[Embedder]) -> list[Row]:
    lexical = Lexical(suite)
    models = [model_row(suite, name, embed) for name, embed in zip("AB", embedders, strict=True)]
    fused = [lexical.fused(name, embed) for name, embed in zip("AB", embedders, strict=True)]
    found = [*models, lexical.row(), *fused]
    assert all(row is not None for row in found)
    return [row for row in found if row is not None]


def test_names_and_kinds(rows: list[Row]) -> None:
    assert [(row.label, row.kind) for row in rows] == [
        ("A", "model"),
        ("B", "model"),
        ("BM25", "bm25"),
        ("BM25 + A", "fusion"),
        ("BM25 + B", "fusion"),
    ]
    assert [set(row.scored) for row in rows] == [{"sts", "faq"}] * 2 + [{"faq"}] * 3


def test_bm25_is_bm25_alone(suite: LoadedSuite, rows: list[Row]) -> None:
    part = suite.tasks[1].part
    assert part.retrieval is not None
    alone = evaluate_bm25(
        part.retrieval,
        suite.texts.texts(part.retrieval.query_ids),
        suite.texts.texts(part.retrieval.document_ids),
        part.metrics,
    )
    for name, values in alone.values.items():
        np.testing.assert_array_equal(rows[2].scored["faq"].values[name].per_item, values.per_item)
    np.testing.assert_array_equal(rows[2].scored["faq"].top_ids, alone.top_ids)


def test_a_fusion_is_that_of_its_rankings(
    suite: LoadedSuite, rows: list[Row], embedders: list[Embedder]
) -> None:
    """Both rankings made anew, of the whole collection."""
    task = suite.tasks[1].part.retrieval
    assert task is not None
    from sbert_triplet.data.bm25 import bm25_rank

    lexical, words = bm25_rank(suite.texts.texts(task.query_ids), suite.texts.texts(task.document_ids), COUNT)
    own, near = top_k(
        embedders[1]("query", task.query_ids),
        embedders[1]("document", task.document_ids),
        COUNT,
        similarity="cosine",
    )
    metrics = suite.tasks[1].part.metrics
    expected = evaluate_fusion(
        task, [(task.document_ids[lexical], words), (task.document_ids[own], near)], metrics
    )
    for name, values in expected.values.items():
        np.testing.assert_array_equal(rows[4].scored["faq"].values[name].per_item, values.per_item)


def test_without_retrieval_there_is_no_bm25(suite: LoadedSuite, embedders: list[Embedder]) -> None:
    scored = LoadedSuite("sts", suite.tasks[:1], suite.texts)
    assert Lexical(scored).row() is None
    assert Lexical(scored).fused("A", embedders[0]) is None
    assert model_row(scored, "A", embedders[0]).compressed == {}


def test_differences_from_the_first(suite: LoadedSuite, rows: list[Row]) -> None:
    seen: list[tuple[int, int]] = []
    compared = against_first(suite, rows, seed=5, progress=lambda done, total: seen.append((done, total)))
    assert compared[0] == {}
    assert [set(each) for each in compared[1:]] == [{"sts", "faq"}] + [{"faq"}] * 3
    assert seen == [(done, 5) for done in range(1, 6)]
    one, two = (rows[place].scored["faq"].values["nDCG@10"].per_item for place in (0, 3))
    assert one is not None
    assert two is not None
    alone = compare_items("nDCG@10", one, two, seed=5)
    found = compared[3]["faq"]["nDCG@10"]
    assert (found.low, found.high, found.p_value) == (alone.low, alone.high, alone.p_value)


def test_holm_over_what_the_table_shows_and_over_the_rest(suite: LoadedSuite, rows: list[Row]) -> None:
    compared = against_first(suite, rows)
    main = {"sts": "Spearman", "faq": "nDCG@10"}
    for wanted in (True, False):
        family = [
            comparison
            for row in compared
            for task, metrics in row.items()
            for name, comparison in metrics.items()
            if (main[task] == name) == wanted
        ]
        assert len(family) == (5 if wanted else 1 + 4 * 5)
        adjusted = holm([comparison.p_value for comparison in family])
        found = [np.nan if each.adjusted_p is None else each.adjusted_p for each in family]
        np.testing.assert_array_equal(found, adjusted)


def test_compressed_forms_are_compared_with_full_precision(rows: list[Row]) -> None:
    adjusted = adjust_compressed(rows)
    forms = [row.compressed["faq"] for row in adjusted[:2]]
    assert [list(each) for each in forms] == [[INT8, BINARY, BOTH]] * 2
    family = [comparison for each in forms for comparison in each.values()]
    for comparison, row in zip(family, [rows[0]] * 3 + [rows[1]] * 3, strict=True):
        assert comparison.base == pytest.approx(row.scored["faq"].values["nDCG@10"].value)
        assert comparison.difference == pytest.approx(comparison.tuned - comparison.base)
    expected = holm([comparison.p_value for comparison in family])
    np.testing.assert_array_equal([each.adjusted_p for each in family], expected)
    assert all(row.compressed == {} for row in adjusted[2:])


def test_each_text_is_encoded_once(suite: LoadedSuite, passed: list[int]) -> None:
    """Both tasks, the fusion and the compressed forms read the same embeddings."""
    embedder = suite_embedder(suite, encoder(3))
    model_row(suite, "A", embedder)
    Lexical(suite).fused("A", embedder)
    assert sum(passed) == len(suite.texts) == 2 * COUNT


def test_a_suite_seldom_needs_an_own_folder(suite: LoadedSuite, tmp_path: Path) -> None:
    """Embeddings that take little room are kept in memory, not in the folder for them."""
    suite_embedder(suite, encoder(3), scratch=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_seeds_one_by_one_and_together(suite: LoadedSuite) -> None:
    rows = [
        model_row(suite, f"seed {seed}", suite_embedder(suite, encoder(seed))) for seed in (0, 1, 2, 3, 4, 5)
    ]
    few, many = ([(seed, f"seed {seed}") for seed in range(1, last)] for last in (3, 6))
    first, second = groups_over_seeds(suite, rows, [few, many])
    values = [row.scored["faq"].values["nDCG@10"].value for row in rows]
    assert first.values["faq"] == tuple(values[1:3])
    assert first.mean("faq") == pytest.approx(np.mean(values[1:3]))
    assert not first.against_first["faq"].resampled
    assert second.against_first["faq"].resampled
    assert second.against_first["faq"].difference == pytest.approx(np.mean(values[1:]) - values[0])
    assert set(second.against_first) == {"faq"}
    assert len(second.values["sts"]) == 5


def test_the_first_model_is_not_compared_with_its_own_group(suite: LoadedSuite, rows: list[Row]) -> None:
    (group,) = groups_over_seeds(suite, rows[:2], [[(1, "A"), (2, "B")]])
    assert group.against_first == {}
    assert len(group.values["faq"]) == 2
