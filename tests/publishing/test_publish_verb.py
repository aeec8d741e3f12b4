"""The verb in a process of its own, with the library below told to log all that it sends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import SentenceTransformer

ROOT = str(Path(__file__).resolve().parents[2])
pytestmark = pytest.mark.long


@pytest.fixture
def finished(tiny: SentenceTransformer, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("model", "candidate"):
        tiny.save(str(folder / name), create_model_card=False)
    figures = {
        "base": 0.6,
        "tuned": 0.7,
        "difference": 0.1,
        "low": 0.05,
        "high": 0.15,
        "p_value": 0.001,
        "n": 90,
    }
    report = {
        "format": 1,
        "name": "tickets",
        "task": "retrieval",
        "main_metric": "nDCG@10",
        "metrics": {"nDCG@10": figures},
        "verdict": "better",
        "shipped": "tuned",
        "model": {"name": "sentence-transformers/all-MiniLM-L6-v2"},
    }
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    (folder / "recipe.yaml").write_text("model: sentence-transformers/all-MiniLM-L6-v2\n", encoding="utf-8")
    return folder


def verb(folder: Path, hub: Any, *words: str) -> subprocess.CompletedProcess[bytes]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {
        **kept,
        "HF_TOKEN": hub.token,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(folder / "home"),
        "HF_DEBUG": "1",
        "HF_HUB_DISABLE_XET": "1",
        "TMPDIR": str(folder / "scratch"),
        "PYTHONPATH": os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    (folder / "scratch").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "sbert_triplet", "publish", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True)


def holding(folder: Path, token: str, *outputs: bytes) -> list[str]:
    held = [f"output {number}" for number, output in enumerate(outputs) if token.encode() in output]
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    assert files
    return held + [str(file) for file in files if token.encode() in file.read_bytes()]


def test_the_token_is_nowhere(finished: Path, hub: Any, tmp_path: Path) -> None:
    done = verb(tmp_path, hub, str(finished), "me/tickets", "--debug")
    assert done.returncode == 0, done.stderr
    assert b"Published: " in done.stdout
    repository = hub.repositories["me/tickets"]
    assert repository.private
    assert len(repository.commits) == 2
    assert list(repository.tags.values()) == [repository.head.name]
    assert holding(tmp_path, hub.token, done.stdout, done.stderr) == []
    assert not [name for name, content in repository.head.files.items() if hub.token.encode() in content]


def test_a_server_that_quotes_the_token_is_not_repeated(finished: Path, hub: Any, tmp_path: Path) -> None:
    hub.fail_at, hub.lasting, hub.failure = 0, True, "500"
    # One wait is enough: the server asks for none.
    done = verb(tmp_path, hub, str(finished), "me/tickets", "--debug")
    assert done.returncode == 3, done.stderr
    assert b"the Hub cannot be reached" in done.stderr
    assert holding(tmp_path, hub.token, done.stdout, done.stderr) == []
    assert hub.repositories == {}


def test_what_is_not_better_ends_with_1(finished: Path, hub: Any, tmp_path: Path) -> None:
    report = json.loads((finished / "report.json").read_text(encoding="utf-8"))
    (finished / "report.json").write_text(json.dumps({**report, "verdict": "worse"}), encoding="utf-8")
    done = verb(tmp_path, hub, str(finished), "me/tickets")
    assert done.returncode == 1
    assert b"the verdict on nDCG@10 is 'worse'; publish a run that is better, or give --force" in done.stderr
    assert hub.asked == []
