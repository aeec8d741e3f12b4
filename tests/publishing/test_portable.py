from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Pooling

from sbert_triplet.encoding.agreement import largest_difference
from sbert_triplet.errors import InputError, MachineError, ModelError
from sbert_triplet.publishing.plain import plain_code
from sbert_triplet.publishing.portable import save_half, save_portable, with_dimensions

WIDTH = 32


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def settings(model: SentenceTransformer) -> tuple[Any, ...]:
    prompts = {name: text for name, text in model.prompts.items() if text}
    return prompts, model.default_prompt_name, str(model.similarity_fn_name), model.max_seq_length


def test_every_shape_is_carried(model: SentenceTransformer, tmp_path: Path, texts: list[str]) -> None:
    saved = save_portable(model, tmp_path / "out")
    again = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert settings(again) == settings(model)
    assert again.get_embedding_dimension() == len(model.encode("a"))
    assert np.abs(again.encode(texts) - model.encode(texts)).max() <= 1e-6
    for side in ("encode_query", "encode_document"):
        assert np.abs(getattr(again, side)(texts) - getattr(model, side)(texts)).max() <= 1e-6
    assert saved.difference <= 1e-6
    assert saved.limits == ()


def test_the_words_are_those_of_old_versions(model: SentenceTransformer, tmp_path: Path) -> None:
    """The keys that sentence-transformers 3.4 passes on to constructors: it fails at any other."""
    folder = save_portable(model, tmp_path / "out").folder
    for entry in read(folder / "modules.json"):
        assert set(entry) == {"idx", "name", "path", "type"}
        assert entry["type"].startswith("sentence_transformers.models.")
        config = folder / entry["path"] / "config.json"
        if entry["type"].endswith("Pooling"):
            assert {key for key in read(config) if not key.startswith("pooling_mode_")} == {
                "word_embedding_dimension",
                "include_prompt",
            }
            assert sum(value is True for key, value in read(config).items() if key != "include_prompt") == 1
        elif entry["type"].endswith("Dense"):
            assert set(read(config)) == {"in_features", "out_features", "bias", "activation_function"}
    assert read(folder / "sentence_bert_config.json") == {
        "max_seq_length": model.max_seq_length,
        "do_lower_case": False,
    }
    assert "truncate_dim" not in read(folder / "config_sentence_transformers.json")


def test_plain_transformers_by_the_lines_of_the_card(
    model: SentenceTransformer, tmp_path: Path, texts: list[str]
) -> None:
    folder = save_portable(model, tmp_path / "out").folder
    plain = plain_code(folder, str(folder))
    assert plain.code is not None
    scope: dict[str, Any] = {}
    exec(plain.code, scope)
    default = model.prompts.get(model.default_prompt_name or "", "")
    for prompt in (default, *model.prompts.values()):
        expected = model.encode(texts, prompt=prompt)
        assert np.abs(scope["embed"](texts, prompt).numpy() - expected).max() <= 1e-6


def test_routes_are_carried_and_their_limits_told(
    routed: SentenceTransformer, tmp_path: Path, texts: list[str]
) -> None:
    saved = save_portable(routed, tmp_path / "out")
    again = SentenceTransformer(str(saved.folder), device="cpu")
    assert np.abs(again.encode_query(texts) - routed.encode_query(texts)).max() <= 1e-6
    assert np.abs(again.encode_query(texts) - again.encode_document(texts)).max() > 0.1
    assert len(saved.limits) == 1
    assert "before version 5" in saved.limits[0]
    assert plain_code(saved.folder, "x").code is None


def test_dimensions_that_the_model_was_trained_for(tiny: SentenceTransformer, tmp_path: Path) -> None:
    folder = save_portable(tiny, tmp_path / "out", dimensions=[16, 8, 32]).folder
    assert read(folder / "config.json")["matryoshka_dimensions"] == [8, 16]
    assert "matryoshka_dimensions" not in read(save_portable(tiny, tmp_path / "b").folder / "config.json")


def test_nothing_tells_where_the_model_lay(tiny: SentenceTransformer, tmp_path: Path) -> None:
    home = tmp_path / "secret-home"
    tiny.save(str(home), create_model_card=False)
    folder = save_portable(SentenceTransformer(str(home), device="cpu"), tmp_path / "out").folder
    for file in folder.rglob("*.json"):
        assert "secret-home" not in file.read_text(encoding="utf-8"), file


