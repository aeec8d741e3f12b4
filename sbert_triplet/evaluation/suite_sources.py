"""Where the tasks of a suite are read from: files, folders and the Hub, and which of their splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from sbert_triplet.data.beir import RetrievalFolder, is_retrieval_folder, retrieval_of_tables
from sbert_triplet.data.discovery import discover_splits
from sbert_triplet.data.hub import HubId
from sbert_triplet.data.sources import SourceSpec, Table, existing, hub_id_of, load_source
from sbert_triplet.data.wording import listed
from sbert_triplet.errors import DataError
from sbert_triplet.evaluation.suites import SuiteTask

TEST, TRAIN = "test", "train"
_ON_THE_HUB = (
    "A set for retrieval on the Hub has the configurations corpus, queries and qrels: name others one by one "
    "as `corpus`, `queries` and `qrels` (owner/name:config[split]), and a table of pairs with its "
    "configuration (owner/name:default)."
)


@dataclass(frozen=True)
class SuiteSources:
    """Sources whose relative paths start at the current folder or at ``folder``.

    Where a source has several splits and none is named, a split is read by what the rows are for.
    """

    folder: Path | None = None
    cache_dir: Path | None = None

    def chosen(self, task: SuiteTask) -> SourceSpec:
        """``local`` where it is there or alone, else ``source``."""
        if task.local is not None and (task.source is None or existing(task.local.source, self.folder)):
            return task.local
        if task.source is None:
            raise DataError("no source is named")
        return task.source

    def load(self, spec: SourceSpec, split: str) -> Table | RetrievalFolder:
        """As ``load_source``; ``split`` is read where there are several and none is named."""
        hub = hub_id_of(spec, self.folder)
        wanted = (hub.split if hub else spec.split) or (split if hub else self._of_folder(spec, split))
        return load_source(spec, folder=self.folder, split=wanted, cache_dir=self.cache_dir)

    def known(self, spec: SourceSpec | None, tested: SourceSpec | None) -> Table | RetrievalFolder:
        """The texts of known class: those named, else the split ``train`` of what is tested."""
        if spec is not None:
            return self.load(spec, TRAIN)
        if tested is None:
            raise DataError("no texts of known class are named: name them as `train`")
        whole = replace(tested, limit=None)
        try:
            return load_source(whole, folder=self.folder, split=TRAIN, cache_dir=self.cache_dir)
        except DataError as error:
            raise DataError(
                f"the texts of known class are the split train of the source: {error} Name them as `train`."
            ) from error

    def judged(self, spec: SourceSpec) -> Table | RetrievalFolder:
        """Queries, documents and the judgements of one split; or a table of pairs."""
        hub = hub_id_of(spec, self.folder)
        if hub is not None and hub.config is None:
            return self._of_the_hub(hub, spec.limit)
        loaded = self.load(spec, TEST)
        if isinstance(loaded, Table) or len(loaded.judgements) == 1:
            return loaded
        if TEST not in loaded.judgements:
            raise DataError(
                f"{loaded.name}: judgements of several splits and none called {TEST}; name one of "
                f"{listed(loaded.judgements)} as `split`"
            )
        return replace(loaded, judgements={TEST: loaded.judgements[TEST]})

    def apart(self, corpus: SourceSpec, queries: SourceSpec, qrels: SourceSpec) -> RetrievalFolder:
        """Queries, documents and judgements that lie apart."""
        read = {
            "corpus": self._whole(corpus),
            "queries": self._whole(queries),
            "qrels": self.load(qrels, TEST),
        }
        tables: dict[str, Table] = {}
        for name, loaded in read.items():
            if isinstance(loaded, RetrievalFolder):
                raise DataError(f"{name}: {loaded.name} is a whole set for retrieval; name it as `source`")
            tables[name] = loaded
        hub, judged = hub_id_of(qrels, self.folder), tables["qrels"]
        folder = retrieval_of_tables(
            judged.name,
            judged.origin,
            queries=tables["queries"].dataset,
            corpus=tables["corpus"].dataset,
            judgements={(hub.split if hub else qrels.split) or TEST: judged.dataset},
        )
        return replace(folder, notes=tuple(dict.fromkeys([*judged.notes, *folder.notes])))

    def _of_the_hub(self, hub: HubId, limit: int | None) -> RetrievalFolder:
        """A set of the Hub in the layout of BEIR; the split that is named is that of its judgements."""
        if limit is not None:
            raise DataError(f"{hub.name}: limit counts rows of a table, and this is a set for retrieval")
        corpus, queries, qrels = (
            SourceSpec(hub.name, config=part, revision=hub.revision)
            for part in ("corpus", "queries", "qrels")
        )
        try:
            return self.apart(corpus, queries, replace(qrels, split=hub.split))
        except DataError as error:
            raise DataError(f"{str(error).rstrip('.')}. {_ON_THE_HUB}") from error

    def _whole(self, spec: SourceSpec) -> Table | RetrievalFolder:
        return load_source(spec, folder=self.folder, cache_dir=self.cache_dir)

    def _of_folder(self, spec: SourceSpec, split: str) -> str | None:
        """The split to read of a folder of tables; None where it is one, or no such folder."""
        path = existing(spec.source, self.folder)
        if path is None or not path.is_dir() or is_retrieval_folder(path):
            return None
        splits = discover_splits(path)
        if len(splits) > 1 and split not in splits:
            raise DataError(
                f"{spec.source}: several splits and none called {split}; name one of {listed(splits)} as "
                "`split`"
            )
        return split if len(splits) > 1 else None
