"""The passages of one generation in a folder: a database, files of embeddings, and a graph above a size.

A batch is written in this order: embeddings onto the disk behind those that there are, then one transaction
of the database that says so. A process that is killed between the two leaves rows that nobody knows, and the
next batch replaces them. So what an ``upsert`` returned from is there, and nothing else is.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.durable import flush, sha256_of, whole
from sbert_triplet.search.filters import Condition
from sbert_triplet.search.store import About, Count, FloatMatrix, Found, Record, StoreError
from sbert_triplet.search.stores.faiss.columns import Columns, row_bytes
from sbert_triplet.search.stores.faiss.database import NAME, Database, sealed_digests
from sbert_triplet.search.stores.faiss.graph import SIMILARITIES, Graph
from sbert_triplet.search.stores.faiss.scan import CANDIDATES, nearest, rescored

GRAPH_FROM = 100_000
"""Passages from which on a graph is searched; below, every passage is compared."""
FORMAT = 1
_TAIL = 0.1
"""Share of passages beside the graph from which on ``settle`` adds them."""
_DEAD = 0.3
"""Share of rows that hold nothing any more from which on ``settle`` writes the files anew."""
_AT_ONCE = 4096
_KEPT_FILTERS = 32

IntArray = NDArray[np.int64]
P = ParamSpec("P")
R = TypeVar("R")


def _alone(
    call: Callable[Concatenate[FaissCollection, P], R],
) -> Callable[Concatenate[FaissCollection, P], R]:
    """One thread at a time."""

    def locked(self: FaissCollection, /, *args: P.args, **named: P.kwargs) -> R:
        with self._lock:
            return call(self, *args, **named)

    return locked


@dataclass
class _View:
    """What the database said at one version."""

    version: tuple[int, int]
    columns: Columns
    live: IntArray
    graph: Graph | None
    filters: dict[str, IntArray] = field(default_factory=dict)


class FaissCollection:
    """One generation in ``folder``. ``graph_from``: passages from which on a graph is made and searched."""

    def __init__(self, folder: Path, graph_from: int = GRAPH_FROM) -> None:
        self.folder, self._graph_from = folder, graph_from
        self._database = Database(folder / NAME)
        self._lock, self._writes = threading.RLock(), 0
        self._seen: _View | None = None
        self._graph: tuple[str, Graph] | None = None
        state = self._database.state()
        if state.get("format") != FORMAT:
            raise StoreError(
                f"{folder}: its format is {state.get('format')}, and this version reads {FORMAT}; "
                "index the documents anew in another place"
            )
        self.about = About.of_json(state["about"])
        self._columns(state).refuse_short()

    @classmethod
    def create(cls, folder: Path, about: About) -> None:
        """An empty one in a folder that is there."""
        state = {"format": FORMAT, "about": about.as_json(), "rows": 0, "stem": "vectors-1", "graph": None}
        Database.create(folder / NAME, state)
        flush(folder / NAME)
        flush(folder)

    @property
    def exact(self) -> bool:
        with self._lock:
            return self._view().graph is None

    @_alone
    def upsert(self, records: Sequence[Record], embeddings: FloatMatrix) -> None:
        with self._database.writing():
            columns = self._columns(self._database.state())
            made = columns.encoded(embeddings)
            digests = sealed_digests(records, row_bytes(made, columns.precision))
            self._database.remove([record.id for record in records])
            self._database.insert(records, columns.rows, digests)
            self._database.set_state(rows=columns.append(made).rows)
        self._writes += 1

    @_alone
    def delete(self, ids: Sequence[str]) -> int:
        with self._database.writing():
            removed = self._database.remove(ids)
        self._writes += 1
        return removed

    @_alone
    def search(self, queries: FloatMatrix, k: int, conditions: Sequence[Condition] = ()) -> list[list[Found]]:
        view = self._view()
        rows = self._allowed(view, tuple(conditions))
        if view.graph is None or len(rows) < self._graph_from:
            found = nearest(view.columns, rows, queries, k, self.about.similarity)
        else:
            found = self._through_graph(view, view.graph, rows, queries, k)
        records = self._database.records(sorted({int(row) for some, _ in found for row in some}))
        return [
            [
                Found(records[int(row)], float(score))
                for row, score in zip(*one, strict=True)
                if int(row) in records
            ]
            for one in found
        ]

    @_alone
    def digests(self, ids: Sequence[str]) -> dict[str, str]:
        return self._database.digests(ids)

    @_alone
    def embeddings(self, ids: Sequence[str]) -> dict[tuple[str, int], FloatMatrix]:
        rows = self._database.rows_of(ids)
        numbers = self._view().columns.numbers(np.array(list(rows), dtype=np.int64))
        return dict(zip(rows.values(), numbers, strict=True))

    @_alone
    def count(self) -> Count:
        return self._database.count()

    @_alone
    def settle(self) -> None:
        view = self._view()
        if view.columns.rows and 1 - len(view.live) / view.columns.rows > _DEAD:
            self._rewrite(view)
            view = self._view()
        if len(view.live) < self._graph_from or self.about.similarity not in SIMILARITIES:
            return
        known = view.graph.rows if view.graph is not None else 0
        if view.columns.rows - known > _TAIL * view.columns.rows:
            self._extend(view)

    @_alone
    def verify(self) -> list[str]:
        found = self._database.faults()
        state = self._database.state()
        columns, first = self._columns(state), 0
        while some := self._database.sealed(first, _AT_ONCE):
            rows = np.array([row for row, _, _ in some])
            if rows[-1] >= columns.rows:
                return [*found, f"row {rows[-1]} is beyond the {columns.rows} embeddings"]
            digests = sealed_digests([record for _, record, _ in some], columns.bytes_of(rows))
            for (_, record, sealed), digest in zip(some, digests, strict=True):
                if sealed != digest:
                    found.append(
                        f"passage {record.passage.number} of document {record.id!r} is damaged: its SHA-256 "
                        "is another"
                    )
            first = int(rows[-1]) + 1
        if (graph := state["graph"]) and not self._whole(graph):
            found.append(f"{graph['file']} is missing or damaged; `settle` makes it again")
        return found

    @_alone
    def close(self) -> None:
        self._seen = self._graph = None
        self._database.close()

    def _columns(self, state: dict[str, Any]) -> Columns:
        about = self.about
        return Columns(
            self.folder,
            state["stem"],
            about.precision,
            about.dimensions,
            int(state["rows"]),
            about.similarity == "cosine",
        )

    def _view(self) -> _View:
        """What there is now, read again only after somebody wrote."""
        version = (self._database.version, self._writes)
        if self._seen is None or self._seen.version != version:
            state = self._database.state()
            self._seen = _View(
                version, self._columns(state), self._database.live(), self._read_graph(state["graph"])
            )
        return self._seen

    def _allowed(self, view: _View, conditions: tuple[Condition, ...]) -> IntArray:
        if not conditions:
            return view.live
        # Conditions on 1 and on true are equal as keys of a dictionary, and find other documents.
        key = repr(conditions)
        if key not in view.filters:
            if len(view.filters) >= _KEPT_FILTERS:
                view.filters.pop(next(iter(view.filters)))
            view.filters[key] = self._database.meeting(conditions)
        return view.filters[key]

    def _through_graph(
        self, view: _View, graph: Graph, rows: IntArray, queries: FloatMatrix, k: int
    ) -> list[tuple[IntArray, FloatMatrix]]:
        """Candidates of the graph and the best rows beside it, put in order together."""
        similarity, allowed = self.about.similarity, None
        if len(rows) < graph.rows or rows[-1] >= graph.rows:
            allowed = np.zeros(view.columns.rows, dtype=bool)
            allowed[rows] = True
        near = graph.candidates(queries, CANDIDATES * k, allowed)
        beside = rows[np.searchsorted(rows, graph.rows) :]
        tail = nearest(view.columns, beside, queries, k, similarity)
        found = []
        for query, some, (more, _) in zip(queries, near, tail, strict=True):
            if len(some) < min(k, len(rows) - len(beside)):
                found += nearest(view.columns, rows, query[None], k, similarity)
            else:
                both = np.concatenate([some, more])
                found.append(rescored(view.columns, both, query, k, similarity))
        return found

    def _read_graph(self, known: dict[str, Any] | None) -> Graph | None:
        """The graph that the database names; None where its file is not what it was."""
        if known is None:
            return None
        if self._graph is None or self._graph[0] != known["file"]:
            if not self._whole(known):
                return None
            file = self.folder / known["file"]
            self._graph = known["file"], Graph.read(file, self.about.precision == "binary")
        return self._graph[1]

    def _whole(self, known: dict[str, Any]) -> bool:
        file = self.folder / known["file"]
        return file.is_file() and sha256_of(file) == str(known["sha256"])

    def _extend(self, view: _View) -> None:
        """A graph over all rows, beside the one that there is, and then in its place."""
        binary, known = self.about.precision == "binary", self._database.state()["graph"]
        if view.graph is not None and known is not None:
            graph = Graph.read(self.folder / known["file"], binary, mapped=False)
        else:
            graph = Graph.over(view.columns, self.about.similarity)
        graph.add(view.columns)
        file = self.folder / f"graph-{view.columns.stem}-{graph.rows}.faiss"
        with whole(file) as staged:
            graph.write(staged)
        made = {"file": file.name, "sha256": sha256_of(file)}
        with self._database.writing():
            # A process that wrote the files anew meanwhile has numbered the rows anew as well.
            if self._database.state()["stem"] == view.columns.stem:
                self._database.set_state(graph=made)
        self._writes += 1
        self._drop_unused()

    def _rewrite(self, view: _View) -> None:
        """The files of embeddings without the rows that hold nothing any more."""
        number = int(view.columns.stem.rpartition("-")[2]) + 1
        with self._database.writing():
            old, live = self._columns(self._database.state()), self._database.live()
            new = replace(old, stem=f"vectors-{number}", rows=0)
            for file in new.files.values():
                file.unlink(missing_ok=True)
            for first in range(0, len(live), _AT_ONCE):
                new = new.append(old.taken(live[first : first + _AT_ONCE]))
            self._database.renumber()
            self._database.set_state(rows=new.rows, stem=new.stem, graph=None)
        self._writes += 1
        self._drop_unused()

    def _drop_unused(self) -> None:
        """Remove files that the database names no more; on Windows those that are read stay for now."""
        state = self._database.state()
        graph = state["graph"]["file"] if state["graph"] else None
        used = {file.name for file in self._columns(state).files.values()} | {graph}
        for file in [*self.folder.glob("vectors-*.*"), *self.folder.glob("graph-*.faiss")]:
            if file.name not in used:
                with contextlib.suppress(OSError):
                    file.unlink()
