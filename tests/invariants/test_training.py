"""Training as a whole: what must hold across data, encoding, losses and trainer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor

from sbert_triplet.data.examples import Examples, Ragged
from sbert_triplet.data.kinds import Kind
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.encode import encode
from sbert_triplet.encoding.loading import load_model
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import Side, TokenTable
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training.arguments import TrainSettings, training_arguments
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.known import KnownPositives
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import Batches, ClassBatches, RowBatches
from sbert_triplet.training.trainer import Trainer

QUESTIONS = [
    "how do I reset my password",
    "where is my parcel",
    "can I pay by invoice",
    "the app crashes when I open it",
    "how long does a refund take",
    "do you ship abroad",
    "how do I change my address",
    "is there a discount for students",
    "my voucher does not work",
    "how can I delete my account",
    "which sizes do you have",
    "the delivery is damaged",
]
ANSWERS = [
    "Choose 'forgotten password' on the login page and follow the link in the mail.",
    "The tracking number in your confirmation shows where it is right now.",
    "Invoices are offered from the second order on.",
    "Please install the latest version and start the phone again.",
    "Money is back on your account within five working days.",
    "We deliver to all countries of the union and to Switzerland.",
    "Open your profile, then addresses, and edit the one you want.",
    "Students get ten percent off after proving that they study.",
    "Vouchers hold for one year and for one order only.",
    "Write to us, and we remove everything within a month.",
    "All shoes come in sizes 36 to 47.",
    "Send us a photo and we send a new one at once.",
]
TEXTS = [*QUESTIONS, *ANSWERS]
STEPS = 5


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def without_dropout(model: SentenceTransformer) -> SentenceTransformer:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return model


def tiny() -> SentenceTransformer:
    return without_dropout(tiny_encoder(TEXTS, dimensions=16)).double()


def table(model: SentenceTransformer) -> TokenTable:
    return TokenTable(model, lambda ids: [TEXTS[number] for number in ids])


def collator_of(
    examples: Examples, model: SentenceTransformer, loss: Loss, sides: tuple[Side, Side] = ("text", "text")
) -> Collator:
    known = KnownPositives(examples.known_positives())
    needs = loss.needs_for(examples.kind.value)
    collator = Collator(examples, table(model), needs, sides, 64, known)
    collator.prepare()
    return collator


def pairs() -> Examples:
    """Each question with its answer, two answers with a second question, and some negatives."""
    anchors = np.array([*range(12), 3, 5])
    return Examples(
        Kind.PAIRS,
        anchors,
        np.arange(14),
        positives=np.array([*range(12, 24), 15, 14]),
        negatives=Ragged.from_lists([[12 + (row + 4) % 12] * (row % 3 > 0) for row in range(14)]),
    )


def labelled() -> Examples:
    return Examples(Kind.LABELLED, np.arange(24), np.arange(24), labels=np.arange(24) % 4)


def scored() -> Examples:
    return Examples(
        Kind.SCORED,
        np.arange(12),
        np.arange(12),
        positives=np.arange(12, 24),
        scores=np.arange(12) * 7 % 5 / 4.0,
    )


CASES: list[tuple[Callable[[], Examples], Callable[[], Loss], Callable[[], Batches]]] = [
    (
        pairs,
        lambda: MultipleNegativesRankingLoss(scale=10.0, learn_scale=True),
        lambda: RowBatches(14, 6, seed=1),
    ),
    (
        labelled,
        lambda: TripletLoss(distance="euclidean", margin=0.5, miner="hard"),
        lambda: ClassBatches(np.arange(24) % 4, 3, 3, seed=1),
    ),
    (scored, CoSENTLoss, lambda: RowBatches(12, 5, seed=1)),
]
by_case = pytest.mark.parametrize(
    ("data", "make_loss", "sampler"), CASES, ids=["pairs", "labelled", "scored"]
)


def embedded(model: SentenceTransformer, examples: Examples, rows: Any) -> Embedded:
    """The columns of some rows, every text on its own through the model."""

    def column(ids: Any) -> Tensor:
        features = [model(model.preprocess([TEXTS[number]])) for number in ids]
        return torch.cat([one["sentence_embedding"] for one in features])

    batch = examples.select(np.asarray(rows))
    ids = [batch.anchors] if batch.positives is None else [batch.anchors, batch.positives]
    negatives = batch.negatives
    return Embedded(
        columns=tuple(column(part) for part in ids),
        ids=tuple(torch.from_numpy(part) for part in ids),
        negatives=column(negatives.values) if negatives is not None else None,
        negative_ids=torch.from_numpy(negatives.values) if negatives is not None else None,
        negative_rows=torch.from_numpy(negatives.offsets) if negatives is not None else None,
        labels=torch.from_numpy(batch.labels) if batch.labels is not None else None,
        scores=torch.from_numpy(batch.scores) if batch.scores is not None else None,
        blocked=torch.from_numpy(examples.known_positives()),
    )


def in_a_plain_loop(model: SentenceTransformer, loss: Loss, examples: Examples, batches: Batches) -> None:
    """AdamW with weight decay of the encoder, a linear schedule after one step of warm-up, and clipping."""
    parameters = [*model.parameters(), *loss.parameters()]
    decayed = {
        id(parameter)
        for name, parameter in model.named_parameters()
        if "bias" not in name and "LayerNorm" not in name
    }
    groups = [
        {"params": [p for p in parameters if id(p) in decayed], "weight_decay": 0.1},
        {"params": [p for p in parameters if id(p) not in decayed], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: step if step < 1 else (STEPS - step) / (STEPS - 1)
    )
    rows = [batch for epoch in range(STEPS) for batch in batches.epoch_batches(epoch)][:STEPS]
    for batch in rows:
        loss(embedded(model, examples, batch)).value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 0.5)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()


@by_case
def test_the_trainer_does_what_a_plain_loop_does(
    data: Callable[[], Examples],
    make_loss: Callable[[], Loss],
    sampler: Callable[[], Batches],
    tmp_path: Path,
) -> None:
    examples = data()
    model, loss, other, other_loss = tiny(), make_loss(), tiny(), make_loss()
    before = [parameter.clone() for parameter in model.parameters()]
    settings = TrainSettings(
        STEPS, learning_rate=1e-2, warmup=1, weight_decay=0.1, max_grad_norm=0.5, schedule="linear"
    )
    trainer = Trainer(
        Objective(model, loss),
        training_arguments(settings, tmp_path, device="cpu"),
        collator=collator_of(examples, model, loss),
        batches=sampler(),
    )
    trainer.train()
    in_a_plain_loop(other, other_loss, examples, sampler())
    expected = dict([*other.named_parameters(), *other_loss.named_parameters()])
    found = dict([*model.named_parameters(), *loss.named_parameters()])
    assert found.keys() == expected.keys()
    for name, parameter in expected.items():
        torch.testing.assert_close(found[name], parameter, atol=1e-9, rtol=0, msg=name)
    moved = [(a - b).abs().max().item() for a, b in zip(before, model.parameters(), strict=True)]
    assert max(moved) > 1e-2


@by_case
def test_the_order_of_the_rows_and_the_cut_into_groups_do_not_matter(
    data: Callable[[], Examples], make_loss: Callable[[], Loss], sampler: Callable[[], Batches]
) -> None:
    examples, model, loss = data(), tiny(), make_loss()
    collator, rows = collator_of(examples, model, loss), sampler().epoch_batches(0)[0].tolist()
    found = []
    for order, budget in [(rows, 64), (rows[::-1], 64), (rows, 1), (sorted(rows), 10_000)]:
        collator.budget = budget
        model.zero_grad()
        value = Objective(model, loss)(collator(order))
        value.backward()
        gradient = next(model.parameters()).grad
        assert gradient is not None
        found.append((value.detach(), gradient.clone()))
    for value, gradient in found[1:]:
        torch.testing.assert_close(value, found[0][0], atol=1e-12, rtol=0)
        torch.testing.assert_close(gradient, found[0][1], atol=1e-12, rtol=0)


def test_training_sees_the_embeddings_that_searching_will_use() -> None:
    model = tiny_encoder(TEXTS, dimensions=16)
    model.prompts = {"query": "how do I ", "document": "the app "}
    model.set_pooling_include_prompt(False)
    seen: list[Embedded] = []

    class Seeing(Loss):
        needs = Needs(columns=2)

        def forward(self, batch: Embedded) -> LossOutput:
            seen.append(batch)
            return LossOutput(batch.columns[0].sum())

    objective = Objective(model, Seeing()).eval()
    objective(collator_of(pairs(), model, objective.loss, ("query", "document"))([0, 7, 3]))
    for column, call, texts in [
        (seen[0].columns[0], model.encode_query, [QUESTIONS[row] for row in (0, 7, 3)]),
        (seen[0].columns[1], model.encode_document, [ANSWERS[row] for row in (0, 7, 3)]),
    ]:
        np.testing.assert_allclose(column.detach().numpy(), call(texts), atol=1e-6)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[SentenceTransformer, list[float], Path]:
    """The embedded MiniLM after twelve steps on the questions and answers in bf16, and its losses."""
    with pytest.MonkeyPatch.context() as offline:
        offline.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        model = load_model("sentence-transformers/all-MiniLM-L6-v2", device="cpu", max_length=32)
    loss = MultipleNegativesRankingLoss(scale=20.0)
    folder = tmp_path_factory.mktemp("tuned")
    settings = TrainSettings(12, learning_rate=5e-5, precision="bf16")
    trainer = Trainer(
        Objective(model, loss),
        training_arguments(settings, folder / "checkpoints", device="cpu"),
        collator=collator_of(pairs(), model, loss),
        batches=RowBatches(14, 7, seed=1),
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    model.save_pretrained(str(folder / "model"))
    return model, losses, folder / "model"


def test_a_real_encoder_learns(tuned: tuple[SentenceTransformer, list[float], Path]) -> None:
    _, losses, _ = tuned
    assert len(losses) == 12
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


def test_a_tuned_real_encoder_is_the_same_in_memory_by_id_and_loaded_again(
    tuned: tuple[SentenceTransformer, list[float], Path],
) -> None:
    model, _, folder = tuned
    loaded = SentenceTransformer(str(folder), device="cpu")
    expected = loaded.encode(TEXTS)
    np.testing.assert_allclose(model.encode(TEXTS), expected, atol=1e-6)
    ids = np.arange(len(TEXTS))
    np.testing.assert_allclose(encode(model, table(model), "document", ids), expected, atol=1e-6)
    embedder = Embedder(load_model(str(folder), device="cpu"), table(model))
    np.testing.assert_allclose(embedder("query", ids[:12]), expected[:12], atol=1e-6)
