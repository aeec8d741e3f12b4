"""Models side by side as people see them: widths, what stands in a cell, and what is left out."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from sbert_triplet.reporting.evaluation import evaluation_lines, evaluation_markdown
from sbert_triplet.reporting.plain_table import elided, folded_table


def comparison(
    base: str, value: float, difference: float, half: float, p: float, **more: Any
) -> dict[str, Any]:
    low, high = difference - half, difference + half
    figures = {"difference": difference, "low": low, "high": high, "p_value": p / 2, "adjusted_p": p, "n": 50}
    return {base: value - difference, "value": value, **figures, **more}


def model(label: str, value: float, **more: Any) -> dict[str, Any]:
    return {
        "label": label,
        "kind": "model",
        "dimensions": 384,
        "max_length": 256,
        "parameters": 22_700_000,
        "speed": {"query_ms": 7.25, "texts_per_second": 1234.5, "queries": 50, "turns": 5, "texts": 256},
        "bytes_per_million_texts": {"fp32": 1536e6, "fp16": 768e6, "int8": 384e6, "binary": 48e6},
        "results": {"faq": {"nDCG@10": value, "R@100": 0.9}, "STS-B": {"Spearman": 0.82}},
        "against_first": {},
        **more,
    }


@pytest.fixture
def record() -> dict[str, Any]:
    found = {"nDCG@10": comparison("first", 0.7512, 0.0512, 0.02, 0.0004), "R@100": None}
    second = model(
        "a-model-with-a-name-that-is-too-long-for-any-table",
        0.7512,
        against_first={
            "faq": found,
            "STS-B": {"Spearman": comparison("first", 0.82, -0.03, 0.01, 0.01, approximate=True)},
        },
        compressed={"faq": {"int8": comparison("full", 0.7502, -0.001, 0.002, 0.4)}},
    )
    lexical = {
        "label": "BM25",
        "kind": "bm25",
        "results": {"faq": {"nDCG@10": 0.61, "R@100": 0.8}},
        "against_first": {"faq": {"nDCG@10": comparison("first", 0.61, -0.09, 0.2, 0.6)}},
    }
    task = {"items": 50, "documents": None, "metrics": ["Spearman"], "main_metric": "Spearman"}
    return {
        "name": "trial",
        "first": "base",
        "tasks": [
            {**task, "name": "STS-B"},
            {
                **task,
                "name": "faq",
                "documents": 1200,
                "metrics": ["nDCG@10", "R@100"],
                "main_metric": "nDCG@10",
            },
        ],
        "models": [model("base", 0.70), second, lexical],
        "seeds": [],
        "notes": ["faq: judgements of the split test"],
        "settings": {
            "precision": "fp32",
            "device": "cpu",
            "batch_size": 32,
            "candidates_for_each_result": 10,
        },
        "environment": {"processor": "a processor", "cores": 2},
        "command": "sbert-triplet evaluate base other",
    }


def test_no_line_is_too_long(record: dict[str, Any]) -> None:
    assert max(map(len, evaluation_lines(record))) <= 100
    assert max(map(len, evaluation_lines(record, width=60))) <= 60


def test_what_a_cell_says(record: dict[str, Any]) -> None:
    text = "\n".join(evaluation_lines(record))
    assert "0.7512 ▲" in text
    assert "+0.051, p < 0.001" in text
    assert "+0.031 to +0.071" in text
    assert "0.8200 ▼" in text
    assert "−0.040 to −0.020 ~" in text
    assert "adjusted by Holm for the 3 comparisons of this table" in " ".join(text.split())


def test_which_comparisons_p_is_adjusted_for(record: dict[str, Any]) -> None:
    text = " ".join(" ".join(evaluation_lines(record)).split())
    assert "full precision, p adjusted by Holm for the 1 comparison of this table" in text
    assert "all others are adjusted by Holm among themselves" in evaluation_markdown(record)
    alone = {**record, "models": record["models"][:1]}
    assert "Holm" not in evaluation_markdown(alone)


def test_queries_that_no_metric_counts_are_told(record: dict[str, Any]) -> None:
    record["tasks"][1]["left_out"] = 4
    assert "nDCG@10, n = 46" in evaluation_markdown(record)
    told = "46 items, 1,200 documents; left out: 4 queries without a relevant document."
    assert told in evaluation_markdown(record)
    assert "50 items.\n" in evaluation_markdown(record)


def test_an_open_difference_has_no_mark_and_bm25_no_similarity_of_pairs(record: dict[str, Any]) -> None:
    line = next(line for line in evaluation_lines(record) if line.startswith("BM25"))
    assert line.split() == ["BM25", "–", "0.6100"]


def test_cost(record: dict[str, Any]) -> None:
    line = [line for line in evaluation_lines(record) if line.startswith("base")][-1]
    assert " ".join(line.split()) == "base 384 256 22.7 M 7.2 1,234 1.54 GB 768 MB 384 MB 48 MB"
    assert sum(line.startswith("BM25") for line in evaluation_lines(record)) == 1


def test_one_model_alone_is_compared_with_nothing(record: dict[str, Any]) -> None:
    alone = {**record, "models": record["models"][:1]}
    text = "\n".join(evaluation_lines(alone))
    assert "difference" not in text
    assert "Holm" not in text
    assert "compressed" not in text


def test_undefined_is_told_from_not_measured(record: dict[str, Any]) -> None:
    record["models"][1]["results"]["STS-B"]["Spearman"] = None
    record["models"][1]["results"]["faq"]["R@100"] = None
    del record["models"][1]["against_first"]["STS-B"]
    record["mteb"] = {
        label: [
            {"task": "T", "split": "test", "subset": "default", "main_metric": "m", "metrics": {"m": value}}
        ]
        for label, value in (("base", 0.5), ("other", None))
    }
    record["seeds"] = [
        {"labels": {"1": "one", "2": "two"}, "values": {"faq": {"by_seed": [None, 0.73], "mean": None}}}
    ]
    lines = evaluation_lines(record)
    assert sum("undefined" in line for line in lines) == 3
    assert "  faq: undefined 0.7300, mean undefined" in lines
    assert any(line.split() == ["other", "undefined"] for line in lines)
    text = evaluation_markdown(record)
    assert "| BM25 | – | 0.6100 (−0.090, p = 0.60; −0.290 to +0.110) |" in text
    assert "▲ (+0.051, p < 0.001; +0.031 to +0.071) | undefined |" in text


def test_an_average_with_an_undefined_task_is_undefined(record: dict[str, Any]) -> None:
    for task in record["tasks"]:
        task["main_metric"] = "score"
    record["models"] = [
        {**model(name, 0.7), "results": {"STS-B": {"score": value}, "faq": {"score": 0.5}}, "average": mean}
        for name, value, mean in (("one", 0.7, 0.6), ("two", None, None))
    ]
    lines = [line.split() for line in evaluation_lines(record)]
    assert ["two", "undefined", "0.5000", "undefined"] in lines


def test_the_best_threshold_of_pairs(record: dict[str, Any]) -> None:
    cut = {"similarity": 0.61234, "precision": 0.8, "recall": 0.75, "f1": 0.7742}
    record["models"][0]["thresholds"] = {"STS-B": cut}
    text = evaluation_markdown(record)
    part = text[text.index("### STS-B") : text.index("### faq")]
    assert "chosen on these very pairs" in part
    assert "| Similarity from | Precision | Recall | F1 |" in part
    assert "| base | 0.6123 | 0.8000 | 0.7500 | 0.7742 |" in part
    assert text.count("Similarity from") == 1


def test_undefined_values_and_intervals(record: dict[str, Any]) -> None:
    other = record["models"][1]
    other["results"]["faq"]["nDCG@10"] = None
    undefined = dict.fromkeys(("first", "value", "difference", "low", "high", "p_value"), None)
    other["against_first"]["faq"]["nDCG@10"] = {**undefined, "n": 0}
    text = "\n".join(evaluation_lines(record))
    assert "no interval" in text
    assert "adjusted by Holm for the 2 comparisons of this table that have one" in " ".join(text.split())
    assert "None" not in text
    assert "nan" not in text


def test_markdown_has_every_metric_and_no_open_pipe(record: dict[str, Any]) -> None:
    record["models"][1]["label"] = "a|b"
    text = evaluation_markdown(record)
    assert r"a\|b" in text
    assert "### faq" in text
    assert "50 items, 1,200 documents." in text
    assert "0.7512 ▲ (+0.051, p < 0.001; +0.031 to +0.071)" in text
    assert "`sbert-triplet evaluate base other`" in text
    assert "R@100" in text


def test_seeds(record: dict[str, Any]) -> None:
    record["seeds"] = [
        {
            "labels": {"13": "one", "14": "two"},
            "values": {"faq": {"by_seed": [0.71, 0.73], "mean": 0.72}},
            "against_first": {"faq": {"sentence": "nDCG@10 by seed: +.0100 (seed 13), +.0300 (seed 14)."}},
        }
    ]
    lines = evaluation_lines(record)
    assert "One recipe, several seeds: one (seed 13), two (seed 14)" in lines
    assert "  faq: 0.7100 0.7300, mean 0.7200" in lines
    assert "    against base, nDCG@10 by seed: +.0100 (seed 13), +.0300 (seed 14)." in lines


def test_mteb_alone(record: dict[str, Any]) -> None:
    entry = {"task": "STS12", "split": "test", "subset": "default", "main_metric": "cosine_spearman"}
    alone = {**record, "tasks": [], "models": [copy.deepcopy(record["models"][0]) | {"results": {}}]}
    alone["mteb"] = {
        "base": [{**entry, "metrics": {"cosine_spearman": 0.7237}}],
        "other": [{**entry, "metrics": {"cosine_spearman": 0.7337}}],
    }
    lines = evaluation_lines(alone)
    assert "MTEB" in lines
    assert any(line.split() == ["other", "0.7337"] for line in lines)
    assert any(line.strip() == "+0.010" for line in lines)


def test_elided() -> None:
    assert elided("short", 5) == "short"
    assert elided("abcdefghij", 5) == "ab…ij"
    assert elided("abcdefghij", 6) == "abc…ij"


def test_columns_that_do_not_fit_stand_below() -> None:
    columns = [((f"task {n}",), [("0.5",), ("0.25",)]) for n in range(4)]
    lines = folded_table(["one", "two"], columns, width=22)
    assert lines == [
        "     task 0  task 1",
        "one  0.5     0.5",
        "two  0.25    0.25",
        "",
        "     task 2  task 3",
        "one  0.5     0.5",
        "two  0.25    0.25",
    ]


def test_cells_of_several_lines() -> None:
    lines = folded_table(["one", "two"], [(("a",), [("1", "2", "3"), ("4",)]), (("b",), [("5",), ()])])
    assert lines == ["     a  b", "one  1  5", "     2", "     3", "two  4"]
