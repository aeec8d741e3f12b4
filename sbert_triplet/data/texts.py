"""The text table: every distinct normalised text is one integer id."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from sbert_triplet.data.examples import IntArray
from sbert_triplet.errors import DataError, MachineError

# Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties: characters without width or meaning
# of their own (zero-width spaces and joiners, soft hyphens, byte order marks, variation selectors).
IGNORABLE_RANGES: tuple[tuple[int, int], ...] = (
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x061C, 0x061C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x202A, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
_IGNORABLE = re.compile("[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in IGNORABLE_RANGES) + "]+")
_DIGEST_BYTES = 16


# Characters that NFKC leaves alone wherever they stand, and whose folded form it leaves alone: ASCII,
# Latin, Greek and Cyrillic letters, common punctuation, Hebrew, Arabic, kana, Han, Hangul, emoji. Texts
# of these alone need no normal form.
_PLAIN = re.compile(
    "[\x00-\x7f\xa1-\xa7\xa9\xab\xac\xae\xb0\xb1\xb6\xb7\xbb\xbf-\xffĀ-įıĴ-ľŁ-ňŊ-žΆΈ-ΊΌΎΏΑ-ΡΣ-ία-ώЀ-ҁҊ-ԯא-תء-غف-ي"
    "\u2010\u2012-\u2015\u2018-\u201f\u2020-\u2023\u2030-\u2032\u2039\u203a€"
    "\u3001-\u3011\u3041-\u3096\u30a1-\u30fe\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3"
    "\U0001f300-\U0001f64f\U0001f680-\U0001f6d7\U0001f900-\U0001f9ff]*"
)


def normalise(text: str) -> str:
    """The form in which two texts count as the same text.

    Unicode NFKC, case folding, no zero-width or other default-ignorable characters, white space
    collapsed to single spaces and stripped: the NFKC_Casefold of the Unicode standard (section 3.13)
    with white space on top. Idempotent.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    if _PLAIN.fullmatch(text):
        return " ".join(text.casefold().split())
    # Folding starts from NFD so that combining marks in any order fold alike.
    folded = unicodedata.normalize("NFD", _IGNORABLE.sub("", text)).casefold()
    folded = unicodedata.normalize("NFKC", folded).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


class TextTable:
    """Texts and their ids: 0, 1, 2, ... in the order in which distinct normalised texts were added.

    The text kept for an id is the first one seen, exactly as given. In memory stay a 16-byte digest
    (BLAKE2b) for each text and less than ``spill_bytes`` of texts; what goes beyond is written to
    Arrow IPC files in ``folder`` and memory-mapped. The folder exists, is the caller's, empty at
    first and of no further use once the table is gone. Without a folder all texts stay in memory.
    """

    def __init__(self, folder: Path | None = None, *, spill_bytes: int = 64 << 20) -> None:
        self._folder = folder
        self._spill_bytes = spill_bytes
        self._ids: dict[bytes, int] = {}
        self._segments: list[pa.Array] = []
        self._starts = [0]
        self._pending: list[str] = []
        self._pending_bytes = 0

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, texts: Iterable[str]) -> IntArray:
        """Ids of the given texts, in their order; texts not seen before get the next ids.

        Raises DataError for a text with a lone surrogate, which no file could hold; the texts before
        it are then in the table.
        """
        ids = self._ids
        added: list[int] = []
        for text in texts:
            digest = _digest(text)
            found = ids.get(digest)
            if found is None:
                found = ids[digest] = len(ids)
                self._append(text)
            added.append(found)
        return np.array(added, dtype=np.int64)

    def lookup(self, text: str) -> int | None:
        """The id of the text that is equal after normalisation, or None."""
        return self._ids.get(_digest(text))

    def text(self, id: int) -> str:
        """The text of an id. Raises IndexError for an id that was never given."""
        return self.texts([id])[0]

    def texts(self, ids: Sequence[int] | IntArray) -> list[str]:
        """The texts of the ids, in their order. Raises IndexError for an id that was never given."""
        wanted = np.asarray(ids, dtype=np.int64)
        if not wanted.size:
            return []
        if wanted.min() < 0 or wanted.max() >= len(self):
            wrong = wanted.min() if wanted.min() < 0 else wanted.max()
            raise IndexError(f"text id {wrong}: this table holds ids 0 to {len(self) - 1}")
        found = np.empty(wanted.size, dtype=object)
        segments = np.searchsorted(self._starts, wanted, side="right") - 1
        for segment in np.unique(segments):
            here = np.flatnonzero(segments == segment)
            rows = wanted[here] - self._starts[segment]
            if segment == len(self._segments):
                found[here] = [self._pending[row] for row in rows]
            else:
                found[here] = self._segments[segment].take(pa.array(rows)).to_pylist()
        return list(found)

    def fingerprint(self) -> str:
        """SHA-256 over all texts as kept, in the order of their ids, however they were spilled."""
        contents, lengths = hashlib.sha256(), hashlib.sha256()
        for segment in [*self._segments, pa.array(self._pending, pa.large_string())]:
            if not len(segment):
                continue
            _, offsets_buffer, data = segment.buffers()
            offsets = np.frombuffer(offsets_buffer, dtype=np.int64)[
                segment.offset : segment.offset + len(segment) + 1
            ]
            contents.update(memoryview(data)[offsets[0] : offsets[-1]] if data is not None else b"")
            lengths.update(np.diff(offsets).astype("<i8").tobytes())
        return hashlib.sha256(contents.digest() + lengths.digest()).hexdigest()

    def _append(self, text: str) -> None:
        self._pending.append(text)
        # Four bytes bound a character in UTF-8; one bounds it where the text is ASCII.
        self._pending_bytes += len(text) if text.isascii() else 4 * len(text)
        if self._pending_bytes >= self._spill_bytes:
            self._close_segment()

    def _close_segment(self) -> None:
        array = pa.array(self._pending, pa.large_string())
        if self._folder is not None:
            array = _spill(array, self._folder / f"texts-{len(self._segments):05d}.arrow")
        self._segments.append(array)
        self._starts.append(self._starts[-1] + len(array))
        self._pending, self._pending_bytes = [], 0


def text_ids(values: pa.Array, texts: TextTable) -> IntArray:
    """(R,) ids of R strings without nulls, added to the table; each distinct string is looked up once."""
    encoded = values.dictionary_encode()
    return texts.add(encoded.dictionary.to_pylist())[np.asarray(encoded.indices, dtype=np.int64)]


def _digest(text: str) -> bytes:
    try:
        encoded = normalise(text).encode()
    except UnicodeEncodeError as error:
        raise DataError(
            "a text holds a lone surrogate (half of a UTF-16 character, from a broken \\u escape); "
            "repair the text or leave its row out"
        ) from error
    return hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).digest()


def _spill(array: pa.Array, path: Path) -> pa.Array:
    """Write the array to an Arrow IPC file and give it back memory-mapped."""
    try:
        with (
            pa.OSFile(str(path), "wb") as sink,
            pa.ipc.new_file(sink, pa.schema([("text", array.type)])) as file,
        ):
            file.write_batch(pa.record_batch([array], names=["text"]))
    except OSError as error:
        path.unlink(missing_ok=True)
        raise MachineError(
            f"{path}: the text table could not be written ({error}); free some disk space"
        ) from error
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column(0)
