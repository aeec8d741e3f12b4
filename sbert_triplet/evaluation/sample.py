"""What of the held-out rows is looked at more closely under both models: some texts and some pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbert_triplet.encoding.tokens import Side
from sbert_triplet.evaluation.metrics import Task
from sbert_triplet.evaluation.parts import IntArray, Part

TEXTS = 1_500
"""Texts at most: what a map of them still shows, and what its drawing takes."""
PAIRS = 5_000
"""Pairs of a group at most."""


@dataclass(frozen=True)
class Texts:
    """n different texts of one side: ``ids`` (n,), and ``items`` (n,), the item that each is of."""

    role: str
    side: Side
    ids: IntArray
    items: IntArray


@dataclass(frozen=True)
class PairGroup:
    """Pairs that are expected to be about equally near: text ids ``left`` (m,) and ``right`` (m,)."""

    name: str
    sides: tuple[Side, Side]
    left: IntArray
    right: IntArray


@dataclass(frozen=True)
class Sample:
    """The N texts of all ``texts`` one after the other, and ``groups`` of pairs.

    The first group holds what belongs together, or the pairs of the highest scores. ``together`` (M, 2):
    places among the N texts of two that belong together. ``classes`` (N,): of labelled texts, else None.
    ``items`` (q,): the items whose nearest wrong result is a further group, for retrieval.
    """

    texts: tuple[Texts, ...]
    groups: tuple[PairGroup, ...]
    together: IntArray
    classes: IntArray | None = None
    items: IntArray | None = None

    def __len__(self) -> int:
        return sum(len(block.ids) for block in self.texts)

    @property
    def wanted(self) -> list[tuple[Side, IntArray]]:
        """Everything that has to be embedded."""
        found = [(block.side, block.ids) for block in self.texts]
        for group in self.groups:
            found += [(group.sides[0], group.left), (group.sides[1], group.right)]
        return found


def draw_sample(part: Part, *, seed: int, texts: int = TEXTS, pairs: int = PAIRS) -> Sample:
    """The sample of a part, at most ``texts`` texts and ``pairs`` pairs of a group; the same for the same
    ``seed``.
    """
    rng = np.random.default_rng(seed)
    if part.retrieval is not None:
        return _of_retrieval(part, rng, texts, pairs)
    if part.classes is not None:
        return _of_classes(part.items[:, 0], part.classes.of_items, rng, texts, pairs)
    if part.task is Task.TRIPLETS:
        return _of_triplets(part, rng, texts, pairs)
    return _of_pairs(part, rng, texts, pairs)


def _of_retrieval(part: Part, rng: np.random.Generator, texts: int, pairs: int) -> Sample:
    assert part.retrieval is not None
    task = part.retrieval
    relevant = {
        place: [document for document, grade in sorted(task.grades(int(query)).items()) if grade > 0]
        for place, query in enumerate(task.query_ids)
    }
    answered = np.array([place for place, found in relevant.items() if found], dtype=np.int64)
    chosen = _some(answered, pairs, rng)
    pool = task.document_ids
    drawn = pool[rng.integers(len(pool), size=len(chosen))] if len(pool) else np.zeros(0, dtype=np.int64)
    queries = task.query_ids[chosen]
    other = np.array(
        [
            document not in relevant[place] and document != query
            for place, document, query in zip(chosen, drawn.tolist(), queries.tolist(), strict=True)
        ],
        dtype=bool,
    )
    right = [(place, document) for place in chosen for document in relevant[place]]
    owners, documents = _columns(right[:pairs])
    sides: tuple[Side, Side] = ("query", "document")
    shown = chosen[: texts // 2]
    first = np.array([relevant[place][0] for place in shown], dtype=np.int64)
    # A text that is a query as well as a document is shown, and counted, once.
    unique, places = np.unique(first, return_index=True)
    new = ~np.isin(unique, task.query_ids[shown])
    unique, places = unique[new], places[new]
    at = {document: len(shown) + place for place, document in enumerate(unique.tolist())}
    together = [(row, at[document]) for row, document in enumerate(first.tolist()) if document in at]
    return Sample(
        texts=(
            Texts("query", "query", task.query_ids[shown], shown),
            Texts("document", "document", unique, shown[places]),
        ),
        groups=(
            PairGroup("relevant document", sides, task.query_ids[owners], documents),
            PairGroup("random document", sides, queries[other], drawn[other]),
        ),
        together=np.array(together, dtype=np.int64).reshape(-1, 2),
        items=chosen,
    )


def _of_classes(ids: IntArray, labels: IntArray, rng: np.random.Generator, texts: int, pairs: int) -> Sample:
    unique, first = np.unique(ids, return_index=True)
    chosen = _some(np.arange(len(unique)), texts, rng)
    unique, items = unique[chosen], first[chosen]
    classes = labels[items]
    one, two = _pairs_of(len(unique), pairs, rng)
    same = classes[one] == classes[two]
    inside = _pairs_inside(classes, pairs, rng)
    sides: tuple[Side, Side] = ("left", "right")
    return Sample(
        texts=(Texts("text", "left", unique, items),),
        groups=(
            PairGroup("same class", sides, unique[inside[:, 0]], unique[inside[:, 1]]),
            PairGroup("other class", sides, unique[one[~same]], unique[two[~same]]),
        ),
        together=inside,
        classes=classes,
    )


def _of_triplets(part: Part, rng: np.random.Generator, texts: int, pairs: int) -> Sample:
    chosen = _some(np.arange(len(part.items)), pairs, rng)
    anchors, positives, negatives = part.items[chosen].T
    sides: tuple[Side, Side] = ("query", "document")
    blocks, together = _two_blocks(
        ("anchor", "positive"), sides, anchors, positives, chosen, np.ones(len(chosen), dtype=bool), texts
    )
    return Sample(
        texts=blocks,
        groups=(
            PairGroup("positive", sides, anchors, positives),
            PairGroup("negative", sides, anchors, negatives),
        ),
        together=together,
    )


def _of_pairs(part: Part, rng: np.random.Generator, texts: int, pairs: int) -> Sample:
    assert part.gold is not None
    sides: tuple[Side, Side] = ("left", "right")
    names: tuple[str, ...] = ("same", "not the same")
    classes = (part.gold <= 0).astype(np.int64)
    if part.task is Task.SCORED:
        names = ("highest third of the scores", "middle third", "lowest third")
        low, high = float(part.gold.min(initial=np.inf)), float(part.gold.max(initial=-np.inf))
        span = (high - low) or 1.0
        classes = 2 - np.minimum((3 * (part.gold - low) / span).astype(np.int64), 2)
    groups = []
    for number, name in enumerate(names):
        rows = _some(np.flatnonzero(classes == number), pairs, rng)
        groups.append(PairGroup(name, sides, *part.items[rows].T))
    chosen = _some(np.arange(len(part.items)), texts // 2, rng)
    one, two = part.items[chosen].T
    blocks, together = _two_blocks(
        ("text", "other text"), sides, one, two, chosen, classes[chosen] == 0, texts
    )
    return Sample(texts=blocks, groups=tuple(groups), together=together)


def _two_blocks(
    roles: tuple[str, str],
    sides: tuple[Side, Side],
    left: IntArray,
    right: IntArray,
    items: IntArray,
    belong: NDArray[np.bool_],
    texts: int,
) -> tuple[tuple[Texts, Texts], IntArray]:
    """Both sides of pairs as different texts, and the places of those that ``belong`` together."""
    left, right, items = left[: texts // 2], right[: texts // 2], items[: texts // 2]
    ones, first = np.unique(left, return_index=True)
    twos, second = np.unique(right, return_index=True)
    new = ~np.isin(twos, ones)
    twos, second = twos[new], second[new]
    at = {text: place for place, text in enumerate([*ones.tolist(), *twos.tolist()])}
    pairs = {
        (at[one], at[two])
        for one, two, same in zip(left.tolist(), right.tolist(), belong.tolist(), strict=False)
        if same and one != two
    }
    return (
        (Texts(roles[0], sides[0], ones, items[first]), Texts(roles[1], sides[1], twos, items[second])),
        np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2),
    )


def _some(values: IntArray, most: int, rng: np.random.Generator) -> IntArray:
    """At most so many of the values, in their order."""
    if len(values) <= most:
        return values
    return np.sort(rng.choice(values, most, replace=False))


def _columns(pairs: list[tuple[int, int]]) -> tuple[IntArray, IntArray]:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _pairs_of(count: int, pairs: int, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Places of two different texts of ``count``."""
    if count < 2:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    one = rng.integers(count, size=pairs)
    return one, (one + 1 + rng.integers(count - 1, size=pairs)) % count


def _pairs_inside(classes: IntArray, pairs: int, rng: np.random.Generator) -> IntArray:
    """(M, 2) places of two different texts of a class: each text with another one drawn of its class."""
    order = np.argsort(classes, kind="stable")
    _, starts, sizes = np.unique(classes[order], return_index=True, return_counts=True)
    start, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    several = np.flatnonzero(size > 1)
    if not len(several):
        return np.zeros((0, 2), dtype=np.int64)
    places = several[rng.integers(len(several), size=min(pairs, 4 * len(several)))]
    step = 1 + rng.integers(size[places] - 1)
    other = start[places] + (places - start[places] + step) % size[places]
    return np.unique(np.stack([order[places], order[other]], axis=1), axis=0)
