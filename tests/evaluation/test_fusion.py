"""Reciprocal rank fusion, against sums worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sbert_triplet.evaluation.fusion import evaluate_fusion, fuse, fusion_depth, ranked_for_fusion
from sbert_triplet.evaluation.metrics import parse_metric
from sbert_triplet.evaluation.retrieval import RetrievalTask

NONE = -np.inf


def task(excluded: dict[int, list[int]] | None = None) -> RetrievalTask:
    return RetrievalTask(np.array([100]), np.array([1, 2, 3, 4, 5]), {100: {3: 1}}, excluded or {})


def ranking(ids: list[int], scores: list[float] | None = None) -> tuple[np.ndarray, np.ndarray]:
    falling = [float(-place) for place in range(len(ids))]
    return np.array([ids]), np.array([scores or falling], dtype=np.float32)


def test_by_hand() -> None:
    """1/62 + 1/61 for 2 first, 1/61 + 1/63 for 1, then 3 (1/63) before 4, which was not retrieved by one."""
    ids, scores = fuse(task(), [ranking([1, 2, 3]), ranking([2, 4, 1])])
    assert ids[0].tolist() == [2, 1, 4, 3, -1, -1]
    expected = [1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62, 1 / 63]
    np.testing.assert_allclose(scores[0, :4], expected, rtol=1e-6)
    assert np.isneginf(scores[0, 4:]).all()


def test_equal_scores_by_the_lower_id() -> None:
    ids, scores = fuse(task(), [ranking([5, 1]), ranking([1, 5])])
    assert ids[0, :2].tolist() == [1, 5]
    assert scores[0, 0] == scores[0, 1]


def test_what_was_not_retrieved_has_no_rank() -> None:
    """BM25 found document 4 alone: 1 and 2 stand in its ranking as fillers only."""
    lexical = ranking([4, 1, 2], [2.0, NONE, NONE])
    ids, scores = fuse(task(), [lexical, ranking([1, 2])])
    assert ids[0].tolist() == [1, 4, 2, -1, -1]
    np.testing.assert_allclose(scores[0, :3], [1 / 61, 1 / 61, 1 / 62], rtol=1e-6)


def test_the_excluded_leave_before_ranks_are_counted() -> None:
    ids, scores = fuse(task({100: [2]}), [ranking([2, 1, 3]), ranking([2, 3, 1])])
    assert ids[0, :2].tolist() == [1, 3]
    np.testing.assert_allclose(scores[0, :2], [1 / 61 + 1 / 62] * 2, rtol=1e-6)


def test_no_deeper_than_asked() -> None:
    ids, _ = fuse(task({100: [5]}), [ranking([5, 1, 2, 3])], depth=2)
    assert ids[0].tolist() == [1, 2, -1, -1]


def test_constant() -> None:
    _, scores = fuse(task(), [ranking([1])], constant=9)
    assert scores[0, 0] == pytest.approx(1 / 10)


def test_scored_as_any_ranking() -> None:
    metrics = [parse_metric("RR@10"), parse_metric("nDCG@10")]
    found = evaluate_fusion(task(), [ranking([1, 2, 3]), ranking([2, 4, 1])], metrics)
    assert found.values["RR@10"].value == pytest.approx(1 / 4)
    assert found.values["nDCG@10"].value == pytest.approx(1 / np.log2(5))


def test_depth() -> None:
    assert fusion_depth([parse_metric("nDCG@10")]) == 100
    assert fusion_depth([parse_metric("R@500")]) == 500
    assert ranked_for_fusion(task({100: [1, 2]}), [parse_metric("nDCG@10")]) == 102


def test_rankings_of_other_queries_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, K\); got \(2, 1\)"):
        fuse(task(), [(np.array([[1], [2]]), np.zeros((2, 1), dtype=np.float32))])
