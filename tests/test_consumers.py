"""The short form of eval/consumers.py: what is installed here, on a tiny encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.encoding.tiny import tiny_encoder

pytestmark = pytest.mark.long


@pytest.fixture
def consumers(load: Callable[[str], Any]) -> Any:
    return load("consumers")


def test_consumers_of_this_environment_agree(consumers: Any, tmp_path: Path) -> None:
    tiny_encoder(consumers.TEXTS).save(str(tmp_path / "tiny"), create_model_card=False)
    found = consumers.models(tmp_path / "models", str(tmp_path / "tiny"))
    assert list(found) == ["as it is", "CLS", "Dense head", "prompts, no Normalize"]
    for name in consumers.SHORT:
        measured = consumers.measured(consumers.CONSUMERS[name], found, tmp_path / "models", name)
        assert {model: each.get("difference", each) for model, each in measured.items()} == {
            model: pytest.approx(0.0, abs=consumers.ENOUGH) for model in found
        }


def test_why_a_consumer_cannot(consumers: Any, tmp_path: Path) -> None:
    tiny_encoder(consumers.TEXTS).save(str(tmp_path / "tiny"), create_model_card=False)
    found = {"as it is": consumers.models(tmp_path / "models", str(tmp_path / "tiny"))["as it is"]}
    broken = "def embed(folder, texts, role, prompt):\n    raise ValueError(f'{folder} is none\\nof mine')\n"
    short = "def embed(folder, texts, role, prompt):\n    return [[0.0, 1.0] for _ in texts]\n"
    for name, code, reason in (
        ("broken", broken, "ValueError: FOLDER is none"),
        ("short", short, "embeddings of 2 numbers in place of 32"),
        ("dies", "import os\nos._exit(3)", "nothing was said"),
    ):
        measured = consumers.measured(consumers.Consumer((), code), found, tmp_path / "models", name)
        assert measured == {"as it is": {"reason": reason}}


def test_the_table(consumers: Any) -> None:
    models = {"one": {"difference": 2e-7}, "two": {"difference": 0.3}, "three": {"reason": "no"}}
    results = {"X": {"models": models, "prompts": False, "note": "slow"}}
    assert consumers.table(results).splitlines() == [
        "| consumer | one | two | three | |",
        "| --- | --- | --- | --- | --- |",
        "| X | 2e-07 | 3e-01 (differs) | cannot: no | slow; prompts put before the texts by hand |",
    ]
