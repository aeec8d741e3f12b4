from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from sbert_triplet.reporting.html import Html, element, escape, join
from sbert_triplet.reporting.text import clean

ANY_TEXT = st.text(st.characters(codec=None, categories=None))


class Read(HTMLParser):
    """What a parser makes of markup: the tags with their attributes, and the text."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(ANY_TEXT, ANY_TEXT)
def test_text_and_attributes_come_back_as_they_were(text: str, title: str) -> None:
    read = Read(element("p", text, element("b", "x"), title=title))
    assert read.tags == [("p", {"title": clean(title)}), ("b", {})]
    assert read.text == clean(text) + "x"


def test_names_and_absent_attributes() -> None:
    made = element("td", "a", class_="n", data_order=1.5, hidden=True, scope=None, open=False)
    assert made == '<td class="n" data-order="1.5" hidden>a</td>'
    assert element("br") == "<br>"


def test_only_html_passes_unescaped() -> None:
    assert join(["<i>", Html("<i>"), None, 3], " & ") == "&lt;i&gt; &amp; <i> &amp; 3"
    assert escape(escape("<")) == "&lt;"
