"""A run folder with made-up but realistic figures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror=\"window.hacked = 1\"> & 'quoted'",
    '" onmouseover="window.hacked = 1" x="',
    "how do I reset NUL \x00 and half \ud800 pairs",
    "كيف أعيد تعيين كلمة المرور؟ \u202eabc",
    "$title ${style} $$ {braces} %s",
)
"""Texts that try to leave their place. Those that parquet can hold are also in the predictions."""

Write = Callable[..., Path]


def report_figures() -> dict[str, Any]:
    """``report.json`` of a retrieval run whose tuned model is better."""
    return {
        "format": 1,
        "name": "help-desk",
        "created": "2026-03-14",
        "task": "retrieval",
        "main_metric": "nDCG@10",
        "metrics": {
            "RR@10": _figures(0.641, 0.702, 0.048, 0.074, 0.0001),
            "nDCG@10": _figures(0.689, 0.746, 0.049, 0.065, 0.0001),
            "AP": _figures(0.602, 0.655, 0.041, 0.064, 0.0002),
            "R@100": _figures(0.951, 0.953, -0.004, 0.008, 0.41),
            "P@1": _figures(0.562, 0.551, -0.019, -0.003, 0.013),
        },
        "bm25": {"RR@10": 0.598, "nDCG@10": 0.631, "AP": 0.552, "R@100": 0.884},
        "training_distance": {
            "name": "minkowski (p = 3)",
            "metrics": {
                "RR@10": _figures(0.598, 0.671, 0.059, 0.087, 0.0001),
                "nDCG@10": _figures(0.652, 0.718, 0.055, 0.077, 0.0001),
            },
        },
        "dimensions": {
            "384": {"nDCG@10": _figures(0.689, 0.746, 0.049, 0.065, 0.0001)},
            "64": {"nDCG@10": _figures(0.541, 0.688, 0.131, 0.163, 0.0001)},
        },
        "verdict": "better",
        "sentence": "Of 100 searches, 7 more find the right text among the first 3 (5 to 9).",
        "shipped": "tuned",
        "pool": {"queries": 2500, "documents": 34120, "documents_seen_in_training": 0.034},
        "suite": {
            "name": "sts",
            "average": {"base": 0.8, "tuned": 0.79},
            "tasks": {
                "STS-B": {
                    "main_metric": "Spearman",
                    "metrics": {
                        "Spearman": {
                            "base": 0.82,
                            "tuned": 0.81,
                            "difference": -0.01,
                            "low": -0.014,
                            "high": -0.006,
                            "p_value": 0.001,
                            "adjusted_p": 0.002,
                            "n": 1379,
                        }
                    },
                    "items_seen_in_training": 12,
                }
            },
        },
        "general": {
            "metric": "probe triplets ordered right",
            **_figures(0.927, 0.913, -0.031, 0.004, 0.11, n=312),
            "topics": {
                topic: {"base": base, "tuned": tuned, "n": n}
                for topic, base, tuned, n in [
                    ("cooking", 0.95, 0.93, 32),
                    ("travel", 0.94, 0.94, 30),
                    ("health", 0.91, 0.88, 32),
                    ("work", 0.92, 0.95, 31),
                    ("family", 0.96, 0.95, 31),
                    ("money", 0.88, 0.84, 30),
                    ("sports", 0.93, 0.93, 31),
                    ("weather", 0.97, 0.97, 32),
                    ("shopping", 0.89, 0.86, 31),
                    ("technology", 0.92, 0.93, 32),
                ]
            },
        },
        "slices": {
            "language": {
                "en": _figures(0.701, 0.763, 0.051, 0.072, None, n=1980),
                "de": _figures(0.640, 0.672, -0.004, 0.066, None, n=310),
                "العربية": _figures(0.587, 0.541, -0.085, -0.008, None, n=210),
            }
        },
        "weight_line": {
            "metric": "nDCG@10",
            "points": [
                _point(0.0, 0.684, 0.927, 0.0, 0.0),
                _point(0.2, 0.703, 0.931, -0.004, 0.012),
                _point(0.4, 0.722, 0.929, -0.009, 0.013),
                _point(0.6, 0.738, 0.922, -0.019, 0.009),
                _point(0.7, 0.744, 0.918, -0.024, 0.006),
                _point(0.8, 0.7461, 0.913, -0.031, 0.004),
                _point(0.9, 0.7459, 0.905, -0.042, -0.002),
                _point(1.0, 0.743, 0.898, -0.051, -0.007),
            ],
            "chosen": 0.8,
            "reason": "nDCG@10 on dev is highest there, 0.7461 (base 0.6840, tuned 0.7430)",
            "measured_on": "600 of 2,488 queries over 4,100 of 34,120 documents",
            "seconds": 61.8,
        },
        "similarities": {"base": histograms(0.55, 0.5), "tuned": histograms(0.7, 0.45)},
        "health": {
            "base": health(0.62, -2.9, 0.11, 201.3),
            "tuned": health(0.41, -3.1, 0.07, 202.1),
            "same_text": 0.913,
        },
        "map": {"texts": 90, "methods": ["pca"], "base_share": 0.142, "tuned_share": 0.181},
        "thresholds": {"base": threshold(0.71, 0.66), "tuned": threshold(0.64, 0.74)},
        "learning_curve": {
            "metric": "nDCG@10",
            "points": [
                {"share": 0.25, "rows": 4990, "steps": 78, **_figures(0.689, 0.721, 0.023, 0.041, 0.0001)},
                {"share": 0.5, "rows": 9981, "steps": 156, **_figures(0.689, 0.735, 0.037, 0.055, 0.0001)},
                {"share": 1.0, "rows": 19968, "steps": 312, **_figures(0.689, 0.746, 0.049, 0.065, 0.0001)},
            ],
            "doubled": _figures(0.735, 0.746, 0.004, 0.018, 0.002),
            "sentence": "From half of the rows to all of them nDCG@10 changed by +0.011: more data would "
            "likely help.",
        },
        "causes": [],
        "train": {
            "steps": 312,
            "seconds": 231.4,
            "rows_per_second": 86.2,
            "tokens_per_second": 11840.0,
            "peak_memory_bytes": 2_941_001_728,
            "loss_first": 2.31,
            "loss_last": 0.84,
            "batch_size": 64,
            "precision": "bf16",
            "threads": 2,
            "energy": {
                "watt_hours": 1.2856,
                "watts": 20.0,
                "basis": "2 threads at an assumed 10 W",
                "estimated": True,
            },
        },
        "model": {
            "name": "sentence-transformers/all-MiniLM-L6-v2",
            "resolved": "/home/jane/.cache/models/all-MiniLM-L6-v2",
            "dimensions": 384,
            "max_length": 256,
            "similarity": "cosine",
            "prompts": {"query": "query: ", "document": ""},
            "parameters": 22_713_216,
        },
        "data": {
            "sources": ["/home/jane/secret-project/tickets.csv"],
            "fingerprint": "4c1f9e0a77d2b8e3",
            "kind": "pairs",
            "roles": {"anchor": "{subject}\\n{body}", "positive": "reply"},
            "rows": {"train": 19968, "dev": 2488, "test": 2500},
            "split": "Random, by anchor: rows with the same question stay together.",
            "notes": ["created_at, agent: kept for slices, never trained on"],
        },
        "environment": {
            "python": "3.11.9",
            "torch": "2.13.0+cpu",
            "sentence_transformers": "6.2.0",
            "transformers": "5.23.0",
            "processor": "AMD EPYC 7R13",
            "cores": 2,
            "memory_bytes": 8_234_123_264,
            "platform": "Linux-6.1-x86_64",
        },
        "command": "sbert-triplet train tickets.csv --set train.epochs=1 --out runs/help-desk",
    }


def histograms(near: float, wrong: float) -> dict[str, Any]:
    """Of one model: bell-shaped counts of three groups around these means."""
    edges = np.linspace(-0.1, 1.0, 23)
    middles = (edges[:-1] + edges[1:]) / 2
    groups = {
        name: {
            "n": 2_000,
            "mean": mean,
            "sd": 0.12,
            "counts": np.round(400 * np.exp(-(((middles - mean) / 0.12) ** 2) / 2)).astype(int).tolist(),
            **({} if apart is None else {"told_apart": apart}),
        }
        for name, mean, apart in [
            ("relevant document", near, None),
            ("best other document", wrong, 0.63 if near - wrong < 0.1 else 0.72),
            ("random document", 0.08, 0.99),
        ]
    }
    return {"function": "cosine", "edges": edges.round(4).tolist(), "groups": groups}


def health(alignment: float, uniformity: float, anisotropy: float, rank: float) -> dict[str, Any]:
    return {
        "texts": 1_500,
        "dimensions": 384,
        "positives": 748,
        "alignment": alignment,
        "uniformity": uniformity,
        "uniformity_texts": 1_500,
        "anisotropy": anisotropy,
        "effective_rank": rank + 20,
        "effective_rank_centred": rank,
        "triplets": None,
    }


def threshold(cut: float, recall: float) -> dict[str, Any]:
    return {
        "function": "cosine",
        "pairs": "a query with its first result, the same where that is relevant",
        "reached": True,
        "precision_wanted": 0.9,
        "similarity": cut,
        "similarity_low": cut - 0.03,
        "similarity_high": None,
        "precision": 0.901,
        "precision_low": 0.872,
        "precision_high": 0.93,
        "recall": recall,
        "recall_low": recall - 0.1,
        "recall_high": recall + 0.1,
        "reached_share": 0.98,
        "confidence": 0.95,
        "n": 2_488,
        "chosen_on": "dev",
        "test": {"precision": 0.887, "recall": recall - 0.01, "n": 2_500},
        "sentence": f"from a similarity of {cut:.4f} upwards 0.901 of the pairs are the same",
    }


def places(texts: int = 90, classes: tuple[str, ...] = ()) -> pa.Table:
    """A map: a third of the texts are documents, of which neither hit nor miss is said."""
    random = np.random.default_rng(5)
    base = random.normal(size=(texts, 2)) * 0.3
    tuned = base * 1.2 + random.normal(size=(texts, 2)) * 0.05
    silent = [place % 3 == 0 for place in range(texts)]
    hits = [random.random(texts) < share for share in (0.5, 0.8)]
    return pa.table(
        {
            "role": ["document" if quiet else "query" for quiet in silent],
            "item": list(range(texts)),
            "text": [HOSTILE[0]] * texts,
            "class": [classes[place % len(classes)] if classes else None for place in range(texts)],
            "base_hit": [None if q else bool(h) for q, h in zip(silent, hits[0], strict=True)],
            "tuned_hit": [None if q else bool(h) for q, h in zip(silent, hits[1], strict=True)],
            **{
                f"{model}_{axis}": pa.array(points[:, place], pa.float32())
                for model, points in (("base", base), ("tuned", tuned))
                for place, axis in enumerate("xy")
            },
        }
    )


CAUSES = [
    {
        "cause": "texts that are cut off",
        "evidence": "31% of the tokens of the role positive are never read",
        "advice": "raise max_length if the model allows it, or cut the texts into passages",
        "strength": 0.7,
    },
    {
        "cause": "too little training",
        "evidence": "300 training rows, 12 steps",
        "advice": "add rows",
        "strength": 0.31,
    },
]


def _figures(
    base: float, tuned: float, low: float, high: float, p_value: float | None, n: int = 2500
) -> dict[str, float | int | None]:
    difference = round(tuned - base, 6)
    return {
        "base": base,
        "tuned": tuned,
        "difference": difference,
        "low": low,
        "high": high,
        "p_value": p_value,
        "n": n,
    }


def _point(at: float, dev: float, general: float, low: float, high: float) -> dict[str, Any]:
    return {
        "at": at,
        "dev": dev,
        "general": general,
        "general_low": low,
        "general_high": high,
        "allowed": high >= 0,
    }


def audit_findings() -> dict[str, Any]:
    return {
        "findings": [
            {
                "code": "duplicate_rows",
                "level": "warning",
                "message": "the same anchor and positive stand in several rows; one of each is kept",
                "count": 214,
                "rows": list(range(10, 224)),
            },
            {
                "code": "anchor_equals_positive",
                "level": "error",
                "message": "anchor and positive are the same text; set aside: <b>bold</b> & 'Hello there'",
                "count": 3,
                "rows": [17, 901, 13004],
            },
        ],
        "lengths": {
            "anchor": {"mean": 21.4, "median": 18, "p95": 51, "longest": 240, "truncated_share": 0.0},
            "positive": {"mean": 143.0, "median": 120, "p95": 402, "longest": 2210, "truncated_share": 0.127},
        },
    }


def log_lines(steps: int = 312) -> list[str]:
    random = np.random.default_rng(7)
    lines = [json.dumps({"step": 0, "dev": {"nDCG@10": 0.684, "RR@10": 0.64}})]
    for step in range(1, steps + 1):
        entry = {
            "step": step,
            "epoch": step / steps,
            "loss": 0.8 + 1.5 * math.exp(-step / 60) + random.normal(0, 0.06),
            "learning_rate": 2e-5 * min(step / 30, (steps - step) / (steps - 30) + 1e-3),
            "grad_norm": 1.0 + random.gamma(2.0, 0.2),
            "seconds": 0.74,
            "stats": {
                "positives_masked": float(random.integers(0, 5)),
                "active": 0.9 * math.exp(-step / 200),
            },
        }
        lines.append(json.dumps(entry))
        if step % 50 == 0:
            gain = 0.06 * (1 - math.exp(-step / 90))
            lines.append(json.dumps({"step": step, "dev": {"nDCG@10": 0.684 + gain, "RR@10": 0.64 + gain}}))
    return lines


QUERIES = (
    "password reset mail never arrives",
    "invoice shows the wrong VAT number",
    "printer on the second floor prints only half of each page",
    "app crashes when I open the camera",
    "how to move my account to another company",
    "refund for a cancelled yearly plan",
)


def predictions(items: int = 60) -> pa.Table:
    """Item i of 60: the first half gained more the smaller i is, the last dozen lost."""
    random = np.random.default_rng(3)
    base = np.round(random.uniform(0.2, 0.5, items), 3)
    change = np.concatenate(
        [np.linspace(0.5, 0.01, items // 2), np.zeros(items - items // 2 - 12), np.full(12, -0.1)]
    )
    change[-12:] -= np.linspace(0, 0.09, 12)
    texts = [QUERIES[i % len(QUERIES)] + f" (case {i})" for i in range(items)]
    for place, text in enumerate(text for text in HOSTILE if "\ud800" not in text):
        texts[place] = text
    tops = [
        [
            f"Answer {i}.{rank}: open Settings, choose Security, then follow the steps shown there."
            for rank in range(5)
        ]
        for i in range(items)
    ]
    return pa.table(
        {
            "item": list(range(items)),
            "row": [7 * place for place in range(items)],
            "query": texts,
            "base": base,
            "tuned": base + change,
            "base_top": tops,
            "tuned_top": [top[::-1] for top in tops],
            "base_top_relevant": [[False, False, False, True, False]] * items,
            "tuned_top_relevant": [[False, True, False, False, False]] * items,
            "base RR@10": np.full(items, 1 / 3),
            "tuned RR@10": np.full(items, 0.5),
        }
    )


NEGATIVES: dict[str, Any] = {
    "search": "exact",
    "recall": None,
    "rescored_by": None,
    "rows": 19968,
    "documents": 34120,
    "queries": 19650,
    "looked_at": 813200,
    "removed": {
        "self": 0,
        "equal": 120,
        "near_equal": 2104,
        "known_positive": 19968,
        "relative_margin": 5008,
    },
    "left": 786000,
    "chosen": 78400,
    "asked": 78600,
    "queries_with_fewer": 81,
    "queries_with_none": 3,
    "suspects": 1000,
    "suspected": 4321,
    "marks": {"positive": 7, "negative": 2, "ignore": 1, "of texts that are not in the data": 4},
}


def suspects(rows: int = 20) -> pa.Table:
    """The first of them with texts that try to leave their place."""
    texts = [text for text in HOSTILE if "\ud800" not in text]
    return pa.table(
        {
            "query": [*texts, *(f"query {n}" for n in range(len(texts), rows))],
            "positive": [*texts, *(f"positive {n}" for n in range(len(texts), rows))],
            "document": [*texts, *(f"document {n}" for n in range(len(texts), rows))],
            "score": np.linspace(0.95, 0.5, rows),
            "positive_score": np.full(rows, 0.71),
            "mined": [place % 2 == 0 for place in range(rows)],
            "reason": [*texts, *(f"reason {n}" for n in range(len(texts), rows))],
            "mark": pa.nulls(rows, pa.string()),
        }
    )


RECIPE = """\
# as resolved
model: sentence-transformers/all-MiniLM-L6-v2
data:
  train: /home/jane/secret-project/tickets.csv
  columns: {anchor: "{subject}\\n{body}", positive: reply}
