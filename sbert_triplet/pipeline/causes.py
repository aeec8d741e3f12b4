"""What the figures of a run say of why its tuned model is not shown better."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sbert_triplet.evaluation.audit import Audit
from sbert_triplet.evaluation.causes import NO_VALUES, Figures, Shape, likely_causes
from sbert_triplet.evaluation.results import Comparison, FloatArray
from sbert_triplet.pipeline.folder import LOG, NEGATIVES
from sbert_triplet.pipeline.mining import COUNTS
from sbert_triplet.reporting.log import Series, read_log


def causes_record(
    home: Path,
    report: Mapping[str, Any],
    audit: Audit,
    comparison: Comparison,
    general: Comparison | None,
) -> list[dict[str, Any]]:
    """``causes`` of ``report.json``, the likeliest first; empty where the tuned model is better.

    ``home``: the run folder, of which the log is read, and the counts of mined negatives, if any.
    """
    log, train = read_log(home / LOG), report["train"]
    health, groups = report.get("health") or {}, _groups(report)
    dev = log.dev.get(str(report["main_metric"]))
    figures = Figures(
        comparison=comparison,
        rows=int(report["data"]["rows"]["train"]),
        steps=int(train["steps"]),
        learning_rate=train.get("learning_rate"),
        findings={finding.code: finding.count for finding in audit.findings},
        truncated={
            role: float(figures.get("truncated_tokens_share", 0.0)) for role, figures in audit.lengths.items()
        },
        suspected=_suspected(home),
        losses=_values(log.steps.get("loss")),
        stats={name: series.values for name, series in log.stats.items()},
        dev=_values(dev),
        dev_ends=_dev_ends(report.get("weight_line") or {}),
        general=general,
        told_apart={name: entry["told_apart"] for name, entry in groups.items() if "told_apart" in entry},
        same_text=_number(health.get("same_text")),
        base=_shape(health.get("base")),
        tuned=_shape(health.get("tuned")),
    )
    return [asdict(cause) for cause in likely_causes(figures)]


def _suspected(home: Path) -> tuple[int, int] | None:
    counts = home / NEGATIVES / COUNTS
    if not counts.is_file():
        return None
    found = json.loads(counts.read_text(encoding="utf-8"))
    return int(found["suspected"]), int(found["chosen"])


def _dev_ends(line: Mapping[str, Any]) -> tuple[float, float]:
    """The main metric on dev of the base and of the tuned weights; NaN where the line was not searched."""
    on_dev = {point["at"]: _number(point["dev"]) for point in line.get("points") or ()}
    return on_dev.get(0.0, math.nan), on_dev.get(1.0, math.nan)


def _groups(report: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = (
        (report.get("similarities") or {}).get("base", {}).get("groups", {})
    )
    return found


def _values(series: Series | None) -> FloatArray:
    return NO_VALUES if series is None else series.values


def _shape(found: Mapping[str, Any] | None) -> Shape | None:
    if not found:
        return None
    return Shape(_number(found.get("anisotropy")), _number(found.get("effective_rank_centred")))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float | np.floating) else float("nan")
