from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.errors import GainNotShownError, InputError
from sbert_triplet.publishing import graphs
from sbert_triplet.publishing.export import Asked, Exported, export_model


def missing(*packages: str) -> list[str]:
    return [name for name in packages if importlib.util.find_spec(name) is None]


NEEDS = {"onnx": ("onnx", "onnxruntime"), "openvino": ("onnx", "openvino", "nncf")}
FORMS = ["onnx", pytest.param("openvino", marks=pytest.mark.long)]


@pytest.fixture
def needs(request: pytest.FixtureRequest) -> str:
    form = str(request.param)
    if absent := missing(*NEEDS[form]):
        pytest.skip(f"no {', '.join(absent)}: pip install 'sbert-triplet[{form}]'")
    return form


def accept(_: Exported) -> None:
    return


@pytest.mark.parametrize("needs", FORMS, indirect=True)
def test_a_graph_gives_the_same_embeddings(
    needs: str, model: SentenceTransformer, tmp_path: Path, texts: list[str]
) -> None:
    made = export_model(model, tmp_path / "out", Asked(to=needs), accept=accept)
    assert made.difference <= 1e-5
    for side in ("encode", "encode_query", "encode_document"):
        assert np.abs(getattr(made.model, side)(texts) - getattr(model, side)(texts)).max() <= 1e-5
    # Of the texts of a batch the shorter ones are padded: a graph that leaves the mask out would differ.
    assert np.abs(made.model.encode(texts[:1]) - made.model.encode(texts)[:1]).max() <= 1e-5


@pytest.mark.parametrize("needs", FORMS, indirect=True)
def test_eight_bits(needs: str, tiny: SentenceTransformer, tmp_path: Path, texts: list[str]) -> None:
    exact = export_model(tiny, tmp_path / "exact", Asked(to=needs), accept=accept)
    made = export_model(tiny, tmp_path / "out", Asked(to=needs, int8=True), accept=accept)
    assert exact.difference < made.difference < 0.1
    assert 0.98 < made.cosine < 0.999999
    assert made.model.encode(texts).shape == tiny.encode(texts).shape
    names = {file.name for file in (tmp_path / "out" / needs).iterdir()}
    expected = (
        {"model_qint8.onnx"} if needs == "onnx" else {"openvino_model_qint8.xml", "openvino_model_qint8.bin"}
    )
    assert names == expected


def test_fewer_dimensions(tiny: SentenceTransformer, tmp_path: Path, texts: list[str]) -> None:
    made = export_model(tiny, tmp_path / "out", Asked(dimensions=8), accept=accept)
    assert made.difference <= 1e-6
    loaded = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert np.array_equal(loaded.encode(texts), tiny.encode(texts)[:, :8])


def test_half_the_bits(tiny: SentenceTransformer, tmp_path: Path) -> None:
    made = export_model(tiny, tmp_path / "out", Asked(float16=True), accept=accept)
    whole = export_model(tiny, tmp_path / "whole", Asked(), accept=accept)
    assert 0 < made.difference < 1e-2
    assert made.cosine > 0.9999
    size = [(folder / "model.safetensors").stat().st_size for folder in (made.folder, whole.folder)]
    assert size[0] < 0.6 * size[1]


def test_what_is_refused_leaves_nothing(tiny: SentenceTransformer, tmp_path: Path) -> None:
    def refuse(made: Exported) -> None:
        raise GainNotShownError(f"{made.difference}")

    with pytest.raises(GainNotShownError):
        export_model(tiny, tmp_path / "out", Asked(), accept=refuse)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Asked(to="gguf"), "--to gguf: choose from portable, onnx, openvino"),
        (Asked(int8=True), "--int8 goes with --to onnx or --to openvino"),
        (Asked(to="onnx", float16=True), "--float16 goes with --to portable"),
    ],
)
def test_forms_that_do_not_go_together(
    asked: Asked, said: str, tiny: SentenceTransformer, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        export_model(tiny, tmp_path / "out", asked, accept=accept)


def test_a_missing_package_gives_the_install_line(
    tiny: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'sbert-triplet\[onnx\]'"):
        graphs.write_onnx(tiny, tmp_path / "model.onnx")


def test_names_of_folders() -> None:
    names = [Asked(), Asked(to="onnx", int8=True), Asked(float16=True, dimensions=128)]
    assert [each.name for each in names] == ["portable", "onnx-int8", "portable-float16-128"]
