"""A small Hub on loopback: the requests of a publish, and a failure at any one of them."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LARGE = ".safetensors"


@dataclass
class Commit:
    """``files``: contents by path."""

    name: str
    files: dict[str, bytes]
    message: str = ""


@dataclass
class Repository:
    private: bool
    commits: list[Commit]
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def commit(self, files: dict[str, bytes], message: str = "") -> Commit:
        number = f"{len(self.commits)} {sorted(files)} {message}"
        self.commits.append(Commit(hashlib.sha1(number.encode()).hexdigest(), files, message))
        return self.head


class StandIn:
    """Lets in who has the ``token``.

    ``fail_at``: the number of the request that fails, as ``failure`` says: "500", "503 after it is done",
    "429", "reset", "lost answer", "cut body"; ``lasting``: all later ones too. ``asked`` lists the requests.
    ``before_commit`` is called when a commit arrives, ``moved`` is the status that answers one on an old
    commit.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.fail_at, self.failure, self.lasting = -1, "500", False
        self.before_commit: Callable[[Repository], object] = lambda _: None
        self.moved = 412
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()

    def with_model(self, name: str, files: dict[str, bytes], *, private: bool = True) -> Repository:
        self.repositories[name] = Repository(private, [])
        self.repositories[name].commit(dict(files), "first")
        return self.repositories[name]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


class _Handler(BaseHTTPRequestHandler):
    hub: StandIn

    def _handle(self) -> None:
        hub = self.hub
        with hub.lock:
            number = len(hub.asked)
            hub.asked.append(f"{self.command} {self.path}")
            failing = number == hub.fail_at or (hub.lasting and 0 <= hub.fail_at <= number)
            size = int(self.headers.get("Content-Length") or 0)
            if failing and hub.failure == "reset":
                return self._reset()
            if failing and hub.failure == "cut body":
                self.rfile.read(size // 2)
                return self._reset()
            body = self.rfile.read(size)
            if failing and hub.failure in ("500", "429"):
                # The worst of servers: it quotes the header with the token.
                told = {"error": f"sorry, {self.headers.get('Authorization')} came at a bad time"}
                return self._answer(int(hub.failure), told, {"Retry-After": "0"})
            status, answer = self._done(body)
            if failing and hub.failure == "503 after it is done":
                return self._answer(503, {"error": f"too slow for {self.headers.get('Authorization')}"})
            if failing and hub.failure == "lost answer":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
                self.wfile.flush()
                return self._reset()
            return self._answer(status, answer)

    do_GET = do_POST = do_PUT = do_HEAD = _handle  # noqa: N815

    def _reset(self) -> None:
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()
        self.close_connection = True

    def _answer(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        named = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        if isinstance(answer, dict) and "code" in answer:
            named["X-Error-Code"] = answer["code"]
        for name, value in named.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _done(self, body: bytes) -> tuple[int, Any]:
        path = self.path.partition("?")[0]
        parts = path.strip("/").split("/")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if path.endswith("/info/lfs/objects/batch"):
            return 200, {
                "transfer": "basic",
                "objects": [self._object(o) for o in json.loads(body)["objects"]],
            }
        if parts[0] == "lfs":
            return self._large(parts[1], body)
        repository = self.hub.repositories.get("/".join(parts[2:4]))
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return 401, {"error": "Invalid credentials in Authorization header"}
        if repository is None:
            return 404, {"error": "Repository not found", "code": "RepoNotFound"}
        if len(parts) == 4 or parts[4] == "revision":
            return 200, _described("/".join(parts[2:4]), repository)
        if parts[4] == "preupload":
            return 200, {"files": [_mode(each, repository) for each in json.loads(body)["files"]]}
        if parts[4] == "commit":
            return self._commit("/".join(parts[2:4]), repository, body)
        assert parts[4] == "tag", path
        name = json.loads(body)["tag"]
        if name in repository.tags:
            return 409, {"error": "Tag already exists"}
        repository.tags[name] = parts[5]
        return 200, {}

    def _create(self, asked: dict[str, Any]) -> tuple[int, Any]:
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != "me":
            return 403, {"error": "You don't have the rights to create a model under this namespace"}
        answer = {"url": f"{self.hub.address}/{name}", "name": name}
        if name in self.hub.repositories:
            return 409, {**answer, "error": "You already created this model repo"}
        private = asked.get("private", asked.get("visibility") == "private")
        self.hub.with_model(name, {".gitattributes": b"*.safetensors filter=lfs\n"}, private=private)
        return 200, answer

    def _object(self, asked: dict[str, Any]) -> dict[str, Any]:
        found = {"oid": asked["oid"], "size": asked["size"]}
        if asked["oid"] in self.hub.objects:
            return found
        to = f"{self.hub.address}/lfs/{asked['oid']}?X-Amz-Signature=signed"
        return {
            **found,
            "actions": {"upload": {"href": to}, "verify": {"href": f"{self.hub.address}/lfs/verify"}},
        }

    def _large(self, name: str, body: bytes) -> tuple[int, Any]:
        if name != "verify":
            if hashlib.sha256(body).hexdigest() != name:
                return 400, {"error": "the content is not what was announced"}
            self.hub.objects[name] = body
        elif json.loads(body)["oid"] not in self.hub.objects:
            return 404, {"error": "no such object"}
        return 200, {}

    def _commit(self, name: str, repository: Repository, body: bytes) -> tuple[int, Any]:
        lines = [json.loads(line) for line in body.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        self.hub.before_commit(repository)
        if header.get("parentCommit") not in (None, repository.head.name):
            return self.hub.moved, {"error": "A commit has happened since. Please refresh and try again."}
        files = dict(repository.head.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        made = repository.commit(files, header["summary"])
        return 200, {"commitUrl": f"{self.hub.address}/{name}/commit/{made.name}", "commitOid": made.name}

    def log_message(self, *_: object) -> None:
        return


def _blob(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _mode(asked: dict[str, Any], repository: Repository) -> dict[str, Any]:
    path = asked["path"]
    there = repository.head.files.get(path)
    large = path.endswith(LARGE)
    digest = None if there is None else hashlib.sha256(there).hexdigest() if large else _blob(there)
    mode = "lfs" if large else "regular"
    return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": digest}


def _described(name: str, repository: Repository) -> dict[str, Any]:
    siblings = []
    for path, content in repository.head.files.items():
        entry: dict[str, Any] = {"rfilename": path, "size": len(content), "blobId": _blob(content)}
        if path.endswith(LARGE):
            sha = hashlib.sha256(content).hexdigest()
            entry |= {
                "blobId": _blob(sha.encode()),
                "lfs": {"sha256": sha, "size": len(content), "pointerSize": 9},
            }
        siblings.append(entry)
    return {
        "id": name,
        "modelId": name,
        "sha": repository.head.name,
        "private": repository.private,
        "siblings": siblings,
        "tags": [],
        "downloads": 0,
    }
