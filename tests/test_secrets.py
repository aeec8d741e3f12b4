"""A token of the person's environment stays there: no output and no file of a run holds it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

TOKEN = "hf_secretsecretsecretsecretsecretsecret"
ROOT = str(Path(__file__).resolve().parents[1])


class _Refusing(BaseHTTPRequestHandler):
    """A Hub that lets nobody in."""

    seen: list[str]

    def _refuse(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        body = json.dumps({"error": "Invalid credentials in Authorization header"}).encode()
        self.send_response(401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = _refuse  # noqa: N815

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """The address of a Hub that refuses, and what it was told of the person."""
    seen: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Refusing", (_Refusing,), {"seen": seen}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


def verb(folder: Path, address: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """``sbert-triplet WORDS`` in ``folder``, with a token in the environment and a Hub at ``address``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment = {
        **kept,
        "HF_TOKEN": TOKEN,
        "HF_ENDPOINT": address,
        "HF_HOME": str(folder / "home"),
        "SBERT_TRIPLET_CACHE": str(folder / "cache"),
        "PYTHONPATH": os.pathsep.join([ROOT, os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "sbert_triplet", *words], cwd=folder, env=environment, capture_output=True
    )


def holding(folder: Path, *outputs: bytes) -> list[str]:
    """The outputs and files that hold the token."""
    held = [f"output {number}" for number, output in enumerate(outputs) if TOKEN.encode() in output]
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    assert files
    return held + [str(file) for file in files if TOKEN.encode() in file.read_bytes()]


def test_a_job_that_fails_at_the_hub_keeps_the_token_to_itself(
    tmp_path: Path, hub: tuple[str, list[str]]
) -> None:
    address, seen = hub
    rows = "".join(f"a question of {n},the answer to {n}\n" for n in range(30))
    (tmp_path / "pairs.csv").write_text(f"anchor,positive\n{rows}", encoding="utf-8")
    done = verb(tmp_path, address, "evaluate", "someone/private", "--data", "pairs.csv", "--debug")
    assert done.returncode == 2, done.stderr
    assert b"Traceback" in done.stderr
    # The test says something only if the token was in use.
    assert f"Bearer {TOKEN}" in seen
    assert holding(tmp_path, done.stdout, done.stderr) == []


def test_a_job_that_succeeds_keeps_the_token_to_itself(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    rows = "".join(f"a question of {n},the answer to {n}\n" for n in range(60))
    (tmp_path / "pairs.csv").write_text(f"anchor,positive\n{rows}", encoding="utf-8")
    smoke = ("--smoke", "--set", "evaluate.general=false", "--set", "train.save_steps=1", "--out", "run")
    done = verb(tmp_path, hub[0], "train", "pairs.csv", *smoke)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.json").is_file()
    assert holding(tmp_path, done.stdout, done.stderr) == []
