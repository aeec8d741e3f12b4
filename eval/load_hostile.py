"""What a client can do to a server on purpose, and whether it answers others as before."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any

from load_client import Client, read_answer, served

HEADER_SECONDS, BODY_SECONDS = 10.0, 30.0
"""The server's own limits."""
LARGE = 60 << 20
Case = tuple[str, Callable[[int, str], Awaitable[str]], str]


async def _dripped(port: int, begin: bytes, seconds: float) -> str:
    """Begin a request, and go on a byte at a time: what comes back, in so many seconds at most."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)
    answer = asyncio.create_task(read_answer(reader))
    deadline = time.monotonic() + seconds
    while not answer.done() and time.monotonic() < deadline:
        writer.write(b"a")
        await asyncio.wait({answer}, timeout=0.25)
    writer.close()
    if not answer.done():
        answer.cancel()
        return "still listened to"
    return str(answer.result()[0]) if answer.exception() is None else "cut off"


async def slow_headers(port: int, key: str) -> str:
    """Headers without an end."""
    return await _dripped(
        port, b"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", 3 * HEADER_SECONDS
    )


async def slow_body(port: int, key: str) -> str:
    """A body that is announced, and comes a byte at a time."""
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
    )
    return await _dripped(port, head.encode() + b'{"input": "', 2 * BODY_SECONDS)


async def many_slow(port: int, key: str) -> str:
    """A hundred slow clients at a time; one that is not slow is answered meanwhile."""
    slow = [asyncio.create_task(slow_headers(port, key)) for _ in range(100)]
    await asyncio.sleep(1)
    client = Client(port, key)
    status, _ = await client.post("/v1/embeddings", {"input": "am I heard?"})
    await client.close()
    others = set(await asyncio.gather(*slow))
    return f"{status}; the others {', '.join(sorted(others))}"


async def large_body(port: int, key: str) -> str:
    """60 MB."""
    return await _status(port, key, b'{"input": "' + b"a" * LARGE + b'"}')


async def unannounced(port: int, key: str) -> str:
    """60 MB in chunks, whose sum is announced nowhere."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"POST /v1/embeddings HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    writer.write(head.encode())
    part = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    for _ in range(LARGE // 65536):
        writer.write(part)
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    status = (await read_answer(reader))[0]
    writer.close()
    return str(status)


async def _status(port: int, key: str, content: Any) -> str:
    client = Client(port, key)
    try:
        return str((await client.post("/v1/embeddings", content))[0])
    finally:
        await client.close()


async def broken_json(port: int, key: str) -> str:
    """An object that does not end, depth without end, and half of a character."""
    bodies = (b'{"input": ["a", ', b'{"input": ' + b"[" * 100_000, b'{"input": "\\ud800"}', b"\xff\xfe", b"")
    return ", ".join(sorted({await _status(port, key, body) for body in bodies}))


async def no_http(port: int, key: str) -> str:
    """Bytes that are no request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(secrets.token_bytes(512) + b"\r\n\r\n")
    status = (await read_answer(reader))[0]
    writer.close()
    return str(status)


async def no_key(port: int, key: str) -> str:
    """No key."""
    return await _status(port, "", {"input": "a"})


async def wrong_keys(port: int, key: str) -> str:
    """Other keys: its beginning, its end, one more letter, another."""
    others = (key[:-1], key[1:], key + "0", "0" * len(key), "é" * 8)
    return ", ".join(sorted({await _status(port, other, {"input": "a"}) for other in others}))


QUICK: tuple[Case, ...] = (
    ("a body of 60 MB", large_body, "413"),
    ("60 MB in chunks", unannounced, "413"),
    ("broken JSON", broken_json, "400"),
    ("no HTTP at all", no_http, "400"),
    ("no key", no_key, "401"),
    ("wrong keys", wrong_keys, "401"),
)
SLOW: tuple[Case, ...] = (
    ("headers a byte at a time", slow_headers, "408"),
    ("a body a byte at a time", slow_body, "408"),
    ("100 clients slow with headers, and one that is not", many_slow, "200; the others 408"),
)


def hostile(model: str, short: bool, seconds: float) -> list[dict[str, Any]]:
    """Each case: the answer, its seconds, and what an honest request was answered after it."""
    key = secrets.token_hex(16)
    found = []
    with served(model, keys=key) as server:
        for what, act, wanted in QUICK if short else (*QUICK, *SLOW):
            began = time.perf_counter()
            answer = asyncio.run(asyncio.wait_for(act(server.port, key), seconds))
            took = time.perf_counter() - began
            after = asyncio.run(_status(server.port, key, {"input": "still there?"}))
            found.append({"what": what, "answer": answer, "wanted": wanted, "seconds": took, "after": after})
    return found
