"""``train.chunk_tokens`` from the recipe to the model: what is recorded, and that it changes no result."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import yaml
from sentence_transformers import SentenceTransformer
from torch import Tensor

from sbert_triplet.pipeline import plan
from sbert_triplet.training import objective
from sbert_triplet.training.fitting import LEAST_CHUNK, StepFitter

if TYPE_CHECKING:
    from tests.pipeline.conftest import Finished, Tables, Train

TEXTS = ["what is known of bread in case 3?", "about chess the books of case 9 say a lot", "moss"]


@pytest.fixture(scope="module")
def without_dropout(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = SentenceTransformer(str(tiny_folder), device="cpu")
    config = model[0].model.config
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    folder = tmp_path_factory.mktemp("models") / "without dropout"
    model.save(str(folder), create_model_card=False)
    return folder


def recorded(finished: Finished) -> dict[str, Any]:
    recipe = yaml.safe_load((finished.run.folder / "recipe.yaml").read_text(encoding="utf-8"))
    return dict(recipe["train"])


def log(finished: Finished) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (finished.run.folder / "log.jsonl").read_text().splitlines()]


def embeddings(finished: Finished) -> np.ndarray:
    model = SentenceTransformer(str(finished.run.folder / "candidate"), device="cpu")
    return np.asarray(model.encode(TEXTS))


@pytest.fixture
def small_run(tables: Tables, train: Train, without_dropout: Path) -> Callable[..., Finished]:
    """A run of a few steps without dropout; arguments are those of its ``train`` section."""
    data = tables.write("pairs.csv", tables.pairs())

    def carried_out(out: str, **chosen: Any) -> Finished:
        section = {"max_steps": 4, "batch_size": 16, "learning_rate": 1e-3, "precision": "fp32", **chosen}
        return train(data, out, smoke=False, device="cpu", model=str(without_dropout), train=section)

    return carried_out


def test_parts_are_recorded_and_change_no_result(small_run: Callable[..., Finished]) -> None:
    whole = small_run("auto")
    assert recorded(whole)["chunk_tokens"] == 0
    assert "in parts of" not in whole.text
    for chunk in (40, 200):
        parts = small_run(str(chunk), chunk_tokens=chunk)
        assert recorded(parts)["chunk_tokens"] == chunk
        assert f"in parts of {chunk} tokens" in parts.text
        np.testing.assert_allclose(embeddings(parts), embeddings(whole), atol=2e-5)
        losses = [[line["loss"] for line in log(each) if "loss" in line] for each in (parts, whole)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-5)
        assert len(losses[0]) == 4
    base = SentenceTransformer(recorded_model(whole), device="cpu")
    assert np.abs(np.asarray(base.encode(TEXTS)) - embeddings(whole)).max() > 1e-2


def recorded_model(finished: Finished) -> str:
    recipe = yaml.safe_load((finished.run.folder / "recipe.yaml").read_text(encoding="utf-8"))
    return str(recipe["model"])


def test_where_the_batch_does_not_fit_parts_are_chosen(
    small_run: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "free_memory", lambda _: 100_000)
    finished = small_run("out")
    assert recorded(finished)["chunk_tokens"] == LEAST_CHUNK
    assert f"in parts of {LEAST_CHUNK} tokens" in finished.text


def test_memory_that_runs_out_in_the_middle_does_not_end_the_run(
    small_run: Callable[..., Finished], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, training = small_run("whole"), []
    encoded, carry_out = objective.sentence_embeddings, StepFitter.carry_out

    def failing(model: torch.nn.Module, features: Mapping[str, Any], **how: Any) -> Tensor:
        if training and torch.is_grad_enabled() and features["input_ids"].numel() > 100:
            raise MemoryError
        return encoded(model, features, **how)

    def third(fitter: StepFitter, batch: Any, step: Any, number: int, before: Any) -> Any:
        training.extend([number] if number == 3 else [])
        return carry_out(fitter, batch, step, number, before)

    monkeypatch.setattr(objective, "sentence_embeddings", failing)
    monkeypatch.setattr(StepFitter, "carry_out", third)
    tight = small_run("tight")
    lines = log(tight)
    chunks = [line["chunk_tokens"] for line in lines if line.get("out_of_memory")]
    assert len(chunks) >= 2
    assert chunks[-1] <= 100
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4]
    assert tight.report["train"]["steps"] == 4
    np.testing.assert_allclose(embeddings(tight), embeddings(whole), atol=2e-5)
