"""Model folders that try to run code or to read elsewhere, and what libraries do with them unvetted.

Imported by tests, and run as a script: ``hostile_folders.py FOLDER`` makes each folder that does harm
below ``FOLDER`` and loads it by sentence-transformers, transformers or torch alone, which answers
"yes" where it asks whether code may run. ``FOLDER/NAME.marker`` is there where the harm was done.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, WordEmbeddings
from sentence_transformers.sentence_transformer.modules.tokenizer import WhitespaceTokenizer
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer

from sbert_triplet.encoding.tiny import tiny_encoder

WORDS = ("the", "cat", "sat", "mat", "dog")
Build = Callable[[Path, Path], None]
"""Of the folder and the marker, as is the loading."""


@dataclass(frozen=True)
class Hostile:
    """A folder that is sound but for what ``build(folder, marker)`` does to it.

    ``marker``: a file that must never appear. ``says``: what the refusal says, a regular expression.
    ``unvetted(folder, marker)`` loads the folder by a library alone; the marker is there afterwards.
    ``base``: makes the sound folder.
    """

    name: str
    build: Build
    says: str
    unvetted: Build | None = None
    base: Callable[[Path], None] | None = None
    crosses: bool = False

    def make(self, folder: Path, marker: Path) -> Path:
        """The hostile folder, new."""
        (self.base or (sound_cross_encoder if self.crosses else sound_encoder))(folder)
        self.build(folder, marker)
        return folder


def sound_encoder(folder: Path) -> None:
    tiny_encoder(WORDS).save(str(folder), create_model_card=False)


def sound_cross_encoder(folder: Path) -> None:
    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=1,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)


def sound_word_vectors(folder: Path) -> None:
    words = WordEmbeddings(WhitespaceTokenizer(list(WORDS)), torch.ones(len(WORDS), 4).numpy())
    modules = [words, Pooling(4)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)


def change(file: Path, **values: Any) -> None:
    """Set keys of a JSON object, in a file that need not be there."""
    held = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    file.write_text(json.dumps(held | values), encoding="utf-8")


def change_module(folder: Path, number: int, **values: str) -> None:
    """Set keys of a module in ``modules.json``."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    modules[number] |= values
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")


def elsewhere(folder: Path) -> Path:
    """A folder beside the model's, which must not be read."""
    place = folder.with_name(f"{folder.name}-elsewhere")
    place.mkdir(exist_ok=True)
    return place


def code(marker: Path) -> str:
    """A line of Python that makes the marker."""
    return f"open({str(marker)!r}, 'w').close()\n"


class _Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.marker), "w")


