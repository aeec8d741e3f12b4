"""The encoder as a graph for ONNX Runtime and OpenVINO, and what runs it in the encoder's place."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from sbert_triplet.errors import InputError, ModelError

ONNX_FILE, ONNX_INT8_FILE = "onnx/model.onnx", "onnx/model_qint8.onnx"
OPENVINO_FILE, OPENVINO_INT8_FILE = "openvino/openvino_model.xml", "openvino/openvino_model_qint8.xml"
"""Where the backends of sentence-transformers look for them."""
OUTPUT = "last_hidden_state"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_INSTALL = "pip install 'sbert-triplet[{extra}]'"
Run = Callable[[Mapping[str, NDArray[np.int64]]], NDArray[np.float32]]


def write_onnx(model: SentenceTransformer, file: Path, *, int8: bool = False) -> None:
    """Write the encoder of ``model`` as an ONNX graph: token ids and mask in, last hidden states out.

    ``int8``: weights of matrix products in 8 bits, what they are multiplied with as it comes. Raises
    InputError where the packages are missing, ModelError where the encoder is none of transformers'.
    """
    _needed("onnx", "onnx", "onnxruntime")
    file.parent.mkdir(parents=True, exist_ok=True)
    if not int8:
        _trace(model, file)
        return
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = file.with_name(f".{file.name}.whole")
    try:
        _trace(model, whole)
        quantize_dynamic(whole, file, weight_type=QuantType.QInt8, per_channel=True)
    finally:
        whole.unlink(missing_ok=True)


def write_openvino(model: SentenceTransformer, file: Path, *, int8: bool = False) -> None:
    """Write the encoder of ``model`` as OpenVINO's graph (an .xml and a .bin). Raises as ``write_onnx``."""
    _needed("openvino", "onnx", "openvino", *(["nncf"] if int8 else []))
    import openvino

    file.parent.mkdir(parents=True, exist_ok=True)
    traced = file.with_name(f".{file.stem}.onnx")
    try:
        _trace(model, traced)
        graph = openvino.convert_model(traced)
        if int8:
            import nncf

            graph = nncf.compress_weights(graph, mode=nncf.CompressWeightsMode.INT8_SYM)
        openvino.save_model(graph, file, compress_to_fp16=False)
    finally:
        traced.unlink(missing_ok=True)


def with_graph(model: SentenceTransformer, file: Path) -> SentenceTransformer:
    """A copy of ``model`` on the CPU whose encoder is the graph in ``file``; ``model`` is left as it is."""
    run = _onnx(file) if file.suffix == ".onnx" else _openvino(file)
    made = copy.deepcopy(model).to("cpu").eval()
    transformer: Any = made[0]
    transformer.model = _GraphEncoder(run, inputs_of(model), _encoder(model).config)
    return made


def inputs_of(model: SentenceTransformer) -> list[str]:
    """The names of the graph's inputs: what the tokenizer gives and the encoder takes."""
    taken = inspect.signature(_encoder(model).forward).parameters
    given = set(model.tokenizer.model_input_names)
    return [name for name in _INPUTS if name in given and name in taken]


class _GraphEncoder(nn.Module):
    """Stands where the encoder of transformers was."""

    def __init__(self, run: Run, names: Sequence[str], config: Any) -> None:
        super().__init__()
        self.config, self._run, self._names = config, run, names

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None, **_: Any
    ) -> BaseModelOutput:
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}
        given["token_type_ids"] = torch.zeros_like(input_ids) if token_type_ids is None else token_type_ids
        arrays = {name: np.asarray(given[name], dtype=np.int64) for name in self._names}
        return BaseModelOutput(last_hidden_state=torch.from_numpy(self._run(arrays)))


class _Traced(nn.Module):
    """The encoder with its inputs by position, and one tensor as output."""

    def __init__(self, encoder: nn.Module, names: Sequence[str]) -> None:
        super().__init__()
        self.encoder, self._names = encoder, names

    def forward(self, *inputs: Tensor) -> Tensor:
        states: Tensor = self.encoder(**dict(zip(self._names, inputs, strict=True))).last_hidden_state
        return states


def _trace(model: SentenceTransformer, file: Path) -> None:
    names = inputs_of(model)
    encoder = copy.deepcopy(_encoder(model)).to("cpu", torch.float32).eval()
    encoder.set_attn_implementation("eager")
    sample = model.tokenizer(["two texts", "of unequal length, so that one is padded"], padding=True)
    inputs = tuple(torch.tensor(sample[name]) for name in names)
    free = {name: {0: "batch_size", 1: "sequence_length"} for name in [*names, OUTPUT]}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Traced(encoder, names).eval(),
            inputs,
            str(file),
            input_names=names,
            output_names=[OUTPUT],
            dynamic_axes=free,
            opset_version=17,
            dynamo=False,
        )


def _encoder(model: SentenceTransformer) -> Any:
    encoder = getattr(model[0], "model", None)
    if not callable(getattr(encoder, "set_attn_implementation", None)):
        raise ModelError("the model's first module is no encoder of transformers, so there is no graph of it")
    return encoder


def _onnx(file: Path) -> Run:
    _needed("onnx", "onnxruntime")
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return lambda arrays: np.asarray(session.run([OUTPUT], dict(arrays))[0])


def _openvino(file: Path) -> Run:
    _needed("openvino", "openvino")
    import openvino

    # Without the hint, processors that have bfloat16 compute in it, and embeddings differ by 1e-2.
    graph = openvino.compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda arrays: np.array(graph(dict(arrays))[0])


def _needed(extra: str, *packages: str) -> None:
    import importlib.util

    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"this needs {', '.join(missing)}: {_INSTALL.format(extra=extra)}")
