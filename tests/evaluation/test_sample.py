"""What is looked at: within its bounds, of the right pairs, and the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.evaluation.held_out import HeldOut, hold_out
from sbert_triplet.evaluation.judged import judged_pairs
from sbert_triplet.evaluation.metrics import parse_metric
from sbert_triplet.evaluation.portrait import NEAREST_WRONG, hits_of, portray
from sbert_triplet.evaluation.sample import Sample, draw_sample

IntArray = np.ndarray[Any, np.dtype[np.int64]]


class Table:
    """Embeddings of text ids as rows of a table; queries and documents alike."""

    similarity = "cosine"

    def __init__(self, texts: int, seed: int = 2, rows: Mapping[int, list[float]] | None = None) -> None:
        self.rows = np.random.default_rng(seed).normal(size=(texts, 5)).astype(np.float32)
        for text, row in (rows or {}).items():
            self.rows[text] = row

    def __call__(self, side: Side, ids: IntArray) -> np.ndarray[Any, np.dtype[np.float32]]:
        return self.rows[ids]

    def cosine(self, one: int, two: int) -> float:
        a, b = self.rows[one].astype(float), self.rows[two].astype(float)
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def examples(kind: Kind, anchors: Any, **columns: Any) -> Examples:
    anchors = np.array(anchors)
    return Examples(kind, anchors, np.arange(len(anchors)), **columns)


def retrieval(queries: int = 30, pool: int = 90) -> HeldOut:
    """Query n with document queries + n; every third also with the one after."""
    anchors = [n for n in range(queries) for _ in range(1 + (n % 3 == 0))]
    positives = [queries + n + more for n in range(queries) for more in range(1 + (n % 3 == 0))]
    rows = examples(Kind.PAIRS, anchors, positives=np.array(positives))
    return hold_out(rows, [parse_metric("RR@10")], pool=np.arange(queries, queries + pool))


def drawn(held_out: HeldOut, **bounds: int) -> Sample:
    return draw_sample(held_out.parts[0], seed=5, **bounds)


def test_of_retrieval() -> None:
    held_out = retrieval()
    sample = drawn(held_out, texts=20, pairs=25)
    relevant, random = sample.groups
    task = held_out.parts[0].retrieval
    assert task is not None
    judged = {(query, document) for query, grades in task.judgements.items() for document in grades}
    assert set(zip(relevant.left.tolist(), relevant.right.tolist(), strict=True)) <= judged
    assert not set(zip(random.left.tolist(), random.right.tolist(), strict=True)) & judged
    assert len(relevant.left) == 25
    assert len(random.left) <= 25
    queries, documents = sample.texts
    assert len(queries.ids) == 10
    assert len(documents.ids) <= 10
    ids = np.concatenate([queries.ids, documents.ids])
    assert len(np.unique(ids)) == len(sample) == len(ids)
    assert {tuple(pair) for pair in ids[sample.together].tolist()} <= judged
    assert len(sample.together) == 10
    assert held_out.parts[0].items[queries.items, 0].tolist() == queries.ids.tolist()


def test_the_same_seed_gives_the_same_sample() -> None:
    one, two, other = (draw_sample(retrieval().parts[0], seed=s, texts=8, pairs=9) for s in (1, 1, 2))
    assert one.texts[0].ids.tolist() == two.texts[0].ids.tolist() != other.texts[0].ids.tolist()
    assert one.groups[1].right.tolist() == two.groups[1].right.tolist()


def test_of_classes() -> None:
    texts = [*range(40), 3, 3]
    labels = np.array([text % 4 for text in texts])
    rows = examples(Kind.LABELLED, texts, labels=labels, label_names=tuple("abcd"))
    held_out = hold_out(rows, [parse_metric("1-NN accuracy")], pool=np.zeros(0, int), memory=rows)
    sample = drawn(held_out, texts=24, pairs=300)
    (block,) = sample.texts
    assert len(np.unique(block.ids)) == 24
    assert sample.classes is not None
    assert sample.classes.tolist() == (block.ids % 4).tolist()
    same, other = sample.groups
    assert len(same.left) > 20
    assert (same.left % 4 == same.right % 4).all()
    assert (same.left != same.right).all()
    assert (other.left % 4 != other.right % 4).all()
    assert sample.classes[sample.together[:, 0]].tolist() == sample.classes[sample.together[:, 1]].tolist()
    assert (sample.together[:, 0] != sample.together[:, 1]).all()


def test_classes_of_one_text_each_have_no_pairs() -> None:
    labels = np.arange(6)
    rows = examples(Kind.LABELLED, np.arange(6), labels=labels, label_names=tuple("abcdef"))
    held_out = hold_out(rows, [parse_metric("1-NN accuracy")], pool=np.zeros(0, int), memory=rows)
    sample = drawn(held_out)
    assert len(sample.groups[0].left) == 0
    assert sample.together.shape == (0, 2)
    found = portray(sample, held_out.parts[0], held_out.score(Table(6))[0], Table(6), seed=1)
    assert list(found.near) == ["other class"]
    assert np.isnan(found.health.alignment)


def test_of_triplets() -> None:
    rows = examples(
        Kind.TRIPLETS,
        [0, 1, 2],
        positives=np.array([10, 11, 0]),
        negatives=Ragged.from_lists([[20, 21], [22], [23]]),
    )
    held_out = hold_out(rows, [parse_metric("triplet accuracy")], pool=np.zeros(0, int))
    sample = drawn(held_out)
    positive, negative = sample.groups
    assert positive.left.tolist() == negative.left.tolist() == [0, 0, 1, 2]
    assert positive.right.tolist() == [10, 10, 11, 0]
    assert negative.right.tolist() == [20, 21, 22, 23]
    ids = np.concatenate([block.ids for block in sample.texts])
    assert ids.tolist() == [0, 1, 2, 10, 11]
    assert {tuple(pair) for pair in ids[sample.together].tolist()} == {(0, 10), (1, 11), (2, 0)}


def test_of_scored_pairs_by_thirds_of_the_scores() -> None:
    scores = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 6.0])
    rows = examples(Kind.SCORED, np.arange(6), positives=np.arange(6, 12), scores=scores)
    held_out = hold_out(rows, [parse_metric("Spearman")], pool=np.zeros(0, int))
    sample = drawn(held_out)
    assert [group.name for group in sample.groups] == [
        "highest third of the scores",
        "middle third",
        "lowest third",
    ]
    assert [group.left.tolist() for group in sample.groups] == [[4, 5], [2, 3], [0, 1]]
    ids = np.concatenate([block.ids for block in sample.texts])
    assert ids[sample.together].tolist() == [[4, 10], [5, 11]]


def test_of_pairs_that_are_the_same_or_not() -> None:
    rows = examples(
        Kind.SCORED, np.arange(4), positives=np.array([4, 5, 2, 7]), scores=np.array([1.0, 0.0, 1.0, 0.0])
    )
    held_out = hold_out(rows, [parse_metric("pair AP")], pool=np.zeros(0, int))
    sample = drawn(held_out)
    same, other = sample.groups
    assert (same.left.tolist(), same.right.tolist()) == ([0, 2], [4, 2])
    assert (other.left.tolist(), other.right.tolist()) == ([1, 3], [5, 7])
    # A text that is paired with itself is one text.
    assert len(sample.together) == 1


# What a model makes of it.


def test_the_portrait_of_a_model() -> None:
    held_out, embed = retrieval(), Table(120)
    part = held_out.parts[0]
    sample, scored = drawn(held_out), held_out.score(embed)[0]
    found = portray(sample, part, scored, embed, seed=1)
    assert list(found.near) == ["relevant document", NEAREST_WRONG, "random document"]
    relevant = sample.groups[0]
    expected = [embed.cosine(*pair) for pair in zip(relevant.left, relevant.right, strict=True)]
    np.testing.assert_allclose(found.near["relevant document"], expected, atol=1e-6)
    task = part.retrieval
    assert task is not None
    nearest = []
    for query in part.items[:, 0].tolist():
        others = [d for d in task.document_ids.tolist() if d not in task.judgements[query]]
        nearest.append(max(embed.cosine(query, document) for document in others))
    np.testing.assert_allclose(found.near[NEAREST_WRONG], nearest, atol=1e-6)
    assert found.rows.shape == (len(sample), 5)
    assert found.health.texts == len(sample)
    assert found.health.positives == len(sample.together)
    first = scored.values["RR@10"].per_item
    assert found.hits is not None
    assert first is not None
    assert found.hits.tolist() == (first == 1).tolist()


def test_hits_of_pairs() -> None:
    near = {0: [1, 0, 0, 0, 0], 10: [1, 0.1, 0, 0, 0], 1: [0, 1, 0, 0, 0], 11: [0, 0.2, 1, 0, 0]}
    near |= {2: [0, 0, 1, 0, 0], 12: [1, 0, 0.1, 0, 0], 3: [0, 0, 0, 1, 0], 13: [0, 0, 0, 1, 0.2]}
    embed = Table(20, rows={text: [float(value) for value in row] for text, row in near.items()})
    pairs = {"positives": np.array([10, 11, 12, 13])}
    same = examples(Kind.SCORED, np.arange(4), scores=np.array([1.0, 0.0, 0.0, 0.0]), **pairs)
    held_out = hold_out(same, [parse_metric("pair AP")], pool=np.zeros(0, int))
    scored = held_out.score(embed)[0]
    # The pair of the highest similarity but one is the only one that is the same.
    assert scored.threshold is not None
    hits = hits_of(held_out.parts[0], scored)
    assert hits is not None
    by_cut = scored.predictions >= scored.threshold.similarity
    assert hits.tolist() == (by_cut == [True, False, False, False]).tolist()
    graded = examples(Kind.SCORED, np.arange(4), scores=np.array([3.0, 2.0, 1.0, 4.0]), **pairs)
    held_out = hold_out(graded, [parse_metric("Spearman")], pool=np.zeros(0, int))
    assert hits_of(held_out.parts[0], held_out.score(embed)[0]).tolist() == [True] * 4  # type: ignore[union-attr]
    turned = examples(Kind.SCORED, np.arange(4), scores=np.array([1.0, 2.0, 4.0, 3.0]), **pairs)
    held_out = hold_out(turned, [parse_metric("Spearman")], pool=np.zeros(0, int))
    assert hits_of(held_out.parts[0], held_out.score(embed)[0]).tolist() == [False, True, False, True]  # type: ignore[union-attr]


# Pairs of which it is known whether they are the same.


def test_of_retrieval_the_first_result_is_judged() -> None:
    held_out, embed = retrieval(), Table(120)
    part, scored = held_out.parts[0], held_out.score(embed)[0]
    found = judged_pairs(part, scored, embed)
    assert found is not None
    assert scored.top_ids is not None
    hits = hits_of(part, scored)
    assert hits is not None
    assert found.same.tolist() == hits.tolist()
    expected = [embed.cosine(*pair) for pair in zip(part.items[:, 0], scored.top_ids[:, 0], strict=True)]
    np.testing.assert_allclose(found.similarities, expected, atol=1e-6)


def test_of_triplets_every_pair_is_judged_once() -> None:
    rows = examples(
        Kind.TRIPLETS,
        [0, 0, 2],
        positives=np.array([10, 11, 12]),
        negatives=Ragged.from_lists([[20, 21], [20], [23]]),
    )
    held_out, embed = hold_out(rows, [parse_metric("triplet accuracy")], pool=np.zeros(0, int)), Table(30)
    found = judged_pairs(held_out.parts[0], held_out.score(embed)[0], embed)
    assert found is not None
    pairs = [(0, 10), (0, 11), (0, 20), (0, 21), (2, 12), (2, 23)]
    np.testing.assert_allclose(found.similarities, [embed.cosine(*pair) for pair in pairs], atol=1e-6)
    assert found.same.tolist() == [True, True, False, False, True, False]
    assert found.groups is not None
    assert found.groups.tolist() == [0, 0, 0, 0, 2, 2]
    fewer = found.some(3, seed=1)
    assert len(fewer.same) == len(fewer.similarities) == 3
    assert set(fewer.similarities) < set(found.similarities)


def test_of_classes_the_nearest_text_is_judged() -> None:
    known = examples(Kind.LABELLED, [0, 1, 2, 3], labels=np.array([0, 1, 0, 1]), label_names=("a", "b"))
    asked = examples(Kind.LABELLED, [4, 5, 6], labels=np.array([0, 0, 1]), label_names=("a", "b"))
    held_out = hold_out(asked, [parse_metric("1-NN accuracy")], pool=np.zeros(0, int), memory=known)
    embed = Table(7)
    scored = held_out.score(embed)[0]
    found = judged_pairs(held_out.parts[0], scored, embed)
    assert found is not None
    right = scored.values["1-NN accuracy"].per_item
    assert right is not None
    assert found.same.tolist() == (right == 1).tolist()
    nearest = [max(embed.cosine(text, other) for other in range(4)) for text in (4, 5, 6)]
    np.testing.assert_allclose(found.similarities, nearest, atol=1e-6)


def test_scored_pairs_say_of_none_that_it_is_the_same() -> None:
    rows = examples(Kind.SCORED, np.arange(3), positives=np.arange(3, 6), scores=np.array([0.1, 0.5, 0.9]))
    held_out, embed = hold_out(rows, [parse_metric("Spearman")], pool=np.zeros(0, int)), Table(6)
    assert judged_pairs(held_out.parts[0], held_out.score(embed)[0], embed) is None
