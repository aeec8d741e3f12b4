"""Loading from a Hub: a small one that this test serves itself, and none at all."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest

REVISION = "0123456789abcdef0123456789abcdef01234567"
CARD = """---
license: cc-by-4.0
configs:
- config_name: pairs
  data_files:
  - {split: train, path: train.jsonl}
  - {split: validation, path: valid.jsonl}
- config_name: other
  data_files: train.jsonl
---
"""
FILES = {
    "README.md": CARD.encode(),
    "train.jsonl": b'{"anchor": "a", "positive": "b"}\n{"anchor": "c", "positive": "d"}\n',
    "valid.jsonl": b'{"anchor": "e", "positive": "f"}\n',
}
SOURCES = [
    "owner/name:pairs",
    "owner/name:pairs[dev]",
    "owner/name:pairs@main[validation]",
    "owner/name",
    "owner/name:none",
    "owner/name:pairs[gold]",
    "owner/missing",
]
SCRIPT = """
import json, sys
from sbert_triplet.data.sources import load_source
from sbert_triplet.errors import DataError
for source in sys.argv[1:]:
    try:
        table = load_source(source)
        said = [table.name, table.origin, table.dataset["anchor"][:], table.licence, list(table.notes)]
    except DataError as error:
        said = str(error)
    print(json.dumps(said))
"""


class Hub(http.server.BaseHTTPRequestHandler):
    """The few answers of the Hub that loading a data set asks for."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = urlparse(self.path).path
        api, files = "/api/datasets/owner/name", "/datasets/owner/name/resolve/"
        listing = [
            {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
            for name, content in FILES.items()
        ]
        if path.startswith(files):
            name = path.removeprefix(files).partition("/")[2]
            found = name in FILES
            headers = (
                {"X-Repo-Commit": REVISION, "ETag": f'"{name}"'}
                if found
                else {"X-Error-Code": "EntryNotFound"}
            )
            self.answer(200 if found else 404, FILES.get(name, b""), headers)
        elif path.startswith((f"{api}/tree/", f"{api}/paths-info/")):
            self.answer(200, json.dumps(listing).encode())
        elif path == api or path.startswith(f"{api}/revision/"):
            about = {
                "id": "owner/name",
                "sha": REVISION,
                "siblings": [],
                "cardData": {"license": "cc-by-4.0"},
            }
            self.answer(200, json.dumps(about).encode())
        else:
            self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_POST = do_GET  # noqa: N815

    def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def load(folder: Path, endpoint: str, *sources: str) -> tuple[list[Any], str]:
    """What a fresh process says that knows no other Hub, and what it writes beside that."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(folder / "hf"),
        "SBERT_TRIPLET_CACHE": str(folder),
    }
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path]))
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *sources],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_a_hub_that_answers_and_one_that_does_not(hub: str, tmp_path: Path) -> None:
    said, beside = load(tmp_path, hub, *SOURCES)
    train, dev = ["split train", f"revision {REVISION}"], ["split validation", f"revision {REVISION}"]
    assert said[:3] == [
        ["owner/name", "hub", ["a", "c"], "cc-by-4.0", train],
        ["owner/name", "hub", ["e"], "cc-by-4.0", dev],
        ["owner/name", "hub", ["e"], "cc-by-4.0", dev],
    ]
    assert "'pairs', 'other'" in said[3]
    assert "'none' not found" in said[4]
    assert said[5].endswith("there is no split 'gold'; name one of train, validation.")
    assert said[6].startswith("no file or folder owner/missing, and the Hub has no data set of that name")
    assert not any("\n" in str(line) for line in said)
    assert beside == ""

    said, beside = load(tmp_path, "http://127.0.0.1:9", "owner/name:pairs", "owner/missing")
    assert said[0][2:4] == [["a", "c"], None]
    assert "the copy on this machine, as the Hub cannot be reached" in said[0][4][1]
    assert said[1].startswith("no file or folder owner/missing; the Hub cannot be reached")
    assert beside == ""
