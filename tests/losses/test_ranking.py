"""Ranking losses: candidates, masks, temperature, blocks, and the views."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from sbert_triplet.errors import InputError
from sbert_triplet.losses import softmax
from sbert_triplet.losses.batch import Embedded, Loss, Needs, Queue
from sbert_triplet.losses.guided import GuidedRankingLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss, SymmetricRankingLoss
from sbert_triplet.losses.supervised_contrastive import SupervisedContrastiveLoss
from sbert_triplet.losses.views import MoCoLoss, NTXentLoss, SimCSELoss


def rows(count: int, seed: int = 0, dimensions: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, dimensions, generator=generator, dtype=torch.float64)


def cosines(left: Tensor, right: Tensor) -> Tensor:
    return normalize(left, dim=1) @ normalize(right, dim=1).T


def ragged(**extra: Any) -> Embedded:
    return Embedded(
        (rows(4, 0), rows(4, 1)), negatives=rows(5, 2), negative_rows=torch.tensor([0, 2, 2, 5, 5]), **extra
    )


def by_hand(logits: Tensor, forbidden: set[tuple[int, int]], own: list[int] | None = None) -> Tensor:
    """Cross-entropy of each row, candidate by candidate."""
    out = []
    for i, row in enumerate(logits):
        positive = i if own is None else own[i]
        kept = [j for j in range(len(row)) if (i, j) not in forbidden or j == positive]
        out.append(-row[positive] + torch.logsumexp(torch.stack([row[j] for j in kept]), dim=0))
    return torch.stack(out)


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_all_positives_and_all_negatives_are_candidates_of_every_anchor(similarity: Any) -> None:
    batch = ragged()
    anchor, candidates = batch.columns[0], torch.cat([batch.columns[1], rows(5, 2)])
    values = {
        "cosine": cosines(anchor, candidates),
        "dot": anchor @ candidates.T,
        "euclidean": -torch.cdist(anchor, candidates),
        "manhattan": -torch.cdist(anchor, candidates, p=1.0),
    }[similarity]
    output = MultipleNegativesRankingLoss(scale=7.0, similarity=similarity)(batch)
    torch.testing.assert_close(output.value, cross_entropy(7 * values, torch.arange(4)))
    assert output.stats["n_valid"] == 4
    assert output.stats["accuracy"] == float((values.argmax(1) == torch.arange(4)).double().mean())


def test_usual_scales() -> None:
    assert MultipleNegativesRankingLoss().scale.number() == 20
    assert MultipleNegativesRankingLoss(similarity="dot").scale.number() == 1


def test_equal_texts_known_positives_and_classes_are_masked_but_never_the_own_positive() -> None:
    ids = (torch.tensor([0, 1, 0, 3]), torch.tensor([10, 11, 12, 10]))
    batch = ragged(
        ids=ids,
        negative_ids=torch.tensor([20, 11, 0, 21, 22]),
        blocked=torch.tensor([[21, 3], [1, 11], [3, 12]]),
    )
    logits = 20 * cosines(batch.columns[0], torch.cat([batch.columns[1], rows(5, 2)]))
    forbidden = {(0, 2), (0, 3), (2, 0), (3, 0), (1, 5), (0, 6), (2, 6), (3, 7), (3, 2)}
    output = MultipleNegativesRankingLoss()(batch)
    torch.testing.assert_close(output.value, by_hand(logits, forbidden).mean())
    assert output.stats["masked"] == len(forbidden)
    labelled = Embedded(batch.columns, labels=torch.tensor([1, 1, 2, 3]))
    expected = by_hand(logits[:, :4], {(0, 1), (1, 0)}).mean()
    torch.testing.assert_close(MultipleNegativesRankingLoss()(labelled).value, expected)


def test_rows_left_without_a_negative_are_dropped_and_weights_weigh_rows() -> None:
    columns = (rows(3, 0), rows(3, 1))
    logits = 20 * cosines(*columns)
    ids = (torch.tensor([0, 1, 2]), torch.tensor([10, 11, 12]))
    blocked = torch.tensor([[0, 11], [0, 12]])
    losses = by_hand(logits, {(0, 1), (0, 2)})
    output = MultipleNegativesRankingLoss()(Embedded(columns, ids=ids, blocked=blocked))
    torch.testing.assert_close(output.value, losses[1:].mean())
    assert output.stats["n_valid"] == 2
    weights = torch.tensor([9.0, 1.0, 3.0])
    weighed = MultipleNegativesRankingLoss()(Embedded(columns, ids=ids, blocked=blocked, weights=weights))
    torch.testing.assert_close(weighed.value, (losses[1] + 3 * losses[2]) / 4)


def test_the_reverse_direction_has_no_hard_negatives() -> None:
    batch = ragged(
        ids=(torch.tensor([0, 1, 2, 3]), torch.tensor([10, 11, 12, 13])), blocked=torch.tensor([[2, 10]])
    )
    anchor, positive = batch.columns
    there = by_hand(cosines(anchor, torch.cat([positive, rows(5, 2)])) / 0.07, {(2, 0)}).mean()
    back = by_hand(cosines(positive, anchor) / 0.07, {(0, 2)}).mean()
    output = SymmetricRankingLoss()(batch)
    torch.testing.assert_close(output.value.double(), (there + back) / 2, rtol=1e-6, atol=1e-6)


def test_blocks_of_rows_give_the_same_value_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    def run() -> list[Tensor]:
        columns = [rows(4, seed).requires_grad_() for seed in (0, 1)]
        loss = MultipleNegativesRankingLoss(scale=9.0, learn_scale=True).double()
        batch = Embedded(
            (columns[0], columns[1]), negatives=rows(5, 2), negative_rows=torch.tensor([0, 2, 2, 5, 5])
        )
        output = loss(batch)
        return [output.value, *torch.autograd.grad(output.value, [*columns, *loss.parameters()])]

    whole = run()
    for block in (1, 20):
        monkeypatch.setattr(softmax, "BLOCK", block)
        for ours, expected in zip(run(), whole, strict=True):
            torch.testing.assert_close(ours, expected)


def test_gradient_of_the_logits_and_of_the_scale() -> None:
    columns = [rows(4, seed).requires_grad_() for seed in (0, 1)]
    loss = MultipleNegativesRankingLoss(scale=9.0, learn_scale=True).double()
    (log_scale,) = loss.parameters()
    value = loss(Embedded((columns[0], columns[1]))).value
    (gradient,) = torch.autograd.grad(value, log_scale)
    s = cosines(*columns)
    p = (log_scale.exp() * s).softmax(1)
    torch.testing.assert_close(gradient, (log_scale.exp() * ((p * s).sum(1) - s.diagonal()).mean()).detach())


@pytest.mark.parametrize(
    "loss",
    [
        MultipleNegativesRankingLoss(scale=90.0, learn_scale=True),
        SymmetricRankingLoss(temperature=0.0101),
        NTXentLoss(temperature=0.0101, learn_temperature=True),
        MoCoLoss(temperature=0.0101, learn_temperature=True),
        SupervisedContrastiveLoss(temperature=0.0101, learn_temperature=True),
        GuidedRankingLoss(temperature=0.0101, learn_temperature=True),
    ],
)
def test_a_learned_temperature_stays_within_its_limit(loss: Any) -> None:
    (parameter,) = loss.parameters()
    with torch.no_grad():
        parameter.fill_(9.0)
    loss.after_step()
    assert float(parameter.detach()) == pytest.approx(math.log(100))
    assert loss.scale.number() == pytest.approx(100)


def test_temperatures_out_of_range() -> None:
    with pytest.raises(ValueError, match="starts at 100 at most"):
        MultipleNegativesRankingLoss(scale=200.0, learn_scale=True)
    with pytest.raises(ValueError, match="temperature is 0: it must be above 0"):
        SymmetricRankingLoss(temperature=0)
    with pytest.raises(ValueError, match="scale is -1"):
        MultipleNegativesRankingLoss(scale=-1)
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        NTXentLoss(similarity="cosin")  # type: ignore[arg-type]


def queue_of(count: int) -> Queue:
    return Queue(rows(count, 5), torch.arange(100, 100 + count))


@pytest.mark.parametrize(
    ("loss", "batch", "expected"),
    [
        (MultipleNegativesRankingLoss(), Embedded((torch.ones(4, 3), torch.ones(4, 3))), math.log(4)),
        (
            MultipleNegativesRankingLoss(),
            Embedded(
                (torch.ones(4, 3), torch.ones(4, 3)),
                negatives=torch.ones(8, 3),
                negative_rows=torch.arange(5) * 2,
            ),
            math.log(12),
        ),
        (
            SymmetricRankingLoss(),
            Embedded(
                (torch.ones(4, 3), torch.ones(4, 3)),
                negatives=torch.ones(8, 3),
                negative_rows=torch.arange(5) * 2,
            ),
            (math.log(12) + math.log(4)) / 2,
        ),
        (NTXentLoss(), Embedded((torch.ones(4, 3), torch.ones(4, 3))), math.log(7)),
        (SimCSELoss().eval(), Embedded((torch.ones(4, 3), torch.ones(4, 3))), math.log(4)),
        (
            MoCoLoss(),
            Embedded(
                (torch.ones(4, 3), torch.ones(4, 3)),
                keys=torch.ones(4, 3),
                queue=Queue(torch.ones(9, 3), torch.arange(9) + 50),
            ),
            math.log(10),
        ),
        (
            SupervisedContrastiveLoss(),
            Embedded((torch.ones(6, 3),), labels=torch.arange(6) // 2),
            math.log(5),
        ),
        (
            GuidedRankingLoss(),
            Embedded(
                (torch.ones(3, 4), torch.ones(3, 4)), guide=Embedded((torch.eye(4)[:3], torch.eye(4)[:3]))
            ),
            math.log(7),
        ),
    ],
)
def test_collapse(loss: Loss, batch: Embedded, expected: float) -> None:
    assert float(loss(batch).value.detach()) == pytest.approx(expected, rel=1e-5)


def test_a_single_pair_gives_zero_and_warns_once() -> None:
    columns = tuple(rows(1, seed).requires_grad_() for seed in (0, 1))
    for loss in (MultipleNegativesRankingLoss(), SymmetricRankingLoss()):
        with pytest.warns(UserWarning, match="without a single negative"):
            output = loss(Embedded(columns))
        assert float(output.value.detach()) == 0
        assert output.stats["n_valid"] == 0
        for gradient in torch.autograd.grad(output.value, columns):
            assert not gradient.any()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loss(Embedded(columns))


def test_nt_xent_against_a_loop_with_masks() -> None:
    left, right = rows(3, 0), rows(3, 1)
    both = torch.cat([left, right])
    ids = (torch.tensor([0, 1, 2]), torch.tensor([10, 11, 12]))
    # Rows 0 and 2 have the same positive text, and 10 and 11 are known positives of each other.
    batch = Embedded(
        (left, right), ids=(ids[0], torch.tensor([10, 11, 10])), blocked=torch.tensor([[10, 11]])
    )
    itself = {(i, i) for i in range(6)}
    same_text = {(0, 2), (0, 5), (3, 2), (3, 5)}
    blocked = {(3, 4), (4, 5)}
    pairs = same_text | blocked
    forbidden = itself | pairs | {(b, a) for a, b in pairs}
    own = [3, 4, 5, 0, 1, 2]
    output = NTXentLoss(temperature=0.3)(batch)
    torch.testing.assert_close(output.value, by_hand(cosines(both, both) / 0.3, forbidden, own).mean())
    assert output.stats["n_valid"] == 6
    assert output.stats["masked"] == len(forbidden) - 6


def test_simcse_warns_where_dropout_is_off() -> None:
    view = rows(4)
    loss = SimCSELoss()
    with pytest.warns(UserWarning, match="both views of every text coincide"):
        loss(Embedded((view, view.clone())))
    assert loss.needs == loss.needs_for("labelled") == Needs(columns=1, views=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SimCSELoss()(Embedded((view, view + 0.1)))


def test_simcse_masks_equal_texts() -> None:
    left, right = rows(3, 0), rows(3, 1)
    ids = torch.tensor([4, 5, 4])
    output = SimCSELoss()(Embedded((left, right), ids=(ids, ids)))
    torch.testing.assert_close(output.value, by_hand(cosines(left, right) / 0.05, {(0, 2), (2, 0)}).mean())


@pytest.mark.parametrize("in_batch", [False, True])
def test_moco_against_a_loop_with_masks(in_batch: bool) -> None:
    query, positive, keys = rows(3, 0), rows(3, 1).requires_grad_(), rows(3, 2).requires_grad_()
    queue = Queue(rows(4, 3), torch.tensor([0, 11, 40, 41]))
    batch = Embedded(
        (query.requires_grad_(), positive),
        ids=(torch.tensor([0, 1, 2]), torch.tensor([10, 11, 12])),
        keys=keys,
        queue=queue,
        blocked=torch.tensor([[2, 41]]),
    )
    logits = torch.cat([cosines(query, keys), cosines(query, queue.keys)], dim=1) / 0.07
    others = set() if in_batch else {(i, j) for i in range(3) for j in range(3) if i != j}
    output = MoCoLoss(in_batch=in_batch)(batch)
    torch.testing.assert_close(output.value, by_hand(logits, others | {(0, 3), (1, 4), (2, 6)}).mean())
    assert output.stats["masked"] == 3
    assert output.stats["queue"] == 4
    gradients = torch.autograd.grad(output.value, (query, keys), allow_unused=True)
    assert gradients[0].any()
    assert gradients[1] is None, "keys of the momentum encoder carry no gradient"


def test_moco_with_an_empty_queue_and_without_keys() -> None:
    query = rows(3).requires_grad_()
    batch = Embedded(
        (query, rows(3, 1)), keys=rows(3, 2), queue=Queue(rows(0), torch.zeros(0, dtype=torch.long))
    )
    output = MoCoLoss()(batch)
    assert float(output.value.detach()) == 0
    assert output.stats["n_valid"] == 0
    with pytest.raises(InputError, match="moco wants the keys"):
        MoCoLoss()(Embedded((query, query)))


def test_supervised_contrastive_against_a_loop() -> None:
    x = rows(7)
    labels = torch.tensor([0, 0, 1, 1, 1, 2, 0])
    ids = torch.tensor([1, 2, 3, 4, 5, 6, 2])
    weights = torch.tensor([1.0, 2.0, 1.0, 1.0, 0.5, 9.0, 1.0])
    logits = cosines(x, x) / 0.2
    terms = []
    for i in range(7):
        others = [j for j in range(7) if j != i and ids[j] != ids[i]]
        own = [j for j in others if labels[j] == labels[i]]
        if own:
            total = torch.logsumexp(torch.stack([logits[i, j] for j in others]), dim=0)
            terms.append((weights[i], sum(total - logits[i, p] for p in own) / len(own)))
    expected = sum(w * t for w, t in terms) / sum(w for w, _ in terms)
    loss = SupervisedContrastiveLoss(temperature=0.2)
    output = loss(Embedded((x,), ids=(ids,), labels=labels, weights=weights))
    torch.testing.assert_close(output.value, expected)
    assert output.stats["n_valid"] == len(terms) == 6
    with pytest.raises(InputError, match="one column"):
        loss(Embedded((x, x), labels=labels))


@pytest.mark.parametrize("margin_kind", ["absolute", "relative"])
@pytest.mark.parametrize("contrast", [True, False])
def test_guided_against_a_loop(margin_kind: Any, contrast: bool) -> None:
    batch = ragged(
        ids=(torch.tensor([0, 1, 2, 3]), torch.tensor([10, 11, 12, 13])),
        negative_ids=torch.tensor([20, 21, 22, 23, 24]),
        blocked=torch.tensor([[0, 11], [2, 24], [0, 3]]),
    )
    guide = Embedded((rows(4, 7), rows(4, 8) + rows(4, 7)), negatives=rows(5, 9))
    batch = Embedded(**{**vars(batch), "guide": guide})

    def blocks(columns: tuple[Tensor, ...], negatives: Tensor) -> Tensor:
        a, p = columns
        parts = [cosines(a, p), cosines(a, negatives)] + ([cosines(a, a), cosines(p, p)] if contrast else [])
        return torch.cat(parts, dim=1)

    assert batch.negatives is not None
    assert guide.negatives is not None
    logits, seen = blocks(batch.columns, batch.negatives) / 0.1, blocks(guide.columns, guide.negatives)
    own = cosines(*guide.columns).diagonal()
    limit = own - (0.05 if margin_kind == "absolute" else 0.05 * own.abs())
    near = {(i, j) for i in range(4) for j in range(seen.shape[1]) if seen[i, j] > limit[i]}
    by_id = {(0, 1), (2, 8)}
    if contrast:
        by_id |= {(i, 9 + i) for i in range(4)} | {(i, 13 + i) for i in range(4)}
        by_id |= {(0, 10), (1, 9), (0, 14), (1, 13), (0, 12), (3, 9)}
    loss = GuidedRankingLoss(
        temperature=0.1,
        margin=0.05,
        margin_kind=margin_kind,
        contrast_anchors=contrast,
        contrast_positives=contrast,
    )
    output = loss(batch)
    torch.testing.assert_close(output.value, by_hand(logits, near | by_id).mean())
    assert output.stats["rejected"] == len(
        {pair for pair in near - by_id if pair[0] != pair[1] or pair[1] > 3}
    )


def test_a_guide_of_another_shape_is_refused() -> None:
    loss = GuidedRankingLoss()
    with pytest.raises(InputError, match="wants the batch embedded by a guide"):
        loss(ragged())
    with pytest.raises(InputError, match="the guide embeds 2 columns of 3 rows and 0 hard"):
        loss(ragged(guide=Embedded((rows(3), rows(3)))))
