"""faiss:DIR: the generations of an index in a folder.

DIR/current.json     the name of the generation that searches read
DIR/1/               a generation: passages.sqlite, vectors-*.*, graph-*.faiss
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from sbert_triplet.data.durable import flush, whole
from sbert_triplet.search.store import PRECISIONS, About, Collection, StoreError
from sbert_triplet.search.stores.faiss.collection import GRAPH_FROM, FaissCollection
from sbert_triplet.search.stores.faiss.database import NAME

CURRENT = "current.json"
_OPTION = "hnsw_from"


def opened(url: str) -> FaissStore:
    """The store of ``faiss:DIR``, or ``faiss:DIR?hnsw_from=N`` for a graph from N passages on."""
    name, mark, option = url.partition(":")[2].rpartition("?")
    if not mark:
        name, option = option, ""
    key, _, number = option.partition("=")
    if mark and (key != _OPTION or not number.isdecimal()):
        raise StoreError(f"--store {url}: ?{option} is no option of it; write ?{_OPTION}=NUMBER or nothing")
    if not name:
        raise StoreError(f"--store {url}: name a folder, as in faiss:tickets.index")
    return FaissStore(Path(name).expanduser(), int(number) if mark else GRAPH_FROM)


class FaissStore:
    """A folder."""

    precisions = PRECISIONS

    def __init__(self, folder: Path, graph_from: int = GRAPH_FROM) -> None:
        self.folder, self._graph_from = folder, graph_from
        self.url = f"faiss:{folder}"

    def generations(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        names = [item.name for item in self.folder.iterdir() if (item / NAME).is_file()]
        return sorted((name for name in names if name.isdecimal()), key=int)

    def current(self) -> str | None:
        file = self.folder / CURRENT
        try:
            named = json.loads(file.read_text(encoding="utf-8"))["current"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{file}: cannot be read; it should hold the name of a folder beside it"
            ) from error
        return str(named)

    def create(self, about: About) -> str:
        if about.precision == "binary" and about.similarity not in ("cosine", "dot"):
            raise StoreError(
                f"{self.url}: signs say too little under {about.similarity}; choose fp32, fp16 or int8"
            )
        self._make()
        number = str(max(map(int, self.generations()), default=0) + 1)
        staged = self.folder / f".{number}.part"
        shutil.rmtree(staged, ignore_errors=True)
        staged.mkdir()
        FaissCollection.create(staged, about)
        staged.rename(self.folder / number)
        flush(self.folder)
        if self.current() is None:
            self.switch(number)
        return number

    def open(self, generation: str) -> Collection:
        if generation not in self.generations():
            raise StoreError(f"{self.url}: there is no generation {generation!r}")
        return FaissCollection(self.folder / generation, self._graph_from)

    def switch(self, generation: str) -> None:
        with whole(self.folder / CURRENT) as staged:
            staged.write_text(json.dumps({"current": generation}), encoding="utf-8")

    def drop(self, generation: str) -> None:
        if generation == self.current():
            raise StoreError(f"{self.url}: generation {generation} is current; switch to another one first")
        # Under this name a half-removed one is no generation.
        aside = self.folder / f".{generation}.dropped"
        shutil.rmtree(aside, ignore_errors=True)
        (self.folder / generation).rename(aside)
        shutil.rmtree(aside)

    def close(self) -> None:
        pass

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{self.url}: cannot be made ({error.strerror}); name another folder") from error
        strangers = [
            item.name
            for item in self.folder.iterdir()
            if item.name != CURRENT and not item.name.isdecimal() and not item.name.startswith(".")
        ]
        if strangers:
            raise StoreError(f"{self.url}: holds other files ({sorted(strangers)[0]}); name another folder")
