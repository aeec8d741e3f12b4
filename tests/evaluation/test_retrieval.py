"""Retrieval metrics against hand-worked values and against pytrec_eval called directly."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval

from sbert_triplet.evaluation.metrics import parse_metric
from sbert_triplet.evaluation.retrieval import (
    RetrievalResult,
    RetrievalTask,
    depth_for,
    evaluate_retrieval,
    evaluate_run,
)


def run_of(task: RetrievalTask, ranking: list[list[int]], *metrics: str) -> RetrievalResult:
    ids = np.array(ranking, dtype=np.int64)
    scores = np.tile(-np.arange(ids.shape[1], dtype=np.float32), (len(ids), 1))
    return evaluate_run(task, ids, scores, [parse_metric(metric) for metric in metrics])


def one_query(grades: dict[int, int], documents: int = 10) -> RetrievalTask:
    return RetrievalTask(np.array([100]), np.arange(documents), {100: grades})


def test_ndcg_has_linear_gains_and_ndcg_exp_exponential_ones() -> None:
    """Grades 3, 0, 2, 1 in ranking order: the reference values to six places."""
    result = run_of(one_query({0: 3, 1: 0, 2: 2, 3: 1}), [[0, 1, 2, 3]], "nDCG@3", "nDCG-exp@3")
    assert result.values["nDCG@3"].value == pytest.approx(0.840008, abs=5e-7)
    assert result.values["nDCG-exp@3"].value == pytest.approx(0.904950, abs=5e-7)


def test_the_ideal_ranking_holds_every_judged_document() -> None:
    ideal = 3 / np.log2(2) + 2 / np.log2(3)
    result = run_of(one_query({0: 3, 9: 2}), [[5, 0]], "nDCG@10")
    assert result.values["nDCG@10"].value == pytest.approx((3 / np.log2(3)) / ideal, abs=1e-9)


def test_hits_at_ranks_1_3_5() -> None:
    task = one_query({0: 1, 2: 1, 4: 1})
    result = run_of(
        task, [[0, 1, 2, 3, 4, 5]], "AP", "AP@3", "AP@2", "RR", "R@3", "P@5", "Success@1", "RR@10"
    )
    expected = {
        "AP": 0.755556,
        "AP@3": 0.555556,
        "AP@2": 0.333333,
        "RR": 1.0,
        "R@3": 2 / 3,
        "P@5": 0.6,
        "Success@1": 1.0,
        "RR@10": 1.0,
    }
    for name, value in expected.items():
        assert result.values[name].value == pytest.approx(value, abs=5e-7), name


@pytest.mark.parametrize(("rank", "value"), [(1, 1.0), (3, 1 / 3), (10, 0.1), (11, 0.0)])
def test_reciprocal_rank_is_zero_below_its_cutoff(rank: int, value: float) -> None:
    ranking = [list(range(1, 12))]
    ranking[0].insert(rank - 1, 0)
    result = run_of(one_query({0: 1}, 12), ranking, "RR@10", "RR")
    assert result.values["RR@10"].value == pytest.approx(value)
    assert result.values["RR"].value == pytest.approx(1 / rank)


def test_cutoffs_larger_than_the_pool() -> None:
    result = run_of(one_query({1: 1}, 3), [[0, 1, 2]], "P@5", "R@100", "nDCG@100", "RR@100")
    values = {name: metric.value for name, metric in result.values.items()}
    assert values == pytest.approx({"P@5": 0.2, "R@100": 1.0, "nDCG@100": 1 / np.log2(3), "RR@100": 0.5})


def test_queries_without_a_relevant_document_are_left_out_and_counted() -> None:
    task = RetrievalTask(np.array([5, 6, 7, 8]), np.arange(3), {5: {0: 1}, 6: {}, 7: {1: 0, 2: -1}})
    result = run_of(task, [[1, 0, 2]] * 4, "RR@10", "nDCG@10")
    assert result.evaluated.tolist() == [True, False, False, False]
    assert result.without_relevant == 3
    assert result.values["RR@10"].value == 0.5
    per_item = result.values["RR@10"].per_item
    assert per_item is not None
    np.testing.assert_array_equal(per_item, [0.5, np.nan, np.nan, np.nan])
    assert result.top_ids[1, :3].tolist() == [1, 0, 2]


def test_no_query_with_a_relevant_document_is_undefined_and_warned_about() -> None:
    with pytest.warns(RuntimeWarning, match="RR@10 is undefined"):
        result = run_of(one_query({}), [[0, 1]], "RR@10")
    assert np.isnan(result.values["RR@10"].value)


def test_the_order_given_is_the_order_scored_whatever_the_ties() -> None:
    """trec_eval would put the highest id first among equal scores, here the relevant one or not."""
    for relevant, expected in ((3, 1.0), (9, 0.5)):
        task = one_query({relevant: 1})
        result = evaluate_run(
            task, np.array([[3, 9]]), np.zeros((1, 2), dtype=np.float32), [parse_metric("RR@10")]
        )
        assert result.values["RR@10"].value == expected


def test_tied_embeddings_are_ranked_by_position_in_the_pool() -> None:
    documents = np.ones((4, 2), dtype=np.float32)
    for relevant, expected in ((70, 1.0), (30, 1 / 2), (90, 1 / 3), (10, 1 / 4)):
        task = RetrievalTask(np.array([1]), np.array([70, 30, 90, 10]), {1: {relevant: 1}})
        result = evaluate_retrieval(
            task, np.ones((1, 2)), documents, [parse_metric("RR@10")], similarity="dot"
        )
        assert result.values["RR@10"].value == pytest.approx(expected)
        assert result.top_ids[0, :4].tolist() == [70, 30, 90, 10]


def test_excluded_documents_leave_the_ranking_and_the_judgements() -> None:
    """A query's own text, even where it is judged relevant, neither helps nor costs."""
    embeddings = np.eye(4, dtype=np.float32)
    queries = np.array([[1.0, 0.5, 0.2, 0.1], [0.5, 1.0, 0.2, 0.1]])
    task = RetrievalTask(
        np.array([0, 1]), np.arange(4), {0: {0: 1, 2: 1}, 1: {1: 1}}, excluded={0: {0}, 1: [1, 3]}
    )
    metrics = [parse_metric("RR@10"), parse_metric("R@2"), parse_metric("Success@1")]
    result = evaluate_retrieval(task, queries, embeddings, metrics, similarity="dot", depth=2)
    assert result.top_ids[0].tolist() == [1, 2, *[-1] * 8]
    assert result.top_ids[1].tolist() == [0, 2, *[-1] * 8]
    assert result.top_scores[0, :2].tolist() == pytest.approx([0.5, 0.2])
    assert result.evaluated.tolist() == [True, False]
    assert {name: metric.value for name, metric in result.values.items()} == {
        "RR@10": 0.5,
        "R@2": 1.0,
        "Success@1": 0.0,
    }


