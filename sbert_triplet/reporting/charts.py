"""Charts: drawn by matplotlib, put inline as SVG whose text is text and whose colours are the page's own."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from sbert_triplet.reporting.html import Html, element
from sbert_triplet.reporting.text import clean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT = 296, 188
"""Of one chart in pixels: small enough for a phone to show unscaled; larger screens put several in a row."""

INK, MUTED, RULE, TUNED, BASE, BETTER, WORSE = (f"#0a0b0{digit}" for digit in range(1, 8))
"""Colours to draw with. Each stands for a variable of the style sheet, so that dark pages get dark charts."""

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    TUNED: "var(--tuned)",
    BASE: "var(--base)",
    BETTER: "var(--better)",
    WORSE: "var(--worse)",
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 11,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.limits": (-3, 4),
    "axes.formatter.useoffset": False,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.color": RULE,
    "ytick.labelcolor": MUTED,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "path.simplify": False,
}


def chart(
    key: str, title: str, description: str, paint: Callable[[Axes], None], height: int = HEIGHT
) -> Html:
    """A figure with its title above it, ``WIDTH`` by ``height`` pixels.

    ``key`` is distinct for each chart of a page, ``description`` is what a screen reader says, and
    ``paint`` draws on the matplotlib axes that it is given, with the colours of this module.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    target = io.BytesIO()
    with rc_context({**_STYLE, "svg.hashsalt": key}), warnings.catch_warnings():
        figure = Figure(figsize=(WIDTH / 72, height / 72), layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure.add_subplot())
        for text in figure.findobj(Text):
            text.set_text(clean(text.get_text()))
        # The page's fonts draw the texts, so signs that this machine's fonts lack are no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None})
    svg = _inline(target.getvalue(), key)
    svg.attrib.update({"viewBox": f"0 0 {WIDTH} {height}", "role": "img", "aria-label": clean(description)})
    drawing = Html(ElementTree.tostring(svg, encoding="unicode"))
    return element("figure", element("figcaption", title), drawing, class_="chart")


def _inline(drawn: bytes, key: str) -> ElementTree.Element:
    """The root element without name spaces, metadata and styles, and with ids that are this chart's own."""
    root = ElementTree.fromstring(drawn)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in {"metadata", "style"}:
                parent.remove(child)
    referred = set(re.findall(rb"#([\w.-]+)", drawn))
    for node in root.iter():
        node.tag = _local(node.tag)
        attributes = {_local(name): value for name, value in node.attrib.items()}
        if attributes.get("id", "").encode() not in referred:
            attributes.pop("id", None)
        node.attrib.clear()
        node.attrib.update({name: _own(name, value, key) for name, value in attributes.items()})
    root.attrib.clear()
    return root


def _own(name: str, value: str, key: str) -> str:
    if name == "id":
        return f"{key}-{value}"
    if name in {"href", "clip-path"}:
        return value.replace("#", f"#{key}-")
    if name == "style":
        # The page chooses the fonts; matplotlib before 3.11 writes size and family as one property.
        value = re.sub(r"font-family:[^;]*;?\s*", "", value)
        value = re.sub(r"font:[^;]*?([\d.]+px)[^;]*", r"font-size: \1", value)
        for colour, variable in _VARIABLES.items():
            value = value.replace(colour, variable)
    return value


def _local(name: str) -> str:
    return name.rpartition("}")[2]
