"""The momentum encoder, its queue, and training with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer

from sbert_triplet.data.examples import Examples
from sbert_triplet.losses.batch import Embedded, LossOutput
from sbert_triplet.losses.views import MoCoLoss
from sbert_triplet.training.callbacks import AfterStep
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.momentum import MomentumEncoder
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.trainer import OBJECTIVE_FILE, Trainer

Encoder = Callable[..., SentenceTransformer]
Make = Callable[..., Collator]
MakeTrainer = Callable[..., Trainer]


class Seeing(MoCoLoss):
    """Keeps what it was given."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.seen: list[Embedded] = []

    def forward(self, batch: Embedded) -> LossOutput:
        self.seen.append(batch)
        return super().forward(batch)


def moved(model: SentenceTransformer, by: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by)


def test_it_follows_by_the_momentum(make_encoder: Encoder) -> None:
    model = make_encoder()
    momentum = MomentumEncoder(model, 0.75, 4)
    before = [parameter.clone() for parameter in momentum.encoder.parameters()]
    moved(model, 0.4)
    momentum.after_step(model)
    for old, new in zip(before, momentum.encoder.parameters(), strict=True):
        torch.testing.assert_close(new, old + 0.1)
        assert not new.requires_grad


def test_without_momentum_it_is_a_copy(make_encoder: Encoder) -> None:
    model = make_encoder()
    momentum = MomentumEncoder(model, 0.0, 4)
    moved(model, 0.4)
    momentum.after_step(model)
    for own, followed in zip(momentum.encoder.parameters(), model.parameters(), strict=True):
        assert torch.equal(own, followed)


def test_the_queue_is_a_ring_of_the_last_keys(make_encoder: Encoder) -> None:
    model = make_encoder()
    momentum = MomentumEncoder(model, 0.9, 5)
    assert len(momentum.queue().ids) == 0
    for first in (0, 3, 6, 9):
        ids = torch.arange(first, first + 3)
        momentum.made(ids[:, None] + torch.zeros(3, 16), ids)
        assert sorted(momentum.queue().ids.tolist()) == sorted(range(first))[-5:]
        momentum.after_step(model)
    queue = momentum.queue()
    assert sorted(queue.ids.tolist()) == [7, 8, 9, 10, 11]
    assert torch.equal(queue.keys[:, 0], queue.ids.float())


def test_a_batch_longer_than_the_queue_leaves_its_last_keys(make_encoder: Encoder) -> None:
    model = make_encoder()
    momentum = MomentumEncoder(model, 0.9, 2)
    momentum.made(torch.zeros(5, 16), torch.arange(5))
    momentum.after_step(model)
    assert sorted(momentum.queue().ids.tolist()) == [3, 4]


def test_a_replayed_batch_is_queued_once(make_encoder: Encoder) -> None:
    model = make_encoder()
    momentum = MomentumEncoder(model, 0.9, 10)
    momentum.made(torch.zeros(2, 16), torch.tensor([1, 2]))
    momentum.made(torch.zeros(2, 16), torch.tensor([1, 2]))
    momentum.after_step(model)
    momentum.after_step(model)
    assert momentum.queue().ids.tolist() == [1, 2]


def test_it_never_drops_anything_out(make_encoder: Encoder) -> None:
    momentum = MomentumEncoder(make_encoder(dropout=0.5), 0.9, 2)
    momentum.train()
    assert not any(module.training for module in momentum.modules())


def test_only_anchors_are_trained_and_keys_are_those_of_the_momentum_encoder(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    model, loss = make_encoder(dtype=torch.float64), Seeing(queue_size=12, momentum=0.5)
    objective = Objective(model, loss).train()
    collator = make_collator(pairs, model, loss)
    for rows in ([3, 18, 0, 7], [5, 6, 1, 2]):
        moved(model, 0.05)
        objective(collator(rows)).backward()
        objective.after_step()
    first, second = loss.seen
    assert len(first.columns) == 1
    assert first.queue is not None
    assert len(first.queue.ids) == 0
    chosen = pairs.select(np.array([3, 18, 0, 7]))
    assert second.queue is not None
    assert second.queue.ids.tolist() == chosen.positives.tolist()
    assert second.keys is not None
    assert not second.keys.requires_grad
    assert second.negatives is not None
    assert not second.negatives.requires_grad
    assert torch.equal(second.queue.keys, first.keys)
    texts = collator.tokens._texts(pairs.select(np.array([5, 6, 1, 2])).positives.tolist())
    # The second batch's keys were made after one step of momentum .5 behind the moved encoder.
    other = make_encoder(dtype=torch.float64)
    moved(other, 0.025)
    expected = other.eval()(other.preprocess(texts))["sentence_embedding"]
    torch.testing.assert_close(second.keys, expected, atol=1e-9, rtol=0)


def test_known_positives_in_the_queue_are_no_negatives(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    # Rows 0 and 15 share their anchor, text 0.
    model, loss = make_encoder(), Seeing(queue_size=20)
    objective = Objective(model, loss).train()
    collator = make_collator(pairs, model, loss)
    for rows in ([15, 3], [0, 4]):
        objective(collator(rows)).backward()
        objective.after_step()
    assert objective.last is not None
    batch = loss.seen[1]
    assert batch.blocked is not None
    assert [0, int(pairs.positives[15])] in batch.blocked.tolist()
    assert objective.last.stats["masked"] >= 1


def test_it_is_saved_with_a_checkpoint_and_goes_on_from_there(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    def trainer(folder: str) -> Trainer:
        return make_trainer(
            pairs,
            make_encoder(),
            MoCoLoss(queue_size=20, momentum=0.5),
            callbacks=lambda objective: [AfterStep(objective)],
            folder=folder,
            steps=6,
            save_steps=3,
        )

    whole = trainer("whole")
    whole.train()
    saved = load_file(tmp_path / "whole" / "checkpoint-3" / OBJECTIVE_FILE)
    assert {"momentum.keys", "momentum.ids", "momentum.count"} <= saved.keys()
    assert int(saved["momentum.count"]) == 24
    rest = trainer("rest")
    rest.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-3"))
    assert whole.objective.momentum is not None
    expected = whole.objective.state_dict()
    for name, value in rest.objective.state_dict().items():
        assert torch.equal(value, expected[name]), name


def test_in_the_library_s_form_keys_and_ids_last_over_batches(make_encoder: Encoder) -> None:
    model, loss = make_encoder(), Seeing(queue_size=8)
    objective = Objective(model, loss).train()
    for anchors, positives in ((["red cat", "dog"], ["blue", "tree"]), (["horse", "eats"], ["tree", "runs"])):
        features = [model.preprocess(texts) for texts in (anchors, positives)]
        objective(features, None).backward()
        objective.after_step()
    queue, ids = loss.seen[1].queue, loss.seen[1].ids
    assert queue is not None
    assert ids is not None
    assert (ids[1][:, None] == queue.ids[None]).tolist() == [[False, True], [False, False]]


def test_a_momentum_encoder_that_is_not_wanted(
    pairs: Examples, make_encoder: Encoder, make_collator: Make
) -> None:
    from sbert_triplet.errors import InputError
    from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss

    model = make_encoder()
    batch = make_collator(pairs, model, MoCoLoss())([1, 2])
    with pytest.raises(InputError, match="momentum"):
        Objective(model, MultipleNegativesRankingLoss())(batch)
