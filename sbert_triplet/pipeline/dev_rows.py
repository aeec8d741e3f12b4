"""Dev rows to measure several models on: of long ones, no more than a number of tokens allows."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sbert_triplet.data.examples import IntArray
from sbert_triplet.encoding.tokens import TokenTable
from sbert_triplet.evaluation.held_out import HeldOut
from sbert_triplet.evaluation.metrics import Task
from sbert_triplet.pipeline.evidence import Evidence, measured_on
from sbert_triplet.pipeline.gathered import Gathered

FEWEST_KEPT = 100
"""So many anchors, and texts that they are compared with, are measured on however long they are."""

_BESIDE = {Task.RETRIEVAL: 1, Task.LABELS: 0}
"""Which of the texts that a part wants are compared with, not asked."""


@dataclass(frozen=True)
class DevRows:
    """A measurement of dev rows by the main metric, and in words what part of them it is."""

    held_out: HeldOut
    size: str
    thinned: bool


def dev_rows(evidence: Evidence, tokens: float) -> DevRows:
    """The dev split, or a random part of it that takes about so many tokens to embed.

    Where a pool is searched, or labelled training texts are, half of the tokens are for these. Anchors are
    kept with all their rows, so no judgement of one that is kept is lost. Raises InputError where the split
    cannot be measured.
    """
    whole, table, data = evidence.dev, evidence.tokens, evidence.data
    if tokens_of(table, whole) <= tokens:
        return DevRows(whole, _size(whole, whole), False)
    rng = np.random.default_rng(evidence.recipe.train.seed)
    anchors = rng.permutation(np.unique(data.dev.anchors))
    bare = _measured(evidence, data, anchors, np.zeros(0, dtype=np.int64))
    each = tokens_of(table, bare) / len(anchors)
    others = rng.permutation(_beside(whole, data))
    taken = _fitting(tokens / 2 if len(others) else tokens, each, len(anchors))
    beside = others[:0]
    if len(others):
        # Documents that rows name are in the pool as well, and cost nothing more.
        side, ids = whole.parts[0].wanted[_BESIDE[whole.parts[0].task]]
        per_text = float(table.lengths(table.form(side), ids).mean())
        beside = others[: _fitting(tokens - taken * each, per_text, len(others))]
    part = _measured(evidence, data, anchors[:taken], np.sort(beside))
    return DevRows(part, _size(part, whole), True)


def tokens_of(table: TokenTable, held_out: HeldOut) -> int:
    """How many tokens are embedded for a measurement; its texts are tokenised by the way."""
    total = 0
    for side, ids in table.by_form(held_out.wanted).values():
        table.add(side, ids)
        total += int(table.lengths(table.form(side), ids).sum())
    return total


def _fitting(tokens: float, each: float, most: int) -> int:
    """How many texts of ``each`` tokens are taken of ``most``."""
    fit = int(max(tokens, 0) // each) if each > 0 else most
    return min(max(fit, FEWEST_KEPT), most)


def _beside(whole: HeldOut, data: Gathered) -> IntArray:
    """What dev rows are compared with beside each other: documents by id, training texts by row."""
    task = whole.parts[0].task
    if task is Task.LABELS:
        return np.arange(len(data.train))
    return data.pool if task in _BESIDE else data.pool[:0]


def _measured(evidence: Evidence, data: Gathered, anchors: IntArray, beside: IntArray) -> HeldOut:
    """The measurement of the rows of ``anchors``, with ``beside`` to be found or to be compared with."""
    rows = np.flatnonzero(np.isin(data.dev.anchors, anchors))
    changed = replace(data, dev=data.dev.select(rows))
    if evidence.dev.parts[0].task is Task.LABELS:
        # Without any text of a known class there is nothing to be embedded, and nothing to be measured.
        changed = replace(changed, train=data.train.select(beside))
    else:
        changed = replace(changed, pool=beside)
    return measured_on(changed, [evidence.held_out.main], "dev")


def _size(part: HeldOut, whole: HeldOut) -> str:
    """``600 of 1,000 queries over 2,300 of 34,120 documents``."""
    mine, all_ = part.parts[0], whole.parts[0]
    if mine.retrieval is not None and all_.retrieval is not None:
        queries = _of(len(mine.items), len(all_.items))
        documents = _of(len(mine.retrieval.document_ids), len(all_.retrieval.document_ids))
        return f"{queries} queries over {documents} documents"
    what = "labelled texts" if mine.task in (Task.LABELS, Task.CLUSTERING) else mine.task.value
    said = f"{_of(len(mine.items), len(all_.items))} {what}"
    if mine.task is not Task.LABELS:
        return said
    known, every = (len(each.wanted[_BESIDE[Task.LABELS]][1]) for each in (mine, all_))
    return f"{said} beside {_of(known, every)} training texts"


def _of(part: int, whole: int) -> str:
    return f"{part:,}" if part == whole else f"{part:,} of {whole:,}"
