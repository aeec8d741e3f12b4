"""Tables that are written once and shown twice: as HTML that sorts and filters, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sbert_triplet.reporting.html import Html, element, escape
from sbert_triplet.reporting.text import markdown_escape

FILTER_FROM = 9
"""Rows from which a table gets a field to filter by."""
WIDE_FROM = 5
"""Columns from which the rows of a table become blocks on a narrow screen."""


@dataclass(frozen=True)
class Column:
    """``numeric`` columns are right-aligned; ``drawn`` ones show a drawing and stay out of Markdown."""

    title: str
    numeric: bool = False
    drawn: bool = False


@dataclass(frozen=True)
class Cell:
    """``text`` is what Markdown shows, and HTML unless ``html`` is given; ``order`` is what it sorts by."""

    text: str
    html: Html | None = None
    order: float | None = None

    @property
    def shown(self) -> Html:
        return escape(self.text) if self.html is None else self.html


@dataclass(frozen=True)
class Table:
    """``caption`` says what the rows are. The first cell of a row is its heading.

    ``wordy``: a column holds sentences, so that rows become blocks on a narrow screen whatever their number.
    """

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell | str]]
    foot: Sequence[Cell | str] | None = None
    wordy: bool = False

    def html(self) -> Html:
        """A table that sorts by a click on a column's title and, when long, filters by text."""
        head = element("tr", *(_heading(column) for column in self.columns))
        foot = None if self.foot is None else element("tfoot", self._row(self.foot, heading="td"))
        table = element(
            "table",
            element("caption", self.caption),
            element("thead", head),
            element("tbody", *(self._row(row, heading="th") for row in self.rows)),
            foot,
            class_="sortable wide" if self.wordy or len(self.columns) >= WIDE_FROM else "sortable",
            data_filter=len(self.rows) >= FILTER_FROM,
        )
        # A wide table scrolls inside its own frame, and the frame takes the keyboard's focus to do so.
        return element("div", table, class_="frame", tabindex="0", role="region", aria_label=self.caption)

    def markdown(self) -> str:
        """A pipe table without the drawn columns."""
        kept = [place for place, column in enumerate(self.columns) if not column.drawn]
        titles = [markdown_escape(self.columns[place].title) for place in kept]
        rules = ["---:" if self.columns[place].numeric else "---" for place in kept]
        body = [[markdown_escape(_cell(row[place]).text) for place in kept] for row in self.rows]
        return "\n".join(f"| {' | '.join(line)} |" for line in [titles, rules, *body])

    def _row(self, cells: Sequence[Cell | str], heading: str) -> Html:
        made = []
        for place, (column, given) in enumerate(zip(self.columns, cells, strict=True)):
            cell = _cell(given)
            tag = heading if place == 0 else "td"
            made.append(
                element(
                    tag,
                    cell.shown,
                    class_=_class_of(column),
                    scope="row" if tag == "th" else None,
                    data_label=column.title if tag == "td" else None,
                    data_order=None if cell.order is None else repr(cell.order),
                )
            )
        return element("tr", *made)


def _cell(given: Cell | str) -> Cell:
    return Cell(given) if isinstance(given, str) else given


def _class_of(column: Column) -> str | None:
    return "drawn" if column.drawn else "number" if column.numeric else None


def _heading(column: Column) -> Html:
    return element("th", column.title, scope="col", class_=_class_of(column))
