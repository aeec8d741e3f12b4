"""What a client cannot do: come slowly, come large, come often, or come without a key."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import httpx
import pytest

from sbert_triplet.errors import InputError
from sbert_triplet.search.server.app import Service
from sbert_triplet.search.server.keys import VARIABLE, Keys, host_of, is_loopback
from sbert_triplet.search.server.limits import Limits
from sbert_triplet.search.server.served import ServedModel

KEY, OTHER = "a" * 32, "b" * 32
BEGIN = b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\n"
JSON = BEGIN + b"Content-Type: application/json\r\n"


def answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and JSON of all that comes until the server closes."""
    received = b""
    while part := connection.recv(65536):
        received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def drip(connection: socket.socket, seconds: float) -> None:
    """A byte now and then, as long as the server listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            connection.sendall(b"a")
        except OSError:
            return
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("begin", "limits", "what"),
    [
        (BEGIN + b"X-Slow: ", Limits(header_seconds=0.4), "headers"),
        (JSON + b"Content-Length: 1000\r\n\r\n", Limits(body_seconds=0.4), "body"),
        (JSON + b"Transfer-Encoding: chunked\r\n\r\nfff\r\n", Limits(body_seconds=0.4), "body"),
    ],
)
def test_the_slow_are_cut_off(
    start: Any, served: ServedModel, begin: bytes, limits: Limits, what: str
) -> None:
    running = start(Service([served], limits=limits))
    with running.raw() as connection:
        began = time.monotonic()
        connection.sendall(begin)
        dripping = threading.Thread(target=drip, args=(connection, 5), daemon=True)
        dripping.start()
        status, body = answer(connection)
        assert 0.3 < time.monotonic() - began < 4
        assert status == 408
        assert f"the {what} did not come within 0.4 s" in body["error"]["message"]
        dripping.join()
    assert running.post("/v1/embeddings", {"input": "rain"}).status_code == 200


def test_silence_is_cut_off(start: Any, served: ServedModel) -> None:
    running = start(Service([served], limits=Limits(header_seconds=0.3)))
    with running.raw() as connection:
        assert answer(connection)[0] == 408


def test_the_second_request_of_a_connection_has_its_own_time(start: Any, served: ServedModel) -> None:
    running = start(Service([served], limits=Limits(header_seconds=0.5, body_seconds=0.5)))
    with httpx.Client(base_url=running.url) as client:
        for _ in range(3):
            assert client.post("/v1/embeddings", json={"input": "rain"}).status_code == 200
            time.sleep(0.3)


def test_headers_without_end(start: Any, served: ServedModel) -> None:
    running = start(Service([served], limits=Limits(header_bytes=4096)))
    with running.raw() as connection:
        connection.sendall(BEGIN + b"X-Long: ")
        try:
            for _ in range(64):
                connection.sendall(b"a" * 1024)
                time.sleep(0.005)
        except OSError:
            pass
        assert answer(connection)[0] == 431


def test_large_bodies(start: Any, served: ServedModel) -> None:
    running = start(Service([served], limits=Limits(body_bytes=10_000)))
    assert running.post("/v1/embeddings", {"input": "a" * 9000}).status_code == 200
    refused = running.post("/v1/embeddings", {"input": "a" * 10_000})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")
    chunks = (b"a" * 1000 for _ in range(100))
    headers = {"Content-Type": "application/json"}
    assert httpx.post(f"{running.url}/v1/embeddings", content=chunks, headers=headers).status_code == 413
    with running.raw() as connection:
        connection.sendall(JSON + b"Expect: 100-continue\r\nContent-Length: 10001\r\n\r\n")
        assert answer(connection)[0] == 413


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (b'{"input": ', "application/json", "invalid_json"),
        (b"", "application/json", "invalid_json"),
        (b"\xff", "application/json", "invalid_json"),
        (b'{"input": "\\ud800"}', "application/json", "invalid_json"),
        (b"[" * 5000, "application/json", "invalid_json"),
        (b'{"input": "a"}', "text/plain", "bad_content_type"),
    ],
)
def test_broken_json(start: Any, served: ServedModel, content: bytes, kind: str, code: str) -> None:
    running = start(Service([served]))
    found = httpx.post(f"{running.url}/v1/embeddings", content=content, headers={"Content-Type": kind})
    assert (found.status_code, found.json()["error"]["code"]) == (400, code)


def test_no_http(start: Any, served: ServedModel) -> None:
    with start(Service([served])).raw() as connection:
        connection.sendall(b"\x16\x03\x01 what is this\r\n\r\n")
        status, body = answer(connection)
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")


def test_connections_of_an_address(start: Any, served: ServedModel) -> None:
    running = start(Service([served], limits=Limits(connections_per_address=3)))
    open_ones = [running.raw() for _ in range(3)]
    time.sleep(0.2)
    refused = running.post("/v1/embeddings", {"input": "a"})
    assert (refused.status_code, refused.json()["error"]["type"]) == (429, "rate_limit_error")
    assert refused.headers["Retry-After"] == "1"
    for connection in open_ones:
        connection.close()
    time.sleep(0.2)
    assert running.post("/v1/embeddings", {"input": "a"}).status_code == 200


def test_connections_in_all(start: Any, served: ServedModel) -> None:
    running = start(Service([served], limits=Limits(connections=1)))
    with running.raw():
        time.sleep(0.2)
        refused = running.post("/v1/embeddings", {"input": "a"})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")


def test_keys(start: Any, served: ServedModel, caplog: pytest.LogCaptureFixture) -> None:
    running = start(Service([served], keys=Keys([KEY, OTHER])))

    def status(header: str | None, path: str = "/v1/models") -> int:
        return httpx.get(running.url + path, headers={"Authorization": header} if header else {}).status_code

    assert {status(f"Bearer {key}") for key in (KEY, OTHER)} == {200}
    wrong = (KEY[:-1], KEY + "a", OTHER[1:], "0", KEY.upper())
    assert {status(f"Bearer {key}") for key in wrong} == {401}
    assert {status(None), status("Bearer"), status(KEY), status(f"Basic {KEY}")} == {401}
    assert {status(None, path) for path in ("/metrics", "/search", "/page/about", "/nothing")} == {401}
    assert {status(None, path) for path in ("/", "/healthz")} == {200}
    missing = httpx.get(f"{running.url}/v1/models")
    assert missing.headers["WWW-Authenticate"] == "Bearer"
    assert missing.json()["error"]["type"] == "authentication_error"
    metrics = httpx.get(f"{running.url}/metrics", headers={"Authorization": f"Bearer {KEY}"}).text
    assert 'sbert_triplet_requests_total{route="/v1/models",status="401"}' in metrics
    assert KEY not in metrics + caplog.text
    assert KEY not in repr(vars(running.service.keys))


def test_keys_of_the_environment() -> None:
    found = Keys.from_environment({VARIABLE: f" {KEY},{OTHER}\n"})
    assert found.admit(b"Bearer " + OTHER.encode())
    assert found.admit(b"bearer  " + KEY.encode())
    assert not found.admit(b"Bearer " + KEY.encode() + b"," + OTHER.encode())
    assert not Keys.from_environment({})
    with pytest.raises(InputError, match="key 2 has 5 characters"):
        Keys.from_environment({VARIABLE: f"{KEY} short"})


def test_another_host_is_refused_on_loopback(start: Any, served: ServedModel) -> None:
    running = start(Service([served]))

    def status(host: str) -> int:
        return httpx.get(f"{running.url}/v1/models", headers={"Host": host}).status_code

    assert {status(host) for host in ("localhost", "127.0.0.1:80", "[::1]:8000", "LOCALHOST:1")} == {200}
    assert {status(host) for host in ("evil.example", "127.0.0.1.evil.example", "localhost.evil", "")} == {
        400
    }


def test_hosts() -> None:
    assert host_of("[::1]:80") == "[::1]"
    assert host_of("example.org:80") == "example.org"
    assert is_loopback("127.8.9.1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("128.0.0.1")


def test_paths_and_methods(start: Any, served: ServedModel) -> None:
    running = start(Service([served]))
    assert httpx.get(f"{running.url}/nothing").json()["error"]["message"] == "there is nothing here"
    assert httpx.get(f"{running.url}/v1/embeddings").status_code == 405
    assert httpx.get(f"{running.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{running.url}/docs").status_code == 404


def test_metrics(start: Any, served: ServedModel) -> None:
    running = start(Service([served]))
    running.post("/v1/embeddings", {"input": ["rain falls", "moss"]})
    running.post("/v1/embeddings", {"input": []})
    lines = httpx.get(f"{running.url}/metrics").text.splitlines()
    for line in (
        'sbert_triplet_requests_total{route="/v1/embeddings",status="200"} 1.0',
        'sbert_triplet_requests_total{route="/v1/embeddings",status="422"} 1.0',
        "sbert_triplet_texts_total 2.0",
        "sbert_triplet_tokens_total 7.0",
        "sbert_triplet_batch_texts_count 1.0",
        "sbert_triplet_waiting_texts 0.0",
        "sbert_triplet_connections 1.0",
    ):
        assert line in lines, line


def test_an_answer_that_is_not_read_ends(start: Any, served: ServedModel) -> None:
    """The answer is larger than what the system buffers, and its reader does not read."""
    running = start(Service([served], limits=Limits(answer_seconds=1)))
    body = json.dumps({"input": ["rain"] * 2000}).encode()
    with running.raw() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(8):
            connection.sendall(JSON + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        time.sleep(4)
        count = httpx.get(f"{running.url}/metrics").text
        assert "sbert_triplet_connections 1.0" in count
