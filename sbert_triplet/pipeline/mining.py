"""Negatives mined before training for the rows of ``data.train``, and what the run folder keeps of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sbert_triplet.data.contrastive import contrastive_rows, positive_rows
from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.texts import TextTable
from sbert_triplet.errors import InputError
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.mining.approximate import ApproximateSearch
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.marks import MARKS, Marks
from sbert_triplet.mining.mined import Mined
from sbert_triplet.mining.output import as_dataset, write_dataset
from sbert_triplet.mining.suspects import write_table
from sbert_triplet.pipeline.decide import choose_loss
from sbert_triplet.pipeline.documents import pool_of
from sbert_triplet.pipeline.folder import NEGATIVES, SUSPECTS, RunFolder
from sbert_triplet.pipeline.gathered import Gathered, Rows
from sbert_triplet.pipeline.marks import marks_of
from sbert_triplet.pipeline.searching import scorer_of, search_of
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.processes import agreed
from sbert_triplet.recipe.losses import LossPart
from sbert_triplet.recipe.mine import MineRecipe
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.library_losses import find_loss

MINED, COUNTS = "mined.parquet", "counts.json"
KINDS = frozenset({Kind.PAIRS, Kind.TRIPLETS, Kind.RETRIEVAL})
PURPOSE = 13
SEARCHES = {
    "exact": "exact search",
    "approximate": "approximate search",
    "bm25": "BM25",
    "mixed": "exact search and BM25 in turn",
}


@dataclass(frozen=True)
class Negatives:
    """What was mined, and the ``rows`` that are trained on: with these negatives behind those they had.

    ``documents``: how many were searched. ``recall``: of an approximate search, NaN of any other.
    """

    recipe: MineRecipe
    rows: Rows
    mined: Mined
    documents: int
    texts: TextTable
    marks: Marks
    recall: float

    def lines(self) -> list[str]:
        """For people: what was looked at, what each filter took away, and what is left."""
        found = [
            f"Negatives for {len(self.mined):,} rows among {self.documents:,} documents, by "
            f"{SEARCHES[self.recipe.search]}"
        ]
        found += [f"  {line}" for line in self.mined.counts.lines()]
        if self.recall == self.recall:
            found.append(f"  the approximate search finds {self.recall:.1%} of the nearest (a sample)")
        if self.recipe.marks is not None:
            judged = ", ".join(f"{count:,} {name}" for name, count in self._marked().items())
            found.append(f"  marks of {self.recipe.marks}: {judged}")
        if count := self.mined.suspects.num_rows:
            found.append(f"  {count:,} suspects, which may be positives that nobody noted")
        return found

    def as_json(self) -> dict[str, Any]:
        """``counts.json``."""
        return {
            "search": self.recipe.search,
            "recall": self.recall,
            "rescored_by": self.recipe.rescore,
            "rows": len(self.mined),
            "documents": self.documents,
            **self.mined.counts.as_json(),
            "suspects": self.mined.suspects.num_rows,
            "marks": self._marked() if self.recipe.marks is not None else None,
        }

    def write(self, home: Path) -> None:
        """``negatives/`` of a run folder: a row for each negative, the suspects, and the counts."""
        folder = home / NEGATIVES
        write_dataset(as_dataset(self.mined, self.texts.texts), folder / MINED)
        write_table(self.mined.suspects, folder / SUSPECTS)
        RunFolder(folder).write_json(COUNTS, self.as_json())

    def _marked(self) -> dict[str, int]:
        marks = self.marks
        pairs = (marks.positives, marks.negatives, marks.ignored)
        counts = {name: len(part) for name, part in zip(MARKS, pairs, strict=True)}
        return counts | {"of texts that are not in the data": marks.unknown}


def with_mined_negatives(setting: Setting) -> tuple[Rows, Negatives | None]:
    """The rows of ``data.train``, with mined negatives where the recipe asks for some.

    Raises InputError where no negatives can be mined for them, or the losses would not take any.
    """
    if setting.recipe.mine.negatives is None:
        return setting.data.main, None
    _refuse_kind(setting.data.kind)
    _refuse_losses(setting.recipe)
    found = mine_negatives(setting)
    return found.rows, found


def mine_negatives(setting: Setting) -> Negatives:
    """Encode, search, filter and choose, for the rows of ``data.train``.

    Documents are those of the training rows and of ``data.corpus``. Pairs of held-out rows, and of data
    sets that single losses take, are known not to be negatives. Raises InputError, before anything is
    encoded, for what no mining can be done with, and where no negative is left.
    """
    recipe, data = setting.recipe.mine, setting.data
    _refuse_kind(data.kind)
    examples, rules, marks = contrastive_rows(data.train), recipe.rules(), marks_of(setting)
    documents = np.unique(np.concatenate([data.documents, pool_of([data.train], [])]))
    search = search_of(setting, documents)
    mined = mine(
        examples,
        search,
        data.texts,
        rules,
        known=_known_beside(data),
        marks=marks,
        rescore=scorer_of(setting),
        salt=(setting.recipe.train.seed, PURPOSE),
        memory_bytes=recipe.memory // 4,
        progress=setting.telling("mining"),
    )
    recall = float("nan")
    if isinstance(search, ApproximateSearch):
        recall = search.recall(mined.queries, rules.depth, memory_bytes=recipe.memory)
    mined, recall = agreed((mined, recall))
    _refuse_none(mined)
    repeats = None if data.repeats is None else data.repeats[positive_rows(data.train)][mined.rows]
    taken = replace(mined.added_to(examples), kind=Kind.TRIPLETS)
    rows = Rows(data.main.name, taken, repeats, marks.blocked)
    return Negatives(recipe, rows, mined, len(documents), data.texts, marks, recall)


def _refuse_kind(kind: Kind) -> None:
    if kind not in KINDS:
        raise InputError(
            "mine: negatives are mined for pairs, triplets and retrieval folders, and data.train holds "
            f"{kind.described}; leave mine out, or name the columns that make pairs under data.columns"
        )


def _refuse_losses(recipe: Recipe) -> None:
    parts = recipe.losses or (LossPart(loss=recipe.loss),)
    own = [choose_loss(part.loss, Kind.TRIPLETS) for part in parts if part.dataset is None]
    if not own:
        raise InputError(
            "mine: negatives are mined for the rows of data.train, and every loss has a dataset of its own; "
            "give a loss without one, or leave mine out"
        )
    for loss in own:
        if Kind.TRIPLETS.value not in find_loss(str(loss.name)).kinds:
            suited = [name for name, entry in LOSSES.items() if Kind.TRIPLETS.value in entry.kinds]
            raise InputError(
                f"mine: rows with mined negatives are triplets, which the loss {loss.name} does not work on; "
                f"for these there are {', '.join(suited)}"
            )


def _refuse_none(mined: Mined) -> None:
    counts = mined.counts
    if counts.chosen:
        return
    taken = ", ".join(f"{name} {count:,}" for name, count in counts.removed.items() if count)
    raise InputError(
        f"mine: of {counts.looked_at:,} candidates of {counts.queries:,} queries no negative is left "
        f"(taken away: {taken or 'nothing'}); loosen what took the most, or add documents with data.corpus"
    )


def _known_beside(data: Gathered) -> IntArray:
    """(n, 2) pairs of text ids that belong together in rows that are not those of ``data.train``."""
    parts = [data.dev, data.test, *(rows.examples for rows in data.others)]
    return np.concatenate([part.known_positives() for part in parts])