def _pickled(folder: Path, marker: Path) -> None:
    torch.save(_Payload(marker), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _unpickle(folder: Path, _: Path) -> None:
    torch.load(next(folder.rglob("pytorch_model.bin")), weights_only=False)


def _pickled_dense(folder: Path, marker: Path) -> None:
    _dense(folder)
    torch.save(_Payload(marker), folder / "3_Dense" / "pytorch_model.bin")
    (folder / "3_Dense" / "model.safetensors").unlink()


def _dense(folder: Path, activation: str = "torch.nn.modules.activation.Tanh") -> None:
    place = folder / "3_Dense"
    place.mkdir()
    change(place / "config.json", in_features=32, out_features=4, bias=True, activation_function=activation)
    save_file({"linear.weight": torch.ones(4, 32), "linear.bias": torch.ones(4)}, place / "model.safetensors")
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    modules.append({"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")


def _trusted(folder: Path, _: Path) -> None:
    with mock.patch.object(sys, "path", [str(folder), *sys.path]):
        SentenceTransformer(str(folder), device="cpu", trust_remote_code=True, local_files_only=True)


def _plain(folder: Path, _: Path) -> None:
    SentenceTransformer(str(folder), device="cpu", local_files_only=True)


def _plain_and_read(folder: Path, marker: Path) -> None:
    """Loads what came from elsewhere, or nothing at all."""
    _plain(folder, marker)
    marker.touch()


def _own_model(folder: Path, marker: Path) -> None:
    text = (
        "from transformers import BertConfig, BertModel\n"
        "class OwnConfig(BertConfig): ...\nclass OwnModel(BertModel): config_class = OwnConfig\n"
    )
    (folder / "modeling_own.py").write_text(code(marker) + text, encoding="utf-8")
    names = {"AutoConfig": "modeling_own.OwnConfig", "AutoModel": "modeling_own.OwnModel"}
    change(folder / "config.json", auto_map=names)


def _own_tokenizer(folder: Path, marker: Path) -> None:
    text = "from transformers import BertTokenizer\nclass OwnTokenizer(BertTokenizer): ...\n"
    (folder / "tokenization_own.py").write_text(code(marker) + text, encoding="utf-8")
    names = ["tokenization_own.OwnTokenizer", None]
    change(
        folder / "tokenizer_config.json", auto_map={"AutoTokenizer": names}, tokenizer_class="OwnTokenizer"
    )


def _own_module(folder: Path, marker: Path) -> None:
    text = (
        "class Own:\n    def __init__(self): ...\n    @classmethod\n    def load(cls, path): return cls()\n"
    )
    (folder / "own.py").write_text(code(marker) + text, encoding="utf-8")
    change_module(folder, 1, type="own.Own")


def _own_activation(folder: Path, marker: Path) -> None:
    (folder / "own_activation.py").write_text(code(marker) + "class Own: ...\n", encoding="utf-8")
    _dense(folder, "own_activation.Own")


def _of_type(reference: str) -> Build:
    def build(folder: Path, _: Path) -> None:
        change_module(folder, 1, type=reference)

    return build


def _activation_of_torch(folder: Path, _: Path) -> None:
    change(folder / "config.json", sentence_transformers={"activation_fn": "torch.utils.collect_env.main"})


def _called(folder: Path, marker: Path) -> None:
    """What the real function starts is a dozen programs; that it is called is enough to see."""
    with mock.patch("torch.utils.collect_env.main", marker.touch):
        CrossEncoder(str(folder), device="cpu", local_files_only=True)


def _asking_tokenizer(folder: Path, marker: Path) -> None:
    place = next(folder.glob("*_WordEmbeddings"), folder)
    name = "sentence_transformers.sentence_transformer.modules.tokenizer.word.TransformersTokenizerWrapper"
    change(place / "wordembedding_config.json", tokenizer_class=name)
    (place / "own.py").write_text(code(marker) + "class Own: ...\n", encoding="utf-8")
    change(place / "tokenizer_config.json", auto_map={"AutoTokenizer": ["own.Own", None]})


def _foreign_word_tokenizer(folder: Path, marker: Path) -> None:
    place = next(folder.glob("*_WordEmbeddings"), folder)
    (place / "own.py").write_text(code(marker) + "class Own: ...\n", encoding="utf-8")
    change(place / "wordembedding_config.json", tokenizer_class="own.Own")


def _tokenizer_elsewhere(folder: Path, _: Path) -> None:
    place = elsewhere(folder)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.move(folder / file, place / file)
    shutil.copy(folder / "config.json", place / "config.json")
    change(folder / "sentence_bert_config.json", tokenizer_name_or_path=str(place))


def _shards_elsewhere(folder: Path, _: Path) -> None:
    place = elsewhere(folder)
    shutil.move(folder / "model.safetensors", place / "model.safetensors")
    name = f"../{place.name}/model.safetensors"
    weights = load_file(place / "model.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": dict.fromkeys(weights, name)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _audio_tokenizer(folder: Path, marker: Path) -> None:
    """A processor's second model, which transformers reads without saying that code is not trusted."""
    place = elsewhere(folder)
    (place / "own.py").write_text(code(marker) + "class Own: ...\n", encoding="utf-8")
    change(place / "config.json", model_type="own", auto_map={"AutoConfig": "own.Own"})
    named = {"audio_tokenizer_class": "AutoModel", "audio_tokenizer_name_or_path": str(place)}
    change(folder / "processor_config.json", audio_tokenizer=named)


def _audio_tokenizer_file(folder: Path, _: Path) -> None:
    change(folder / "audio_tokenizer_config.json", audio_tokenizer_class="AutoModel")


def _setting(file: str, **values: Any) -> Build:
    def build(folder: Path, _: Path) -> None:
        change(folder / file, **values)

    return build


def _kernel(folder: Path, marker: Path) -> None:
    try:
        SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except (ImportError, ValueError) as error:
        if "kernels" in str(error):
            marker.touch()


def _model_of_timm(folder: Path, marker: Path) -> None:
    """A model of another library, which unpickles the file that it is told of."""
    place = folder / "extra.model"
    torch.save({"state_dict": _Payload(marker)}, place)
    named = {"architecture": "resnet18", "model_args": {"checkpoint_path": str(place.absolute())}}
    (folder / "config.json").write_text(json.dumps({"model_type": "timm_wrapper", **named}), encoding="utf-8")


def _timm(folder: Path, marker: Path) -> None:
    """Whether timm would be asked, which may not be installed."""
    try:
        SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    except (ImportError, ValueError) as error:
        if "timm" in str(error):
            marker.touch()


def _header_in_capitals(folder: Path, _: Path) -> None:
    (folder / "More.SAFETENSORS").write_bytes((1 << 62).to_bytes(8, "little") + b"{}")


def _options(key: str, **values: Any) -> Build:
    return _setting("sentence_bert_config.json", **{key: values})


def _link(file: str) -> Build:
    def build(folder: Path, _: Path) -> None:
        place = elsewhere(folder) / Path(file).name
        shutil.move(folder / file, place)
        (folder / file).symlink_to(place)

    return build


def _linked_module(folder: Path, _: Path) -> None:
    place = elsewhere(folder) / "1_Pooling"
    shutil.move(folder / "1_Pooling", place)
    (folder / "1_Pooling").symlink_to(place)


def _path(path: str) -> Build:
    def build(folder: Path, _: Path) -> None:
        shutil.copytree(folder / "1_Pooling", elsewhere(folder) / "1_Pooling")
        change_module(folder, 1, path=path.format(elsewhere=elsewhere(folder)))

    return build


def _router(reference: str, inner: str) -> Build:
    def build(folder: Path, _: Path) -> None:
        place = folder / "3_Router"
        place.mkdir()
        change(place / "router_config.json", types={inner: reference}, structure={"query": [inner]})
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        kind = "sentence_transformers.models.Router"
        modules.append({"idx": 3, "name": "3", "path": "3_Router", "type": kind})
        (folder / "modules.json").write_text(json.dumps(modules), encoding="utf-8")

    return build


def _header(length: int) -> Build:
    def build(folder: Path, _: Path) -> None:
        (folder / "model.safetensors").write_bytes(length.to_bytes(8, "little") + b"{}")

    return build


def _allowed_header_cut_short(folder: Path, _: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _giant(file: str, size: int) -> Build:
    def build(folder: Path, _: Path) -> None:
        os.truncate(folder / file, size)

    return build


def _pipe(folder: Path, _: Path) -> None:
    (folder / "config.json").unlink()
    os.mkfifo(folder / "config.json")


def _deep(folder: Path, _: Path) -> None:
    (folder / "config.json").write_text("[" * 200_000, encoding="utf-8")


def _same_name(folder: Path, _: Path) -> None:
    change_module(folder, 2, name="1")


HOSTILE: tuple[Hostile, ...] = (
    Hostile("pickled-weights", _pickled, "no weights in the safetensors format", _unpickle),
    Hostile("pickled-module", _pickled_dense, "3_Dense/pytorch_model.bin: it has no weights", _unpickle),
    Hostile("own-model", _own_model, "config.json, auto_map: .*modeling_own", _trusted),
    Hostile("own-tokenizer", _own_tokenizer, "tokenizer_config.json, auto_map", _trusted),
    Hostile("own-module", _own_module, "module 1: the type 'own.Own' is not", _trusted),
    Hostile("own-activation", _own_activation, "3_Dense/config.json, activation_function", _trusted),
    Hostile("popen-module", _of_type("subprocess.Popen"), "the type 'subprocess.Popen'"),
    Hostile("system-module", _of_type("os.system"), "the type 'os.system'"),
    Hostile("inner-module", _of_type("sentence_transformers.util.http_get"), "http_get' is not a module"),
    Hostile("torch-activation", _activation_of_torch, "activation_fn: 'torch.utils", _called, crosses=True),
    Hostile(
        "called-activation",
        _setting("config.json", sbert_ce_default_activation_function="torch.utils.collect_env.main"),
        "sbert_ce_default_activation_function: 'torch.utils",
        _called,
        crosses=True,
    ),
    Hostile(
        "asking-tokenizer", _asking_tokenizer, "auto_map: ", _plain, base=sound_word_vectors
    ),
    Hostile(
        "word-tokenizer",
        _foreign_word_tokenizer,
        "tokenizer_class: 'own.Own'",
        _trusted,
        base=sound_word_vectors,
    ),
    Hostile("audio-tokenizer", _audio_tokenizer, "processor_config.json, audio_tokenizer: ", _plain),
    Hostile("audio-tokenizer-file", _audio_tokenizer_file, "audio_tokenizer_config.json: "),
    Hostile("tokenizer-elsewhere", _tokenizer_elsewhere, "tokenizer_name_or_path: ", _plain_and_read),
    Hostile("tokenizer-file", _options("tokenizer_args", vocab_file="/x"), "tokenizer_args: vocab_file: "),
    Hostile("shards-elsewhere", _shards_elsewhere, "weight_map: '../", _plain_and_read),
    Hostile(
        "kernel",
        _setting("config.json", attn_implementation="kernels-community/flash-attn"),
        "attn_implementation: 'kernels-community/flash-attn' is code from the Hub",
        _kernel,
    ),
    Hostile(
        "kernel-option",
        _options("model_kwargs", attn_implementation="some/kernel", allow_all_kernels=True),
        "attn_implementation: 'some/kernel'|allow_all_kernels",
        _kernel,
    ),
    Hostile("timm", _model_of_timm, "config.json, model_type: 'timm_wrapper' is no text encoder", _timm),
    Hostile(
        "inner-timm",
        _setting("config.json", parts=[{"vision_config": {"model_type": "timm_backbone"}}]),
        "config.json, parts.vision_config.model_type: 'timm_backbone' is no text encoder",
    ),
    Hostile("images", _setting("config.json", model_type="detr"), "model_type: 'detr' is no text encoder"),
    Hostile("no-type", _setting("config.json", model_type=["bert"]), "model_type: .'bert'. is no text"),
    Hostile("timm-by-key", _setting("config.json", pretrained_cfg={"file": "x"}), "json, pretrained_cfg"),
    Hostile("timm-options", _setting("config.json", text_config={"model_args": {"a": 1}}), "model_args: "),
    Hostile("unpickled", _setting("config.json", checkpoint_path="x.model"), "config.json, checkpoint_path"),
    Hostile("backbone", _setting("config.json", backbone="resnet18"), "config.json, backbone: "),
    Hostile("backbone-of-timm", _setting("config.json", use_timm_backbone=True), "use_timm_backbone: "),
    Hostile("pretrained", _setting("config.json", use_pretrained_backbone=True), "use_pretrained_backbone: "),
    Hostile(
        "settings-in-capitals",
        _setting("Config.json", attn_implementation="a/kernel"),
        "(?i)config.json, attn_implementation: 'a/kernel'",
    ),
    Hostile("adapter-in-capitals", _setting("Adapter_Config.JSON", peft_type="LORA"), "(?i)_config.json: "),
    Hostile("timm-in-capitals", _setting("CONFIG.json", model_type="timm_wrapper"), "(?i)config.json, model"),
    Hostile("weights-in-capitals", _header_in_capitals, "More.SAFETENSORS: the header claims"),
    Hostile(
        "configuration-of-a-version",
        _setting("config.5.0.0.json", model_type="timm_wrapper"),
        "config.5.0.0.json, model_type: 'timm_wrapper'",
    ),
    Hostile(
        "version-elsewhere",
        _setting("config.json", configuration_files=["config.5/../../x.json"]),
        "configuration_files: ",
    ),
    Hostile("trust", _options("model_args", trust_remote_code=True), "model_args: trust_remote_code: "),
    Hostile("revision", _options("config_args", code_revision="x"), "config_args: code_revision: "),
    Hostile("pickles", _options("model_kwargs", use_safetensors=False), "model_kwargs: use_safetensors: "),
    Hostile("all-pickles", _options("model_kwargs", weights_only=False), "model_kwargs: weights_only: "),
    Hostile("gguf", _options("config_kwargs", gguf_file="../x.gguf"), "config_kwargs: gguf_file: "),
    Hostile("backend", _setting("sentence_bert_config.json", backend="onnx"), "backend: 'onnx' is not torch"),
    Hostile(
        "method",
        _setting(
            "sentence_bert_config.json",
            modality_config={"text": {"method": "save_pretrained", "method_output_name": None}},
        ),
        "modality_config.text.method: 'save_pretrained'",
    ),
    Hostile(
        "adapter",
        _setting("adapter_config.json", base_model_name_or_path="someone/else", peft_type="LORA"),
        "adapter_config.json: an adapter",
    ),
    Hostile(
        "weights-name",
        _setting("config.json", transformers_weights="adapter_model.bin"),
        "transformers_weights: 'adapter_model.bin'",
    ),
    Hostile(
        "inner-setting",
        _setting("config.json", text_config={"attn_implementation": {"": "a/kernel"}}),
        "text_config.attn_implementation: 'a/kernel'",
    ),
    Hostile(
        "tokenizer-version",
        _setting("tokenizer_config.json", fast_tokenizer_files=["../tokenizer.4.0.0.json"]),
        "fast_tokenizer_files: ",
    ),
    Hostile("tokenizer-inputs", _setting("tokenizer_config.json", init_inputs=["/x"]), "init_inputs: "),
    Hostile("vocabulary", _setting("tokenizer_config.json", vocab_file=sys.executable), "vocab_file: "),
    Hostile("path-above", _path("../path-above-elsewhere/1_Pooling"), "leaves the folder"),
    Hostile("path-absolute", _path("{elsewhere}/1_Pooling"), "leaves the folder"),
    Hostile("path-of-windows", _path("C:\\1_Pooling"), "leaves the folder"),
    Hostile("linked-configuration", _link("config.json"), "config.json: a link that leaves the folder"),
    Hostile("linked-weights", _link("model.safetensors"), "safetensors: a link that leaves the folder"),
    Hostile("linked-inside", _link("1_Pooling/config.json"), "1_Pooling/config.json: a link that leaves"),
    Hostile("linked-module", _linked_module, "1_Pooling: a link that leaves the folder"),
    Hostile("router-type", _router("os.system", "query_0"), "types.query_0: the type 'os.system'"),
    Hostile("router-path", _router("sentence_transformers.models.Dense", "../x"), "leaves the folder"),
    Hostile("giant-header", _header(1 << 62), "the header claims"),
    Hostile("long-header", _header(3), "the header claims 3 bytes, of a file of 10"),
    Hostile("cut-short", _allowed_header_cut_short, "the header speaks of"),
    Hostile("giant-settings", _giant("config.json", 200_000_000), "config.json: 200,000,000 bytes"),
    Hostile("giant-vocabulary", _giant("tokenizer.json", 200_000_000), "tokenizer.json: 200,000,000 bytes"),
    Hostile("pipe", _pipe, "config.json: this is not a regular file"),
    Hostile("deep", _deep, "config.json: this is no JSON that can be read"),
    Hostile("same-name", _same_name, "modules.json: 1: a name of two modules"),
)  # fmt: skip
"""Every way of doing harm that is known, of bi-encoders and (``crosses``) of cross-encoders."""


def main(folder: Path) -> None:
    for hostile in HOSTILE:
        if hostile.unvetted:
            marker = folder / f"{hostile.name}.marker"
            made = hostile.make(folder / hostile.name, marker)
            try:
                with mock.patch("builtins.input", return_value="y"):
                    hostile.unvetted(made, marker)
            except Exception as error:
                # Most of them fail once the harm is done.
                print(f"{hostile.name}: {type(error).__name__}: {str(error)[:300]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
