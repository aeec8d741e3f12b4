"""Embeddings in files: read by later runs, finished by the next one, never another model's."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import Pooling

from sbert_triplet.encoding import construction
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.embedding_cache import FEWEST, FEWEST_BESIDE, EmbeddingCache
from sbert_triplet.encoding.encode import encode
from sbert_triplet.encoding.fingerprint import encoder_fingerprint
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import TokenTable

COUNT = FEWEST + 100
IDS = np.arange(COUNT)
WORDS = ("cat", "dog", "mat", "phone", "long word", "Straße", "")


def text(number: int) -> str:
    return " ".join(WORDS[number * step % len(WORDS)] for step in range(1 + number % 20))


def texts(ids: Any) -> list[str]:
    return [text(number) for number in ids]


def embedder(model: SentenceTransformer, folder: Path, **given: Any) -> Embedder:
    table = TokenTable(model, given.pop("texts", texts))
    return Embedder(model, table, **{"cache": EmbeddingCache(folder), "budget": 300, **given})


@pytest.fixture
def model() -> SentenceTransformer:
    return tiny_encoder(WORDS)


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    """The embeddings of all texts, made without a cache."""
    model = tiny_encoder(WORDS)
    return encode(model, TokenTable(model, texts), "text", IDS, budget=300)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("embeddings-*.npy"))


def test_a_later_embedder_reads_what_an_earlier_one_encoded(
    model: SentenceTransformer, tmp_path: Path, passed: list[int], expected: np.ndarray
) -> None:
    first, second = (embedder(model, tmp_path) for _ in range(2))
    one = first("text", IDS)
    assert sum(passed) == COUNT
    two = second("query", IDS)
    assert sum(passed) == COUNT
    np.testing.assert_array_equal(one, expected)
    np.testing.assert_array_equal(two, expected)
    # What is read stays in the file, and nobody can write to it.
    assert isinstance(second("text", IDS[5:50]).base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        two[0] = 0
    assert first.encoding_seconds == second.encoding_seconds > 0
    assert first.spared_seconds == 0 < second.spared_seconds <= second.encoding_seconds
    assert [file.suffix for file in sorted(tmp_path.iterdir()) if file.suffix != ".lock"] == [".json", ".npy"]


def test_only_what_is_new_is_encoded(model: SentenceTransformer, tmp_path: Path, passed: list[int]) -> None:
    found = embedder(model, tmp_path, at_once=[("document", IDS[50:])])
    found("query", np.array([3, 70, 4]))
    assert sum(passed) == COUNT - 50 + 2
    everything = found("document", IDS[50:])
    assert sum(passed) == COUNT - 50 + 2
    assert np.shares_memory(everything, found("document", IDS[60:70]))
    assert len(files(tmp_path)) == 1


def test_few_texts_beside_many_are_kept_as_well(model: SentenceTransformer, tmp_path: Path) -> None:
    for count in (FEWEST_BESIDE - 1, FEWEST_BESIDE):
        model.prompts["query"] = f"one of {count}: "
        found = embedder(model, tmp_path, at_once=[("document", IDS[:FEWEST])])
        found("query", IDS[:count])
        assert len(files(tmp_path)) == (count == FEWEST_BESIDE)
    found("document", IDS[:5])
    assert len(files(tmp_path)) == 2


def test_what_embeddings_depend_on_is_the_key(model: SentenceTransformer, tmp_path: Path) -> None:
    def weight() -> None:
        with torch.no_grad():
            next(iter(model.parameters()))[0, 0] += 1e-3

    changes: list[tuple[Callable[[], Any], dict[str, Any]]] = [
        (lambda: None, {}),
        (weight, {}),
        (lambda: setattr(model[1], "pooling_mode", "cls"), {}),
        (lambda: setattr(model[1], "include_prompt", False), {}),
        (lambda: model.prompts.update(query="question: "), {}),
        (lambda: setattr(model, "truncate_dim", 16), {}),
        (lambda: setattr(model, "max_seq_length", 10), {}),
        (lambda: model.pop(2), {}),
        (lambda: model.append(Dense(32, 32)), {}),
        (lambda: setattr(model[2], "activation_function", torch.nn.ReLU()), {}),
        (lambda: model.tokenizer.add_tokens(["phone cat"]), {}),
        (lambda: setattr(model[0].model.config, "layer_norm_eps", 1e-3), {}),
        (lambda: None, {"precision": "bf16"}),
        (lambda: None, {"budget": 200}),
        (lambda: None, {"texts": lambda ids: [text(n) + ("." if n == 77 else "") for n in ids]}),
        (lambda: None, {"texts": lambda ids: [text(COUNT - 1 - n) for n in ids]}),
    ]
    for number, (change, given) in enumerate(changes):
        change()
        for _ in range(2):
            embedder(model, tmp_path, **given)("query", IDS)
            assert len(files(tmp_path)) == number + 1


def test_where_a_model_comes_from_is_not_in_its_name(model: SentenceTransformer, tmp_path: Path) -> None:
    fingerprint = encoder_fingerprint(model)
    assert fingerprint is not None
    for name in ("here", "there"):
        model.save(str(tmp_path / name), create_model_card=False)
        loaded = SentenceTransformer(str(tmp_path / name), device="cpu")
        assert encoder_fingerprint(loaded) == fingerprint
    model[0].model.config.hidden_act = "relu"
    assert encoder_fingerprint(model) != fingerprint


def test_a_module_with_code_of_its_own_has_no_name(model: SentenceTransformer, tmp_path: Path) -> None:
    class Louder(Normalize):
        def forward(self, features: dict[str, Any], **_: Any) -> dict[str, Any]:
            return {**features, "sentence_embedding": 2 * features["sentence_embedding"]}

    louder = SentenceTransformer(modules=[model[0], Pooling(32), Louder()], device="cpu")
    assert encoder_fingerprint(louder) is None
    assert embedder(louder, tmp_path)("text", IDS).shape == (COUNT, 32)
    assert list(tmp_path.iterdir()) == []


SCRIPT = """
import os, signal, sys
from pathlib import Path
import numpy as np
from sbert_triplet.encoding import construction
from sbert_triplet.encoding.embedder import Embedder
from sbert_triplet.encoding.embedding_cache import EmbeddingCache
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokens import TokenTable

