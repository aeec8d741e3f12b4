"""Rows of tokens in files: read by later runs, never wrong, never in the way."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, get_ident
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pytest
from sentence_transformers import SentenceTransformer

from sbert_triplet.encoding import token_cache
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.token_cache import FEWEST, token_cache_folder, token_rows
from sbert_triplet.encoding.tokenise import Tokenised, Tokeniser, joined
from sbert_triplet.encoding.tokens import TokenTable

COUNT = FEWEST + 500
IDS = np.arange(COUNT)
WORDS = ("cat", "dog", "mat", "phone", "long word", "Straße", "")


def text(number: int) -> str:
    return " ".join(WORDS[number * step % len(WORDS)] for step in range(1 + number % 90))


def texts(ids: Any) -> list[str]:
    return [text(number) for number in ids]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of files of tokens."""
    chosen = tmp_path / "tokens"
    monkeypatch.setenv("SBERT_TRIPLET_TOKEN_CACHE", str(chosen))
    return chosen


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of texts that each call of a tokeniser was given."""
    seen: list[int] = []
    call = Tokeniser.__call__

    def counted(self: Tokeniser, some: list[str]) -> Tokenised:
        seen.append(len(some))
        return call(self, some)

    monkeypatch.setattr(Tokeniser, "__call__", counted)
    return seen


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.arrow"))


def rows_of(model: SentenceTransformer, prompt: str | None = None) -> Tokenised:
    return joined(token_rows(Tokeniser(model, prompt, None), texts, IDS))


def assert_equal(one: Tokenised, other: Tokenised) -> None:
    for name in ("tokens", "types", "lengths", "full_lengths"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_later_table_reads_what_an_earlier_one_tokenised(folder: Path, asked: list[int]) -> None:
    encoder, other_load = (tiny_encoder(WORDS) for _ in range(2))
    first = TokenTable(encoder, texts)
    first.add("text", IDS)
    assert sum(asked) == COUNT
    second = TokenTable(other_load, texts)
    second.add("text", IDS)
    assert sum(asked) == COUNT
    assert len(files(folder)) == 1
    np.testing.assert_array_equal(first.lengths(0, IDS), second.lengths(0, IDS))
    some = np.array([COUNT - 1, 3, 3, 700])
    one, other = first.features(0, some), second.features(0, some)
    expected = encoder.preprocess(texts(some))
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        np.testing.assert_array_equal(one[name], expected[name])
        np.testing.assert_array_equal(other[name], expected[name])


def test_what_the_tokens_depend_on_is_the_key(encoder: SentenceTransformer, folder: Path) -> None:
    changes: list[Callable[[], Any]] = [
        lambda: rows_of(encoder),
        lambda: rows_of(encoder, "query: "),
        lambda: setattr(encoder, "max_seq_length", 20) or rows_of(encoder),
        lambda: encoder.tokenizer.add_tokens(["phone cat"]) and rows_of(encoder),
        lambda: setattr(encoder[0], "do_lower_case", True) or rows_of(encoder),
        lambda: token_rows(Tokeniser(encoder, None, None), texts, IDS[::-1]),
        lambda: token_rows(Tokeniser(encoder, None, None), texts, IDS[:-1]),
        lambda: token_rows(
            Tokeniser(encoder, None, None),
            lambda ids: [text(number) + ("." if number == 77 else "") for number in ids],
            IDS,
        ),
    ]
    for number, change in enumerate(changes):
        for _ in range(2):
            change()
            assert len(files(folder)) == number + 1


def test_texts_are_told_apart_by_where_they_end(encoder: SentenceTransformer, folder: Path) -> None:
    for cut in (1, 2):
        pieces = ["cat"[:cut], "cat"[cut:]] * FEWEST
        token_rows(
            Tokeniser(encoder, None, None),
            lambda ids, pieces=pieces: [pieces[number] for number in ids],
            np.arange(len(pieces)),
        )
    assert len(files(folder)) == 2


SCRIPT = """
import sys
import numpy as np
from sbert_triplet.encoding import token_cache
from sbert_triplet.encoding.tiny import tiny_encoder
from sbert_triplet.encoding.tokenise import Tokeniser, joined

