"""The trainer: the same run twice, what it logs and saves, and what stops it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from torch import Tensor
from transformers import TrainerCallback

from sbert_triplet.data.examples import Examples
from sbert_triplet.errors import DivergedError, InputError
from sbert_triplet.losses.batch import Embedded, Loss, LossOutput, Needs
from sbert_triplet.losses.cosent import CoSENTLoss
from sbert_triplet.losses.ranking import MultipleNegativesRankingLoss
from sbert_triplet.losses.triplet import TripletLoss
from sbert_triplet.training.arguments import freeze
from sbert_triplet.training.callbacks import AfterStep, StepLog
from sbert_triplet.training.collate import Collator
from sbert_triplet.training.objective import Objective
from sbert_triplet.training.samplers import ClassBatches
from sbert_triplet.training.trainer import OBJECTIVE_FILE, Trainer

Encoder = Callable[..., SentenceTransformer]
MakeTrainer = Callable[..., Trainer]


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> list[str]:
    assert one.keys() == other.keys()
    return [name for name in one if not torch.equal(one[name], other[name])]


class Gradients(TrainerCallback):
    """Copies of all gradients, as the optimizer sees them."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.steps: list[dict[str, Tensor]] = []

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.steps.append(
            {
                name: parameter.grad.clone()
                for name, parameter in self.objective.named_parameters()
                if parameter.grad is not None
            }
        )


def norm(gradients: dict[str, Tensor]) -> float:
    return math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients.values()))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("data", "loss"),
    [
        ("pairs", lambda: MultipleNegativesRankingLoss(scale=10.0, learn_scale=True)),
        (
            "labelled",
            lambda: TripletLoss(distance="euclidean", margin=0.5, miner="distance_weighted", dimensions=16),
        ),
    ],
)
def test_the_same_run_gives_bit_identical_weights(
    data: str,
    loss: Callable[[], Loss],
    precision: str,
    make_encoder: Encoder,
    make_trainer: MakeTrainer,
    request: pytest.FixtureRequest,
) -> None:
    examples: Examples = request.getfixturevalue(data)
    runs = []
    for disturbance in range(2):
        trainer = make_trainer(examples, make_encoder(dropout=0.1), loss(), precision=precision, steps=6)
        torch.rand(disturbance + 1)
        np.random.default_rng().random()
        start = weights(trainer.objective)
        trainer.train()
        runs.append(weights(trainer.objective))
        assert differing(start, runs[-1])
    assert differing(*runs) == []


def test_another_seed_is_another_run(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    runs = []
    for seed in (1, 2):
        trainer = make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss(), seed=seed)
        trainer.train()
        runs.append(weights(trainer.objective))
    assert differing(*runs)


