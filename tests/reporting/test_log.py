from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sbert_triplet.reporting.log import Series, TrainingLog, read_log


def write(folder: Path, *entries: object) -> Path:
    path = folder / "log.jsonl"
    path.write_text("\n".join(e if isinstance(e, str) else json.dumps(e) for e in entries))
    return path


def test_series_of_steps_stats_and_dev(tmp_path: Path) -> None:
    log = read_log(
        write(
            tmp_path,
            {"step": 0, "dev": {"nDCG@10": 0.5}},
            {"step": 1, "loss": 2.0, "learning_rate": 1e-5, "stats": {"active": 0.9}},
            {"step": 2, "loss": 1.0, "learning_rate": 2e-5, "stats": {"active": 0.7}, "note": "x"},
            {"step": 2, "dev": {"nDCG@10": 0.6, "RR@10": None}},
        )
    )
    assert log.steps["loss"].steps.tolist() == [1, 2]
    assert log.steps["loss"].values.tolist() == [2.0, 1.0]
    assert set(log.steps) == {"loss", "learning_rate"}
    assert log.stats["active"].values.tolist() == [0.9, 0.7]
    assert log.dev["nDCG@10"].steps.tolist() == [0, 2]
    assert "RR@10" not in log.dev
    assert log.resumed_after == ()
    assert log


def test_a_resumed_job_replaces_the_steps_it_did_again(tmp_path: Path) -> None:
    steps = [{"step": step, "loss": float(step)} for step in (1, 2, 3, 4)]
    again = [{"step": step, "loss": float(-step)} for step in (3, 4, 5)]
    log = read_log(
        write(tmp_path, *steps, {"step": 4, "dev": {"m": 0.1}}, {"step": 2, "dev": {"m": 0.3}}, *again)
    )
    assert log.steps["loss"].values.tolist() == [1, 2, -3, -4, -5]
    assert log.dev["m"].values.tolist() == [0.3]
    assert log.resumed_after == (2,)


def test_what_happens_between_steps_is_no_step_done_again(tmp_path: Path) -> None:
    log = read_log(
        write(
            tmp_path,
            {"step": 1, "loss": 1.0},
            {"step": 1, "refresh": {"changed": 0.5}},
            {"step": 2, "out_of_memory": True, "chunk_tokens": 64},
            {"step": 2, "loss": 2.0},
        )
    )
    assert log.steps["loss"].values.tolist() == [1.0, 2.0]
    assert log.resumed_after == ()


def test_torn_and_foreign_lines_are_counted(tmp_path: Path) -> None:
    log = read_log(
        write(tmp_path, {"step": 1, "loss": 1.0}, "[1, 2]", "", '{"loss": 3.0}', '{"step": 2, "lo')
    )
    assert log.steps["loss"].values.tolist() == [1.0]
    assert log.unreadable_lines == 3


def test_values_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    lines = ['{"step": 1, "loss": NaN}', '{"step": 2, "loss": 0.5}', '{"step": 3, "loss": Infinity}']
    loss = read_log(write(tmp_path, *lines)).steps["loss"]
    assert loss.values.tolist() == [0.5]
    assert loss.undefined == 2


def test_no_log(tmp_path: Path) -> None:
    assert not read_log(tmp_path / "log.jsonl")
    assert read_log(tmp_path / "log.jsonl") == TrainingLog()


@pytest.mark.parametrize(("length", "bins"), [(1, 5), (5, 5), (7, 3), (1000, 80), (81, 80)])
def test_bins_cover_every_value_once(length: int, bins: int) -> None:
    values = np.random.default_rng(0).normal(size=length)
    series = Series(np.arange(length, dtype=np.float64), values)
    steps, means, lows, highs = series.binned(bins)
    assert len(steps) == min(bins, length)
    edges = [length * place // len(steps) for place in range(len(steps))] + [length]
    parts = [values[start:end] for start, end in pairwise(edges)]
    assert lows.tolist() == [part.min() for part in parts]
    assert highs.tolist() == [part.max() for part in parts]
    np.testing.assert_allclose(means, [part.mean() for part in parts], rtol=1e-12)
    assert np.all(np.diff(steps) > 0)
