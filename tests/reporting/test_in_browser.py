"""The report in a real browser: no error, no request, and its tables sort and filter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sbert_triplet.reporting.report import write_report

pytestmark = pytest.mark.long


@pytest.fixture
def report_file(run_folder: Callable[..., Path]) -> Path:
    return write_report(run_folder()).html


def column(name: str, place: int) -> str:
    rows = f"[...document.querySelectorAll('#{name} tbody tr')].filter(row => !row.hidden)"
    return f"{rows}.map(row => row.cells[{place}].innerText)"


def test_no_error_and_no_request(page: Any, report_file: Path) -> None:
    page.events.clear()
    page.open(report_file.as_uri())
    page.run("new Promise(done => setTimeout(done, 500))")
    asked = [
        e["params"]["request"]["url"] for e in page.events if e.get("method") == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith("data:")] == [report_file.as_uri()]
    said = [
        e for e in page.events if e.get("method") in {"Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
    ]
    said += [e for e in page.events if e.get("method") == "Log.entryAdded"]
    assert said == []
    assert page.run("window.hacked") is None


@pytest.mark.parametrize(
    ("attempt", "directive"),
    [
        ("fetch('http://127.0.0.1:9/').catch(() => 0)", "connect-src"),
        ("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))", "img-src"),
        (
            "document.body.insertAdjacentHTML('beforeend', '<p onclick=\"hacked = 1\"></p>')",
            "script-src-attr",
        ),
        (
            "document.body.append(Object.assign(document.createElement('script'), {text: 'hacked = 1'}))",
            "script-src",
        ),
    ],
)
def test_the_policy_stops_what_the_report_does_not_bring(
    page: Any, report_file: Path, attempt: str, directive: str
) -> None:
    page.open(report_file.as_uri())
    heard = "addEventListener('securitypolicyviolation', event => done(event.effectiveDirective))"
    stopped = page.run(f"new Promise(done => {{ {heard}; {attempt}; setTimeout(done, 2000, 'nothing') }})")
    assert stopped.startswith(directive)
    assert page.run("window.hacked") is None


def test_tables_sort_by_click(page: Any, report_file: Path) -> None:
    page.open(report_file.as_uri())
    click = "document.querySelectorAll('#results thead button')[{}].click()"
    page.run(click.format(2))
    assert page.run(column("results", 2)) == ["0.951", "0.689", "0.641", "0.602", "0.562"]
    page.run(click.format(2))
    assert page.run(column("results", 2)) == ["0.562", "0.602", "0.641", "0.689", "0.951"]
    assert page.run("document.querySelector('#results [aria-sort]').innerText").startswith("Base")
    page.run(click.format(1))
    # Without a BM25 figure, P@1 is last in either direction.
    assert page.run(column("results", 0)) == ["R@100", "nDCG@10", "RR@10", "AP", "P@1"]
    page.run(click.format(1))
    assert page.run(column("results", 0)) == ["AP", "RR@10", "nDCG@10", "R@100", "P@1"]
    page.run(click.format(0))
    assert page.run(column("results", 0)) == ["AP", "nDCG@10", "P@1", "R@100", "RR@10"]


def test_long_tables_filter(page: Any, report_file: Path) -> None:
    page.open(report_file.as_uri())
    page.run("const field = document.querySelector('#general input'); field.value = 'ING'; 0")
    page.run("field.dispatchEvent(new Event('input'))")
    assert page.run(column("general", 0)) == ["cooking", "shopping"]
    assert page.run("document.querySelector('#general output').innerText") == "2 of 10"


@pytest.mark.parametrize("width", [375, 1280])
def test_nothing_is_wider_than_the_screen(page: Any, report_file: Path, width: int) -> None:
    page.open(report_file.as_uri(), width=width)
    page.run("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.run("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_its_ground(page: Any, report_file: Path, scheme: str) -> None:
    """WCAG 2.2 contrast, at least 4.5 to 1, of every text on the page and in the charts."""
    page.open(report_file.as_uri(), scheme=scheme)
    assert page.faint() == []
    dark = page.run("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0] < 60")
    assert dark == (scheme == "dark")


def test_print_unfolds_what_is_folded(page: Any, report_file: Path) -> None:
    page.open(report_file.as_uri())
    folded = page.run("document.querySelectorAll('details:not([open])').length")
    assert folded > 0
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert page.run("document.querySelectorAll('details:not([open])').length") == 0
    page.run("window.dispatchEvent(new Event('afterprint'))")
    assert page.run("document.querySelectorAll('details:not([open])').length") == folded
    printed = page.call("Page.printToPDF", printBackground=True)["data"]
    assert printed.startswith("JVBERi")


def test_ids_are_distinct(page: Any, report_file: Path) -> None:
    page.open(report_file.as_uri())
    ids = page.run("[...document.querySelectorAll('[id]')].map(node => node.id)")
    assert len(ids) == len(set(ids))
    used = page.run("[...document.querySelectorAll('use')].map(node => node.getAttribute('href'))")
    assert used
    assert {reference.removeprefix("#") for reference in used} <= set(ids)