def test_a_cut_is_exact(tiny: SentenceTransformer, tmp_path: Path, texts: list[str]) -> None:
    folder = save_portable(with_dimensions(tiny, 7), tmp_path / "out").folder
    again = SentenceTransformer(str(folder), device="cpu")
    assert np.array_equal(again.encode(texts), tiny.encode(texts)[:, :7])
    with pytest.raises(InputError, match="--dimensions 33: the embeddings of this model have 32"):
        with_dimensions(tiny, 33)


def test_float16(tiny: SentenceTransformer, tmp_path: Path) -> None:
    saved = save_half(tiny, tmp_path / "out")
    assert 0 < saved.difference < 1e-2
    assert (saved.folder / "model.safetensors").stat().st_size < 4 * sum(
        weights.numel() for weights in tiny.parameters()
    )
    assert next(tiny.parameters()).dtype is torch.float32


def test_written_whole_or_not_at_all(
    tiny: SentenceTransformer,
    tmp_path: Path,
    every_model: dict[str, SentenceTransformer],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = save_portable(tiny, tmp_path / "out").folder
    before = {file: file.read_bytes() for file in kept.rglob("*") if file.is_file()}
    other = every_model["cls"]
    monkeypatch.setattr("sbert_triplet.publishing.portable.largest_difference", lambda *_: 1e-3)
    with pytest.raises(MachineError, match=r"differ by 1\.0e-03"):
        save_portable(other, kept, overwrite=True)
    assert {file: file.read_bytes() for file in kept.rglob("*") if file.is_file()} == before
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_what_is_in_the_way(
    tiny: SentenceTransformer, tmp_path: Path, every_model: dict[str, SentenceTransformer]
) -> None:
    folder = save_portable(tiny, tmp_path / "out").folder
    with pytest.raises(InputError, match="holds a model; name another folder"):
        save_portable(tiny, folder)
    save_portable(every_model["cls"], folder, overwrite=True)
    assert read(folder / "1_Pooling" / "config.json")["pooling_mode_cls_token"] is True
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("x")
    with pytest.raises(InputError, match="files that are no model's"):
        save_portable(tiny, tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / "letter.txt").read_text() == "x"


def test_a_model_that_cannot_be_said_in_these_words(tiny: SentenceTransformer, tmp_path: Path) -> None:
    residual = Dense(WIDTH, WIDTH, use_residual=True)
    model = SentenceTransformer(modules=[tiny[0], Pooling(WIDTH, "mean"), residual], device="cpu")
    with pytest.raises(ModelError, match="2_Dense works on something else than the embedding, or with a res"):
        save_portable(model, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_pooling_of_several_modes(tiny: SentenceTransformer, tmp_path: Path, texts: list[str]) -> None:
    pooling = Pooling(WIDTH, ("cls", "mean"))
    model = SentenceTransformer(modules=[tiny[0], pooling, Dense(2 * WIDTH, 6)], device="cpu")
    folder = save_portable(model, tmp_path / "out").folder
    assert largest_difference(model, SentenceTransformer(str(folder), device="cpu"), texts) <= 1e-6
    assert plain_code(folder, "x").code is None


OLDER = os.environ.get("SBERT_TRIPLET_OLDER_PYTHONS", "")
"""Python interpreters with older versions of sentence-transformers, as `eval/consumers.py` makes them."""
_ENCODE = """
import json, sys, numpy as np
from sentence_transformers import SentenceTransformer
texts, folders, out = json.loads(sys.argv[1]), sys.argv[2:-1], sys.argv[-1]
np.savez(out, **{str(n): SentenceTransformer(f, device="cpu").encode(texts) for n, f in enumerate(folders)})
"""


@pytest.mark.long
@pytest.mark.skipif(not OLDER, reason="SBERT_TRIPLET_OLDER_PYTHONS names no Python with an older version")
@pytest.mark.parametrize("python", [word for word in OLDER.split(os.pathsep) if word])
def test_older_versions_give_equal_embeddings(
    python: str, every_model: dict[str, SentenceTransformer], tmp_path: Path, texts: list[str]
) -> None:
    folders = [str(save_portable(model, tmp_path / name).folder) for name, model in every_model.items()]
    texts = [text for text in texts if text]
    words = [python, "-c", _ENCODE, json.dumps(texts), *folders, str(tmp_path / "found.npz")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npz")
    for number, (name, model) in enumerate(every_model.items()):
        assert np.abs(found[str(number)] - model.encode(texts)).max() <= 1e-6, name


def test_what_a_killed_process_left_is_cleared(tiny: SentenceTransformer, tmp_path: Path) -> None:
    """A process that dies while it writes leaves a name that the next one clears."""
    (tmp_path / ".out.part").mkdir()
    (tmp_path / ".out.part" / "model.safetensors").write_bytes(b"half")
    save_portable(tiny, tmp_path / "out")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out"]
