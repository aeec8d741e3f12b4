"""Masks by text id: the join against loops, and what may repel what."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sbert_triplet.losses.batch import Embedded, Loss
from sbert_triplet.losses.candidates import candidates_of, forbidden_negatives
from sbert_triplet.losses.learned import OasisLoss, RelativeComparisonsLoss
from sbert_triplet.losses.masks import blocked_pairs, equal_texts
from sbert_triplet.losses.pairs import ContrastiveLoss
from sbert_triplet.losses.triplet import HofferAilonLoss, TripletLoss

IDS = st.lists(st.integers(0, 6), min_size=0, max_size=8)
PAIRS = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=10)


@given(IDS, IDS, PAIRS)
@settings(max_examples=150, deadline=None)
def test_blocked_pairs_against_a_loop(
    rows: list[int], candidates: list[int], pairs: list[tuple[int, int]]
) -> None:
    blocked = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2)
    found = blocked_pairs(
        torch.tensor(rows, dtype=torch.long), torch.tensor(candidates, dtype=torch.long), blocked
    )
    either = {*pairs, *((b, a) for a, b in pairs)}
    assert found.tolist() == [[(row, candidate) in either for candidate in candidates] for row in rows]


def test_large_ids_need_no_table() -> None:
    huge = 2**62
    found = blocked_pairs(torch.tensor([huge, 1]), torch.tensor([1, 2, huge]), torch.tensor([[1, huge]]))
    assert found.tolist() == [[True, False, False], [False, False, True]]


def test_unknown_texts_equal_nothing() -> None:
    assert equal_texts(torch.tensor([-1, 3]), torch.tensor([-1, 3])).tolist() == [
        [False, False],
        [False, True],
    ]


def test_what_is_no_negative_of_a_pair() -> None:
    # Anchors 0, 1, 0, 3 with positives 10, 11, 12, 10; hard negatives 1, 11, 20, 10.
    columns = (torch.zeros(4, 2), torch.zeros(4, 2))
    batch = Embedded(
        columns,
        ids=(torch.tensor([0, 1, 0, 3]), torch.tensor([10, 11, 12, 10])),
        negatives=torch.zeros(4, 2),
        negative_ids=torch.tensor([1, 11, 20, 10]),
        negative_rows=torch.tensor([0, 1, 2, 3, 4]),
        blocked=torch.tensor([[20, 1]]),
    )
    expected = [
        # Own, another, positive of an equal anchor, text of the own positive | negatives
        [True, False, True, True, False, False, False, True],
        [False, True, False, False, True, True, True, False],
        [True, False, True, False, False, False, False, False],
        [True, False, False, True, False, False, False, True],
    ]
    assert forbidden_negatives(batch).tolist() == expected
    found = candidates_of(batch)
    assert found.positives.nonzero().tolist() == [[0, 0], [1, 1], [2, 2], [3, 3]]
    assert (found.negatives == ~torch.tensor(expected)).all()
    assert found.masked == sum(map(sum, expected)) - 4


def test_rows_of_the_same_class_are_no_negatives_of_pairs() -> None:
    batch = Embedded((torch.zeros(3, 2), torch.zeros(3, 2)), labels=torch.tensor([5, 6, 5]))
    assert forbidden_negatives(batch).tolist() == [
        [True, False, True],
        [False, True, False],
        [True, False, True],
    ]


def test_equal_texts_with_different_labels_are_never_used() -> None:
    batch = Embedded(
        (torch.zeros(4, 2),),
        ids=(torch.tensor([7, 7, 8, 8]),),
        labels=torch.tensor([0, 1, 1, 1]),
        blocked=torch.tensor([[7, 8]]),
    )
    found = candidates_of(batch)
    assert not found.negatives.any()
    assert found.positives.nonzero().tolist() == [[1, 2], [1, 3], [2, 1], [3, 1]]
    assert found.masked == 2 + 4


@pytest.mark.parametrize(
    "loss",
    [
        TripletLoss(distance="euclidean", margin=1.0),
        HofferAilonLoss(),
        RelativeComparisonsLoss(dimensions=4),
        OasisLoss(dimensions=4, rank=2),
        ContrastiveLoss(margin=2.0),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_a_given_negative_that_is_a_positive_of_its_row_gets_no_gradient(loss: Loss) -> None:
    columns = 0.2 * torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(2))
    negatives = (0.2 * torch.randn(3, 4, generator=torch.Generator().manual_seed(3))).requires_grad_()
    batch = Embedded(
        (columns[0], columns[1]),
        ids=(torch.tensor([1, 2, 3]), torch.tensor([11, 12, 13])),
        negatives=negatives,
        # The first is its row's own positive, the second is blocked, the third is a negative.
        negative_ids=torch.tensor([11, 22, 23]),
        negative_rows=torch.tensor([0, 1, 2, 3]),
        blocked=torch.tensor([[22, 2]]),
    )
    loss(batch).value.backward()
    assert negatives.grad is not None
    assert negatives.grad[:2].abs().max() == 0
    assert negatives.grad[2].abs().max() > 0
