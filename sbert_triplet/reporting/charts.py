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
CLASSES = tuple(f"#0a0c0{digit}" for digit in range(1, 7))
"""Colours of classes, from Okabe and Ito's, which people who are colour-blind tell apart."""

_VARIABLES = {
    **{colour: f"var(--class-{place})" for place, colour in enumerate(CLASSES, start=1)},
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    TUNED: "var(--tuned)",
    BASE: "var(--base)",
    BETTER: "var(--better)",
    WORSE: "var(--worse)",
}
MARKERS = ("o", "s", "^", "D", "v", "P")
"""Shapes of points, as matplotlib names them: what differs in colour differs in shape as well."""
_MARKER_PATHS = {
    "o": "M10 2a4 4 0 1 0 .01 0z",
    "s": "M6.5 2.5h7v7h-7z",
    "^": "M10 2l4.5 8h-9z",
    "D": "M10 1.5l4.5 4.5l-4.5 4.5l-4.5 -4.5z",
    "v": "M10 10l4.5 -8h-9z",
    "P": "M8.5 2h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5z",
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


def legend(*entries: tuple[str, str, str]) -> Html:
    """What is drawn how: for each entry its name, its colour, and its shape.

    Shapes: ``area``, ``line``, ``dashes``, or a marker of ``MARKERS``.
    """
    return element(
        "ul",
        *(element("li", _swatch(colour, shape), element("bdi", name)) for name, colour, shape in entries),
        class_="key",
    )


def _swatch(colour: str, shape: str) -> Html:
    ink = colour_of(colour)
    if shape == "area":
        drawn = element("rect", x=1, y=2, width=18, height=8, fill=ink, fill_opacity=0.35, stroke=ink)
    elif shape in {"line", "dashes"}:
        dashes = "4 3" if shape == "dashes" else None
        drawn = element("line", x1=0, x2=20, y1=6, y2=6, stroke=ink, stroke_width=2, stroke_dasharray=dashes)
    else:
        drawn = element("path", d=_MARKER_PATHS[shape], fill=ink)
    return element(
        "svg", drawn, class_="swatch", viewBox="0 0 20 12", width=20, height=12, aria_hidden="true"
    )


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
    _hoist_styles(root)
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


def _hoist_styles(root: ElementTree.Element) -> None:
    """Give the style that all markers of a group share to the group: there may be thousands."""
    for group in root.iter():
        styles = {child.get("style") for child in group}
        uses = all(_local(child.tag) in {"use", "defs"} for child in group)
        style = next((style for style in styles if style), None)
        if len(group) > 2 and uses and style and styles <= {style, None} and group.get("style") is None:
            group.set("style", style)
            for child in group:
                child.attrib.pop("style", None)


def colour_of(drawn: str) -> str:
    """The style sheet's variable that a colour of this module stands for."""
    return _VARIABLES[drawn]


def _own(name: str, value: str, key: str) -> str:
    if name == "id":
        return f"{key}-{value}"
    if name in {"d", "x", "y", "points", "transform"}:
        value = re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), value)
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
