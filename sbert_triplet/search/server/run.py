"""Start to stop: what is served is loaded and checked, then listened for until a signal."""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from sbert_triplet.encoding.loading import load_model
from sbert_triplet.errors import InputError, MachineError
from sbert_triplet.search.index import Document, Index
from sbert_triplet.search.server.app import Service, make_app
from sbert_triplet.search.server.connections import guarded_protocol
from sbert_triplet.search.server.keys import VARIABLE, Keys, is_loopback
from sbert_triplet.search.server.limits import Limits
from sbert_triplet.search.server.searching import SearchedIndex
from sbert_triplet.search.server.served import ServedModel, public_name
from sbert_triplet.search.stores import STORES

Say = Callable[[str], None]
COPIED = 100_000
"""Documents that are embedded again for ``base`` at most."""
BACKLOG = 1024
SWITCH = 0.0005
"""Seconds a thread keeps the interpreter: the embedding one must not wait long after each layer."""


@dataclass(frozen=True)
class Serving:
    """What is asked for. ``what``: the URL of an index, or a model; ``beside``: the URL of another index of
    the same documents; ``base``: a model to embed them with for the time of serving."""

    what: str
    beside: str | None = None
    base: str | None = None
    model: str | None = None
    host: str = "127.0.0.1"
    port: int = 8000
    without_keys: bool = False
    dimensions: tuple[int, ...] = ()
    votes: Path = Path("votes.jsonl")
    device: str | None = None
    limits: Limits = field(default_factory=Limits)


def serve(asked: Serving, *, say: Say) -> None:
    """Serve until SIGINT or SIGTERM; requests in flight are answered.

    Raises InputError for another host than this machine without keys, StoreError and ModelError for what
    cannot be served, MachineError where the port is taken.
    """
    keys = Keys.from_environment(os.environ)
    loopback = is_loopback(asked.host)
    if not loopback and not keys and not asked.without_keys:
        raise InputError(
            f"--host {asked.host}: others could read everything that is indexed; set {VARIABLE} "
            "(openssl rand -hex 24 makes a key), or give --without-keys where a proxy asks for them"
        )
    if asked.beside and asked.base:
        raise InputError("--beside and --base: give one of them")
    with _listening(asked.host, asked.port) as listener, _service(asked, keys, loopback, say) as service:
        # From here on connections wait, rather than be refused, until the server takes them.
        listener.listen(BACKLOG)
        say(_sentence(asked, service, listener))
        _run(service, listener)


def configuration(service: Service) -> uvicorn.Config:
    """uvicorn's settings: no files of its own, the guarded protocol, and nothing of requests in a log."""
    return uvicorn.Config(
        make_app(service),
        http=guarded_protocol(service.limits, service.metrics),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=service.limits.idle_seconds,
        timeout_graceful_shutdown=service.limits.stop_seconds,
    )


def _run(service: Service, listener: socket.socket) -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        uvicorn.Server(configuration(service)).run(sockets=[listener])
    finally:
        sys.setswitchinterval(before)


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    """The port, taken before a model is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host.strip("[]"), port))
        except socket.gaierror as error:
            raise InputError(f"--host {host}: no address of that name") from error
        except PermissionError as error:
            raise InputError(f"--port {port}: no permission to listen there; take one above 1023") from error
        except OSError as error:
            raise MachineError(
                f"--port {port}: cannot listen on {host}:{port} ({error.strerror}); take another with --port"
            ) from error
        yield listener


@contextmanager
def _service(asked: Serving, keys: Keys, loopback: bool, say: Say) -> Iterator[Service]:
    with ExitStack() as stack:
        indexes: list[SearchedIndex] = []
        if is_url(asked.what):
            main = stack.enter_context(Index.open(asked.what, asked.model, device=asked.device))
            indexes.append(
                _searched("tuned" if asked.beside or asked.base else "index", main, asked.dimensions)
            )
            if asked.beside:
                other = stack.enter_context(Index.open(asked.beside, device=asked.device))
                indexes.append(_searched("base", other))
            elif asked.base:
                folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sbert-triplet-base-"))
                other = stack.enter_context(
                    _embedded_again(main, asked.base, Path(folder), asked.device, say)
                )
                indexes.append(_searched("base", other))
            models = _distinct([one.served for one in indexes])
        else:
            if asked.beside or asked.base or asked.model:
                raise InputError("--beside, --base and --model go with the URL of an index")
            loaded = load_model(asked.what, device=asked.device)
            models = [ServedModel(loaded, public_name(asked.what), asked.dimensions)]
        yield Service(
            models,
            indexes,
            limits=asked.limits,
            keys=keys,
            votes=asked.votes,
            loopback_only=loopback and not keys,
        )


def is_url(what: str) -> bool:
    """Whether it is the URL of a store, and no model."""
    scheme, colon, _ = what.partition(":")
    return bool(colon) and scheme in {*STORES, "postgres"}


def _searched(name: str, index: Index, dimensions: tuple[int, ...] = ()) -> SearchedIndex:
    encoder = index.encoder
    return SearchedIndex(name, index, ServedModel(encoder.model, public_name(encoder.name), dimensions))


def _distinct(models: list[ServedModel]) -> list[ServedModel]:
    """Two models of one name are told apart by a number."""
    if len(models) == 2 and models[0].name == models[1].name:
        models[1].name += "-2"
    return models


def _embedded_again(index: Index, base: str, folder: Path, device: str | None, say: Say) -> Index:
    """A second index of the same documents, made by ``base``."""
    count = index.count().documents
    instead = f"embed them with `sbert-triplet index {base} CORPUS --store URL`, and serve with --beside URL"
    if index.about.passages.tokens is not None:
        raise InputError(f"--base {base}: the index holds passages and not whole documents; {instead}")
    if count > COPIED:
        raise InputError(f"--base {base}: there are {count:,} documents, too many for each start; {instead}")
    hits = index.search([""], k=max(count, 1))[0]
    if len(hits) != count:
        raise InputError(f"--base {base}: the store does not give all of its documents; {instead}")
    say(f"Embedding {count:,} documents with {base} ...")
    other = Index.create(f"faiss:{folder / 'index'}", base, device=device)
    try:
        other.upsert(Document(hit.id, hit.text, hit.metadata) for hit in hits)
        other.settle()
    except BaseException:
        other.close()
        raise
    return other


def _sentence(asked: Serving, service: Service, listener: socket.socket) -> str:
    host = f"[{asked.host}]" if ":" in asked.host else asked.host
    address = f"http://{host}:{listener.getsockname()[1]}"
    what = ", ".join(model.name for model in service.models)
    keys = "with a key" if service.keys else "no key needed"
    documents = f", {service.indexes[0].index.count().documents:,} documents" if service.indexes else ""
    return f"Serving {what}{documents} on {address} ({keys}); stop with Ctrl+C"
