"""One batch: what is encoded, by whom, and how the columns come out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples
from sbert_triplet.data.kinds import Kind
from sbert_triplet.losses.batch import Loss
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.losses.views import SimCSELoss
from sbert_triplet.training.collate import Collator, TokenBatch

Make = Callable[..., Collator]
Encoder = Callable[..., SentenceTransformer]
Rows = Callable[..., Examples]
Read = Callable[[TokenBatch, Collator], list[str]]

RANKING = MultipleNegativesRankingLoss()


@pytest.fixture
def encoded(token_rows: Callable[..., list[list[int]]]) -> Read:
    """The texts that this process encodes, in the order of its share, read back from the tokens."""

    def read_back(batch: TokenBatch, collator: Collator) -> list[str]:
        tokenizer = collator.tokens._model.tokenizer
        rows = [
            tokenizer.decode(row, skip_special_tokens=True)
            for group in batch.texts.groups
            for row in token_rows(group)
        ]
        return [rows[place] for place in torch.argsort(batch.texts.places).tolist()]

    return read_back


def read(texts: list[str], ids: Any) -> list[str]:
    return [texts[number] for number in ids]


def test_columns_and_negatives_are_those_of_the_rows(
    pairs: Examples, make_encoder: Encoder, make_collator: Make, texts: list[str], encoded: Read
) -> None:
    collator = make_collator(pairs, make_encoder(), RANKING)
    rows = [3, 18, 0, 7, 4, 16]
    batch = collator(rows)
    share = encoded(batch, collator)
    assert pairs.positives is not None
    assert pairs.negatives is not None
    anchors, positives = pairs.anchors[rows], pairs.positives[rows]
    negatives = [pairs.negatives[row].tolist() for row in rows]
    assert read(share, batch.columns[0]) == read(texts, anchors)
    assert read(share, batch.columns[1]) == read(texts, positives)
    assert batch.ids.tolist() == [anchors.tolist(), positives.tolist()]
    assert batch.negatives is not None
    assert batch.negative_ids is not None
    assert batch.negative_rows is not None
    for place, expected in enumerate(negatives):
        own = slice(batch.negative_rows[place], batch.negative_rows[place + 1])
        assert batch.negative_ids[own].tolist() == expected
        assert read(share, batch.negatives[own]) == read(texts, expected)
    assert batch.rows.tolist() == [1000 + row for row in rows]


def test_each_text_is_encoded_once_however_many_places_it_has(
    pairs: Examples, make_encoder: Encoder, make_collator: Make, texts: list[str], encoded: Read
) -> None:
    collator = make_collator(pairs, make_encoder(), RANKING)
    rows = list(range(24))
    assert pairs.positives is not None
    assert pairs.negatives is not None
    places = [*pairs.anchors, *pairs.positives, *pairs.negatives.values]
    share = encoded(collator(rows), collator)
    assert len(places) > len(set(places))
    assert sorted(share) == sorted(texts[number] for number in set(places))


def test_a_text_on_two_sides_of_one_form_is_encoded_once_and_of_two_forms_twice(
    rows: Rows, make_encoder: Encoder, make_collator: Make, texts: list[str], encoded: Read
) -> None:
    examples = rows(Kind.PAIRS, [0, 1], positives=[1, 0])
    model = make_encoder()
    assert make_collator(examples, model, RANKING, sides=("query", "document"))([0, 1]).texts.sizes == (2,)
    model.prompts = {"query": "red cat ", "document": ""}
    collator = make_collator(examples, model, RANKING, sides=("query", "document"))
    batch = collator([0, 1])
    share = encoded(batch, collator)
    assert batch.texts.sizes == (4,)
    assert read(share, batch.columns[0]) == [f"red cat {texts[0]}", f"red cat {texts[1]}"]
    assert read(share, batch.columns[1]) == [texts[1], texts[0]]


@pytest.mark.parametrize("budget", [1, 20, 64, 10_000])
def test_groups_keep_the_budget_and_count_the_tokens(
    pairs: Examples,
    make_encoder: Encoder,
    make_collator: Make,
    token_rows: Callable[..., list[list[int]]],
    budget: int,
) -> None:
    batch = make_collator(pairs, make_encoder(), RANKING, budget=budget)(list(range(12)))
    for group in batch.texts.groups:
        assert group["input_ids"].numel() <= budget or len(token_rows(group)) == 1
    assert batch.tokens == sum(len(row) for group in batch.texts.groups for row in token_rows(group))
    assert sorted(batch.texts.places.tolist()) == list(range(batch.texts.sizes[0]))


def test_rows_without_any_negative_keep_their_empty_pointers(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    batch = make_collator(pairs, make_encoder(), RANKING)([0, 4, 8])
    assert batch.negatives is not None
    assert batch.negatives.shape == (0,)
    assert batch.negative_rows is not None
    assert batch.negative_rows.tolist() == [0, 0, 0, 0]


def test_examples_without_negatives_have_none(
    scored: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    batch = make_collator(scored, make_encoder(), CoSENTLoss())([5, 2])
    assert batch.negatives is None
    assert batch.negative_ids is None
    assert batch.negative_rows is None
    assert batch.scores is not None
    assert scored.scores is not None
    assert batch.scores.tolist() == scored.scores[[5, 2]].tolist()
    assert batch.blocked is None


def test_labels_and_weights_come_along(rows: Rows, make_encoder: Encoder, make_collator: Make) -> None:
    examples = rows(Kind.LABELLED, [4, 5, 6], labels=[0, 1, 0], weights=[1, 2, 3])
    loss = TripletLoss(margin=0.3, miner="hard")
    batch = make_collator(examples, make_encoder(), loss)([2, 0])
    assert batch.columns.shape == (1, 2)
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 0]
    assert batch.weights is not None
    assert batch.weights.tolist() == [3.0, 1.0]


def test_views_are_encoded_twice_and_nothing_once_for_several_places(
    rows: Rows, make_encoder: Encoder, make_collator: Make, texts: list[str], encoded: Read
) -> None:
    examples = rows(Kind.PAIRS, [3, 4, 3], positives=[5, 6, 7])
    collator = make_collator(examples, make_encoder(), SimCSELoss())
    batch = collator([0, 1, 2])
    assert batch.columns.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert batch.ids.tolist() == [[3, 4, 3], [3, 4, 3]]
    assert encoded(batch, collator) == read(texts, [3, 4, 3, 3, 4, 3])


@pytest.mark.parametrize("processes", [2, 3])
@pytest.mark.parametrize("prompts", [{}, {"query": "red cat ", "document": ""}])
def test_every_text_is_encoded_by_exactly_one_process(
    pairs: Examples,
    make_encoder: Encoder,
    make_collator: Make,
    processes: int,
    prompts: dict[str, str],
    encoded: Read,
    token_rows: Callable[..., list[list[int]]],
) -> None:
    model = make_encoder()
    model.prompts = prompts
    sides = ("query", "document")
    alone = make_collator(pairs, model, RANKING, sides=sides)
    ranks = [
        make_collator(pairs, model, RANKING, sides=sides, rank=rank, processes=processes)
        for rank in range(processes)
    ]
    rows = [3, 18, 0, 7, 4, 16, 11, 22]
    whole, parts = alone(rows), [collator(rows) for collator in ranks]
    shares = [encoded(part, collator) for part, collator in zip(parts, ranks, strict=True)]
    assert [text for share in shares for text in share] == encoded(whole, alone)
    assert {part.texts.sizes for part in parts} == {tuple(len(share) for share in shares)}
    for part in parts:
        for name in ("columns", "ids", "rows", "negatives", "negative_ids", "negative_rows"):
            assert torch.equal(getattr(part, name), getattr(whole, name))
        assert part.tokens == whole.tokens
    loads = [sum(len(row) for group in part.texts.groups for row in token_rows(group)) for part in parts]
    longest = max(len(row) for group in whole.texts.groups for row in token_rows(group))
    assert max(loads) - min(loads) <= 2 * longest


def test_a_process_without_a_share_encodes_one_text_that_does_not_count(
    rows: Rows, make_encoder: Encoder, make_collator: Make
) -> None:
    examples = rows(Kind.LABELLED, [8, 8], labels=[0, 1])
    loss = TripletLoss(margin=0.3, miner="hard")
    model = make_encoder()
    parts = [make_collator(examples, model, loss, rank=rank, processes=3)([0, 1]) for rank in range(3)]
    assert sorted(parts[0].texts.sizes) == [0, 0, 1]
    assert all(len(part.texts.places) == 1 and len(part.texts.groups) == 1 for part in parts)


def test_known_positives_of_the_batch_are_blocked(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    known = np.array([[0, 20], [0, 21], [1, 0], [15, 35], [20, 59]])
    batch = make_collator(pairs, make_encoder(), RANKING, known=known)([0, 1])
    assert pairs.positives is not None
    assert pairs.positives[[0, 1]].tolist() == [20, 25]
    assert batch.blocked is not None
    assert batch.blocked.tolist() == [[0, 1], [0, 20]]


def test_negatives_count_among_the_texts_that_may_be_blocked(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    assert pairs.negatives is not None
    first = int(pairs.negatives[1][0])
    batch = make_collator(pairs, make_encoder(), RANKING, known=np.array([[1, first]]))([1, 2])
    assert batch.blocked is not None
    assert batch.blocked.tolist() == [[1, first]]


def partners(collator: Collator, rows: list[int]) -> list[int]:
    ids: list[int] = collator(rows).ids[1].tolist()
    return ids


def test_partners_are_other_texts_of_the_class(
    labelled: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    collator = make_collator(labelled, make_encoder(), RANKING)
    found = np.array([])
    drawn: list[set[int]] = [set() for _ in range(40)]
    for epoch in range(60):
        collator.epoch = epoch
        found = np.array(partners(collator, list(range(40))))
        assert (found % 5 == np.arange(40) % 5).all()
        assert (found != np.arange(40)).all()
        for row, text in enumerate(found):
            drawn[row].add(int(text))
    # 7 others in each class, and 60 draws: all of them come up.
    assert all(len(texts) == 7 for texts in drawn)


def test_partners_are_a_function_of_seed_epoch_and_row(
    labelled: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    model = make_encoder()
    one, again, other = (make_collator(labelled, model, RANKING, seed=seed) for seed in (1, 1, 2))
    rows = list(range(40))
    whole = partners(one, rows)
    assert partners(again, rows[::-1]) == whole[::-1]
    assert partners(one, [7]) == [whole[7]]
    assert partners(other, rows) != whole
    one.epoch = 1
    assert partners(one, rows) != whole


def test_a_text_is_its_own_partner_only_where_its_class_has_no_other(
    rows: Rows, make_encoder: Encoder, make_collator: Make
) -> None:
    examples = rows(Kind.LABELLED, [9, 9, 9, 4, 5, 5], labels=[0, 0, 1, 1, 2, 2])
    collator = make_collator(examples, make_encoder(), RANKING)
    for epoch in range(20):
        collator.epoch = epoch
        assert partners(collator, [0, 1, 2, 3, 4, 5]) == [9, 9, 4, 9, 5, 5]


def test_partners_want_labels(rows: Rows, make_encoder: Encoder, make_collator: Make) -> None:
    collator = make_collator(rows(Kind.LABELLED, [1, 2]), make_encoder(), RANKING)
    with pytest.raises(ValueError, match="second text or class labels"):
        collator([0, 1])


@pytest.mark.parametrize("loss", [RANKING, TripletLoss(margin=0.3, miner="hard"), SimCSELoss()])
def test_everything_is_moved_and_nothing_is_lost(
    pairs: Examples, make_encoder: Encoder, make_collator: Make, loss: Loss
) -> None:
    batch = make_collator(pairs, make_encoder(), loss)([1, 2, 3])
    moved = batch.to(torch.device("meta"))
    assert moved.columns.is_meta
    for group, before in zip(moved.texts.groups, batch.texts.groups, strict=True):
        for name, value in group.items():
            assert value.is_meta if isinstance(value, torch.Tensor) else value == before[name]
        assert group["input_ids"].is_meta
    assert moved.texts.sizes == batch.texts.sizes
    assert moved.tokens == batch.tokens
    same = batch.to(torch.device("cpu"))
    assert torch.equal(same.columns, batch.columns)
    assert torch.equal(same.texts.places, batch.texts.places)


def test_whatever_batches_depend_on_counts_as_a_change(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    collator = make_collator(pairs, make_encoder(), RANKING)
    counts = [collator.changes]
    collator([0, 1])
    assert collator.changes == counts[0]
    collator.budget = 7
    counts.append(collator.changes)
    collator.set_epoch(3)
    counts.append(collator.changes)
    collator.examples = pairs.select(np.arange(len(pairs)))
    counts.append(collator.changes)
    assert counts == sorted(set(counts))
