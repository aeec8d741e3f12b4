"""The main job as two processes: one speaks and writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def launched(processes: int, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *start, "-m", "sbert_triplet", *words, "--smoke", "--device", "cpu"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [f"how do I reset item {n} of {n % 7}?,press button {n} for {n % 5} seconds" for n in range(80)]
    home = tmp_path / "home"
    home.mkdir()
    (home / "faq.csv").write_text("\n".join(["question,answer", *rows]), encoding="utf-8")
    return home


@pytest.mark.long
def test_two_processes_leave_one_run(table: Path) -> None:
    done = launched(2, table, "train", "faq.csv", "--set", "train.precision=fp32", "--out", "run")
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Verdict on nDCG@10") == 1
    assert [item.name for item in table.iterdir() if item.is_dir()] == ["run"]
    report = json.loads((table / "run" / "report.json").read_text(encoding="utf-8"))
    steps = [json.loads(line) for line in (table / "run" / "log.jsonl").read_text().splitlines()]
    assert report["train"]["steps"] == len(steps) == 3
    assert report["train"]["rows_per_second"] > 0


@pytest.mark.long
def test_what_is_wrong_is_said_once(table: Path) -> None:
    done = launched(2, table, "train", "faqs.csv", "--out", "run")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert "faqs.csv" in done.stderr
    assert not (table / "run").exists()
