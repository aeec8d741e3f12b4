"""Settings as the library's arguments, frozen parameters, and the device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments

from sbert_triplet.errors import RecipeError
from sbert_triplet.training.arguments import TrainSettings, choose_device, freeze, training_arguments

Encoder = Callable[..., SentenceTransformer]


@pytest.mark.parametrize(
    ("warmup", "steps", "expected"), [(0.1, 200, 20), (0.0, 200, 0), (0.25, 10, 2), (30, 200, 30), (1, 9, 1)]
)
def test_warmup_is_a_share_below_one_and_steps_from_there(
    warmup: float, steps: int, expected: int, tmp_path: Path
) -> None:
    arguments = training_arguments(TrainSettings(steps, warmup=warmup), tmp_path, device="cpu")
    assert arguments.warmup_steps == expected
    assert arguments.max_steps == steps


def test_what_is_set_arrives(tmp_path: Path) -> None:
    settings = TrainSettings(
        steps=7,
        learning_rate=3e-4,
        schedule="cosine",
        weight_decay=0.01,
        max_grad_norm=0.5,
        precision="bf16",
        seed=99,
        save_steps=3,
        keep=4,
    )
    arguments = training_arguments(settings, tmp_path / "checkpoints", device="cpu")
    assert arguments.output_dir == str(tmp_path / "checkpoints")
    assert arguments.learning_rate == 3e-4
    assert arguments.lr_scheduler_type == "cosine"
    assert arguments.weight_decay == 0.01
    assert arguments.max_grad_norm == 0.5
    assert (arguments.bf16, arguments.fp16) == (True, False)
    assert arguments.seed == 99
    assert (arguments.save_strategy, arguments.save_steps, arguments.save_total_limit) == ("steps", 3, 4)
    assert arguments.report_to == []
    assert not arguments.logging_nan_inf_filter
    assert arguments.device.type == "cpu"


def test_nothing_is_saved_unless_asked_for(tmp_path: Path) -> None:
    arguments = training_arguments(TrainSettings(7), tmp_path / "checkpoints", device="cpu")
    assert arguments.save_strategy == "no"
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("limit", [None, 0, 0.0])
def test_no_limit_of_the_gradient(limit: float | None, tmp_path: Path) -> None:
    assert training_arguments(TrainSettings(1, max_grad_norm=limit), tmp_path).max_grad_norm == 0


def test_a_constant_learning_rate_still_warms_up(tmp_path: Path) -> None:
    arguments = training_arguments(TrainSettings(10, schedule="constant", warmup=2), tmp_path)
    assert arguments.lr_scheduler_type == "constant_with_warmup"
    assert arguments.warmup_steps == 2


@pytest.mark.parametrize(
    ("patterns", "wanted"),
    [
        (["embeddings"], lambda name: ".embeddings." in name),
        ([1], lambda name: ".layer.0." in name),
        ([2], lambda name: ".layer." in name),
        (["*.layer.1.*"], lambda name: ".layer.1." in name),
        (["*.bias"], lambda name: name.endswith(".bias")),
        (["embeddings", 1], lambda name: ".embeddings." in name or ".layer.0." in name),
    ],
)
def test_frozen_are_the_parameters_that_match(
    patterns: list[str | int], wanted: Callable[[str], bool], make_encoder: Encoder
) -> None:
    model = make_encoder()
    frozen = freeze(model, patterns)
    names = [name for name, _ in model.named_parameters()]
    assert frozen == sorted(name for name in names if wanted(name))
    assert frozen
    assert {name for name, p in model.named_parameters() if not p.requires_grad} == set(frozen)


def test_no_pattern_freezes_nothing(make_encoder: Encoder) -> None:
    model = make_encoder()
    assert freeze(model, []) == []
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("pattern", ["encoder.layer.77.*", "embedings", 0])
def test_a_pattern_that_matches_nothing_is_refused(pattern: str | int, make_encoder: Encoder) -> None:
    model = make_encoder()
    with pytest.raises(RecipeError, match="matches no parameter"):
        freeze(model, [pattern])
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_freezing_everything_is_refused(make_encoder: Encoder) -> None:
    with pytest.raises(RecipeError, match="nothing is left to train"):
        freeze(make_encoder(), ["*"])


def test_a_process_trains_on_one_gpu_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are two, transformers counts both."""
    prepare = SentenceTransformerTrainingArguments.__post_init__

    def counting_two(self: SentenceTransformerTrainingArguments) -> None:
        prepare(self)
        self._n_gpu = 2

    monkeypatch.setattr(SentenceTransformerTrainingArguments, "__post_init__", counting_two)
    arguments = training_arguments(TrainSettings(steps=1, batch_size=6), tmp_path, device="cpu")
    assert arguments.n_gpu == 1
    assert arguments.train_batch_size == 6


def test_the_device_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu") == torch.device("cpu")
    for cuda, mps, expected in [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda cuda=cuda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda mps=mps: mps)
        assert choose_device() == torch.device(expected)
