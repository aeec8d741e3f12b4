"""HTML that is safe by construction: a plain string is always escaped, only ``Html`` is not."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape as _escape

from sbert_triplet.reporting.text import clean

_VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


class Html(str):
    """Markup that needs no more escaping. Made by ``element``, ``escape`` and ``join`` alone."""

    __slots__ = ()


def escape(value: object) -> Html:
    """``value`` as text: nothing in it can open a tag, an entity or an attribute."""
    return value if isinstance(value, Html) else Html(_escape(clean(value), quote=True))


def join(parts: Iterable[object], separator: str = "") -> Html:
    """The parts one after the other, each escaped unless it is ``Html``; None is left out."""
    return Html(escape(separator).join(escape(part) for part in parts if part is not None))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """``<tag …>children</tag>``.

    Attribute names are written with ``_`` for ``-`` (``aria_label``), and with a trailing ``_`` where
    Python keeps the word for itself (``class_``, ``id_``). None and False leave an attribute out, True
    writes it bare.
    """
    opened = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{opened}>")
    return Html(f"<{tag}{opened}>{join(children)}</{tag}>")


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    written = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {written}"
    return f' {written}="{_escape(clean(value), quote=True)}"'
