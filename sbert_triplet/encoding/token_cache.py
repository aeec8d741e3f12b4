"""Rows of tokens kept in Arrow files, so that later runs read what an earlier one tokenised.

A file is found by what its rows were made of: the content of the tokenizer, the prompt, the limit of
length, and the texts themselves in their order; never by the name of a model or of a file. It is
written under another name first and is there whole or not at all; one that cannot be read is made
again. Files lie in the folder ``tokens`` of the package's cache (``SBERT_TRIPLET_CACHE`` moves it) and
may be deleted at any time; those that were not read for longest go by themselves
(``data.trimming``). The environment variable ``SBERT_TRIPLET_TOKEN_CACHE`` names another
folder, or is ``off`` for none.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from datasets.arrow_writer import ArrowWriter
from filelock import FileLock
from numpy.typing import NDArray

from sbert_triplet.data.cache import TOKENS, kept_folder, new_file, open_arrow, tell_not_kept
from sbert_triplet.data.content import content_of
from sbert_triplet.data.trimming import limit_bytes, trim, used
from sbert_triplet.encoding.tokenise import Tokenised, Tokeniser
from sbert_triplet.errors import MachineError

IntArray = NDArray[np.int64]
Texts = Callable[[Sequence[int]], list[str]]
FEWEST = 1_000
"""Texts from which on a file is worth its while."""
ROWS_AT_ONCE = 16_384
_FORMAT = 1
_logger = logging.getLogger(__name__)


def token_cache_folder() -> Path | None:
    """Where files of tokens are kept; None where that is switched off."""
    return kept_folder(*TOKENS)


def token_rows(tokeniser: Tokeniser, texts: Texts, ids: IntArray) -> list[Tokenised]:
    """The rows of the texts of ``ids``, in their order, in parts: memory-mapped where there are many.

    A folder that cannot be written to, or a full disk, leaves the rows in memory, with a warning.
    """
    folder = token_cache_folder() if len(ids) >= FEWEST else None
    fingerprint = tokeniser.fingerprint() if folder is not None else None
    if folder is None or fingerprint is None:
        return list(_made(tokeniser, texts, ids))
    file = folder / f"tokens-{_key(fingerprint, texts, ids)}.arrow"
    kept = _read(file, len(ids))
    if kept is not None:
        used(file)
        return kept
    limit_bytes()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Processes that want the same rows at the same time tokenise them once.
        with FileLock(file.with_suffix(".lock")):
            kept = _read(file, len(ids))
            if kept is None:
                _write(file, _made(tokeniser, texts, ids))
                kept = _read(file, len(ids))
        trim()
    except (OSError, MachineError, NotImplementedError, pa.ArrowException) as error:
        tell_not_kept(_logger, folder, "rows of tokens", TOKENS, error)
    return list(_made(tokeniser, texts, ids)) if kept is None else kept


def _made(tokeniser: Tokeniser, texts: Texts, ids: IntArray) -> Iterator[Tokenised]:
    for start in range(0, len(ids), ROWS_AT_ONCE):
        yield tokeniser(texts(ids[start : start + ROWS_AT_ONCE].tolist()))


def _key(fingerprint: str, texts: Texts, ids: IntArray) -> str:
    named = f"{_FORMAT} {fingerprint} {content_of(texts, ids)}"
    return hashlib.sha256(named.encode()).hexdigest()[:40]


def _write(file: Path, parts: Iterable[Tokenised]) -> None:
    with new_file(file) as written, written.open("wb") as stream, ArrowWriter(stream=stream) as writer:
        for part in parts:
            # One record batch a part, whose tokens lie together in the file.
            writer.write_table(_table(part), writer_batch_size=len(part.lengths))
        writer.finalize()


def _table(part: Tokenised) -> pa.Table:
    offsets = pa.array(np.concatenate([[0], np.cumsum(part.lengths)]).astype(np.int32))
    columns = {"tokens": pa.ListArray.from_arrays(offsets, pa.array(part.tokens))}
    if part.types is not None:
        columns["types"] = pa.ListArray.from_arrays(offsets, pa.array(part.types))
    return pa.table({**columns, "full_length": pa.array(part.full_lengths)})


def _read(file: Path, rows: int) -> list[Tokenised] | None:
    """The parts of a file, memory-mapped; None where there is none of so many rows that can be read."""
    if not file.is_file():
        return None
    try:
        parts = [_part(batch) for batch in open_arrow(file).data.table.to_batches()]
    except Exception:  # a damaged file may fail in any way, and is made again
        return None
    return parts if sum(len(part.lengths) for part in parts) == rows else None


def _part(batch: pa.RecordBatch) -> Tokenised:
    batch.validate(full=True)
    lists = batch.column("tokens")
    offsets = lists.offsets.to_numpy()
    types = batch.column("types") if "types" in batch.schema.names else None
    if types is not None and not np.array_equal(types.offsets.to_numpy(), offsets):
        raise ValueError("types are not of the same texts as tokens")
    return Tokenised(
        _values(lists, np.int32),
        None if types is None else _values(types, np.int8),
        np.diff(offsets).astype(np.int32),
        np.array(batch.column("full_length"), dtype=np.int32),
    )


def _values(lists: pa.ListArray, kind: type[Any]) -> NDArray[Any]:
    values: NDArray[Any] = lists.flatten().to_numpy()
    if values.dtype != kind:
        raise ValueError(f"{values.dtype} where {kind.__name__} was written")
    return values
