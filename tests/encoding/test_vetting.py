"""Folders that try to run code or to read elsewhere are refused, and libraries alone would do the harm."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from typer.testing import CliRunner

from sbert_triplet.cli import app
from sbert_triplet.encoding.loading import load_model
from sbert_triplet.errors import ModelError
from sbert_triplet.mining.rescoring import cross_encoder

SCRIPT = Path(__file__).with_name("hostile_folders.py")


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[SCRIPT.stem] = module
    spec.loader.exec_module(module)
    return module


folders = _script()
HOSTILE = {hostile.name: hostile for hostile in folders.HOSTILE}
HARMFUL = [name for name, hostile in HOSTILE.items() if hostile.unvetted]


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A file that no test may bring about; a person that is asked whether code may run says yes."""
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    file = tmp_path / "it-ran"
    yield file
    assert not file.exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_is_refused_in_one_line_and_does_nothing(
    name: str, tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = HOSTILE[name]
    folder = hostile.make(tmp_path / name, marker)
    monkeypatch.syspath_prepend(str(folder))
    with pytest.raises(ModelError, match=hostile.says) as caught:
        cross_encoder(folder) if hostile.crosses else load_model(str(folder), device="cpu")
    assert str(caught.value).startswith(f"model {folder}: cannot be loaded: ")
    assert "\n" not in str(caught.value)
    assert not marker.exists()


@pytest.fixture(scope="session")
def unvetted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the libraries alone, in a process of their own, have loaded the folders."""
    folder = tmp_path_factory.mktemp("unvetted")
    paths = {"HF_MODULES_CACHE": str(folder / "modules"), "PYTHONPATH": str(SCRIPT.parents[2])}
    subprocess.run(
        [sys.executable, str(SCRIPT), str(folder)],
        env={**os.environ, "HF_HUB_OFFLINE": "1", **paths},
        check=True,
        capture_output=True,
        timeout=600,
    )
    return folder


@pytest.mark.long
@pytest.mark.parametrize("name", HARMFUL)
def test_without_the_vetting_the_folder_does_its_harm(name: str, unvetted: Path) -> None:
    assert (unvetted / f"{name}.marker").exists()


@pytest.mark.parametrize("name", ["own-module", "asking-tokenizer", "pickled-weights"])
@pytest.mark.parametrize("debug", [(), ("--debug",)])
def test_the_command_line_refuses_too(
    name: str, debug: Sequence[str], tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = HOSTILE[name].make(tmp_path / name, marker)
    rows = "".join(f"a {word},the {word},{n}\n" for n, word in enumerate(folders.WORDS))
    (tmp_path / "pairs.csv").write_text(f"sentence1,sentence2,score\n{rows}", encoding="utf-8")
    result = CliRunner().invoke(app, ["evaluate", str(folder), "--data", "pairs.csv", *debug])
    assert result.exit_code == 2, result.output
    assert re.search(HOSTILE[name].says, result.stderr)
    assert not marker.exists()


def test_no_recipe_can_turn_trust_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.csv").write_text("anchor,positive\na cat,the cat\n", encoding="utf-8")
    for key in ("trust_remote_code", "train.trust_remote_code", "model_kwargs", "mine.model_kwargs"):
        result = CliRunner().invoke(app, ["check", "pairs.csv", "--set", f"{key}=true"])
        assert result.exit_code == 2
        assert key.rpartition(".")[2] in result.stderr


def test_a_cross_encoder_with_an_activation(tmp_path: Path) -> None:
    folders.sound_cross_encoder(tmp_path / "plain")
    model = CrossEncoder(str(tmp_path / "plain"), activation_fn=torch.nn.Tanh(), device="cpu")
    model.save_pretrained(str(tmp_path / "saved"))
    settings = (tmp_path / "saved" / "config_sentence_transformers.json").read_text(encoding="utf-8")
    assert "torch.nn.modules.activation.Tanh" in settings + (tmp_path / "saved" / "config.json").read_text()
    pairs = [("the cat", "mat"), ("dog", "cat")]
    np.testing.assert_allclose(cross_encoder(tmp_path / "saved")(pairs), model.predict(pairs), rtol=1e-5)
