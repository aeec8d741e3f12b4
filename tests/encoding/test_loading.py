"""From the name of a model to its files, and from those to an encoder."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from sentence_transformers import SentenceTransformer
from transformers import BertModel, RobertaConfig, RobertaModel, T5Config

from sbert_triplet.encoding import loading
from sbert_triplet.encoding.loading import (
    EMBEDDED_MODEL,
    load_model,
    position_limit,
    resolve_model,
    weights_fingerprint,
)
from sbert_triplet.errors import ModelError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def saved(encoder: SentenceTransformer, tmp_path: Path) -> Path:
    folder = tmp_path / "encoder"
    encoder.save_pretrained(str(folder))
    return folder


def in_cache(tmp_path: Path, name: str, folder: Path) -> Path:
    """``folder`` as a snapshot in the local cache."""
    repository = tmp_path / "hub" / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / COMMIT
    shutil.copytree(folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return snapshot


def test_a_folder(saved: Path, encoder: SentenceTransformer, texts: list[str]) -> None:
    found = resolve_model(str(saved))
    assert (found.origin, found.path, found.revision) == ("folder", saved, None)
    assert found.sentence() == f"{saved}, from the folder of that name"
    model = load_model(found, device="cpu")
    np.testing.assert_allclose(model.encode(texts), encoder.encode(texts), atol=1e-6)
    assert weights_fingerprint(model) == weights_fingerprint(encoder)


def test_a_folder_comes_before_a_name_on_the_hub(
    saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(saved, tmp_path / EMBEDDED_MODEL)
    monkeypatch.chdir(tmp_path)
    assert resolve_model(EMBEDDED_MODEL).origin == "folder"


def test_a_run_folder_means_the_model_that_it_ships(saved: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(saved, run / "model")
    (run / "report.json").write_text("{}")
    assert resolve_model(str(run)).path == run / "model"
    assert load_model(str(run), device="cpu").max_seq_length == 64


def test_a_run_folder_without_its_model_says_which_folder_is_missing(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(ModelError, match=r"model.*neither modules.json nor config.json"):
        resolve_model(str(tmp_path))


def test_a_plain_transformers_folder_gets_mean_pooling(saved: Path, texts: list[str], tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for file in saved.iterdir():
        if file.is_file() and not file.name.startswith(("modules", "sentence_bert", "config_sentence")):
            shutil.copy(file, plain)
    assert load_model(str(plain), device="cpu").encode(texts).shape == (len(texts), 32)


def test_a_folder_with_no_model_in_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"neither modules\.json nor config\.json"):
        resolve_model(str(tmp_path))


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"")
    with pytest.raises(ModelError, match="this is a file; name the folder"):
        resolve_model(str(file))


@pytest.mark.parametrize("name", ["./none", "/none/at/all", "~/none-such-model", "a/b/c", "models\\minilm"])
def test_what_can_only_be_a_folder_is_not_looked_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "snapshot_download", lambda *_, **__: pytest.fail("looked up"))
    with pytest.raises(ModelError, match="there is no such folder"):
        resolve_model(name)


def test_what_cannot_be_a_hub_id() -> None:
    with pytest.raises(ModelError, match="neither a folder nor a possible Hub id"):
        resolve_model("not a name!")


def test_an_unknown_name_says_where_it_was_looked_for_in_one_line() -> None:
    with pytest.raises(ModelError, match="not in the local Hugging Face cache") as caught:
        resolve_model("nobody/no-such-model")
    assert "\n" not in str(caught.value)


def test_the_cache_comes_before_the_hub_and_the_package(saved: Path, tmp_path: Path) -> None:
    snapshot = in_cache(tmp_path, EMBEDDED_MODEL, saved)
    found = resolve_model(EMBEDDED_MODEL)
    assert (found.origin, found.path, found.revision) == ("cache", snapshot, COMMIT)
    assert load_model(found, device="cpu").get_embedding_dimension() == 32


def test_a_cached_configuration_without_weights_is_not_the_model(saved: Path, tmp_path: Path) -> None:
    (saved / "model.safetensors").unlink()
    in_cache(tmp_path, EMBEDDED_MODEL, saved)
    assert resolve_model(EMBEDDED_MODEL).origin == "package"
    in_cache(tmp_path, "somebody/other", saved)
    with pytest.raises(ModelError, match="no weights in the safetensors format"):
        resolve_model("somebody/other")


def test_the_hub_comes_before_the_package(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(name: str, *, revision: str | None, local_files_only: bool, **_: object) -> str:
        assert (name, revision) == (EMBEDDED_MODEL, "v2")
        if local_files_only:
            raise LocalEntryNotFoundError("not here")
        return str(saved)

    monkeypatch.setattr(loading, "snapshot_download", download)
    found = resolve_model(EMBEDDED_MODEL, revision="v2")
    assert (found.origin, found.path) == ("hub", saved)
    assert found.sentence().endswith("from the Hub")


def test_a_repository_that_holds_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(ModelError, match=r"neither modules\.json nor config\.json"):
        resolve_model("somebody/data-only")


@pytest.mark.parametrize("name", [EMBEDDED_MODEL, "all-MiniLM-L6-v2"])
def test_the_embedded_copy_is_the_last_resort(name: str) -> None:
    found = resolve_model(name)
    assert (found.name, found.origin) == (EMBEDDED_MODEL, "package")
    assert "digest checked" in found.sentence()


def test_the_embedded_copy_has_no_other_revision() -> None:
    with pytest.raises(ModelError, match="the Hub did not give it"):
        resolve_model(EMBEDDED_MODEL, revision="v1")


def test_an_embedded_copy_of_other_weights_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_EMBEDDED_SHA256", "0" * 64)
    with pytest.raises(ModelError, match=r"expected SHA-256 .* instead of 000000000000"):
        resolve_model(EMBEDDED_MODEL)


def test_without_the_package_the_embedded_name_is_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "_EMBEDDED_PACKAGE", "no_such_package_here")
    with pytest.raises(ModelError, match="the Hub did not give it"):
        resolve_model(EMBEDDED_MODEL)


def test_the_embedded_model_is_whole(minilm: SentenceTransformer) -> None:
    assert minilm.get_embedding_dimension() == 384
    assert minilm.max_seq_length == 256
    assert minilm.device.type == "cpu"
    similar, other = minilm.similarity(
        minilm.encode("A man is eating food."),
        minilm.encode(["Someone is having a meal.", "The stock market fell."]),
    )[0]
    assert similar > 0.5 > other


def test_weights_are_loaded_in_fp32(saved: Path) -> None:
    model = SentenceTransformer(str(saved), model_kwargs={"dtype": torch.bfloat16}, device="cpu")
    model.save_pretrained(str(saved))
    assert {p.dtype for p in load_model(str(saved), device="cpu").parameters()} == {torch.float32}


def test_weights_that_the_files_lack_are_the_same_at_every_load(saved: Path) -> None:
    BertModel.from_pretrained(str(saved), add_pooling_layer=False).save_pretrained(str(saved))
    first = load_model(str(saved), device="cpu")
    torch.rand(5)
    state = torch.random.get_rng_state()
    second = load_model(str(saved), device="cpu")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert any("pooler" in name for name, _ in first.named_parameters())
    assert weights_fingerprint(first) == weights_fingerprint(second)


def test_damaged_weights_are_reported_in_one_line(saved: Path) -> None:
    (saved / "model.safetensors").write_bytes(b"nothing of use")
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        load_model(str(saved), device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_name(
    encoder: SentenceTransformer, tmp_path: Path, value: float
) -> None:
    spoiled = copy.deepcopy(encoder)
    name, weight = next(iter(spoiled.named_parameters()))
    with torch.no_grad():
        weight.view(-1)[3] = value
    spoiled.save(str(tmp_path / "spoiled"), create_model_card=False)
    with pytest.raises(ModelError, match="not finite") as caught:
        load_model(str(tmp_path / "spoiled"), device="cpu")
    assert f", in {name}; " in str(caught.value)


def test_pickled_weights_are_not_read(saved: Path) -> None:
    torch.save({}, saved / "pytorch_model.bin")
    (saved / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(saved), device="cpu")


def test_code_that_comes_with_a_model_is_not_run(saved: Path, tmp_path: Path) -> None:
    traces = tmp_path / "it-ran"
    (saved / "own.py").write_text(f"open({str(traces)!r}, 'w')\nclass Own: ...\n")
    modules = json.loads((saved / "modules.json").read_text())
    modules[1]["type"] = "own.Own"
    (saved / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_model(str(saved), device="cpu")
    assert not traces.exists()


def test_max_length_shortens(saved: Path) -> None:
    model = load_model(str(saved), max_length=5, device="cpu")
    assert model.max_seq_length == 5
    assert model.preprocess(["the cat sat on the mat on the mat"])["input_ids"].shape == (1, 5)


def test_max_length_beyond_the_positions_is_refused(saved: Path) -> None:
    assert load_model(str(saved), max_length=64, device="cpu").max_seq_length == 64
    with pytest.raises(ModelError, match=r"max_length 65: .* reads at most 64 tokens"):
        load_model(str(saved), max_length=65, device="cpu")


def test_positions_of_roberta_start_behind_the_padding(encoder: SentenceTransformer) -> None:
    config = RobertaConfig(
        vocab_size=50,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=34,
    )
    encoder[0].model = RobertaModel(config, add_pooling_layer=False)
    assert position_limit(encoder) == 32
    # 33 tokens have no position any more: the embedding's index runs out.
    longest = {name: torch.ones(1, 32, dtype=torch.long) + 4 for name in ("input_ids", "attention_mask")}
    encoder[0].model(**longest)
    with pytest.raises((IndexError, RuntimeError)):
        encoder[0].model(
            **{name: torch.ones(1, 33, dtype=torch.long) + 4 for name in ("input_ids", "attention_mask")}
        )


def test_an_encoder_without_absolute_positions_has_no_limit(encoder: SentenceTransformer) -> None:
    encoder[0].model.config = T5Config()
    assert position_limit(encoder) is None


def test_prompts_replace_those_of_the_model(encoder: SentenceTransformer, tmp_path: Path) -> None:
    encoder.prompts = {"query": "old query: ", "document": "old document: ", "topic": "kept: "}
    encoder.save_pretrained(str(tmp_path / "saved"))
    kept = load_model(str(tmp_path / "saved"), device="cpu")
    assert kept.prompts == {"query": "old query: ", "document": "old document: ", "topic": "kept: "}
    model = load_model(str(tmp_path / "saved"), prompts={"query": "new: ", "document": ""}, device="cpu")
    assert model.prompts == {"query": "new: ", "document": "", "topic": "kept: "}


def test_the_fingerprint_sees_every_weight(encoder: SentenceTransformer) -> None:
    before = weights_fingerprint(encoder)
    last = list(encoder.parameters())[-1]
    with torch.no_grad():
        last.view(-1)[-1] += 1e-7 + last.view(-1)[-1].abs() * 1e-6
    assert weights_fingerprint(encoder) != before
