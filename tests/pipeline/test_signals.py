"""Signals, as a person and a cluster send them: the step is finished and saved, and the run can go on."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sbert_triplet.cli import app
from sbert_triplet.training.checkpoints import newest, steps_of

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]
STEPS = 400
SETTINGS = {"max_steps": STEPS, "epochs": 200, "save_steps": 40, "precision": "fp32", "batch_size": 8}
LIMIT = 120.0


@pytest.fixture
def words(tiny_folder: Path) -> list[str]:
    """The words of a run of a few seconds, on a table in the current folder."""
    rows = [f"how do I reset item {n} of {n % 7}?,press button {n} for {n % 5} seconds" for n in range(80)]
    Path("faq.csv").write_text("\n".join(["question,answer", *rows]), encoding="utf-8")
    settings = [f"train.{key}={value}" for key, value in SETTINGS.items()]
    settings += ["evaluate.general=false", "train.never_worse=false"]
    return ["train", "faq.csv", "--model", str(tiny_folder), *(w for s in settings for w in ("--set", s))]


def begun(words: list[str], out: str) -> subprocess.Popen[str]:
    """A run as a process, which trains by now."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sbert_triplet", *words, "--out", out],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    log, start = Path(out) / "log.jsonl", time.monotonic()
    while not (log.is_file() and log.stat().st_size > 2000):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() - start < LIMIT
        time.sleep(0.02)
    return process


def digest(out: str) -> str:
    return hashlib.sha256((Path(out) / "candidate" / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_run_after_a_whole_step_with_a_checkpoint(
    number: signal.Signals, code: int, words: list[str]
) -> None:
    process = begun(words, "stopped")
    process.send_signal(number)
    output, errors = process.communicate(timeout=LIMIT)
    found, passed = newest(Path("stopped/checkpoints"))
    assert process.returncode == code
    assert found is not None
    assert passed == []
    assert "Stopping: the step is finished, and is saved; once more to stop at once" in output
    said = f"stopped after step {found.step} of {STEPS}, with a checkpoint: go on with sbert-triplet train"
    assert said in errors
    assert errors.rstrip().endswith("--out stopped --resume")
    assert "Traceback" not in output + errors
    resumed = CliRunner().invoke(app, [*words, "--out", "stopped", "--resume"])
    assert resumed.exit_code == 0, resumed.output
    whole = CliRunner().invoke(app, [*words, "--out", "whole"])
    assert whole.exit_code == 0, whole.output
    assert digest("stopped") == digest("whole")


def test_a_second_signal_stops_at_once(words: list[str]) -> None:
    process = begun([*words, "--set", f"train.save_steps={STEPS}"], "stopped")
    os.kill(process.pid, signal.SIGSTOP)
    # Both wait for the process, which takes the first before it can take another step.
    os.kill(process.pid, signal.SIGTERM)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGCONT)
    output, errors = process.communicate(timeout=LIMIT)
    assert process.returncode in (130, 143)
    assert "stopped after step" not in errors
    assert "Stopping" not in output
    assert steps_of(Path("stopped/checkpoints")) == []
    assert "Traceback" not in output + errors


def test_a_killed_run_goes_on_and_ends_bit_for_bit_the_same(words: list[str]) -> None:
    for _ in range(2):
        resume = ["--resume"] if Path("killed").is_dir() else []
        process = begun([*words, *resume], "killed")
        while len(steps_of(Path("killed/checkpoints"))) < 2 and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    resumed = CliRunner().invoke(app, [*words, "--out", "killed", "--resume"])
    assert resumed.exit_code == 0, resumed.output
    assert "Going on after step" in resumed.output
    assert CliRunner().invoke(app, [*words, "--out", "whole"]).exit_code == 0
    assert digest("killed") == digest("whole")
