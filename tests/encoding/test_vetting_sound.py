"""Model folders that are sound load as they did, for all that vetting looks at them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Router
from sentence_transformers.sentence_transformer.modules import (
    CNN,
    LSTM,
    BoW,
    Dense,
    Dropout,
    LayerNorm,
    Normalize,
    Pooling,
    StaticEmbedding,
    Transformer,
    WeightedLayerPooling,
    WordEmbeddings,
    WordWeights,
)
from sentence_transformers.sentence_transformer.modules.tokenizer import (
    TransformersTokenizerWrapper,
    WhitespaceTokenizer,
)
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder, SparseStaticEmbedding

from sbert_triplet.encoding.loading import load_model
from sbert_triplet.encoding.vetting import vet_model
from sbert_triplet.errors import ModelError

TEXTS = ["the cat sat on the mat", "a dog", "mat"]
OLD = "sentence_transformers.models."


@pytest.fixture
def transformer(encoder: SentenceTransformer) -> Transformer:
    first: Transformer = encoder[0]
    return first


def words() -> WordEmbeddings:
    vocabulary = ["cat", "dog", "mat", "sat", "long"]
    weights = np.random.default_rng(0).normal(size=(len(vocabulary), 8)).astype(np.float32)
    return WordEmbeddings(WhitespaceTokenizer(vocabulary), weights)


def saved(modules: Sequence[torch.nn.Module], folder: Path) -> SentenceTransformer:
    model = SentenceTransformer(modules=list(modules), device="cpu")
    model.save(str(folder), create_model_card=False)
    return model


def test_modules_behind_a_transformer(transformer: Transformer, tmp_path: Path) -> None:
    for number, activation in enumerate((torch.nn.Tanh(), torch.nn.Identity(), torch.nn.GELU())):
        modules = [
            transformer,
            Pooling(32, pooling_mode="mean"),
            LayerNorm(32),
            Dense(32, 8, activation_function=activation),
            Dropout(0.1),
            Normalize(),
        ]
        same(saved(modules, tmp_path / str(number)), tmp_path / str(number))


def test_modules_by_their_old_names(transformer: Transformer, tmp_path: Path) -> None:
    modules = [transformer, Pooling(32), LayerNorm(32), Dense(32, 8), Normalize()]
    model = saved(modules, tmp_path / "old")
    file = tmp_path / "old" / "modules.json"
    entries = json.loads(file.read_text(encoding="utf-8"))
    for entry in entries:
        entry["type"] = OLD + entry["type"].rpartition(".")[2]
    file.write_text(json.dumps(entries), encoding="utf-8")
    same(model, tmp_path / "old")


@pytest.mark.parametrize("mode", [*Pooling.POOLING_MODES, ("mean", "max")])
def test_every_way_of_pooling(transformer: Transformer, mode: Any, tmp_path: Path) -> None:
    same(saved([transformer, Pooling(32, pooling_mode=mode)], tmp_path / "pooled"), tmp_path / "pooled")


def test_layers_that_are_weighted(transformer: Transformer, tmp_path: Path) -> None:
    transformer.model.config.output_hidden_states = True
    modules = [transformer, WeightedLayerPooling(32, num_hidden_layers=2, layer_start=1), Pooling(32)]
    model = saved(modules, tmp_path / "weighted")
    loaded = load_model(str(tmp_path / "weighted"), device="cpu")
    assert isinstance(loaded[1], WeightedLayerPooling)
    assert_equal_weights(loaded, model)


@pytest.mark.parametrize(
    "modules",
    [
        lambda: [words(), Pooling(8)],
        lambda: [words(), CNN(8, out_channels=4), Pooling(12)],
        lambda: [words(), LSTM(8, 4), Pooling(8)],
        lambda: [words(), WordWeights(words().tokenizer.get_vocab(), {"cat": 2.0}), Pooling(8)],
        lambda: [BoW(["cat", "dog", "mat"], {"cat": 2.0}), Dense(3, 4)],
    ],
    ids=["words", "cnn", "lstm", "word-weights", "bag-of-words"],
)
def test_models_of_words(modules: Callable[[], list[torch.nn.Module]], tmp_path: Path) -> None:
    model = saved(modules(), tmp_path / "words")
    loaded = load_model(str(tmp_path / "words"), device="cpu")
    assert [type(module) for module in loaded] == [type(module) for module in model]
    assert_equal_weights(loaded, model)


def test_words_of_a_tokenizer_of_transformers(transformer: Transformer, tmp_path: Path) -> None:
    tokenizer = TransformersTokenizerWrapper(transformer.tokenizer)
    weights = np.ones((len(transformer.tokenizer), 4), np.float32)
    saved([WordEmbeddings(tokenizer, weights), Pooling(4)], tmp_path / "words")
    vet_model(tmp_path / "words", "words")


def test_static_embeddings(transformer: Transformer, tmp_path: Path) -> None:
    same(saved([StaticEmbedding(transformer.tokenizer, embedding_dim=8)], tmp_path / "s"), tmp_path / "s")


def test_routes(transformer: Transformer, tmp_path: Path) -> None:
    both = Router.for_query_document([Dense(32, 4)], [Dense(32, 4), Normalize()], default_route="document")
    same(saved([transformer, Pooling(32), both], tmp_path / "behind"), tmp_path / "behind")
    static = StaticEmbedding(transformer.tokenizer, embedding_dim=32)
    first = Router.for_query_document([static], [transformer, Pooling(32)], default_route="document")
    same(saved([first], tmp_path / "before"), tmp_path / "before")


def test_modules_of_sparse_encoders(transformer: Transformer, tmp_path: Path) -> None:
    automatic = SparseAutoEncoder(input_dim=32, hidden_dim=64, k=8)
    lookup = SparseStaticEmbedding(transformer.tokenizer)
    for name, modules in (("automatic", [transformer, Pooling(32), automatic]), ("lookup", [lookup])):
        SparseEncoder(modules=modules, device="cpu").save(str(tmp_path / name), create_model_card=False)
        vet_model(tmp_path / name, name)


def test_weights_in_several_files(
    transformer: Transformer, encoder: SentenceTransformer, tmp_path: Path
) -> None:
    folder = tmp_path / "sharded"
    encoder.save(str(folder), create_model_card=False)
    (folder / "model.safetensors").unlink()
    transformer.model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    same(encoder, folder)
    next(folder.glob("model-*.safetensors")).unlink()
    with pytest.raises(ModelError, match="there is no file model-0000"):
        load_model(str(folder), device="cpu")


def test_a_snapshot_whose_files_are_links_into_the_cache(
    encoder: SentenceTransformer, tmp_path: Path
) -> None:
    repository = tmp_path / "hub" / "models--someone--encoder"
    snapshot = repository / "snapshots" / ("0" * 40)
    encoder.save(str(snapshot), create_model_card=False)
    (repository / "blobs").mkdir()
    for number, file in enumerate(sorted(path for path in snapshot.rglob("*") if path.is_file())):
        blob = repository / "blobs" / f"{number:040}"
        shutil.move(file, blob)
        file.symlink_to(Path(*[".."] * (2 + len(file.relative_to(snapshot).parts) - 1), "blobs", blob.name))
    assert (snapshot / "1_Pooling" / "config.json").is_symlink()
    same(encoder, snapshot)
    (snapshot / "vocab.txt").symlink_to(repository.parent)
    other = repository.parent / "models--someone--else"
    other.mkdir()
    (other / "secret").write_text("x")
    (snapshot / "vocab.txt").unlink()
    (snapshot / "vocab.txt").symlink_to(other / "secret")
    with pytest.raises(ModelError, match=r"vocab\.txt: a link that leaves the folder"):
        load_model(str(snapshot), device="cpu")


def test_a_link_to_the_folder_itself_and_links_inside_it(
    encoder: SentenceTransformer, tmp_path: Path
) -> None:
    folder = tmp_path / "encoder"
    encoder.save(str(folder), create_model_card=False)
    shutil.move(folder / "model.safetensors", folder / "weights.safetensors")
    (folder / "model.safetensors").symlink_to("weights.safetensors")
    (tmp_path / "link").symlink_to(folder)
    same(encoder, tmp_path / "link")


def test_leftovers_that_steer_nothing(encoder: SentenceTransformer, tmp_path: Path) -> None:
    """Of versions that wrote them, and of models whose code transformers has taken over."""
    folder = tmp_path / "encoder"
    encoder.save(str(folder), create_model_card=False)
    names = {"AutoConfig": "someone/bert--configuration_bert.BertConfig", "AutoModel": "m.BertModel"}
    names["AutoModelForMaskedLM"] = "m.OwnForMaskedLM"
    change(folder / "config.json", auto_map=names, _name_or_path="/root/models/x")
    change(
        folder / "tokenizer_config.json",
        name_or_path="someone/else",
        tokenizer_file="/root/.cache/huggingface/none",
        special_tokens_map_file=None,
        init_inputs=[],
        auto_map={"AutoTokenizer": [None, "tokenization_bert.BertTokenizerFast"]},
    )
    change(
        folder / "sentence_bert_config.json",
        model_args={"attn_implementation": "eager", "torch_dtype": "float32"},
        tokenizer_args={"padding_side": "right", "model_max_length": 64},
        config_args={"hidden_dropout_prob": 0.0},
        max_seq_length=64,
    )
    (folder / "training.bin").write_bytes(b"")
    same(encoder, folder)


def same(model: SentenceTransformer, folder: Path) -> None:
    """Loaded again through the vetting, the model gives the same embeddings."""
    loaded = load_model(str(folder), device="cpu")
    np.testing.assert_allclose(loaded.encode(TEXTS), model.encode(TEXTS), atol=1e-6)


def assert_equal_weights(one: SentenceTransformer, other: SentenceTransformer) -> None:
    left, right = one.state_dict(), other.state_dict()
    assert list(left) == list(right)
    assert all(torch.equal(left[name], right[name]) for name in left)


def change(file: Path, **values: Any) -> None:
    held = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(held | values), encoding="utf-8")
