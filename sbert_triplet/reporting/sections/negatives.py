"""Mined negatives: what each filter took away, and the likeliest of those that may be positives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from sbert_triplet.errors import InputError
from sbert_triplet.reporting import numbers
from sbert_triplet.reporting.html import Html, element, join
from sbert_triplet.reporting.record import RunRecord, mapping, read_object
from sbert_triplet.reporting.section import Section, paragraph
from sbert_triplet.reporting.tables import Cell, Column, Table
from sbert_triplet.reporting.text import clean, markdown_escape, shorten

MOST = 12
"""Suspects shown; suspects.parquet has more."""
LIMIT = 600
"""Characters shown of a text."""
MOST_ROUNDS = 20
"""Rounds of mining that are listed, the last ones; counts.json has all."""
FILTERS = {
    "self": "the query's own text",
    "equal": "equal to the query or a positive",
    "near_equal": "nearly equal to the query or a positive",
    "known_positive": "known positives",
    "marked": "marked as positive or to be ignored",
    "transitive": "joined to the query by a chain of positives",
    "max_score": "above the highest score",
    "min_score": "below the lowest score",
    "absolute_margin": "within the absolute margin of a positive",
    "relative_margin": "within the relative margin of a positive",
    "rank_window": "outside the window of ranks",
}


def draw(run: RunRecord) -> Section | None:
    """None where no negatives were mined."""
    folder = run.folder / "negatives"
    if not (folder / "counts.json").is_file():
        return None
    counts = read_object(folder / "counts.json")
    listed = counts.get("rounds")
    rounds = [mapping(each) for each in listed] if isinstance(listed, list) else []
    sentences = _sentences(counts) + _about_rounds(rounds)
    tables = [_filters(counts), *([_rounds(rounds)] if len(rounds) > 1 else [])]
    suspects = _suspects(folder / "suspects.parquet")
    html = join(
        [
            *(paragraph(sentence) for sentence in sentences),
            *(table.html() for table in tables),
            *([element("h3", "Suspects"), _about(counts), *map(_suspect, suspects)] if suspects else []),
        ]
    )
    markdown = "\n\n".join([*map(markdown_escape, sentences), *(table.markdown() for table in tables)])
    return Section("negatives", "Mined negatives", html, markdown)


def _sentences(counts: Mapping[str, Any]) -> list[str]:
    chosen, asked, short, empty = (
        numbers.count(counts.get(key))
        for key in ("chosen", "asked", "queries_with_fewer", "queries_with_none")
    )
    found = [
        f"{chosen} negatives of {asked} asked for, for {numbers.count(counts.get('queries'))} queries "
        f"among {numbers.count(counts.get('documents'))} documents (search: {counts.get('search')})."
    ]
    if counts.get("queries_with_fewer"):
        found.append(f"{short} queries have fewer than asked, {empty} of them none.")
    if counts.get("recall") is not None:
        found.append(f"The approximate search finds {numbers.share(counts['recall'])} of the nearest.")
    if marks := mapping(counts.get("marks")):
        judged = ", ".join(f"{numbers.count(count)} {name}" for name, count in marks.items())
        found.append(f"Marks of a person: {judged}.")
    return found


def _about_rounds(rounds: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is to be known of negatives that were mined anew while training; ``rounds`` are none elsewhere."""
    if not rounds:
        return []
    if len(rounds) == 1:
        return ["They were to be mined anew while training, which ended before the first time."]
    used = [each for each in rounds if each.get("used")]
    latest = numbers.count(used[-1].get("step") if used else None)
    found = [
        f"They were mined anew while training ({_times(len(rounds) - 1)}); figures and suspects are those of "
        f"the negatives mined after step {latest}."
    ]
    if none := len(rounds) - len(used):
        found.append(
            f"No negative was left in some rounds ({_times(none)}): those of the round before were kept."
        )
    return found


def _times(count: int) -> str:
    return "once" if count == 1 else f"{numbers.count(count)} times"


def _rounds(rounds: Sequence[Mapping[str, Any]]) -> Table:
    shown = rounds[-MOST_ROUNDS:]
    left = f", the last {numbers.count(len(shown))} of {numbers.count(len(rounds))}"
    rows: list[list[Cell | str]] = [
        [
            Cell(numbers.count(each.get("step")), order=numbers.number(each.get("step"))),
            Cell(numbers.count(each.get("chosen")), order=numbers.number(each.get("chosen"))),
            Cell(numbers.share(each.get("changed")), order=numbers.number(each.get("changed"))),
            Cell(numbers.seconds(each.get("seconds")), order=numbers.number(each.get("seconds"))),
        ]
        for each in shown
    ]
    titles = ("After step", "Negatives", "New in their row", "Time")
    return Table(
        "Rounds of mining" + (left if len(shown) < len(rounds) else ""),
        [Column(title, numeric=True) for title in titles],
        rows,
    )


def _filters(counts: Mapping[str, Any]) -> Table:
    all_of_them = numbers.number(counts.get("looked_at"))
    removed = [(FILTERS.get(str(name), str(name)), n) for name, n in mapping(counts.get("removed")).items()]
    entries = [("looked at", counts.get("looked_at")), *removed, ("left to choose from", counts.get("left"))]
    rows: list[list[Cell | str]] = [
        [
            what,
            Cell(numbers.count(count), order=numbers.number(count)),
            Cell(_share(count, all_of_them), order=numbers.number(count)),
        ]
        for what, count in entries
    ]
    columns = [Column("Candidates"), Column("Number", numeric=True), Column("Share", numeric=True)]
    return Table("What each filter took away, in the order in which they ran", columns, rows)


def _share(count: object, of: float | None) -> str:
    part = numbers.number(count)
    return numbers.share(part / of if part is not None and of else None)


def _suspects(file: Path) -> list[dict[str, Any]]:
    """The first rows of the table, likeliest first; only these are read."""
    if not file.is_file():
        return []
    try:
        rows: list[dict[str, Any]] = ds.dataset(file).head(MOST).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{file}: not readable as parquet ({error}); run the job again to write it anew"
        ) from error
    return rows


def _about(counts: Mapping[str, Any]) -> Html:
    return paragraph(
        f"{numbers.count(counts.get('suspected'))} candidates may be positives that nobody noted; these are "
        f"the likeliest, and negatives/suspects.parquet has {numbers.count(counts.get('suspects'))}. "
        "Fill its column mark (positive, negative, ignore) and "
        "name the file as mine.marks in the next run."
    )


def _suspect(row: Mapping[str, Any]) -> Html:
    scores = f"{numbers.fixed(row.get('score'), 2)} beside {numbers.fixed(row.get('positive_score'), 2)}"
    used = " (given as a negative)" if row.get("mined") else ""
    summary = element("summary", element("span", scores, class_="change"), " ", _text(row.get("query")))
    fields: Sequence[tuple[str, Html]] = [
        ("Suspect", _text(row.get("document"))),
        ("A positive of the query", _text(row.get("positive"))),
        ("Reason", join([f"{row.get('reason') or ''}{used}"])),
    ]
    body = [element("div", element("h4", name), text, class_="field") for name, text in fields]
    return element("details", summary, *body, class_="item")


def _text(value: object) -> Html:
    """A person's text: its own direction of writing, kept apart from what stands around it."""
    kept, left = shorten(clean("" if value is None else value), LIMIT)
    rest = element("small", f" … {numbers.count(left)} more characters") if left else None
    return join([element("bdi", kept, dir="auto"), rest])
