"""Opening text files, with errors that say which line and byte is wrong."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from sbert_triplet.data.unpacking import BoundedGzip
from sbert_triplet.errors import DataError

_HEAD_BYTES = 1 << 16
_PIECE_BYTES = 1 << 20
LONGEST = 32_000_000
"""Characters of a line, a record or a value: what bounds the memory."""
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_OTHER_FORMATS = (
    (b"PAR1", "parquet", "name it .parquet"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "save the sheet as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV in UTF-8"),
    (b"\x1f\x8b", "gzip", "let its name end in .gz"),
    (b"ARROW1", "an Arrow file", "save it as parquet"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
)


def open_bytes(path: Path) -> BinaryIO:
    """The file's content, unpacked when its name ends in ``.gz``."""
    if path.name.lower().endswith(".gz"):
        return cast(BinaryIO, BoundedGzip(path))
    return path.open("rb")


@contextlib.contextmanager
def open_text(path: Path, newline: str) -> Iterator[TextIO]:
    """The file as text: UTF-8, with or without a byte order mark, or UTF-16 with one.

    ``newline`` as in ``open``. Whatever fails while the block reads becomes a DataError that
    names the file, and for undecodable bytes the line and the byte.
    """
    with reading(path), open_bytes(path) as stream:
        head = stream.read(_HEAD_BYTES)
        encoding = _encoding(path, head)
        stream.seek(0)
        try:
            with io.TextIOWrapper(stream, encoding=encoding, newline=newline) as text:
                yield text
        except UnicodeDecodeError as error:
            raise _undecodable(path, encoding, error) from error


def lines(path: Path, text: TextIO) -> Iterator[str]:
    """The lines of an open text, with their ends.

    Raises DataError for a line of more than ``LONGEST`` characters, and for one with a zero in it.
    """
    number = 0
    while line := text.readline(LONGEST + 1):
        number += 1
        if len(line) > LONGEST:
            raise DataError(f"{path}: line {number} has more than {LONGEST:,} characters. Is this a table?")
        if "\0" in line:
            at = line.index("\0") + 1
            raise DataError(
                f"{path}: is not text: line {number}, character {at} is zero, as in binary files."
            )
        yield line


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what can go wrong with a file into a DataError that names it."""
    try:
        yield
    except (EOFError, zlib.error) as error:
        raise DataError(f"{path}: the gzip file is cut short or damaged; get a complete copy.") from error
    except gzip.BadGzipFile as error:
        raise DataError(f"{path}: is not a gzip file, though its name ends in .gz. Rename it.") from error
    except RecursionError as error:
        raise DataError(f"{path}: holds values that are nested too deeply.") from error
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def _encoding(path: Path, head: bytes) -> str:
    if not head.strip():
        raise DataError(f"{path}: is empty.")
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise DataError(f"{path}: is text in UTF-32; save it as UTF-8.")
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    for magic, name, advice in _OTHER_FORMATS:
        if head.startswith(magic):
            raise DataError(f"{path}: is {name}, not text as its name says; {advice}.")
    if b"\0" in head:
        raise DataError(f"{path}: is not text: byte {head.index(0) + 1} is zero, as in binary files.")
    return "utf-8"


def _undecodable(path: Path, encoding: str, error: UnicodeDecodeError) -> DataError:
    if encoding == "utf-16":
        return DataError(f"{path}: starts like UTF-16 and is not ({error.reason}); save it as UTF-8.")
    return DataError(
        f"{path}: {_first_undecodable(path)} is not UTF-8. The file may be in Windows-1252 or Latin-1: "
        "save it as UTF-8 (iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW)."
    )


def _first_undecodable(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, before = 1, 0
    with open_bytes(path) as stream:
        for piece in itertools.chain(iter(lambda: stream.readline(_PIECE_BYTES), b""), [b""]):
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                at = before - pending + error.start + 1
                return f"line {line}, byte {at} of the line (0x{error.object[error.start]:02X})"
            line, before = (line + 1, 0) if piece.endswith(b"\n") else (line, before + len(piece))
    return "a part of it"
