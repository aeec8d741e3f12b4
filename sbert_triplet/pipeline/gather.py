"""From the sources of a recipe to text ids in splits: everything that is known before a model is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.beir import RetrievalFolder
from sbert_triplet.data.build import build_examples, build_retrieval, concatenate
from sbert_triplet.data.cells import scan_cells
from sbert_triplet.data.columns import describe_roles, infer_roles
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.data.sources import SourceSpec, Table, load_source, take_rows
from sbert_triplet.data.splits import SplitPlan, Splits, split_examples
from sbert_triplet.data.texts import TextTable, text_ids
from sbert_triplet.errors import DataError
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.sources import Source
from sbert_triplet.training.samplers import uniforms

IntArray = NDArray[np.int64]
Say = Callable[[str], None]
DOCUMENT_COLUMNS = ("text", "document", "passage", "body", "content")


@dataclass(frozen=True)
class Gathered:
    """The data of a run.

    ``train``, ``dev`` and ``test`` share the ids of ``texts``; ``pool`` are the text ids of every
    document that search ranks. ``groups``: of the test rows, what is resampled whole.
    ``repeats``: how often each training row comes in one pass, by the weights of the sources.
    """

    texts: TextTable
    train: Examples
    dev: Examples
    test: Examples
    pool: IntArray
    roles: Mapping[str, str]
    fingerprint: str
    method: str
    sources: tuple[str, ...]
    groups: IntArray | None = None
    documents_seen: float | None = None
    notes: tuple[str, ...] = ()
    bad_cells: tuple[tuple[int, str, str], ...] = ()
    given: Mapping[str, Examples] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        return self.train.kind

    @property
    def binary(self) -> bool:
        """Whether scored pairs are only ever yes or no."""
        scores = self.train.scores
        return self.kind is Kind.SCORED and scores is not None and len(np.unique(scores)) <= 2


class Gatherer:
    """Reads the sources of one recipe into one text table."""

    def __init__(self, recipe: Recipe, folder: Path | None, scratch: Path, say: Say) -> None:
        self.recipe, self.folder, self.say = recipe, folder, say
        self.texts = TextTable(scratch)
        self.roles: dict[str, str] = {}
        self.table_roles: Roles | None = None
        self.notes: list[str] = []
        self.names: list[str] = []
        self.bad: list[tuple[int, str, str]] = []
        self.documents: list[IntArray] = []
        self.digest = hashlib.sha256()

    def gather(self) -> Gathered:
        """Load, build and split. Raises DataError with what to do."""
        data = self.recipe.data
        train = self._read("train", data.train)
        given = {
            name: self._read(name, sources)
            for name, sources in (("dev", data.dev), ("test", data.test))
            if sources is not None
        }
        for source in data.corpus or ():
            self.documents.append(self._corpus(source))
        rest, splits = self._split(train, given)
        parts = {
            "dev": given.get("dev", rest.select(splits.dev)),
            "test": given.get("test", rest.select(splits.test)),
        }
        trained = rest.select(splits.train)
        everything = [train, *given.values()]
        return Gathered(
            texts=self.texts,
            train=trained,
            dev=parts["dev"],
            test=parts["test"],
            pool=_pool(everything, self.documents),
            roles=self.roles,
            fingerprint=self.digest.hexdigest(),
            method=splits.method,
            sources=tuple(self.names),
            groups=_groups(given, splits),
            documents_seen=_documents_seen(trained, parts["test"]),
            notes=(*self.notes, *splits.notes),
            bad_cells=tuple(self.bad),
            given=given,
        )

    def _read(self, split: str, sources: tuple[Source, ...]) -> Examples:
        parts = [self._one(split, source) for source in sources]
        if len({part.kind for part in parts}) > 1:
            found = ", ".join(
                f"{source.source}: {part.kind}" for source, part in zip(sources, parts, strict=True)
            )
            raise DataError(
                f"data.{split}: the sources are of different kinds ({found}); one run takes one kind"
            )
        joined = concatenate(parts)
        if split == "train":
            joined = _weighted(joined, parts, sources, self.recipe.train.seed)
        return joined

    def _one(self, split: str, source: Source) -> Examples:
        loaded = self._load(source)
        if isinstance(loaded, RetrievalFolder):
            return self._retrieval(split, source, loaded)
        dataset = loaded.dataset
        if split == "train" and self.recipe.data.limit is not None:
            dataset = take_rows(dataset, self.recipe.data.limit)
        given = self.recipe.data.given_roles()
        roles = infer_roles(dataset, given, name=loaded.name)
        self.table_roles = self.table_roles or roles
        self._tell(loaded.name, loaded.origin, len(dataset), roles)
        bad = scan_cells(dataset, roles)
        if len(bad) and self.recipe.data.on_bad_row == "refuse":
            raise DataError(
                f"{loaded.name}: {len(bad.rows):,} of {len(dataset):,} rows cannot be used:\n  "
                + "\n  ".join(bad.lines())
                + "\nMend them, or set data.on_bad_row to skip to set them aside (--set data.on_bad_row=skip)"
            )
        if len(bad):
            self.notes.append(f"{loaded.name}: {len(bad.rows):,} rows set aside ({'; '.join(bad.lines(3))})")
            self.bad += [(cell.row, cell.column, cell.reason.words) for cell in bad]
        examples = build_examples(dataset, roles, self.texts, skip=bad.rows)
        if not len(examples):
            raise DataError(f"{loaded.name}: no row is left to use; all {len(dataset):,} were set aside")
        return examples

    def _load(self, source: Source) -> Table | RetrievalFolder:
        if source.rows is not None:
            loaded = load_source(source.rows)
        elif source.source is not None:
            spec = SourceSpec(
                str(source.source), source.config, source.split, source.revision, limit=source.limit
            )
            loaded = load_source(spec, folder=self.folder)
        else:
            raise DataError(
                "data: the rows of this recipe were given in Python and are not in it; "
                "name a file as data.train, or give the rows again"
            )
        self.names.append(loaded.name)
        self.notes += [f"{loaded.name}: {note}" for note in loaded.notes]
        self.digest.update(loaded.fingerprint.encode())
        return loaded

    def _retrieval(self, split: str, source: Source, loaded: RetrievalFolder) -> Examples:
        wanted = source.split or (split if split in loaded.judgements else None)
        if wanted is None:
            wanted = next(iter(loaded.judgements))
        if wanted not in loaded.judgements:
            raise DataError(
                f"{loaded.name}: no judgements for the split {wanted!r}; "
                f"there are {', '.join(loaded.judgements)}"
            )
        judged = loaded.judgements[wanted]
        examples, corpus = build_retrieval(loaded.queries, loaded.corpus, judged, self.texts)
        self.documents.append(corpus)
        self.roles.update(anchor="queries.text", positive="corpus.title and corpus.text", score="qrels.score")
        self.say(
            f"{loaded.name}: a retrieval folder of {len(loaded.corpus):,} documents; "
            f"{len(judged):,} judgements of split {wanted} for {split}"
        )
        return examples

    def _corpus(self, source: Source) -> IntArray:
        loaded = self._load(source)
        if isinstance(loaded, RetrievalFolder):
            corpus = loaded.corpus
            rows = zip(corpus["title"], corpus["text"], strict=True)
            return self.texts.add(f"{title}\n{text}" if title else text for title, text in rows)
        names = list(loaded.dataset.column_names)
        columns = [name for name in DOCUMENT_COLUMNS if name in names] or (names if len(names) == 1 else [])
        if not columns:
            raise DataError(
                f"data.corpus: {loaded.name} has the columns {', '.join(names)}; "
                "name the column of the documents text"
            )
        return text_ids(loaded.dataset.with_format("arrow")[columns[0]].combine_chunks(), self.texts)

    def _tell(self, name: str, origin: str, rows: int, roles: Roles) -> None:
        self.say(f"{name} ({origin}): {rows:,} rows, taken as {roles.kind.value}")
        for line in describe_roles(roles):
            self.say(f"  {line}")
        named = {
            "anchor": roles.anchor,
            "positive": roles.positive,
            "negative": ", ".join(roles.negatives) or None,
            "label": roles.label,
            "score": roles.score,
            "weight": roles.weight,
            "kept": ", ".join(roles.kept) or None,
        }
        self.roles.update({role: column for role, column in named.items() if column})

    def _split(self, train: Examples, given: Mapping[str, Examples]) -> tuple[Examples, Splits]:
        evaluate, split = self.recipe.evaluate, self.recipe.data.split
        dev, max_dev = (0.0, None) if "dev" in given else _share(evaluate.dev, len(train))
        test, max_test = (0.0, None) if "test" in given else _share(evaluate.test, len(train))
        if not dev and not test:
            every = np.arange(len(train), dtype=np.int64)
            none = np.zeros(0, dtype=np.int64)
            return train, Splits(every, none, none, None, "train, dev and test as given")
        plan = SplitPlan(
            dev=dev,
            test=test,
            by=split.by,
            how=split.how,
            seed=self.recipe.train.seed,
            max_dev=max_dev,
            max_test=max_test,
        )
        return train, split_examples(train, plan, self.texts.texts)


def _share(wanted: float | int, rows: int) -> tuple[float, int | None]:
    """A share of the rows, and the number of rows that it is capped at, out of either."""
    if isinstance(wanted, int) and wanted > 0:
        return min(wanted / rows, 0.5), wanted
    return float(wanted), None


def _pool(parts: list[Examples], documents: list[IntArray]) -> IntArray:
    """Every document that any part or corpus knows."""
    found = list(documents)
    for part in parts:
        if part.positives is not None and part.kind not in (Kind.SCORED, Kind.LABELLED):
            found.append(part.positives)
        if part.negatives is not None:
            found.append(part.negatives.values)
    return np.unique(np.concatenate(found)) if found else np.zeros(0, dtype=np.int64)


def _groups(given: Mapping[str, Examples], splits: Splits) -> IntArray | None:
    if "test" in given or splits.groups is None:
        return None
    return splits.groups[splits.test]


def _documents_seen(train: Examples, test: Examples) -> float | None:
    if train.positives is None or test.positives is None or not len(test):
        return None
    documents = np.unique(test.positives)
    return float(np.isin(documents, train.positives).mean())


def _weighted(joined: Examples, parts: list[Examples], sources: tuple[Source, ...], seed: int) -> Examples:
    """Rows repeated or thinned out so that each comes as often in one pass as its source's weight says."""
    weights = np.concatenate(
        [np.full(len(part), source.weight) for part, source in zip(parts, sources, strict=True)]
    )
    if (weights == 1.0).all():
        return joined
    whole = np.floor(weights)
    more = uniforms(np.arange(len(joined)), seed, 3) < weights - whole
    times = (whole + more).astype(np.int64)
    return joined.select(np.repeat(np.arange(len(joined)), times))


def counted(gathered: Gathered) -> dict[str, int]:
    """Rows of each split."""
    return {"train": len(gathered.train), "dev": len(gathered.dev), "test": len(gathered.test)}
