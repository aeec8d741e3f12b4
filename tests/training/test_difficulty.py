"""How difficult rows are: by hand on vectors in the plane, by words, by tokens, and by the loss itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.tokens import Side
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.names import LOSSES
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training.difficulty import (
    jaccard_scores,
    length_scores,
    negative_gaps,
    reference_scores,
)
from sbert_triplet.training.row_losses import loss_scores
from sbert_triplet.training.samplers import ClassBatches, RowBatches

Rows = Callable[..., Examples]
Encoder = Callable[..., SentenceTransformer]
MakeCollator = Callable[..., Any]
BOTH: tuple[Side, Side] = ("query", "document")


def at(*degrees: float) -> Callable[[str, np.ndarray], np.ndarray]:
    """A reference model: text i points at the i-th angle, documents at twice the length."""
    angles = np.deg2rad(degrees)

    def table(side: str, ids: np.ndarray) -> np.ndarray:
        rows = np.stack([np.cos(angles[ids]), np.sin(angles[ids])], axis=1)
        return (rows * (2.0 if side == "document" else 1.0)).astype(np.float32)

    return table


def cos(degrees: float) -> float:
    return math.cos(math.radians(degrees))


def test_pairs_are_as_difficult_as_the_positive_is_far(rows: Rows) -> None:
    examples = rows(Kind.PAIRS, [0, 0, 3], positives=[1, 2, 1])
    found = reference_scores(examples, at(0, 60, 90, 180), BOTH)
    assert found == pytest.approx([0.5, 1.0, 1.5], abs=1e-6)


def test_triplets_by_the_sigmoid_of_the_gap_to_the_nearest_negative(rows: Rows) -> None:
    examples = rows(Kind.TRIPLETS, [0, 0, 0], positives=[1, 1, 2], negatives=[[2], [3, 2], []])
    table = at(0, 60, 90, 45)
    gaps = negative_gaps(examples, table, BOTH)
    assert gaps == pytest.approx([cos(90) - 0.5, cos(45) - 0.5, cos(90) - 0.5], abs=1e-6)
    mean = (2 * cos(90) + cos(45)) / 3
    expected = [1 / (1 + math.exp(-gap)) for gap in (-0.5, cos(45) - 0.5, mean - cos(90))]
    assert reference_scores(examples, table, BOTH) == pytest.approx(expected, abs=1e-6)


def test_labelled_text_by_its_distance_from_the_others_of_its_class(rows: Rows) -> None:
    # The mean of the others, without the text: at 15 and 45 degrees for the first two of class 7.
    examples = rows(Kind.LABELLED, [0, 1, 2, 3], labels=[7, 7, 7, 9])
    found = reference_scores(examples, at(0, 30, 60, 5), ("text", "text"))
    assert found[:3] == pytest.approx([1 - cos(45), 1 - cos(0), 1 - cos(45)], abs=1e-6)
    assert np.isnan(found[3])


def test_blocks_change_nothing(rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    table = at(*range(0, 120, 3))
    sets = [
        rows(Kind.LABELLED, range(40), labels=[row % 3 for row in range(40)]),
        rows(
            Kind.PAIRS, range(20), positives=range(20, 40), negatives=[[row, 39 - row] for row in range(20)]
        ),
    ]
    whole = [reference_scores(examples, table, ("text", "text")) for examples in sets]
    monkeypatch.setattr("sbert_triplet.training.difficulty.BLOCK", 7)
    for examples, expected in zip(sets, whole, strict=True):
        np.testing.assert_allclose(reference_scores(examples, table, ("text", "text")), expected, rtol=1e-12)


def test_words_that_anchor_and_positive_share(rows: Rows) -> None:
    texts = ["a red cat", "the red cat", "A CAT", "blue", "red cat sleeps"]
    examples = rows(Kind.PAIRS, [0, 0, 0], positives=[1, 2, 3])
    found = jaccard_scores(examples, lambda ids: [texts[number] for number in ids])
    assert found == pytest.approx([1 - 2 / 4, 1 - 2 / 3, 1.0])


def test_words_that_anchor_and_negative_share(rows: Rows) -> None:
    texts = ["a red cat", "the red cat", "A CAT", "blue", "red cat sleeps"]
    examples = rows(Kind.TRIPLETS, [0, 0, 0], positives=[1, 1, 1], negatives=[[3, 4], [2], []])
    found = jaccard_scores(examples, lambda ids: [texts[number] for number in ids])
    assert found == pytest.approx([2 / 4, 2 / 3, 0.0])


def test_length_is_that_of_anchor_and_positive(
    pairs: Examples, labelled: Examples, make_encoder: Encoder, make_collator: MakeCollator, texts: list[str]
) -> None:
    model = make_encoder()
    for examples in (pairs, labelled):
        collator = make_collator(examples, model, MultipleNegativesRankingLoss(), kind=Kind.PAIRS)
        count = [len(ids) for ids in model.tokenizer(texts)["input_ids"]]
        expected = [count[anchor] for anchor in examples.anchors]
        if examples.positives is not None:
            expected = [n + count[text] for n, text in zip(expected, examples.positives, strict=True)]
        assert length_scores(examples, collator.tokens, collator.sides).tolist() == expected


@pytest.mark.parametrize("kind", [Kind.SCORED, Kind.NLI, Kind.TEXTS])
def test_rows_that_name_no_positive_are_refused(kind: Kind, rows: Rows) -> None:
    second = {"positives": [2, 3]} if kind is not Kind.TEXTS else {}
    judged = {Kind.SCORED: {"scores": [0, 1]}, Kind.NLI: {"labels": [0, 2]}}.get(kind, {})
    examples = rows(kind, [0, 1], **second, **judged)
    with pytest.raises(ValueError, match=f"which {kind.described} do not name"):
        reference_scores(examples, at(0, 1, 2, 3), BOTH)
    with pytest.raises(ValueError, match="jaccard compares a text"):
        jaccard_scores(examples, lambda ids: ["x"] * len(ids))


def encoded(model: SentenceTransformer, texts: Sequence[str]) -> np.ndarray:
    return np.asarray(model.encode(list(texts), show_progress_bar=False), dtype=np.float64)


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def test_the_loss_of_a_row_among_its_batch(
    rows: Rows, make_encoder: Encoder, make_collator: MakeCollator, texts: list[str]
) -> None:
    """Cross-entropy of each row, without dropout and whatever weights the rows have."""
    examples = rows(Kind.PAIRS, range(20), positives=range(20, 40), weights=range(1, 21))
    model, loss = make_encoder(dropout=0.5), MultipleNegativesRankingLoss(scale=10.0)
    batches = RowBatches(20, 7, seed=3)
    found = loss_scores(model, loss, make_collator(examples, model, loss), batches)
    vectors = unit(encoded(model, texts))
    for batch in batches.epoch_batches(0):
        logits = 10.0 * vectors[batch] @ vectors[batch + 20].T
        expected = np.log(np.exp(logits).sum(axis=1)) - np.diag(logits)
        np.testing.assert_allclose(found[batch], expected, rtol=1e-4)
    assert len(np.unique(found)) == 20


def test_a_loss_that_knows_no_weights_is_asked_for_single_rows(
    rows: Rows, make_encoder: Encoder, make_collator: MakeCollator, texts: list[str]
) -> None:
    class Unweighted(Loss):
        """The mean distance of anchor and positive, less that of all negatives."""

        needs = Needs(columns=2, negatives=True)
        compares_by = "cosine"

        def forward(self, batch: Embedded) -> LossOutput:
            assert batch.negatives is not None
            assert batch.negative_rows is not None
            assert int(batch.negative_rows[-1]) == len(batch.negatives)
            near = (batch.columns[0] - batch.columns[1]).norm(dim=1).mean()
            return LossOutput(near - batch.negatives.norm(dim=1).sum() / 10)

    negatives = [[40 + row, 41 + row][: 1 + row % 2] for row in range(12)]
    examples = rows(Kind.TRIPLETS, range(12), positives=range(20, 32), negatives=negatives)
    model = make_encoder()
    collator = make_collator(examples, model, Unweighted())
    found = loss_scores(model, Unweighted(), collator, RowBatches(12, 5, seed=1))
    vectors = encoded(model, texts)
    lengths = np.linalg.norm(vectors, axis=1)
    near = np.linalg.norm(vectors[:12] - vectors[20:32], axis=1)
    np.testing.assert_allclose(
        found,
        [near[row] - lengths[own].sum() / 10 for row, own in enumerate(negatives)],
        rtol=1e-4,
        atol=1e-6,
    )


def test_the_loss_of_labelled_rows_in_batches_of_classes(
    rows: Rows, make_encoder: Encoder, make_collator: MakeCollator, texts: list[str]
) -> None:
    """Batch-hard of each anchor; a class that later epochs only get round to is looked for there."""
    labels = [0] * 20 + [1] * 4 + [2] * 4 + [3]
    examples = rows(Kind.LABELLED, range(29), labels=labels)
    model, loss = make_encoder(), TripletLoss(margin=0.5, miner="hard", soft=True)
    batches = ClassBatches(np.array(labels), 3, 4, seed=2)
    found = loss_scores(model, loss, make_collator(examples, model, loss), batches)
    assert np.isnan(found).tolist() == [False] * 28 + [True]
    distances = 1 - unit(encoded(model, texts)[:29]) @ unit(encoded(model, texts)[:29]).T
    for batch in batches.epoch_batches(0):
        own = np.array(labels)[batch]
        for row, label in zip(batch, own, strict=True):
            gap = distances[row, batch[own == label]].max() - distances[row, batch[own != label]].min()
            assert found[row] == pytest.approx(math.log1p(math.exp(gap)), rel=1e-4)


def test_nothing_of_it_stays(pairs: Examples, make_encoder: Encoder, make_collator: MakeCollator) -> None:
    model, loss = make_encoder(dropout=0.1), MultipleNegativesRankingLoss(learn_scale=True)
    model.train()
    collator = make_collator(pairs, model, loss)
    before = {
        name: value.clone() for name, value in [*model.state_dict().items(), *loss.state_dict().items()]
    }
    state = torch.random.get_rng_state()
    told: list[tuple[int, int]] = []
    loss_scores(
        model, loss, collator, RowBatches(24, 8, seed=1), lambda done, rows: told.append((done, rows))
    )
    assert model.training
    assert loss.training
    assert torch.equal(torch.random.get_rng_state(), state)
    after = {**model.state_dict(), **loss.state_dict()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in [*model.parameters(), *loss.parameters()])
    assert told == [(8, 24), (16, 24), (24, 24)]


def test_losses_that_say_nothing_of_a_row_are_refused(
    scored: Examples, rows: Rows, make_encoder: Encoder, make_collator: MakeCollator
) -> None:
    model, order = make_encoder(), CoSENTLoss()
    with pytest.raises(ValueError, match="says nothing of a single row"):
        loss_scores(model, order, make_collator(scored, model, order), RowBatches(24, 8, seed=1))
    classifier = LOSSES["softmax_classification"].constructor(classes=3, dimensions=16)
    nli = rows(Kind.NLI, range(6), positives=range(6, 12), labels=[0, 1, 2] * 2)
    with pytest.raises(ValueError, match="its classifier knows nothing"):
        loss_scores(model, classifier, make_collator(nli, model, classifier), RowBatches(6, 3, seed=1))
