"""Names of metrics: every common spelling means one thing, and what is unknown is refused with a hint."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.data.kinds import Kind
from sbert_triplet.evaluation.metrics import Metric, Task, default_metrics, parse_metric, task_metrics


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("nDCG@10", "nDCG@10"),
        ("ndcg@10", "nDCG@10"),
        ("NDCG_at_10", "nDCG@10"),
        ("ndcg_cut_10", "nDCG@10"),
        ("ndcg_10", "nDCG@10"),
        (" nDCG @ 10 ", "nDCG@10"),
        ("ndcg", "nDCG"),
        ("ndcg-exp@3", "nDCG-exp@3"),
        ("MRR@10", "RR@10"),
        ("mrr", "RR"),
        ("RR", "RR"),
        ("reciprocal rank@5", "RR@5"),
        ("map", "AP"),
        ("MAP@100", "AP@100"),
        ("map_cut_100", "AP@100"),
        ("average precision", "AP"),
        ("Recall@100", "R@100"),
        ("recall_100", "R@100"),
        ("R@100", "R@100"),
        ("P_5", "P@5"),
        ("precision@5", "P@5"),
        ("hit@3", "Success@3"),
        ("Hit-Rate@3", "Success@3"),
        ("accuracy@3", "Success@3"),
        ("success_3", "Success@3"),
        ("spearman", "Spearman"),
        ("Spearmanr", "Spearman"),
        ("PEARSON", "Pearson"),
        ("pair_ap", "pair AP"),
        ("Triplet Accuracy", "triplet accuracy"),
        ("triplet_accuracy", "triplet accuracy"),
        ("1-NN accuracy", "1-NN accuracy"),
        ("1nn", "1-NN accuracy"),
        ("nearest neighbor accuracy", "1-NN accuracy"),
        ("centroid_accuracy", "centroid accuracy"),
        ("logistic_probe", "logistic accuracy"),
        ("v_measure", "V-measure"),
    ],
)
def test_spellings(text: str, name: str) -> None:
    metric = parse_metric(text)
    assert metric.name == str(metric) == name
    assert parse_metric(metric.name) == metric


def test_parts() -> None:
    assert parse_metric("mrr@10") == Metric("RR@10", Task.RETRIEVAL, "RR", 10)
    assert parse_metric("map") == Metric("AP", Task.RETRIEVAL, "AP", None)
    assert parse_metric("triplet accuracy").task is Task.TRIPLETS


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ndgc@10", "did you mean nDCG@10"),
        ("recal@50", "did you mean R@50"),
        ("spaerman", r"did you mean Spearman\?"),
        ("mapp", r"did you mean AP\?"),
        ("precison", "did you mean P@10"),
        ("bleu", "unknown metric 'bleu'.*Known metrics: nDCG@10"),
        ("", "unknown metric ''"),
        ("10", "unknown metric"),
        ("nDCG@-3", "unknown metric"),
        ("nDCG@3.5", "unknown metric"),
        ("nDCG@0", "cutoff 0"),
        ("recall", "needs a cutoff, as in R@10"),
        ("Spearman@10", "has no cutoff: write Spearman"),
        ("accuracy", "triplet accuracy, 1-NN accuracy, centroid accuracy or logistic accuracy"),
        ("v-mesure", r"did you mean V-measure\?"),
    ],
)
def test_what_is_not_a_metric_is_refused_with_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        parse_metric(text)


@given(st.text(max_size=30))
def test_any_text_is_a_metric_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        metric = parse_metric(text)
        assert parse_metric(metric.name) == metric


def test_defaults_suit_the_kind_and_the_main_metric_comes_first() -> None:
    tasks = {kind: {metric.task for metric in default_metrics(kind)} for kind in Kind}
    assert tasks[Kind.PAIRS] == tasks[Kind.RETRIEVAL] == {Task.RETRIEVAL}
    assert tasks[Kind.TRIPLETS] == {Task.TRIPLETS}
    assert tasks[Kind.LABELLED] == {Task.LABELS}
    assert [metric.name for metric in default_metrics(Kind.SCORED)] == ["Spearman", "Pearson"]
    assert [metric.name for metric in default_metrics(Kind.SCORED, binary_scores=True)] == ["pair AP"]
    assert default_metrics(Kind.PAIRS)[0].name == "nDCG@10"


def test_every_task_has_metrics_of_its_own() -> None:
    for task in Task:
        assert {metric.task for metric in task_metrics(task)} == {task}
    assert [task_metrics(task)[0].name for task in (Task.LABELS, Task.CLUSTERING)] == [
        "1-NN accuracy",
        "V-measure",
    ]
