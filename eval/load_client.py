"""A server process, and clients that cost little: HTTP over asyncio's streams."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Server:
    """A process of `serve`, and where it listens."""

    process: subprocess.Popen[str]
    port: int


@contextmanager
def served(model: str, *options: str, keys: str = "") -> Iterator[Server]:
    """`serve` in a process of its own, stopped at the end."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        "SBERT_TRIPLET_KEYS": keys,
    }
    words = [sys.executable, "-m", "sbert_triplet", "serve", model, "--port", "0", *options]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        if found is None:
            raise SystemExit(f"the server did not start: {line}")
        yield Server(process, int(found[1]))
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


class Client:
    """One connection, made again where the server closed it."""

    def __init__(self, port: int, key: str = "") -> None:
        self._port, self._key = port, key
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, content: Any) -> tuple[int, bytes]:
        """Status and body of the answer."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        authorised = f"Authorization: Bearer {self._key}\r\n" if self._key else ""
        head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorised}"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(head.encode() + body)
        status, headers, answer = await read_answer(reader)
        if headers.get("connection") == "close":
            await self.close()
        return status, answer

    async def close(self) -> None:
        """End the connection."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; the server gives the length of each."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
    body = await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers, body


def matrix(answer: bytes) -> NDArray[np.float32]:
    """(n, D) embeddings of an answer, in the order of its indices."""
    data = sorted(json.loads(answer)["data"], key=lambda one: one["index"])
    rows = [
        np.frombuffer(base64.b64decode(one["embedding"]), dtype="<f4")
        if isinstance(one["embedding"], str)
        else np.array(one["embedding"], dtype=np.float32)
        for one in data
    ]
    return np.stack(rows)
