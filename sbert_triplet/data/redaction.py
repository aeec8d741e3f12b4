"""What no message may show: tokens, and what addresses carry of a person."""

from __future__ import annotations

import os
import re

HIDDEN = "[hidden]"
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Variables of the environment whose values are secret."""
_SHORTEST = 4
"""Characters of a value that is looked for: to hide a shorter one would hide words."""
_PERSON = re.compile(r"(?<=://)[^\s/?#'\"<>]*@")
_QUERY = re.compile(r"(?P<address>\w://[^\s?#'\"<>]*)\?[^\s'\"<>)]*")
_SIGNED = re.compile(r"(?P<before>[^\s?])\?[\w.%~-]+=[^\s'\"<>)]*")
"""The query of an address that is given without its beginning."""
_TOKEN = re.compile(r"hf_(?=\w*[A-Z\d]|[a-z]{12})\w+")
"""A token of the Hub. Names of functions (hf_hub_download) are words of small letters."""


def redacted(text: str) -> str:
    """The text without tokens of the Hub, and without the user and the query of addresses."""
    for name in _TOKENS:
        value = os.environ.get(name, "").strip()
        if len(value) >= _SHORTEST:
            text = text.replace(value, HIDDEN)
    text = _PERSON.sub(f"{HIDDEN}@", text)
    text = _QUERY.sub(rf"\g<address>?{HIDDEN}", text)
    text = _SIGNED.sub(rf"\g<before>?{HIDDEN}", text)
    return _TOKEN.sub(HIDDEN, text)