loss: {name: multiple_negatives_ranking, scale: 20}
train: {epochs: 1, batch_size: 64, learning_rate: 2e-5, seed: 13}
evaluate: {metrics: [nDCG@10, RR@10, R@100], dev: 0.1, test: 0.1}
"""


@pytest.fixture
def report() -> dict[str, Any]:
    return report_figures()


@pytest.fixture
def map_of() -> Callable[..., pa.Table]:
    """``predictions/map.parquet`` as a table: ``map_of(texts, classes=…)``."""
    return places


@pytest.fixture
def causes() -> list[dict[str, Any]]:
    return [dict(cause) for cause in CAUSES]


@pytest.fixture
def run_folder(tmp_path: Path) -> Write:
    """Writes a run folder: ``run_folder()`` a full one, ``run_folder(report=…, data=None, …)`` another."""

    def write(
        report: dict[str, Any] | None = None,
        data: dict[str, Any] | None = audit_findings(),  # noqa: B008
        log: list[str] | None = log_lines(),  # noqa: B008
        items: pa.Table | None = predictions(),  # noqa: B008
        recipe: str | None = RECIPE,
        negatives: dict[str, Any] | None = NEGATIVES,
        texts: pa.Table | None = places(),  # noqa: B008
    ) -> Path:
        folder = tmp_path / "run"
        (folder / "predictions").mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(report_figures() if report is None else report))
        if data is not None:
            (folder / "data.json").write_text(json.dumps(data))
        if log is not None:
            (folder / "log.jsonl").write_text("\n".join(log) + "\n")
        if recipe is not None:
            (folder / "recipe.yaml").write_text(recipe)
        if negatives is not None:
            (folder / "negatives").mkdir()
            (folder / "negatives" / "counts.json").write_text(json.dumps(negatives))
            pq.write_table(suspects(), folder / "negatives" / "suspects.parquet")
        if items is not None:
            pq.write_table(items, folder / "predictions" / "items.parquet")
        if texts is not None:
            pq.write_table(texts, folder / "predictions" / "map.parquet")
        return folder

    return write