words, count = {words!r}, {count}
def text(number):
    return " ".join(words[number * step % len(words)] for step in range(1 + number % 90))
calls, call = [], Tokeniser.__call__
Tokeniser.__call__ = lambda self, some: calls.append(len(some)) or call(self, some)
encoder = tiny_encoder(words)
print("ready", flush=True)
sys.stdin.readline()
read = lambda ids: [text(number) for number in ids]
rows = joined(token_cache.token_rows(Tokeniser(encoder, None, None), read, np.arange(count)))
print(sum(calls), rows.tokens.tolist())
"""


def test_two_at_once_tokenise_once(folder: Path, asked: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Both look for the file before one of them begins to make it, and that takes a while."""
    read, call, met, looked = token_cache._read, Tokeniser.__call__, Barrier(2), set[int]()

    def looking(file: Path, rows: int) -> list[Tokenised] | None:
        found = read(file, rows)
        if get_ident() not in looked:
            looked.add(get_ident())
            met.wait(60)
            assert found is None
        return found

    def slowly(self: Tokeniser, some: list[str]) -> Tokenised:
        time.sleep(0.2)
        return call(self, some)

    monkeypatch.setattr(token_cache, "_read", looking)
    monkeypatch.setattr(Tokeniser, "__call__", slowly)
    encoders = [tiny_encoder(WORDS) for _ in range(2)]
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(rows_of, encoders)
    assert len(looked) == 2
    assert asked == [COUNT]
    assert_equal(one, other)
    assert len(files(folder)) == 1


@pytest.mark.long
def test_two_processes_at_once_tokenise_once_and_a_third_not_at_all(folder: Path, asked: list[int]) -> None:
    script = SCRIPT.format(words=WORDS, count=COUNT)
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in pair:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in pair:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    (one, rows), (two, same) = (
        process.communicate(timeout=120)[0].strip().split(" ", maxsplit=1) for process in pair
    )
    assert sorted([int(one), int(two)]) == [0, COUNT]
    assert rows == same
    assert str(rows_of(tiny_encoder(WORDS)).tokens.tolist()) == rows
    assert asked == []
    assert len(files(folder)) == 1


def cut_to(share: float) -> Callable[[Path], None]:
    def damage(file: Path) -> None:
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])

    return damage


def without_its_last_rows(file: Path) -> None:
    table = datasets.Dataset.from_file(str(file)).data.table
    batches = table.to_batches()
    assert len(batches) > 1
    held = [pa.RecordBatch.from_pydict(batch.to_pydict(), schema=table.schema) for batch in batches[:-1]]
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        for batch in held:
            stream.write_batch(batch)


def of_other_columns(file: Path) -> None:
    table = pa.table({"tokens": [[1]] * COUNT})
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)


@pytest.mark.parametrize(
    "damage",
    [
        *(cut_to(share) for share in (0, 0.01, 0.5, 0.999)),
        lambda file: file.write_bytes(b"no table" * 1000),
        without_its_last_rows,
        of_other_columns,
    ],
)
def test_a_damaged_file_is_made_again(
    encoder: SentenceTransformer,
    folder: Path,
    asked: list[int],
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], Any],
) -> None:
    monkeypatch.setattr(token_cache, "ROWS_AT_ONCE", 400)
    expected = rows_of(encoder)
    (file,) = files(folder)
    damage(file)
    assert_equal(rows_of(encoder), expected)
    assert sum(asked) == 2 * COUNT
    assert_equal(rows_of(encoder), expected)
    assert sum(asked) == 2 * COUNT


