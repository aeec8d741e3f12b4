"""Stores by URL. Adding one: a class that is a ``search.store.Store``, and a line in ``STORES``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from sbert_triplet.data.wording import listed
from sbert_triplet.search.store import Store, StoreError

STORES: dict[str, tuple[str, str]] = {
    "faiss": ("faiss.home", "faiss:DIR, files in a folder, searched in this process"),
    "postgresql": ("pgvector.home", "postgresql://USER@HOST/DATABASE?table=NAME, PostgreSQL with pgvector"),
    "chroma": ("chroma", "chroma://HOST:PORT/NAME, a Chroma server"),
    "qdrant": ("qdrant", "qdrant:DIR or qdrant://HOST:PORT/NAME, Qdrant in this process or a server"),
    "lancedb": ("lancedb", "lancedb:DIR, LanceDB's files in a folder"),
}
"""By the scheme of the URL: the module here whose ``opened(url)`` gives the store, and how its URL reads.

The extra that installs what a module needs bears its name.
"""


def open_store(url: str) -> Store:
    """The store that ``url`` names; nothing is made yet.

    Raises StoreError for an unknown URL, one that cannot be reached, or a package that is not installed.
    """
    scheme, colon, _ = url.partition(":")
    scheme = "postgresql" if scheme == "postgres" else scheme
    if not colon or scheme not in STORES:
        forms = "; ".join(form for _, form in STORES.values())
        shown = scheme if colon else url
        raise StoreError(f"--store {listed([shown])}: no store of that name; stores are {forms}")
    name = STORES[scheme][0]
    try:
        module = import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("sbert_triplet"):
            raise
        extra = name.partition(".")[0]
        raise StoreError(
            f"a {scheme}: store needs {error.name}, which is not installed: "
            f'pip install "sbert-triplet[{extra}]"'
        ) from error
    opened: Callable[[str], Store] = module.opened
    return opened(url)
