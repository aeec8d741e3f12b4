"""From the sources of a recipe to text ids in splits: everything that is known before a model is loaded."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.data.bad_cells import BadCells, Reason
from sbert_triplet.data.beir import RetrievalFolder
from sbert_triplet.data.binding import groups_of
from sbert_triplet.data.build import build_examples, build_retrieval, concatenate
from sbert_triplet.data.cells import scan_cells
from sbert_triplet.data.classes import classes_unseen, with_common_classes
from sbert_triplet.data.columns import describe_roles, infer_roles
from sbert_triplet.data.contrastive import queries_without_positive
from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind, Roles
from sbert_triplet.data.sources import SourceSpec, Table, load_source, rows_taken
from sbert_triplet.data.texts import TextTable
from sbert_triplet.data.wording import listed, times
from sbert_triplet.errors import DataError
from sbert_triplet.pipeline.documents import (
    document_ids,
    document_role,
    documents_seen,
    pool_of,
    scan_documents,
)
from sbert_triplet.pipeline.gathered import Gathered, Rows
from sbert_triplet.pipeline.mixing import (
    HELD_OUT,
    cut_splits,
    exact_codes,
    repeats_by_weight,
    rows_with_held_out_texts,
    take_queries,
)
from sbert_triplet.recipe.data import Columns
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.recipe.sources import Source

IntArray = NDArray[np.int64]
Say = Callable[[str], None]


class Gatherer:
    """Reads the sources of one recipe into one text table.

    ``set_aside``: rows that cannot be used are left out and counted; else they are refused.
    """

    def __init__(
        self,
        recipe: Recipe,
        folder: Path | None,
        scratch: Path,
        say: Say,
        *,
        set_aside: bool = False,
        texts: TextTable | None = None,
    ) -> None:
        self.recipe, self.folder, self.scratch, self.say = recipe, folder, scratch, say
        self.set_aside = set_aside
        self.texts = texts or TextTable(scratch)
        self.roles: dict[str, str] = {}
        self.table_roles: Roles | None = None
        self.notes: list[str] = []
        self.names: list[str] = []
        self.bad: list[tuple[str, int, str, str]] = []
        self.rows_set_aside = 0
        self.documents: list[IntArray] = []
        self.beside: dict[str, Examples] = {}
        self.repeats: IntArray | None = None
        self.exact: list[IntArray | None] = []
        self.digest = hashlib.sha256()

    def gather(self) -> Gathered:
        """Load, build and split. Raises DataError with what to do."""
        data = self.recipe.data
        parts = {"train": self._read("train", data.train)}
        parts |= {name: rows for name, rows in self.beside.items() if getattr(data, name) is None}
        for name, sources in (("dev", data.dev), ("test", data.test)):
            if sources is not None:
                parts[name] = self._read(name, sources)
        for source in data.corpus or ():
            self.documents.append(self._corpus(source))
        parts = with_common_classes(parts)
        read = parts.pop("train")
        try:
            splits = cut_splits(read, parts, self.recipe, self.texts.texts)
        except DataError as error:
            raise DataError(f"{listed(self.names)}: {error}") from error
        train, dev, test = read.select(splits.train), parts.get("dev"), parts.get("test")
        dev = dev if dev is not None else read.select(splits.dev)
        was_cut = test is None
        test = test if test is not None else read.select(splits.test)
        others, places = self._others([dev, test])
        return Gathered(
            texts=self.texts,
            train=train,
            dev=dev,
            test=test,
            pool=pool_of([read, *parts.values()], self.documents),
            documents=pool_of([], self.documents),
            roles=self.roles,
            fingerprint=self.digest.hexdigest(),
            method=splits.method,
            sources=tuple(self.names),
            repeats=None if self.repeats is None else self.repeats[splits.train],
            exact=self._exact(splits.train),
            groups=(splits.groups[splits.test] if splits.groups is not None else None)
            if was_cut
            else groups_of(test),
            documents_seen=documents_seen(train, test),
            notes=(
                *self.notes,
                *splits.notes,
                *classes_unseen(train, {"dev": dev, "test": test}),
                *queries_without_positive(train),
            ),
            bad_cells=self._bad_cells(),
            rows_set_aside=self.rows_set_aside,
            given=parts,
            others=others,
            places=places,
        )

    def _others(self, held_out: Sequence[Examples]) -> tuple[tuple[Rows, ...], tuple[int, ...]]:
        """The data sets of the recipe's losses, without rows of held-out texts, and who takes which."""
        wanted = [(part.dataset, part.columns, part.kind) for part in self.recipe.losses if part.dataset]
        distinct = [each for place, each in enumerate(wanted) if each not in wanted[:place]]
        return tuple(self._other(*each, held_out) for each in distinct), tuple(map(distinct.index, wanted))

    def _other(
        self, source: Source, columns: Columns, kind: Kind | None, held_out: Sequence[Examples]
    ) -> Rows:
        own = self.recipe.data.model_copy(update={"train": (source,), "columns": columns, "kind": kind})
        evaluate = self.recipe.evaluate.model_copy(update=dict.fromkeys(HELD_OUT, 0))
        recipe = self.recipe.model_copy(update={"data": own, "evaluate": evaluate})
        gatherer = Gatherer(
            recipe, self.folder, self.scratch, self.say, set_aside=self.set_aside, texts=self.texts
        )
        examples = gatherer._read("train", own.train)
        name = gatherer.names[0]
        seen = rows_with_held_out_texts(examples, held_out)
        if seen.all():
            raise DataError(f"losses: every row of {name} has a text of the held-out rows; none is left")
        self.names += gatherer.names
        self.notes += gatherer.notes
        self.rows_set_aside += gatherer.rows_set_aside
        self.digest.update(gatherer.digest.digest())
        if seen.any():
            self.notes.append(
                f"{name}: {times(int(seen.sum()), 'row', 'rows')} with a held-out text left out"
            )
        kept = np.flatnonzero(~seen)
        repeats = gatherer.repeats
        return Rows(name, examples.select(kept), None if repeats is None else repeats[kept])

    def _read(self, split: str, sources: tuple[Source, ...]) -> Examples:
        parts = [self._one(split, source, alone=len(sources) == 1) for source in sources]
        if len({part.kind for part in parts}) > 1:
            found = ", ".join(
                f"{name}: {part.kind.described}" for name, part in zip(_names(sources), parts, strict=True)
            )
            raise DataError(
                f"data.{split}: the sources are of different kinds ({found}); one run takes one kind. "
                "Name the columns that make them one kind under data.columns, or make two runs"
            )
        if split == "train":
            self.repeats = repeats_by_weight(parts, sources, self.recipe.train.seed)
        return concatenate(parts)

    def _one(self, split: str, source: Source, *, alone: bool) -> Examples:
        loaded = self._load(source)
        if isinstance(loaded, RetrievalFolder):
            return self._retrieval(split, source, loaded, alone)
        dataset, taken = loaded.dataset, rows_taken(len(loaded.dataset), self._limit(split, source))
        if len(taken) < len(dataset):
            dataset = dataset.select(taken)
        roles = infer_roles(dataset, self._given_roles(split), name=loaded.name)
        self.table_roles = self.table_roles or roles
        self._tell(loaded.name, loaded.origin, len(dataset), len(loaded.dataset), roles)
        found = scan_cells(dataset, roles)
        bad = replace(found, cell_rows=taken[found.cell_rows])
        self._refuse_or_count(loaded.name, bad, len(dataset))
        examples = build_examples(dataset, roles, self.texts, skip=found.rows)
        if not len(examples):
            raise DataError(
                f"{loaded.name}: none of its {len(dataset):,} rows can be used:\n{_indented(bad)}\n"
                "Name another column under data.columns, or mend the rows"
            )
        if split == "train":
            self.exact.append(exact_codes(dataset, roles)[examples.row_numbers])
        return replace(examples, row_numbers=taken[examples.row_numbers])

    def _given_roles(self, split: str) -> dict[str, str | list[str]]:
        """What the recipe says of the columns; texts alone are measured on rows that say it themselves."""
        alone = self.recipe.data.kind is Kind.TEXTS and split in HELD_OUT
        return {} if alone else self.recipe.data.given_roles()

    def _limit(self, split: str, source: Source) -> int:
        """The most rows to take of a source."""
        limits = [source.limit, self.recipe.data.limit if split == "train" else None]
        return min((limit for limit in limits if limit is not None), default=sys.maxsize)

    def _exact(self, rows: IntArray) -> IntArray | None:
        known = [codes for codes in self.exact if codes is not None]
        return np.concatenate(known)[rows] if known and len(known) == len(self.exact) else None

    def _refuse_or_count(self, name: str, bad: BadCells, rows: int) -> None:
        if not len(bad):
            return
        if not self.set_aside:
            long = " A cell may hold 1,000,000 characters." if Reason.TOO_LONG in bad.cell_reasons else ""
            raise DataError(
                f"{name}: {len(bad.rows):,} of {rows:,} rows cannot be used "
                f"(counted from 1, without a header line):\n{_indented(bad)}\n"
                f"Mend them, or set them aside with data.on_bad_row: skip (--set data.on_bad_row=skip).{long}"
            )
        if self.recipe.data.on_bad_row == "skip":
            were = "was" if len(bad.rows) == 1 else "were"
            self.notes.append(f"{name}: {len(bad.rows):,} of {rows:,} rows {were} set aside")
        self.rows_set_aside += len(bad.rows)
        self.bad += [(name, cell.row, cell.column, cell.reason.words) for cell in bad]

    def _bad_cells(self) -> tuple[tuple[int, str, str], ...]:
        """Row, column and reason of each; the column with its source where there are several."""
        several = len(set(self.names)) > 1
        return tuple(
            (row, f"{name}: {column}" if several else column, reason)
            for name, row, column, reason in self.bad
        )

    def _load(self, source: Source) -> Table | RetrievalFolder:
        if source.rows is not None:
            loaded = load_source(source.rows)
        elif source.source is not None:
            spec = SourceSpec(source.source, source.config, source.split, source.revision)
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

    def _retrieval(self, split: str, source: Source, loaded: RetrievalFolder, alone: bool) -> Examples:
        wanted = source.split or (split if split in loaded.judgements else next(iter(loaded.judgements)))
        if wanted not in loaded.judgements:
            raise DataError(
                f"{loaded.name}: no judgements for the split {wanted!r}; "
                f"there are {', '.join(loaded.judgements)}"
            )
        self.roles.update(anchor="queries.text", positive="corpus.title and corpus.text", score="qrels.score")
        examples = self._judged(split, source, loaded, wanted)
        if split == "train":
            self.exact.append(None)
        if split == "train" and alone and source.split is None:
            for name in HELD_OUT:
                given = name != wanted and name in loaded.judgements
                if given and getattr(self.recipe.evaluate, name) != 0:
                    self.beside[name] = self._judged(name, source, loaded, name)
        return examples

    def _judged(self, split: str, source: Source, loaded: RetrievalFolder, judged_as: str) -> Examples:
        every = loaded.judgements[judged_as]
        judged = take_queries(every, self._limit(split, source))
        of = f" of {len(every):,}" if len(judged) < len(every) else ""
        self.say(
            f"{loaded.name}: a retrieval folder of {len(loaded.corpus):,} documents; "
            f"{split}: {len(judged):,}{of} judgements of its split {judged_as}"
        )
        try:
            examples, corpus = build_retrieval(loaded.queries, loaded.corpus, judged, self.texts)
        except DataError as error:
            raise DataError(f"{loaded.name}: {error}") from error
        self.documents.append(corpus)
        return examples

    def _corpus(self, source: Source) -> IntArray:
        loaded = self._load(source)
        if isinstance(loaded, RetrievalFolder):
            corpus = loaded.corpus
            rows = zip(corpus["title"], corpus["text"], strict=True)
            return self.texts.add(f"{title}\n{text}" if title else text for title, text in rows)
        given = self.table_roles
        positives = [given.positive, *given.more_positives] if given and given.positive else []
        role = document_role(loaded.dataset, [name for name in positives if name], loaded.name)
        self.say(f"{loaded.name} ({loaded.origin}): {len(loaded.dataset):,} further documents, from {role}")
        bad = scan_documents(loaded.dataset, role)
        self._refuse_or_count(loaded.name, bad, len(loaded.dataset))
        return document_ids(loaded.dataset, role, self.texts, bad)

    def _tell(self, name: str, origin: str, rows: int, all_rows: int, roles: Roles) -> None:
        of = f" of {all_rows:,}" if rows < all_rows else ""
        self.say(f"{name} ({origin}): {rows:,}{of} rows")
        for line in describe_roles(roles):
            self.say(f"  {line}")
        named = {
            "anchor": roles.anchor,
            "positive": ", ".join(name for name in (roles.positive, *roles.more_positives) if name) or None,
            "negative": ", ".join(roles.negatives) or None,
            "label": roles.label,
            "score": roles.score,
            "weight": roles.weight,
            "kept": ", ".join(roles.kept) or None,
        }
        self.roles.update({role: column for role, column in named.items() if column})


def _names(sources: Sequence[Source]) -> list[str]:
    return [str(source.source or "rows given in Python") for source in sources]


def _indented(bad: BadCells) -> str:
    return "\n".join(f"  {line}" for line in bad.lines())