def test_what_a_stopped_process_leaves_is_not_read(
    encoder: SentenceTransformer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "ROWS_AT_ONCE", 400)
    made, call = [], Tokeniser.__call__

    def stopped(self: Tokeniser, some: list[str]) -> Tokenised:
        made.append(len(some))
        if len(made) == 3:
            raise KeyboardInterrupt
        return call(self, some)

    with monkeypatch.context() as patch:
        patch.setattr(Tokeniser, "__call__", stopped)
        with pytest.raises(KeyboardInterrupt):
            rows_of(encoder)
    assert files(folder) == []
    (folder / ".writing-left.arrow").write_bytes(b"half")
    assert rows_of(encoder).tokens.size
    assert len([file for file in files(folder) if not file.name.startswith(".")]) == 1


def no_room(*_: Any, **__: Any) -> Iterator[None]:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("why", ["not a folder", "full"])
def test_where_nothing_can_be_written_rows_stay_in_memory(
    encoder: SentenceTransformer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    why: str,
) -> None:
    monkeypatch.setenv("SBERT_TRIPLET_TOKEN_CACHE", "off")
    expected = rows_of(encoder)
    chosen = tmp_path / "file" / "tokens"
    monkeypatch.setenv("SBERT_TRIPLET_TOKEN_CACHE", str(chosen))
    if why == "full":
        monkeypatch.setattr(token_cache.ArrowWriter, "write_table", no_room)
    else:
        chosen.parent.write_text("a file where the folder would be")
    with caplog.at_level(logging.WARNING):
        assert_equal(rows_of(encoder), expected)
        assert_equal(rows_of(encoder, "cat "), joined([rows_of(encoder, "cat ")]))
    warnings = [record for record in caplog.records if record.name == token_cache.__name__]
    assert len(warnings) == 1
    assert str(chosen) in warnings[0].getMessage()
    if why == "full":
        assert list(chosen.glob("*.arrow")) == []
        assert list(chosen.glob(".writing*")) == []


def test_off_and_few_texts_make_no_file(
    encoder: SentenceTransformer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_rows(Tokeniser(encoder, None, None), texts, IDS[: FEWEST - 1])
    assert not folder.exists()
    with monkeypatch.context() as patch:
        patch.setenv("SBERT_TRIPLET_TOKEN_CACHE", "OFF")
        assert token_cache_folder() is None
        rows_of(encoder)
    assert not folder.exists()
    token_rows(Tokeniser(encoder, None, None), texts, IDS[:FEWEST])
    assert len(files(folder)) == 1


def test_the_folder_lies_in_that_of_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SBERT_TRIPLET_TOKEN_CACHE")
    monkeypatch.setenv("SBERT_TRIPLET_CACHE", str(tmp_path))
    assert token_cache_folder() == tmp_path / "tokens"


def test_rows_are_read_from_the_file_and_not_held_in_memory(
    encoder: SentenceTransformer, folder: Path
) -> None:
    before = pa.total_allocated_bytes()
    table = TokenTable(encoder, texts)
    table.add("text", IDS)
    parts = table._stores[0].parts
    size = sum(part.tokens.nbytes for part in parts)
    assert size > 100_000
    assert pa.total_allocated_bytes() - before < size / 20
    for part in parts:
        assert part.types is not None
        assert not part.tokens.flags.owndata
        assert not part.types.flags.owndata


def test_rows_of_several_parts_and_of_memory_together(
    encoder: SentenceTransformer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "ROWS_AT_ONCE", 300)
    table = TokenTable(encoder, texts)
    table.add("text", np.array([5, COUNT + 7]))
    table.add("text", IDS)
    table.add("text", np.array([COUNT + 3]))
    some = np.array([COUNT + 3, 0, 299, 300, 5, COUNT - 1, COUNT + 7, 1204])
    expected = encoder.preprocess(texts(some))
    found = table.features(0, some)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        np.testing.assert_array_equal(found[name], expected[name])