words, count, stop = {words!r}, {count}, {stop}
construction.EVERY = construction.WRITING = 0.0
def text(number):
    return " ".join(words[number * step % len(words)] for step in range(1 + number % 20))
def tell(done, total):
    print(done, flush=True)
    if done >= stop:
        os.kill(os.getpid(), signal.SIGKILL)
model = tiny_encoder(words)
print("ready", flush=True)
sys.stdin.readline()
table = TokenTable(model, lambda ids: [text(number) for number in ids])
Embedder(
    model, table, cache=EmbeddingCache(Path({folder!r})), budget=300, progress=tell
)("text", np.arange(count))
"""


def started(folder: Path, stop: int) -> subprocess.Popen[str]:
    script = SCRIPT.format(words=WORDS, count=COUNT, folder=str(folder), stop=stop)
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_what_lies_in_the_folder_in_the_middle_of_a_run_is_gone_on_with(
    model: SentenceTransformer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    passed: list[int],
    expected: np.ndarray,
) -> None:
    """What a process leaves that is killed there: a copy of its files."""
    monkeypatch.setattr(construction, "EVERY", 0.0)
    monkeypatch.setattr(construction, "WRITING", 0.0)
    running, left = tmp_path / "running", tmp_path / "left"
    done: list[int] = []

    def copied(so_far: int, total: int) -> None:
        if so_far >= 400 and not left.exists():
            shutil.copytree(running, left)
        if not left.exists():
            done.append(so_far)

    embedder(model, running, progress=copied)("text", IDS)
    passed.clear()
    (record,) = left.glob("*.json")
    seconds = json.loads(record.read_text())["seconds"]
    calls: list[tuple[int, int]] = []
    found = embedder(model, left, progress=lambda *call: calls.append(call))
    np.testing.assert_array_equal(found("text", IDS), expected)
    assert 0 < done[-1] <= COUNT - sum(passed)
    assert calls[0][0] == COUNT - sum(passed) + passed[0]
    assert calls[-1] == (COUNT, COUNT)
    assert found.encoding_seconds > seconds > 0
    (file,) = files(left)
    assert np.load(file).tobytes() == expected.tobytes()
    assert not list(left.glob("*.part"))


@pytest.mark.long
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed in another way here")
def test_a_killed_run_goes_on_where_it_stopped(
    model: SentenceTransformer, tmp_path: Path, passed: list[int], expected: np.ndarray
) -> None:
    said, _ = (process := started(tmp_path, 400)).communicate("go\n", timeout=120)
    assert process.returncode == -signal.SIGKILL
    (record,) = tmp_path.glob("*.json")
    seconds = json.loads(record.read_text())["seconds"]
    done = [int(line) for line in said.split()]
    assert files(tmp_path) == []
    calls: list[tuple[int, int]] = []
    found = embedder(model, tmp_path, progress=lambda *call: calls.append(call))
    np.testing.assert_array_equal(found("text", IDS), expected)
    # The record of the last group was written before the process was told to stop.
    assert done[-1] >= 400
    assert sum(passed) == COUNT - done[-1]
    assert calls[0][0] == done[-1] + passed[0]
    assert calls[-1] == (COUNT, COUNT)
    assert found.encoding_seconds > seconds > 0
    (file,) = files(tmp_path)
    assert np.load(file).tobytes() == expected.tobytes()
    assert not list(tmp_path.glob("*.part"))


def test_an_interrupted_run_loses_nothing(
    model: SentenceTransformer, tmp_path: Path, passed: list[int], expected: np.ndarray
) -> None:
    def stop(done: int, total: int) -> None:
        if done > 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedder(model, tmp_path, progress=stop)("text", IDS)
    np.testing.assert_array_equal(embedder(model, tmp_path)("text", IDS), expected)
    assert sum(passed) == COUNT


@pytest.mark.parametrize("what", ["a cut part", "no part", "a cut record", "another record", "no record"])
def test_a_begun_file_that_is_of_no_use_is_begun_anew(
    model: SentenceTransformer, tmp_path: Path, passed: list[int], expected: np.ndarray, what: str
) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedder(model, tmp_path, progress=stop)("text", IDS)
    (part,), (record,) = tmp_path.glob("*.part"), tmp_path.glob("*.json")
    if what == "a cut part":
        part.write_bytes(part.read_bytes()[:5000])
    elif what == "a cut record":
        record.write_text(record.read_text()[:20])
    elif what == "another record":
        record.write_text(json.dumps({"groups": 9, "done": "ff80", "seconds": 1000.0}))
    else:
        (part if what == "no part" else record).unlink()
    found = embedder(model, tmp_path)
    np.testing.assert_array_equal(found("text", IDS), expected)
    assert sum(passed[1:]) == COUNT
    assert found.encoding_seconds < 500


def flipped(file: Path) -> None:
    held = bytearray(file.read_bytes())
    held[-1000] ^= 1
    file.write_bytes(held)


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"no table" * 1000),
        lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: np.save(file, np.zeros((COUNT, 31), dtype=np.float32)),
        lambda file: np.save(file, np.zeros((COUNT, 32), dtype=np.float64)),
        lambda file: np.save(file, np.zeros((COUNT, 32), dtype=object)),
        flipped,
        lambda file: file.with_suffix(".json").unlink(),
        lambda file: file.with_suffix(".json").write_text("{}"),
        lambda file: file.with_suffix(".json").write_text("[1]"),
    ],
)
def test_a_damaged_file_is_made_again(
    model: SentenceTransformer,
    tmp_path: Path,
    passed: list[int],
    expected: np.ndarray,
    damage: Callable[[Path], Any],
) -> None:
    embedder(model, tmp_path)("text", IDS)
    (file,) = files(tmp_path)
    damage(file)
    for _ in range(2):
        np.testing.assert_array_equal(embedder(model, tmp_path)("text", IDS), expected)
        assert sum(passed) == 2 * COUNT


def no_room(*_: Any, **__: Any) -> Iterator[None]:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("why", ["not a folder", "full", "no record", "no new name"])
def test_where_nothing_can_be_written_the_work_is_done_without(
    model: SentenceTransformer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    expected: np.ndarray,
    why: str,
) -> None:
    chosen = tmp_path / "file" / "embeddings"
    if why == "full":
        monkeypatch.setattr("os.posix_fallocate", no_room, raising=False)
    elif why == "no record":
        monkeypatch.setattr(construction, "new_file", no_room)
    elif why == "no new name":
        monkeypatch.setattr(Path, "replace", no_room)
    else:
        chosen.parent.write_text("a file where the folder would be")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            np.testing.assert_array_equal(embedder(model, chosen)("text", IDS), expected)
    warnings = [record for record in caplog.records if record.name.startswith("sbert_triplet")]
    assert len(warnings) == 1
    assert str(chosen) in warnings[0].getMessage()
    assert not list(chosen.glob("*.npy"))


def test_a_folder_that_can_only_be_read_is_read(
    model: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passed: list[int]
) -> None:
    embedder(model, tmp_path)("text", IDS)
    monkeypatch.setattr("filelock.FileLock.acquire", no_room)
    monkeypatch.setattr("os.utime", no_room)
    embedder(model, tmp_path)("text", IDS)
    assert sum(passed) == COUNT


@pytest.mark.long
def test_two_processes_at_once_encode_once(tmp_path: Path, expected: np.ndarray) -> None:
    pair = [started(tmp_path, COUNT + 1) for _ in range(2)]
    for process in pair:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=120)[0].split() for process in pair]
    assert [process.returncode for process in pair] == [0, 0]
    assert sorted(len(lines) > 0 for lines in said) == [False, True]
    (file,) = files(tmp_path)
    np.testing.assert_array_equal(np.load(file), expected)


def test_few_texts_make_no_file(model: SentenceTransformer, tmp_path: Path) -> None:
    embedder(model, tmp_path)("text", IDS[: FEWEST - 1])
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_that_of_the_package_or_the_one_that_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SBERT_TRIPLET_EMBEDDING_CACHE", raising=False)
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(tmp_path))
    assert EmbeddingCache.of_the_person() == EmbeddingCache(tmp_path / "embeddings")
    monkeypatch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", str(tmp_path / "here"))
    assert EmbeddingCache.of_the_person() == EmbeddingCache(tmp_path / "here")
    monkeypatch.setenv("SBERT_TRIPLET_EMBEDDING_CACHE", "Off")
    assert EmbeddingCache.of_the_person() is None


def test_the_record_says_only_what_is_on_the_disk(
    model: SentenceTransformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: np.ndarray
) -> None:
    """At every entry of the record the rows of the groups that it names lie in the file."""
    monkeypatch.setattr(construction, "EVERY", 0.0)
    monkeypatch.setattr(construction, "WRITING", 0.0)
    seen: list[int] = []
    replace = Path.replace

    def looked(self: Path, target: Path) -> Path:
        if str(target).endswith(".json"):
            (part,) = tmp_path.glob("*.part")
            record = json.loads(self.read_text())
            bits = np.unpackbits(np.frombuffer(bytes.fromhex(record["done"]), np.uint8))
            table = TokenTable(model, texts)
            table.add("text", IDS)
            groups = [g for g, done in zip(table.groups(0, IDS, 300), bits, strict=False) if done]
            rows = np.concatenate(groups)
            np.testing.assert_array_equal(np.load(part)[rows], expected[rows])
            seen.append(len(rows))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", looked)
    embedder(model, tmp_path)("text", IDS)
    assert seen == sorted(seen)
    assert seen[-1] == COUNT
