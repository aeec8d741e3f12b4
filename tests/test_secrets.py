"""A token of the person's environment stays there: no output and no file of a run holds it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sbert_triplet.encoding.tiny import tiny_encoder

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


class _Serving(_Refusing):
    """A Hub that gives the files of one repository to whoever has the token."""

    folder: Path
    given: list[str]
    commit = "0" * 40

    def _serve(self) -> None:
        path = self.path.partition("?")[0]
        name = path.partition(f"/resolve/{self.commit}/")[2]
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._refuse()
        elif path.startswith("/api/models/someone/private"):
            files = {
                file.relative_to(self.folder).as_posix(): file.stat().st_size
                for file in sorted(self.folder.rglob("*"))
                if file.is_file()
            }
            listed: object = {
                "id": "someone/private",
                "sha": self.commit,
                "siblings": [{"rfilename": each} for each in files],
            }
            if "/tree/" in path:
                listed = [
                    {"type": "file", "path": each, "size": size, "oid": self.commit}
                    for each, size in files.items()
                ]
            self._give(json.dumps(listed).encode())
        elif name and (self.folder / name).is_file():
            self.given.append(name)
            self._give((self.folder / name).read_bytes())
        else:
            self.send_error(404)

    def _give(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.commit)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = _serve  # noqa: N815


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hub() -> Iterator[tuple[str, list[str]]]:
    """The address of a Hub that refuses, and what it was told of the person."""
    seen: list[str] = []
    with serving(type("Refusing", (_Refusing,), {"seen": seen})) as address:
        yield address, seen


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


@pytest.fixture
def private_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """The address of a Hub that gives one model to whoever has the token, and the files it gave."""
    folder = tmp_path_factory.mktemp("private")
    tiny_encoder(("a question of", "the answer to")).save(str(folder), create_model_card=False)
    given: list[str] = []
    handler = type("Serving", (_Serving,), {"folder": folder, "given": given, "seen": []})
    with serving(handler) as address:
        yield address, given


def test_a_training_leaves_no_token_in_its_folder(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    rows = "".join(f"a question of {n},the answer to {n}\n" for n in range(60))
    (tmp_path / "pairs.csv").write_text(f"anchor,positive\n{rows}", encoding="utf-8")
    smoke = ("--smoke", "--set", "evaluate.general=false", "--set", "train.save_steps=1", "--out", "run")
    done = verb(tmp_path, hub[0], "train", "pairs.csv", *smoke)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "run" / "report.json").is_file()
    assert holding(tmp_path, done.stdout, done.stderr) == []


def test_a_job_that_succeeds_keeps_the_token_to_itself(
    tmp_path: Path, private_hub: tuple[str, list[str]]
) -> None:
    address, given = private_hub
    rows = "".join(f"a question of {n},the answer to {n}\n" for n in range(60))
    (tmp_path / "pairs.csv").write_text(f"anchor,positive\n{rows}", encoding="utf-8")
    done = verb(tmp_path, address, "evaluate", "someone/private", "--data", "pairs.csv")
    assert done.returncode == 0, done.stderr
    # The test says something only if the token was in use.
    assert "model.safetensors" in given
    assert holding(tmp_path, done.stdout, done.stderr) == []


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", "someone/private", "--data", "pairs.csv", "--debug"),
        ("check", "someone/private", "--debug"),
        ("check", "someone/private"),
    ],
)
def test_the_user_in_the_address_of_the_hub_is_not_told(
    words: tuple[str, ...], tmp_path: Path, hub: tuple[str, list[str]]
) -> None:
    host = hub[0].removeprefix("http://")
    (tmp_path / "pairs.csv").write_text("anchor,positive\na,b\n", encoding="utf-8")
    done = verb(tmp_path, f"http://me:{TOKEN[:12]}@{host}", *words)
    assert done.returncode == 2, done.stderr
    assert b"private" in done.stderr
    assert TOKEN[:12].encode() not in done.stdout + done.stderr
    assert b"me:" not in done.stdout + done.stderr