def test_what_was_not_retrieved_does_not_count_as_ranked() -> None:
    task = one_query({0: 1, 1: 1})
    scores = np.array([[2.0, 1.0, -np.inf]], dtype=np.float32)
    result = evaluate_run(task, np.array([[5, 0, 1]]), scores, [parse_metric("R@10"), parse_metric("RR")])
    assert result.values["R@10"].value == 0.5
    nothing = evaluate_run(task, np.array([[5, 0, 1]]), scores - np.inf, [parse_metric("R@10")])
    assert nothing.values["R@10"].value == 0.0
    assert nothing.top_ids.tolist() == [[-1] * 10]


def test_relevant_documents_outside_the_pool_count_as_missed_and_are_reported() -> None:
    result = run_of(one_query({0: 1, 77: 1, 78: 0}), [[0, 1, 2]], "R@3")
    assert result.values["R@3"].value == 0.5
    assert (result.unreachable, result.documents) == (1, 10)


def test_equals_pytrec_eval_on_random_graded_runs_with_ties() -> None:
    rng = np.random.default_rng(0)
    queries, documents, depth = 700, 40, 25
    judgements = {
        q: {int(d): int(rng.integers(0, 4)) for d in rng.choice(documents, 8, replace=False)}
        for q in range(queries)
    }
    task = RetrievalTask(np.arange(queries), np.arange(documents), judgements)
    ids = np.stack([rng.permutation(documents)[:depth] for _ in range(queries)])
    scores = -np.sort(rng.integers(0, 5, size=(queries, depth)).astype(np.float32), axis=1)
    names = {
        "nDCG@10": "ndcg_cut_10",
        "nDCG": "ndcg",
        "AP": "map",
        "AP@7": "map_cut_7",
        "R@5": "recall_5",
        "P@5": "P_5",
        "Success@3": "success_3",
        "RR": "recip_rank",
    }
    result = evaluate_run(task, ids, scores, [parse_metric(name) for name in names])
    qrels = {str(q): {str(d): grade for d, grade in grades.items()} for q, grades in judgements.items()}
    ranks = {str(q): {str(d): float(depth - i) for i, d in enumerate(row)} for q, row in enumerate(ids)}
    expected = pytrec_eval.RelevanceEvaluator(qrels, set(names.values())).evaluate(ranks)
    for name, trec in names.items():
        per_item = result.values[name].per_item
        assert per_item is not None
        wanted = [expected[str(q)][trec] if result.evaluated[q] else np.nan for q in range(queries)]
        np.testing.assert_allclose(per_item, wanted, atol=1e-9, err_msg=name)
        assert result.values[name].value == pytest.approx(np.nanmean(wanted))


def test_a_ranking_goes_as_deep_as_the_deepest_metric() -> None:
    assert depth_for([parse_metric("nDCG@10"), parse_metric("R@100")]) == 100
    assert depth_for([parse_metric("map"), parse_metric("P@5")]) == 1000
    assert depth_for([parse_metric("P@5")]) == 10


def test_inputs_that_do_not_fit_are_refused() -> None:
    task = one_query({0: 1})
    with pytest.raises(ValueError, match="document ids of a retrieval task must not repeat"):
        RetrievalTask(np.array([1]), np.array([2, 2]), {})
    with pytest.raises(ValueError, match="ranked twice for query 100"):
        run_of(task, [[0, 0]], "RR")
    with pytest.raises(ValueError, match=r"one shape \(1, K\)"):
        run_of(task, [[0, 1], [1, 0]], "RR")
    with pytest.raises(ValueError, match="Spearman is a metric of scored pairs"):
        run_of(task, [[0, 1]], "Spearman")
    with pytest.raises(ValueError, match="10 document ids, but 3 document embeddings"):
        evaluate_retrieval(task, np.ones((1, 2)), np.ones((3, 2)), [parse_metric("RR")], similarity="cosine")
