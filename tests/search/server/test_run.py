"""``serve`` from start to stop: what it refuses, and requests in flight when it is asked to end."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import InputError, MachineError
from sbert_triplet.search.index import Document, Index
from sbert_triplet.search.server import run
from sbert_triplet.search.server.keys import VARIABLE
from sbert_triplet.search.server.run import Serving, is_url, serve
from sbert_triplet.search.store import Cut

ROOT = Path(__file__).resolve().parents[3]
KEY = "secret-secret-secret-secret"


@pytest.fixture
def folder(tmp_path: Path, encoder: SentenceTransformer) -> Path:
    """The tiny encoder, saved."""
    encoder.save(str(tmp_path / "tiny"))
    return tmp_path / "tiny"


@contextmanager
def serving(*words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of ``serve``, and its address."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), VARIABLE: KEY, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sbert_triplet", "serve", *words, "--port", "0"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found is not None, line
        yield process, found[0]
    finally:
        process.kill()
        process.wait()


def test_another_host_wants_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for host in ("0.0.0.0", "::", "192.168.1.2"):
        with pytest.raises(InputError, match=f"--host {re.escape(host)}: .*{VARIABLE}"):
            serve(Serving("model", host=host), say=print)


def test_the_port_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(MachineError, match=f"--port {port}: cannot listen"):
            serve(Serving("model", port=port), say=print)


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(InputError, match="--beside and --base"):
        serve(Serving("faiss:a", beside="faiss:b", base="model", port=0), say=print)
    with pytest.raises(InputError, match="go with the URL"):
        serve(Serving("model", beside="faiss:b", port=0), say=print)


def test_urls_and_models() -> None:
    assert [is_url(what) for what in ("faiss:a", "postgres://h/d", "qdrant:x", "postgresql://h")] == [
        True
    ] * 4
    assert [is_url(what) for what in ("model", "org/model", "C:\\model", "runs/a")] == [False] * 4


def test_base_embeds_the_same_documents(
    tmp_path: Path, folder: Path, encoder: SentenceTransformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [Document(f"../{place}", f"rain {place}", {"place": place}) for place in range(30)]
    with Index.create(f"faiss:{tmp_path / 'whole'}", str(folder)) as index:
        index.upsert(documents)
    with Index.create(f"faiss:{tmp_path / 'cut'}", str(folder), passages=Cut(8)) as index:
        index.upsert(documents)
    seen: list[list[list[str]]] = []

    def noted(service: run.Service, _: object) -> None:
        seen.append(
            [sorted(hit.id for hit in one.index.search(["rain"], k=50)[0]) for one in service.indexes]
        )
        assert [one.name for one in service.indexes] == ["tuned", "base"]
        assert [model.name for model in service.models] == ["tiny", "tiny-2"]

    monkeypatch.setattr(run, "_run", noted)
    serve(Serving(f"faiss:{tmp_path / 'whole'}", base=str(folder), port=0), say=print)
    assert seen == [[sorted(document.id for document in documents)] * 2]
    with pytest.raises(InputError, match="passages"):
        serve(Serving(f"faiss:{tmp_path / 'cut'}", base=str(folder), port=0), say=print)


@pytest.mark.long
def test_a_request_in_flight_is_answered(folder: Path) -> None:
    """SIGTERM while a large request is embedded: it is answered whole, and the exit code is 143."""
    with serving(str(folder), "--max-texts", "4096") as (process, url):
        headers = {"Authorization": f"Bearer {KEY}"}
        assert httpx.post(f"{url}/v1/embeddings", json={"input": "a"}, headers=headers).status_code == 200
        assert httpx.post(f"{url}/v1/embeddings", json={"input": "a"}).status_code == 401
        answers: list[httpx.Response] = []

        def ask() -> None:
            asked = {"input": [f"rain {place} " * 20 for place in range(4096)], "encoding_format": "base64"}
            answers.append(httpx.post(f"{url}/v1/embeddings", json=asked, headers=headers, timeout=60))

        asking = threading.Thread(target=ask)
        asking.start()
        end = time.monotonic() + 30
        while "waiting_texts 0.0" in httpx.get(f"{url}/metrics", headers=headers).text:
            assert time.monotonic() < end
            time.sleep(0.005)
        assert not answers
        process.send_signal(signal.SIGTERM)
        asking.join(60)
        assert answers[0].status_code == 200
        assert len(answers[0].json()["data"]) == 4096
        output = process.communicate(timeout=60)[0]
        assert process.returncode == 128 + signal.SIGTERM
        assert output == "stopped\n"
        assert KEY not in output
