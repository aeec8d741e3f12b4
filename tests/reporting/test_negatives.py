"""The section of mined negatives: counts for everybody, suspects for the person alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sbert_triplet.errors import InputError
from sbert_triplet.reporting.record import read_run
from sbert_triplet.reporting.section import Section
from sbert_triplet.reporting.sections.negatives import draw

Write = Callable[..., Path]


def drawn(folder: Path) -> Section:
    section = draw(read_run(folder))
    assert section is not None
    return section


def test_what_each_filter_took_away(run_folder: Write) -> None:
    section = drawn(run_folder())
    assert (section.key, section.title) == ("negatives", "Mined negatives")
    lines = section.markdown.splitlines()
    assert lines[0] == (
        "78,400 negatives of 78,600 asked for, for 19,650 queries among 34,120 documents (search: exact)."
    )
    assert "81 queries have fewer than asked, 3 of them none." in lines
    assert (
        "Marks of a person: 7 positive, 2 negative, 1 ignore, 4 of texts that are not in the data." in lines
    )
    start = lines.index("| Candidates | Number | Share |")
    assert lines[start + 2 :] == [
        "| looked at | 813,200 | 100 % |",
        "| the query's own text | 0 | 0 % |",
        "| equal to the query or a positive | 120 | 0 % |",
        "| nearly equal to the query or a positive | 2,104 | 0.3 % |",
        "| known positives | 19,968 | 2.5 % |",
        "| within the relative margin of a positive | 5,008 | 0.6 % |",
        "| left to choose from | 786,000 | 97 % |",
    ]
    for line in lines[start + 2 :]:
        for cell in line.strip("| ").split(" | "):
            assert cell.replace("'", "&#x27;") in section.html


def test_the_first_suspects_are_shown_and_stay_texts(run_folder: Write) -> None:
    section = drawn(run_folder())
    assert section.html.count("<details") == 12
    assert "1,000 candidates may be positives that nobody noted" in section.html
    assert "0.95 beside 0.71" in section.html
    assert "query 11" in section.html
    assert "query 12" not in section.html
    assert "(given as a negative)" in section.html
    assert "<script" not in section.html
    assert "<img" not in section.html
    assert "query 11" not in section.markdown
    assert "hacked" in section.html
    assert "hacked" not in section.markdown


def test_the_recall_of_an_approximate_search(run_folder: Write) -> None:
    folder = run_folder()
    counts = folder / "negatives" / "counts.json"
    other = {"search": "approximate", "recall": 0.972, "marks": None, "queries_with_fewer": 0}
    counts.write_text(json.dumps(json.loads(counts.read_text(encoding="utf-8")) | other), encoding="utf-8")
    section = drawn(folder)
    assert "The approximate search finds 97 % of the nearest." in section.html
    assert "Marks" not in section.html
    assert "fewer than asked" not in section.html


def test_a_run_without_negatives_has_no_section(run_folder: Write) -> None:
    assert draw(read_run(run_folder(negatives=None))) is None


def test_what_is_broken_is_said(run_folder: Write) -> None:
    folder = run_folder()
    (folder / "negatives" / "suspects.parquet").unlink()
    assert "Suspects" not in drawn(folder).html
    (folder / "negatives" / "suspects.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match=r"suspects\.parquet: not readable as parquet"):
        drawn(folder)
    (folder / "negatives" / "counts.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match=r"counts\.json: not readable as JSON"):
        drawn(folder)