def test_deterministic_algorithms_on_request(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("CUBLAS_WORKSPACE_CONFIG", "CUDA_LAUNCH_BLOCKING", "FLASH_ATTENTION_DETERMINISTIC"):
        monkeypatch.setenv(variable, "")
    try:
        trainer = make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss(), deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
        trainer.train()
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("sampler", ["rows", "classes"])
def test_each_epoch_takes_its_own_batches(
    sampler: str, labelled: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    taken: list[list[int]] = []

    class Seeing(TripletLoss):
        def forward(self, batch: Embedded) -> LossOutput:
            assert batch.ids is not None
            taken.append(batch.ids[0].tolist())
            return super().forward(batch)

    assert labelled.labels is not None
    batches = ClassBatches(labelled.labels, 4, 2, seed=13) if sampler == "classes" else None
    trainer = make_trainer(
        labelled, make_encoder(), Seeing(margin=0.3, miner="hard"), batches=batches, steps=12
    )
    trainer.train()
    # The ids of the labelled texts are their rows.
    expected = [batch.tolist() for epoch in range(3) for batch in trainer.batches.epoch_batches(epoch)]
    assert taken == expected[:12]
    assert len(trainer.batches) == 5
    assert trainer.spent.rows == sum(len(batch) for batch in taken)


def test_each_epoch_draws_its_own_partners_of_labelled_text(
    labelled: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    taken: list[list[list[int]]] = []

    class Seeing(MultipleNegativesRankingLoss):
        def forward(self, batch: Embedded) -> LossOutput:
            assert batch.ids is not None
            taken.append([column.tolist() for column in batch.ids])
            return super().forward(batch)

    trainer = make_trainer(labelled, make_encoder(), Seeing(), steps=10)
    trainer.train()
    expected = []
    for epoch in range(2):
        trainer.collator.epoch = epoch
        expected += [trainer.collator(batch.tolist()) for batch in trainer.batches.epoch_batches(epoch)]
    assert taken == [batch.ids.tolist() for batch in expected]


def test_tokens_are_counted_once_for_a_text_of_many_places(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss(), steps=3, batch_size=8)
    batches = [trainer.collator(batch.tolist()) for batch in trainer.batches.epoch_batches(0)]
    trainer.train()
    assert trainer.spent.tokens == sum(batch.tokens for batch in batches)


def test_the_log_has_a_line_a_step_with_the_statistics_of_the_loss(
    labelled: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    file = tmp_path / "log.jsonl"
    trainer = make_trainer(
        labelled,
        make_encoder(),
        TripletLoss(margin=0.3, miner="hard"),
        callbacks=lambda objective: [StepLog(file, objective)],
        steps=7,
        warmup=0.0,
        schedule="constant",
    )
    trainer.train()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert [line["epoch"] for line in lines] == [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4]
    for line in lines:
        assert line["stats"].keys() == {"n_valid", "active_share", "anchors", "masked"}
        assert 0 < line["loss"] < 2
        assert line["grad_norm"] > 0
        assert line["learning_rate"] == 1e-3
        assert line["seconds"] > 0
    log = next(callback for callback in trainer.callback_handler.callbacks if isinstance(callback, StepLog))
    assert log.losses == [line["loss"] for line in lines]


class Failing(Loss):
    """Sum of squares, which goes wrong in the given way at these calls, from the second on by default."""

    needs = Needs(columns=2)

    def __init__(self, how: str, calls: range = range(2, 1000)) -> None:
        super().__init__()
        self.how, self.calls, self.bad = how, 0, calls

    def forward(self, batch: Embedded) -> LossOutput:
        self.calls += 1
        value = batch.columns[0].square().sum() + batch.columns[1][:, 0].sum()
        if self.calls in self.bad and self.how == "loss":
            value = value * math.nan
        if self.calls in self.bad and self.how == "embedding":
            raise DivergedError("the embeddings hold numbers that are not finite")
        if self.calls in self.bad and self.how == "gradient":
            value = value + torch.sqrt(0 * value)  # 0, with an infinite derivative
        return LossOutput(value)


@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
@pytest.mark.parametrize(
    ("how", "named"), [("loss", "the loss is nan"), ("gradient", "the norm of the gradient is nan")]
)
def test_a_loss_or_gradient_that_is_not_finite_stops_the_run_and_names_the_rows(
    how: str,
    named: str,
    max_grad_norm: float,
    pairs: Examples,
    make_encoder: Encoder,
    make_trainer: MakeTrainer,
    tmp_path: Path,
) -> None:
    trainer = make_trainer(
        pairs,
        make_encoder(),
        Failing(how),
        save_steps=1,
        max_grad_norm=max_grad_norm,
        batch_size=6,
        max_bad_steps=0,
    )
    rows = ", ".join(str(1001 + row) for row in trainer.batches.epoch_batches(0)[1])
    with pytest.raises(DivergedError) as caught:
        trainer.train()
    assert str(caught.value) == (
        f"step 2, data rows {rows}: {named}. This is one more than train.max_bad_steps allows (0): "
        "lower train.learning_rate, or set train.precision to fp32"
    )
    assert [folder.name for folder in (tmp_path / "checkpoints").iterdir()] == ["checkpoint-1"]
    assert all(torch.isfinite(tensor).all() for tensor in trainer.objective.state_dict().values())


@pytest.mark.parametrize("how", ["loss", "gradient", "embedding"])
@pytest.mark.parametrize("max_grad_norm", [1.0, 0.0])
def test_a_step_that_is_not_finite_never_reaches_the_weights_and_is_named(
    how: str,
    max_grad_norm: float,
    pairs: Examples,
    make_encoder: Encoder,
    make_trainer: MakeTrainer,
    tmp_path: Path,
) -> None:
    file = tmp_path / "log.jsonl"
    seen: list[dict[str, Tensor]] = []

    class Watching(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            seen.append(weights(trainer.objective.model))

    trainer = make_trainer(
        pairs,
        make_encoder(),
        Failing(how, range(2, 4)),
        callbacks=lambda objective: [Watching(), StepLog(file, objective)],
        max_grad_norm=max_grad_norm,
        batch_size=6,
        max_bad_steps=2,
    )
    trainer.train()
    first, second, third, fourth = seen
    assert differing(first, second) == differing(second, third) == []
    assert differing(third, fourth)
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    batches = trainer.batches.epoch_batches(0)
    left_out = {entry["step"]: entry["rows"] for entry in entries if "left_out" in entry}
    assert left_out == {2: [1001 + row for row in batches[1]], 3: [1001 + row for row in batches[2]]}
    losses = {entry["step"]: entry["loss"] for entry in entries if "loss" in entry}
    assert losses[2] is losses[3] is None
    assert losses[1] > 0
    assert losses[4] > 0
    assert trainer.left_out.count == 2


@pytest.mark.parametrize(
    ("scale", "message"),
    [(1.0, r"^step 2, data rows .*the norm of the gradient is nan.*max_bad_steps"), (4.0, r"All 2 steps")],
)
def test_steps_that_the_scaler_of_fp16_leaves_out_are_no_clean_run(
    scale: float,
    message: str,
    pairs: Examples,
    make_encoder: Encoder,
    make_trainer: MakeTrainer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once no smaller scale can help they are bad steps; a run of nothing but a search is none."""
    trainer = make_trainer(
        pairs, make_encoder(), Failing("gradient", range(1, 1000)), steps=2, max_bad_steps=1
    )
    scaler = trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    clip = trainer._clip

    def clip_unscaled(*given: Any) -> Tensor:
        """accelerate takes the scale off before it clips, on a GPU; here it is told of none."""
        scaler.unscale_(cast(Any, trainer.optimizer).optimizer)
        return clip(*given)

    monkeypatch.setattr(trainer, "_clip", clip_unscaled)
    before = weights(trainer.objective.model)
    with pytest.raises(DivergedError, match=message):
        trainer.train()
    assert differing(before, weights(trainer.objective.model)) == []


class Spoiling(TrainerCallback):
    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def on_step_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        if state.global_step == 2:
            with torch.no_grad():
                next(self.objective.parameters()).fill_(math.inf)


def test_embeddings_that_are_not_finite_stop_the_run_and_name_step_and_rows(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(
        pairs,
        make_encoder(),
        MultipleNegativesRankingLoss(),
        callbacks=lambda objective: [Spoiling(objective)],
        batch_size=12,
        max_bad_steps=0,
    )
    with pytest.raises(DivergedError, match=r"^step 3, data rows 1\d{3}, .*… 12 in all: .*column 0, row 0"):
        trainer.train()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_encoder_is_left_as_it_is_loaded_again(
    precision: str,
    pairs: Examples,
    texts: list[str],
    make_encoder: Encoder,
    make_trainer: MakeTrainer,
    tmp_path: Path,
) -> None:
    model = make_encoder(dropout=0.1)
    before = set(vars(model))
    trainer = make_trainer(pairs, model, MultipleNegativesRankingLoss(), precision=precision)
    trainer.train()
    assert set(vars(model)) == before
    assert trainer.objective.model is model
    model.save_pretrained(str(tmp_path / "tuned"))
    loaded = SentenceTransformer(str(tmp_path / "tuned"), device="cpu")
    np.testing.assert_allclose(model.encode(texts), loaded.encode(texts), atol=1e-6, rtol=0)


def test_the_encoder_is_left_as_it_was_after_a_failure(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    model = make_encoder()
    before = set(vars(model))
    with pytest.raises(DivergedError):
        make_trainer(pairs, model, Failing("loss"), precision="bf16", max_bad_steps=0).train()
    assert set(vars(model)) == before


def test_a_second_trainer_of_one_encoder_trains_in_its_own_precision(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    model, dtypes = make_encoder(), []
    last = next(module for module in model.modules() if isinstance(module, torch.nn.Linear))
    for precision in ("bf16", "fp32", "bf16"):
        trainer = make_trainer(pairs, model, MultipleNegativesRankingLoss(), precision=precision, steps=1)
        # The trial whether the encoder takes packs has no gradient, and is always in fp32.
        hook = last.register_forward_hook(
            lambda *call: dtypes.append(call[2].dtype) if torch.is_grad_enabled() else None
        )
        trainer.train()
        hook.remove()
    assert list(dict.fromkeys(dtypes)) == [torch.bfloat16, torch.float32]
    assert dtypes[0] == dtypes[-1] == torch.bfloat16


def test_frozen_parameters_stay_and_the_others_move(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    model = make_encoder()
    frozen = freeze(model, ["embeddings", 1])
    before = weights(model)
    make_trainer(pairs, model, MultipleNegativesRankingLoss(), weight_decay=0.1).train()
    moved = set(differing(before, weights(model)))
    assert frozen
    assert not moved & set(frozen)
    assert {name for name in before if "layer.1." in name and not name.endswith("key.bias")} <= moved


@pytest.mark.parametrize("limit", [0.05, 1e6, 0.0, None])
def test_the_gradient_of_encoder_and_loss_is_clipped_as_one(
    limit: float | None, pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    seen: list[Gradients] = []

    def callbacks(objective: Objective) -> list[TrainerCallback]:
        seen.append(Gradients(objective))
        return [seen[0], StepLog(tmp_path / "log.jsonl", objective)]

    loss = MultipleNegativesRankingLoss(scale=20.0, learn_scale=True)
    trainer = make_trainer(
        pairs, make_encoder(), loss, callbacks=callbacks, max_grad_norm=limit, steps=3, learning_rate=0.0
    )
    trainer.train()
    logged = [json.loads(line)["grad_norm"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    model = make_encoder().train()
    for gradients, unclipped, batch in zip(
        seen[0].steps, logged, trainer.batches.epoch_batches(0), strict=True
    ):
        assert "loss.scale.log_scale" in gradients
        other = Objective(model, MultipleNegativesRankingLoss(scale=20.0, learn_scale=True))
        other.zero_grad()
        other(trainer.collator(batch.tolist())).backward()
        plain = {name: p.grad for name, p in other.named_parameters() if p.grad is not None}
        assert unclipped == pytest.approx(norm(plain), rel=1e-4)
        factor = min(1.0, limit / (norm(plain) + 1e-6)) if limit else 1.0
        assert factor < 1 or limit != 0.05
        for name, gradient in plain.items():
            torch.testing.assert_close(gradients[name], factor * gradient, atol=1e-6, rtol=1e-4)


def test_parameters_of_the_loss_are_trained_and_put_back_into_their_range(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    free, kept = (MultipleNegativesRankingLoss(scale=99.9, learn_scale=True) for _ in range(2))
    settings = {"learning_rate": 0.05, "warmup": 0.0, "steps": 6}
    make_trainer(pairs, make_encoder(), free, **settings).train()
    make_trainer(
        pairs, make_encoder(), kept, callbacks=lambda objective: [AfterStep(objective)], **settings
    ).train()
    scales = [loss.scale.number() for loss in (free, kept)]
    assert all(scale != pytest.approx(99.9, rel=1e-4) for scale in scales)
    assert scales[1] <= 100.001


def test_checkpoints_hold_no_text_of_the_training_rows(
    pairs: Examples, texts: list[str], make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    trainer = make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss(), save_steps=2)
    trainer.train()
    files = [file for file in (tmp_path / "checkpoints").rglob("*") if file.is_file()]
    assert {"model.safetensors", "README.md", "trainer_state.json"} <= {file.name for file in files}
    long = [text for text in texts if text.count(" ") >= 4]
    for file in files:
        content = file.read_bytes()
        assert not [text for text in long if text.encode() in content], file


class _Runs:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.marker), "w")


def test_checkpoints_hold_no_pickle_of_the_settings_and_none_is_read(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss(), steps=2, save_steps=1).train()
    folder = tmp_path / "checkpoints" / "checkpoint-2"
    names = {file.name for file in folder.iterdir() if file.suffix not in (".json", ".txt", ".safetensors")}
    assert {"optimizer.pt", "scheduler.pt"} <= names
    assert "training_args.bin" not in names
    marker = tmp_path / "it-ran"
    again = make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss(), steps=3, folder="again")
    for content in ({"state": _Runs(marker)}, {"state": 1}, [1]):
        torch.save(content, folder / "optimizer.pt")
        with pytest.raises(
            InputError, match=r"checkpoint-2: the state of the optimizer or the scheduler is not"
        ):
            again.train(resume_from_checkpoint=str(folder))
        assert not marker.exists()


def test_as_many_checkpoints_are_kept_as_asked_for(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss(), save_steps=1, keep=2, steps=4).train()
    names = sorted(folder.name for folder in (tmp_path / "checkpoints").iterdir())
    assert names == ["checkpoint-3", "checkpoint-4"]


@pytest.mark.parametrize(
    ("data", "loss", "step"),
    [
        ("pairs", lambda: MultipleNegativesRankingLoss(scale=10.0, learn_scale=True), 2),
        ("pairs", lambda: MultipleNegativesRankingLoss(scale=10.0, learn_scale=True), 3),
        ("pairs", lambda: MultipleNegativesRankingLoss(scale=10.0, learn_scale=True), 5),
        ("labelled", lambda: MultipleNegativesRankingLoss(), 7),
        (
            "labelled",
            lambda: TripletLoss(distance="euclidean", margin=0.5, miner="distance_weighted", dimensions=16),
            6,
        ),
    ],
)
def test_a_resumed_run_ends_with_the_weights_of_one_that_was_not_interrupted(
    data: str,
    loss: Callable[[], Loss],
    step: int,
    make_encoder: Encoder,
    make_trainer: MakeTrainer,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Within the first epoch, at its end (3 batches of pairs, 5 of labelled text), and in the second."""
    examples: Examples = request.getfixturevalue(data)

    def trainer() -> Trainer:
        return make_trainer(examples, make_encoder(dropout=0.1), loss(), save_steps=step, steps=8, keep=5)

    whole, rest = trainer(), trainer()
    whole.train()
    rest.train(resume_from_checkpoint=str(tmp_path / "checkpoints" / f"checkpoint-{step}"))
    assert rest.state.global_step == 8
    assert differing(weights(whole.objective), weights(rest.objective)) == []
    assert (rest.spent.rows, rest.spent.tokens) == (whole.spent.rows, whole.spent.tokens)


def test_the_state_of_the_loss_is_in_the_checkpoint(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    loss = MultipleNegativesRankingLoss(scale=10.0, learn_scale=True)
    make_trainer(pairs, make_encoder(), loss, save_steps=4).train()
    saved = load_file(tmp_path / "checkpoints" / "checkpoint-4" / OBJECTIVE_FILE)
    assert differing(saved, {f"loss.{name}": value for name, value in weights(loss).items()}) == []
    assert saved


def test_a_loss_without_state_has_no_file(
    scored: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    make_trainer(scored, make_encoder(), CoSENTLoss(), save_steps=4).train()
    assert not (tmp_path / "checkpoints" / "checkpoint-4" / OBJECTIVE_FILE).exists()


def test_the_data_loader_is_not_sharded_and_hands_out_the_rows_of_whole_batches(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    trainer = make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss())
    found = [inputs["rows"] for inputs in trainer.get_train_dataloader()]
    assert found == [batch.tolist() for batch in trainer.batches.epoch_batches(0)]


class Shortening(TrainerCallback):
    """Takes the negatives away when the third step begins."""

    def __init__(self, trainer: list[Trainer]) -> None:
        self.trainer = trainer

    def on_step_begin(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
        collator = self.trainer[0].collator
        assert isinstance(collator, Collator)
        if state.global_step == 2:
            collator.examples = replace(collator.examples, negatives=None)


def test_a_batch_is_made_when_its_step_begins(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer
) -> None:
    seen: list[bool] = []

    class Seeing(MultipleNegativesRankingLoss):
        def forward(self, batch: Embedded) -> LossOutput:
            seen.append(batch.negatives is not None)
            return super().forward(batch)

    made: list[Trainer] = []
    made.append(make_trainer(pairs, make_encoder(), Seeing(), callbacks=lambda _: [Shortening(made)]))
    made[0].train()
    assert seen == [True, True, False, False]


class Counted:
    """A part of checkpoints: one number."""

    def __init__(self, number: float) -> None:
        self.number = torch.tensor([number])

    def state(self) -> dict[str, Tensor]:
        return {"number": self.number}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.number = state["number"]


def test_checkpoints_hold_what_else_is_to_be_kept(
    pairs: Examples, make_encoder: Encoder, make_trainer: MakeTrainer, tmp_path: Path
) -> None:
    first, second = Counted(3.0), Counted(0.0)
    make_trainer(
        pairs, make_encoder(), MultipleNegativesRankingLoss(), kept={"count": first}, save_steps=2
    ).train()
    folder = tmp_path / "checkpoints" / "checkpoint-2"
    again = make_trainer(pairs, make_encoder(), MultipleNegativesRankingLoss(), kept={"count": second})
    again.train(resume_from_checkpoint=str(folder))
    assert second.number.tolist() == [3.0]
    (folder / "count.safetensors").unlink()
    with pytest.raises(InputError, match=r"checkpoint-2: count\.safetensors is missing; choose another"):
        again.train(resume_from_checkpoint=str(folder))
    with pytest.raises(ValueError, match="model, objective: a checkpoint has a file of this name already"):
        make_trainer(
            pairs,
            make_encoder(),
            MultipleNegativesRankingLoss(),
            kept=dict.fromkeys(("model", "objective", "count"), first),
        )
