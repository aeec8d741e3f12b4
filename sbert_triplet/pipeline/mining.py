"""Negatives mined for the rows of ``data.train``, and what the run folder keeps of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sbert_triplet.data.contrastive import contrastive_rows, positive_rows
from sbert_triplet.data.examples import IntArray
from sbert_triplet.data.kinds import Kind
from sbert_triplet.data.texts import TextTable
from sbert_triplet.data.wording import percent
from sbert_triplet.errors import InputError
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.mining.hard_negatives import mine
from sbert_triplet.mining.marks import MARKS, Marks
from sbert_triplet.mining.mined import Mined
from sbert_triplet.mining.output import as_dataset, write_dataset
from sbert_triplet.mining.rescoring import PairScorer
from sbert_triplet.mining.suspects import write_table
from sbert_triplet.pipeline.decide import choose_loss
from sbert_triplet.pipeline.documents import pool_of
from sbert_triplet.pipeline.folder import NEGATIVES, SUSPECTS, RunFolder
from sbert_triplet.pipeline.gathered import Gathered, Rows
from sbert_triplet.pipeline.marks import has_marks, marks_of
from sbert_triplet.pipeline.searching import recall_of, scorer_of, search_name, search_of, spared_seconds
from sbert_triplet.pipeline.tasks import Setting
from sbert_triplet.processes import agreed
from sbert_triplet.recipe.losses import LossPart
from sbert_triplet.recipe.mine import MineRecipe
from sbert_triplet.recipe.model import Recipe
from sbert_triplet.training.library_losses import find_loss
from sbert_triplet.training.refresh import Round

MINED, COUNTS = "mined.parquet", "counts.json"
KINDS = frozenset({Kind.PAIRS, Kind.TRIPLETS, Kind.RETRIEVAL})
PURPOSE = 13
SEARCHES = {
    "exact": "exact search",
    "approximate": "approximate search",
    "bm25": "BM25",
    "mixed": "exact search and BM25 in turn",
    "approximate and bm25": "approximate search and BM25 in turn",
}
LOW_RECALL = 0.9
"""Below it, what else could be done is said."""
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Negatives:
    """What was mined, and the ``rows`` that are trained on: with these negatives behind those they had.

    ``documents``: how many were searched. ``search``: by which of ``SEARCHES``. ``recall``: of an approximate
    search, NaN of any other. ``seconds``: what encoding, search and filters take where nothing of it was
    kept by an earlier run. ``scorer``: the cross-encoder that took part, for the next round.
    """

    recipe: MineRecipe
    rows: Rows
    mined: Mined
    documents: int
    texts: TextTable
    marks: Marks
    search: str
    recall: float
    seconds: float
    scorer: PairScorer | None

    def lines(self) -> list[str]:
        """For people: what was looked at, what each filter took away, and what is left."""
        found = [
            f"Negatives for {len(self.mined):,} rows among {self.documents:,} documents, by "
            f"{SEARCHES[self.search]}"
        ]
        found += [f"  {line}" for line in self.mined.counts.lines()]
        if self.recall == self.recall:
            better = "; mine.index: hnsw or mine.search: exact find more" if self.recall < LOW_RECALL else ""
            found.append(
                f"  the approximate search finds {percent(self.recall, 1)} of the nearest (a sample){better}"
            )
        if self.recipe.marks is not None:
            judged = ", ".join(f"{count:,} {name}" for name, count in self._marked().items())
            found.append(f"  marks of {self.recipe.marks}: {judged}")
        if count := self.mined.suspected:
            listed = self.mined.suspects.num_rows
            among = "" if listed == count else f"; the likeliest {listed:,} are listed"
            found.append(f"  {count:,} suspects, which may be positives that nobody noted{among}")
        return found

    def as_json(self) -> dict[str, Any]:
        """``counts.json``."""
        return {
            "search": self.search,
            "recall": self.recall,
            "rescored_by": self.recipe.rescore,
            "rows": len(self.mined),
            "documents": self.documents,
            **self.mined.counts.as_json(),
            "suspects": self.mined.suspects.num_rows,
            "suspected": self.mined.suspected,
            "marks": self._marked() if self.recipe.marks is not None else None,
        }

    def write(self, home: Path, rounds: Sequence[Round] = ()) -> None:
        """``negatives/`` of a run folder: a row for each negative, the suspects, and the counts.

        Suspects that somebody has marked since the round before are not replaced. ``rounds``: of a run
        that mines anew, so far.
        """
        folder = home / NEGATIVES
        write_dataset(as_dataset(self.mined, self.texts.texts), folder / MINED)
        suspects = folder / SUSPECTS
        if suspects.is_file() and has_marks(suspects):
            _logger.warning("%s: somebody has marked rows; the file stays as it is", suspects)
        else:
            write_table(self.mined.suspects, suspects)
        write_counts(home, self.as_json(), rounds)

    def _marked(self) -> dict[str, int]:
        marks = self.marks
        pairs = (marks.positives, marks.negatives, marks.ignored)
        counts = {name: len(part) for name, part in zip(MARKS, pairs, strict=True)}
        return counts | {"of texts that are not in the data": marks.unknown}


def write_counts(home: Path, counts: Mapping[str, Any], rounds: Sequence[Round] = ()) -> None:
    """``counts.json`` of a run folder: of the negatives that lie beside it, and of the rounds so far."""
    listed = {"rounds": [each.as_json() for each in rounds]} if rounds else {}
    RunFolder(home / NEGATIVES).write_json(COUNTS, {**counts, **listed})


def with_mined_negatives(setting: Setting) -> tuple[Rows, Negatives | None]:
    """The rows of ``data.train``, with mined negatives where the recipe asks for some.

    Raises InputError where no negatives can be mined for them, or the losses would not take any.
    """
    if setting.recipe.mine.negatives is None:
        return setting.data.main, None
    _refuse_kind(setting.data.kind)
    _refuse_losses(setting.recipe)
    _refuse_phases(setting.recipe)
    found = mine_negatives(setting)
    return found.rows, found


def mine_negatives(setting: Setting) -> Negatives:
    """Encode, search, filter and choose, for the rows of ``data.train``.

    Documents are those of the training rows and of ``data.corpus``. Pairs of held-out rows, and of data
    sets that single losses take, are known not to be negatives. Raises InputError, before anything is
    encoded, for what no mining can be done with, and where no negative is left.
    """
    _refuse_kind(setting.data.kind)
    found = mine_round(setting, 0, marks_of(setting), scorer_of(setting))
    _refuse_none(found.mined)
    return found


def mine_round(setting: Setting, number: int, marks: Marks, scorer: PairScorer | None) -> Negatives:
    """Mine with the weights of the moment, in round ``number`` from 0; no negative at all may be left.

    ``scorer``: a cross-encoder whose scores take the place of similarities.
    """
    start = time.perf_counter()
    recipe, data = setting.recipe.mine, setting.data
    examples, rules = contrastive_rows(data.train), recipe.rules()
    documents = np.unique(np.concatenate([data.documents, pool_of([data.train], [])]))
    search = search_of(setting, documents, keep=number == 0)
    mined = mine(
        examples,
        search,
        data.texts,
        rules,
        known=_known_beside(data),
        marks=marks,
        rescore=scorer,
        salt=(setting.recipe.train.seed, PURPOSE, number),
        memory_bytes=recipe.memory // 4,
        progress=setting.telling("mining"),
    )
    recall = recall_of(setting, search, mined.queries, rules.depth)
    seconds = time.perf_counter() - start + spared_seconds(search)
    mined, recall, seconds = agreed((mined, recall, seconds))
    repeats = None if data.repeats is None else data.repeats[positive_rows(data.train)][mined.rows]
    taken = replace(mined.added_to(examples), kind=Kind.TRIPLETS)
    later = documents if recipe.refresh is not None else None
    rows = Rows(data.main.name, taken, repeats, marks.blocked, later)
    return Negatives(
        recipe,
        rows,
        mined,
        len(documents),
        data.texts,
        marks,
        search_name(recipe, len(documents)),
        recall,
        seconds,
        scorer,
    )


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


def _refuse_phases(recipe: Recipe) -> None:
    if recipe.mine.refresh is not None and recipe.curriculum.hardness != "none":
        raise InputError(
            "mine.refresh: curriculum.hardness sorts the negatives of before training from easy to hard, and "
            "those mined anew would be unsorted; leave one of the two out"
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
