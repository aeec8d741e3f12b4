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
    assert (
        "4,321 candidates may be positives that nobody noted; these are the likeliest, and " in section.html
    )
    assert "negatives/suspects.parquet has 1,000. Fill its column mark" in section.html
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


def round_of(step: int, **figures: object) -> dict[str, object]:
    return {"step": step, "seconds": 75.0, "chosen": 78000, "changed": 0.25, "used": True, **figures}


def with_rounds(folder: Path, *rounds: dict[str, object]) -> Section:
    counts = folder / "negatives" / "counts.json"
    given = json.loads(counts.read_text(encoding="utf-8"))
    counts.write_text(json.dumps({**given, "rounds": list(rounds)}), encoding="utf-8")
    return drawn(folder)


def test_rounds_of_a_run_that_mined_anew(run_folder: Write) -> None:
    section = with_rounds(
        run_folder(),
        round_of(0, changed=None, seconds=8.2),
        round_of(500),
        round_of(1000, chosen=0, changed=0.0, used=False),
    )
    lines = section.markdown.splitlines()
    assert (
        "They were mined anew while training (2 times); figures and suspects are those of the negatives "
        "mined after step 500."
    ) in lines
    assert "No negative was left in some rounds (once): those of the round before were kept." in lines
    start = lines.index("| After step | Negatives | New in their row | Time |")
    assert lines[start + 2 :] == [
        "| 0 | 78,000 | – | 8.2 s |",
        "| 500 | 78,000 | 25 % | 1 min 15 s |",
        "| 1,000 | 0 | 0 % | 1 min 15 s |",
    ]
    assert "Rounds of mining" in section.html


def test_of_many_rounds_the_last_are_listed(run_folder: Write) -> None:
    section = with_rounds(run_folder(), *(round_of(step) for step in range(0, 300, 10)))
    assert "Rounds of mining, the last 20 of 30" in section.html
    assert "| 100 | 78,000 |" in section.markdown
    assert "| 90 | 78,000 |" not in section.markdown


def test_a_run_that_ended_before_it_mined_anew_says_so(run_folder: Write) -> None:
    section = with_rounds(run_folder(), round_of(0))
    assert "They were to be mined anew while training, which ended before the first time." in section.markdown
    assert "Rounds of mining" not in section.html


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
