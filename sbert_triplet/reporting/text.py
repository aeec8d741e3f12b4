"""Texts that came from outside, made fit to be written into a file that people open."""

from __future__ import annotations

import re

_CONTROL_PICTURES = {code: 0x2400 + code for code in range(0x20) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
_C1_CONTROLS = dict.fromkeys(range(0x80, 0xA0), 0xFFFD)
_SURROGATES = dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)
_NONCHARACTERS = dict.fromkeys((0xFFFE, 0xFFFF), 0xFFFD)
_VISIBLE = _CONTROL_PICTURES | _C1_CONTROLS | _SURROGATES | _NONCHARACTERS

_DATA_FILE = re.compile(r"\.(?:csv|tsv|txt|jsonl?|parquet|arrow|ya?ml)(?:\.gz)?$", re.IGNORECASE)
_MARKDOWN_SPECIAL = re.compile(r"([\\`*_\[\]>#|~$&]|<(?=[A-Za-z/!?]))")


def clean(value: object) -> str:
    """``value`` as text that every encoder accepts and that shows what stood there.

    Control characters become their pictures (NUL is ␀), half surrogate pairs become U+FFFD; tabs
    and line ends stay, and all line ends become ``\\n``.
    """
    text = value if isinstance(value, str) else str(value)
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_VISIBLE)


def one_line(value: object) -> str:
    """``clean`` text with every run of white space as one space."""
    return " ".join(clean(value).split())


def shorten(text: str, limit: int) -> tuple[str, int]:
    """The first ``limit`` characters, cut at a word's end where one is near, and how many were left out."""
    if len(text) <= limit:
        return text, 0
    space = text.rfind(" ", limit - limit // 5, limit)
    kept = text[: space if space > 0 else limit].rstrip()
    return kept, len(text) - len(kept)


def without_folders(value: object) -> str:
    """``value``, or its last part where it is a path: the folders above it are nobody's business.

    A path begins like one (``/``, ``~``, ``./``, a drive) or ends like a file of data; names of the
    Hub (``owner/name``) stay as they are.
    """
    text = one_line(value)
    if _DATA_FILE.search(text) or re.match(r"(?:[/\\~]|\.{1,2}[/\\]|[A-Za-z]:[/\\]|file:)", text):
        return re.split(r"[/\\]", text.rstrip("/\\"))[-1]
    return text


def markdown_escape(value: object) -> str:
    """One line of text that Markdown shows as it is: no table cell, link, tag or emphasis can begin in it."""
    return _MARKDOWN_SPECIAL.sub(r"\\\1", one_line(value))


def markdown_fence(text: str, language: str = "") -> str:
    """A code block that ``text`` cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{clean(text).rstrip()}\n{fence}"
