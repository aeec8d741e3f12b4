"""The main job as two processes: one speaks and writes."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml

from sbert_triplet.cli import app
from sbert_triplet.reporting.log import read_log
from sbert_triplet.training.checkpoints import steps_of

ROOT = Path(__file__).resolve().parents[2]


LAUNCHERS = {
    "torchrun": ("torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    "accelerate": ("accelerate.commands.launch", "--num_processes", "2", "--cpu"),
    "a configuration": (
        "accelerate.commands.launch",
        "--config_file",
        str(ROOT / "recipes" / "accelerate" / "two_processes_on_cpu.yaml"),
    ),
}


def launched(launcher: str, folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    start = ["-m", *LAUNCHERS[launcher]]
    if launcher != "torchrun":
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            start += ["--main_process_port", str(listener.getsockname()[1])]
    command = [sys.executable, *start, "-m", "sbert_triplet", *words, "--smoke", "--device", "cpu"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        **variables,
    }
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [f"how do I reset item {n} of {n % 7}?,press button {n} for {n % 5} seconds" for n in range(80)]
    home = tmp_path / "home"
    home.mkdir()
    (home / "faq.csv").write_text("\n".join(["question,answer", *rows]), encoding="utf-8")
    return home


@pytest.mark.long
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_two_processes_leave_one_run(launcher: str, table: Path) -> None:
    parts = ["--set", "train.chunk_tokens=100"] if launcher == "a configuration" else []
    curve = ["--set", "evaluate.learning_curve=true"] if launcher == "torchrun" else []
    done = launched(
        launcher, table, "train", "faq.csv", "--set", "train.precision=fp32", *parts, *curve, "--out", "run"
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("Verdict on nDCG@10") == 1
    assert [item.name for item in table.iterdir() if item.is_dir()] == ["run"]
    report = json.loads((table / "run" / "report.json").read_text(encoding="utf-8"))
    steps = [json.loads(line) for line in (table / "run" / "log.jsonl").read_text().splitlines()]
    assert report["train"]["steps"] == len(steps) == 3
    assert report["train"]["rows_per_second"] > 0
    recipe = yaml.safe_load((table / "run" / "recipe.yaml").read_text(encoding="utf-8"))
    assert recipe["train"]["chunk_tokens"] == (100 if parts else 0)
    assert ("learning_curve" in report) == bool(curve)
    if curve:
        assert [point["share"] for point in report["learning_curve"]["points"]] == [0.25, 0.5, 1.0]


@pytest.mark.long
def test_two_processes_mine_anew_together(table: Path) -> None:
    sections = ("train.precision=fp32", "mine.negatives=2", "mine.refresh=1")
    words = [word for section in sections for word in ("--set", section)]
    done = launched("torchrun", table, "train", "faq.csv", *words, "--out", "run")
    assert done.returncode == 0, done.stderr[-3000:]
    counts = json.loads((table / "run" / "negatives" / "counts.json").read_text(encoding="utf-8"))
    assert [each["step"] for each in counts["rounds"]] == [0, 1, 2]
    lines = [json.loads(line) for line in (table / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "refresh" in line] == [1, 2]
    assert [line["stats"]["negatives_age"] for line in lines if "loss" in line] == [0, 0, 0]


@pytest.mark.long
def test_what_is_wrong_is_said_once(table: Path) -> None:
    done = launched("torchrun", table, "train", "faqs.csv", "--out", "run")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert "faqs.csv" in done.stderr
    assert not (table / "run").exists()


@pytest.mark.long
def test_sharded_weights_are_refused_in_one_line(table: Path) -> None:
    words = ("train", "faq.csv", "--out", "run")
    done = launched("torchrun", table, *words, ACCELERATE_USE_FSDP="true")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1
    assert "recipes/accelerate/several_gpus.yaml" in done.stderr
    assert not (table / "run").exists()


def test_sharded_weights_are_wrong_input(
    table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.chdir(table)
    with pytest.raises(SystemExit) as caught:
        app(["train", "faq.csv", "--smoke", "--out", "run"], prog_name="sbert-triplet")
    assert caught.value.code == 2
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: accelerate asks for sharded weights (FSDP)")
    assert not (table / "run").exists()


@pytest.mark.long
@pytest.mark.parametrize("resumed_by", [1, 2])
def test_a_run_of_two_processes_goes_on_with_any_number(
    resumed_by: int, table: Path, tiny_folder: Path
) -> None:
    """The same rows in the same order: the losses are those of a run of one process, to rounding."""
    settings = {"max_steps": 60, "epochs": 60, "save_steps": 5, "precision": "fp32", "batch_size": 8}
    # Dropout draws otherwise in each process.
    shutil.copytree(tiny_folder, table / "tiny")
    config = json.loads((table / "tiny" / "config.json").read_text())
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (table / "tiny" / "config.json").write_text(json.dumps(config | still))
    words = ["train", "faq.csv", "--model", "tiny", "--set", "evaluate.general=false"]
    words += [word for key, value in settings.items() for word in ("--set", f"train.{key}={value}")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

    def begun(processes: int, *more: str) -> subprocess.Popen[bytes]:
        start = ["-m", *LAUNCHERS["torchrun"][:-1], str(processes)] if processes > 1 else []
        command = [sys.executable, *start, "-m", "sbert_triplet", *words, "--device", "cpu", *more]
        return subprocess.Popen(command, cwd=table, env=environment)

    assert begun(1, "--out", "whole").wait(timeout=240) == 0
    stopped = begun(2, "--out", "parted")
    while len(steps_of(table / "parted" / "checkpoints")) < 2 and stopped.poll() is None:
        time.sleep(0.01)
    launcher = psutil.Process(stopped.pid)
    for each in [*launcher.children(recursive=True), launcher]:
        each.kill()
    stopped.wait(timeout=60)
    assert not (table / "parted" / "report.json").exists()
    assert begun(resumed_by, "--out", "parted", "--resume").wait(timeout=240) == 0
    whole, parted = (read_log(table / name / "log.jsonl").steps["loss"] for name in ("whole", "parted"))
    np.testing.assert_array_equal(whole.steps, parted.steps)
    np.testing.assert_allclose(whole.values, parted.values, rtol=1e-3)
